"""The model card: every field tagged, nothing guessed, nothing of the data able to become markup."""

from __future__ import annotations

import copy
import json
import re

import pytest
import yaml
from evidence_samples import KINDS, metric, sample

from modelyard.core.files import to_json
from modelyard.report.card import card
from modelyard.report.markdown import prose, table

SECTIONS = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data", "Quantitative analyses",
    "Calibration", "Robustness", "Limitations", "Ethical considerations", "Environmental cost", "How to reproduce",
]  # fmt: skip
HOSTILE = (
    "x|y\n---\n# Head\r\n- item `code` **bold** <script>alert(1)</script> [link](javascript:alert(1)) &lt; ![i](u)"
)


def parts(text: str) -> tuple[dict, dict[str, str]]:
    """Front matter, and each section's text by its title."""
    _, front, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    pieces = re.split(r"^## (.+)$", body, flags=re.MULTILINE)
    return yaml.safe_load(front), dict(zip(pieces[1::2], pieces[2::2], strict=True))


def field(section: str, name: str) -> tuple[str, str]:
    """A field's tag and text."""
    found = re.search(rf"^- \*\*{re.escape(name)}\*\* \(\*(\w+)\*\): (.*)$", section, re.MULTILINE)
    assert found, f"no field {name!r} in {section}"
    return found[1], found[2]


def full() -> tuple[dict, dict]:
    """A spec and evidence with something in every section."""
    spec, evidence = sample("binary")
    spec["data"].update(origin="Collected by hand.", licence="CC0-1.0")
    spec["evaluate"].update(slices="auto", resamples=1000, groups=["sex"], require={"accuracy": 0.99})
    part = {"rows": 12, "metric": "accuracy", "metric_value": 0.5, "low": 0.3, "high": 0.7, "rest": 0.9,
            "p_value": 0.004, "worse": True, "declared": False}  # fmt: skip
    condition = [{"column": "shape", "value": "round"}, {"column": "width", "value": "1 … 2"}]
    evidence["metrics"][1] |= {
        "slices": [
            {**part, "column": "shape", "value": "round", "condition": []},
            {**part, "column": "shape and width", "value": "round and 1 … 2", "condition": condition, "worse": False},
        ],
        "fairness": [{
            "column": "sex",
            "groups": [{"group": name, "rows": 20, "metrics": {"accuracy": {"value": at, "low": 0.4, "high": 0.95}}}
                       for name, at in (("f", 0.7), ("m", 0.9))],
            "differences": [{"metric": "accuracy", "difference": 0.2, "low": 0.05, "high": 0.35, "highest": "m",
                             "lowest": "f", "ratio": 0.7778}],
            "notes": ["a group has few rows"],
        }],
        "robustness": [
            {"corruption": "noise", "severity": 3, "columns": ["width"], "rows": 40, "metric": "accuracy",
             "clean": 0.825, "corrupted": 0.625, "change": -0.2, "low": -0.3, "high": -0.1, "changed_answers": 0.2},
            {"corruption": "typos", "severity": 1, "columns": ["shape"], "rows": 40, "metric": "accuracy",
             "clean": 0.825, "corrupted": 0.8, "change": -0.025, "low": -0.1, "high": 0.05, "changed_answers": 0.1},
        ],
        "calibration": {"label": "yes", "ece": 0.12, "low": 0.08, "high": 0.2, "largest": 0.3, "bins": [],
                        "temperature": 1.7, "ece_calibrated": 0.04, "log_loss": 0.5, "log_loss_calibrated": 0.4},
        "suspect_rows": 2,
    }  # fmt: skip
    finding = {"severity": "warn", "why": "…", "columns": ["text"], "examples": [], "policy": "keep", "setting": ""}
    kinds = {"e-mail address": {"rows": 3, "pieces": 4}}
    evidence["data"] |= {
        "findings": [
            {**finding, "check": "imbalance", "title": "few rows of yes", "rows": 9, "details": {}},
            {**finding, "check": "personal_data", "severity": "note", "title": "3 rows hold personal data", "rows": 3,
             "details": {"kinds": kinds},
             "examples": [{"file": "a.csv", "position": 0, "place": "a.csv, line 2", "what": "me@home.example"}]},
        ],
        "drift": [{"split": "test", "column": "width", "measure": "total_variation", "value": 0.5, "threshold": 0.1,
                   "drifted": True}],
        "licence": "CC0-1.0",
    }  # fmt: skip
    evidence["cost"] = {"seconds": {"training": 90.0}, "flops_per_row_forward": 60.0, "flops_training": 4776000.0,
                        "energy_joules": 728.0, "energy_how": "an estimate, not a measurement",
                        "peak_memory_bytes": 476418048}  # fmt: skip
    return spec, evidence


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_has_every_section(kind):
    _, sections = parts(card(*sample(kind)))
    assert list(sections) == SECTIONS
    assert all(section.strip() for section in sections.values())


@pytest.mark.parametrize("evidence", [{}, {"metrics": []}])
def test_what_nobody_measured_is_unknown_and_never_guessed(evidence):
    spec = {"name": "bare", "data": {"source": "rows.csv"}}
    front, sections = parts(card(spec, evidence))
    assert list(sections) == SECTIONS
    assert front["name"] == "bare"
    assert not {"license", "model-index", "data_licence"} & set(front)
    assert field(sections["Intended use"], "What it is for") == ("declared", "unknown (not declared)")
    assert field(sections["Training data"], "Licence of the data") == ("declared", "unknown (not declared)")
    assert field(sections["Model details"], "Parameters") == ("measured", "unknown (not measured)")
    assert field(sections["Calibration"], "Expected calibration error") == ("measured", "unknown (not measured)")
    assert field(sections["Ethical considerations"], "Personal data in text columns, by its form")[1].startswith(
        "unknown"
    )
    assert "how good the model is, nobody knows" in sections["Limitations"]


@pytest.mark.parametrize("make", [full, *(lambda kind=kind: sample(kind) for kind in KINDS)])
def test_every_field_says_where_it_is_known_from(make):
    _, sections = parts(card(*make()))
    for title, section in sections.items():
        for line in section.splitlines():
            if line.startswith("- "):
                assert re.search(r"\(\*(measured|derived|declared)\*\)", line), f"{title}: {line}"
        tables = re.findall(r"^\| .*\n(?=\| ---)", section, re.MULTILINE)
        assert all("(*measured*)" in head for head in tables)


def test_declared_fields_are_what_was_declared():
    spec, evidence = full()
    front, sections = parts(card(spec, evidence))
    assert field(sections["Intended use"], "What it is for") == ("declared", "What it is for.")
    assert field(sections["Training data"], "Origin") == ("declared", "Collected by hand.")
    assert field(sections["Training data"], "Licence of the data") == ("declared", "CC0-1.0")
    assert front["data_licence"] == "CC0-1.0"
    # the licence of the data is not the model's
    assert field(sections["Model details"], "Licence of the model") == ("declared", "unknown (not declared)")
    assert "license" not in front
    spec["data"].update(origin="", licence="")
    evidence["data"]["licence"] = "MIT"
    _, sections = parts(card(spec, evidence))
    assert field(sections["Training data"], "Origin") == ("declared", "A sample")  # as the catalogue has it
    assert field(sections["Training data"], "Licence of the data") == ("declared", "MIT")


def test_a_setting_that_was_left_open_is_derived():
    spec, evidence = sample("binary")
    _, sections = parts(card(spec, evidence))
    assert field(sections["Model details"], "Learning rate") == ("derived", "0.001")
    assert field(sections["Model details"], "Weight decay") == ("declared", "0.01")
    assert field(sections["Model details"], "Family") == ("derived", "mlp (number columns)")


def test_the_front_matter_names_metrics_as_catalogues_read_them():
    front, _ = parts(card(*sample("binary")))
    assert front["metrics"] == ["accuracy", "log_loss"]
    assert front["tags"] == ["modelyard", "classification", "mlp"]
    result = front["model-index"][0]["results"][0]
    assert result["dataset"] == {"name": "rows.csv", "type": "other", "split": "test"}
    assert result["metrics"][0] == {"type": "accuracy", "value": 0.825, "name": "accuracy (test)"}


def test_analyses_by_one_factor_and_by_several_stand_apart():
    _, sections = parts(card(*full()))
    unitary, intersectional = (
        sections["Quantitative analyses"].split("### Unitary results")[1].split("### Intersectional")
    )
    assert "| shape is round | 12 | Accuracy | 50.0% | 30.0% to 70.0% | 90.0% | 0.004 | yes |" in unitary
    assert "| shape is round and width is 1 … 2 | 12 |" in intersectional
    assert "| f | 20 | 70.0% (40.0% to 95.0%) |" in intersectional
    assert "| Accuracy | 20 points | +5 points to +35 points | m | f | 0.778 |" in intersectional


def test_the_numbers_stand_with_their_intervals_and_baselines():
    _, sections = parts(card(*sample("binary")))
    assert "| Accuracy | 82.5% | 72.5% to 92.5% | 50.0% | higher |" in sections["Quantitative analyses"]
    assert "| yes | 20 | 88.2% | 75.0% | 0.8108 |" in sections["Quantitative analyses"]


def test_limits_follow_from_the_evidence():
    limits = parts(card(*full()))[1]["Limitations"]
    for said in (
        "It was judged on 40 test rows only.",
        "It misses a requirement: Accuracy of at least 99.0%.",
        "It does worse where shape is round: Accuracy 50.0% on 12 rows, 90.0% elsewhere.",
        "Groups of sex differ: Accuracy by 20 points between “m” and “f”.",
        "It is hurt by noise (severity 3 of 3): Accuracy 82.5% → 62.5%.",
        "on validation it is too sure (temperature 1.7)",
        "Data gate, warn: few rows of yes.",
        "Held-out rows differ from training in width.",
        "2 labels of 40 test rows are likely wrong.",
    ):
        assert said in limits, said
    assert "typos" not in limits  # its interval holds no change
    assert "width is 1" not in limits  # a slice that is not worse
    assert "personal data" not in limits


def test_a_sound_result_has_no_limits_of_its_own():
    spec, evidence = sample("binary")
    evidence["metrics"] = evidence["metrics"][1:]
    judge = evidence["metrics"][0]
    judge.update(rows=5000, per_label=[], metrics=[metric("accuracy", 0.9, 0.89, 0.91, 0.5, rows=5000)])
    limits = parts(card(spec, evidence))[1]["Limitations"]
    assert "The evidence shows none beyond what was not measured." in limits


def test_of_personal_data_only_counts_are_told():
    spec, evidence = full()
    text = card(spec, evidence)
    told = field(parts(text)[1]["Ethical considerations"], "Personal data in text columns, by its form")
    assert told == ("measured", "3 rows of text (e-mail address: 4)")
    assert "home.example" not in text and "line 2" not in text


def test_energy_that_was_estimated_is_derived_and_what_was_read_is_measured():
    spec, evidence = full()
    assert field(parts(card(spec, evidence))[1]["Environmental cost"], "Energy") == (
        "derived", "728 J; an estimate, not a measurement")  # fmt: skip
    evidence["cost"]["energy_how"] = "read from the processor's counters"
    assert field(parts(card(spec, evidence))[1]["Environmental cost"], "Energy")[0] == "measured"


# -- what a stranger wrote --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [full, *(lambda kind=kind: sample(kind) for kind in KINDS)])
def test_nothing_in_the_data_becomes_markup(make):
    spec, evidence = make()
    text = to_json([spec, evidence])
    plain = card(*json.loads(text))
    written = [
        "label", "no", "yes", "cat", "good", "red", "width", "shape", "image", "text", "price", "tags", "round",
        "m", "sex",
        "rows.csv", "MIT", "A processor", "mlp", "What it is for.", "few rows of yes", "number columns", "noise",
        "no label (the target is missing)", "1 of 2 labels has no row here", "Collected by hand.", "CC0-1.0", "id",
        "a group has few rows", "A sample", "Linux 6", "3.11.7", "stratified", "e-mail address",
    ]  # fmt: skip
    for word in written:
        text = re.sub(rf'"{re.escape(word)}"(?!:)', lambda _, w=word: json.dumps(f"{w} {HOSTILE}"), text)
        if word not in ("label", "text", "id", "image", "m"):
            text = text.replace(f'"{word}":', f"{json.dumps(f'{word} {HOSTILE}')}:")
    spec, evidence = json.loads(text)
    spec["name"] = f"sample {HOSTILE}"
    attacked = card(spec, evidence)
    front, sections = parts(attacked)
    assert list(sections) == SECTIONS
    assert front["name"] == spec["name"]
    body = attacked.split("\n---\n", 1)[1]
    assert "alert" in body and "<" not in body
    assert not re.search(r"(?<!\\)`(?!``|sh)", body.replace("```sh", "").replace("```", ""))
    assert not re.search(r"(?<!\\)\[|(?<!\\)\]\(", body)

    def shape(text):
        """What kind each line is, tables with their number of cells."""
        return [
            (line[:2].strip() or "-", len(re.findall(r"(?<!\\)\|", line))) if line[:1] in "-#|`" else ""
            for line in text.split("\n---\n", 1)[1].splitlines()
        ]

    assert shape(attacked) == shape(plain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean_radius", "mean_radius"),
        ("_it_ __b__", r"\_it\_ \_\_b\_\_"),
        ("0.01", "0.01"),
        ("1. one", "&#49;. one"),
        ("12) one", "1&#50;) one"),
        ("- item", r"\- item"),
        ("# head", r"\# head"),
        ("-0.5", "-0.5"),
        ("a\tb\n\nc", "a b c"),
        ("a|b", r"a\|b"),
        (r"a\|b", r"a\\\|b"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("R & D", "R & D"),
        ("https://a.example www.a.example", r"https\://a.example www\.a.example"),
        ("a\x1b[31m", r"a␛\[31m"),
        ("a\u202eb", "aU+202Eb"),
        ("a\udc80b", r"a\\udc80b"),
        ("x" * 700, "x" * 599 + "…"),
        ("", ""),
    ],
)
def test_plain_text_as_markdown(text, expected):
    assert prose(text) == expected


def test_a_table_keeps_its_shape():
    made = table([("a|b", "measured"), ("c", None)], [["1\n2", "|"], ["`", "<td>"]])
    assert made == "| a\\|b (*measured*) | c |\n| --- | --- |\n| 1 2 | \\| |\n| \\` | &lt;td&gt; |"


def test_the_card_is_the_same_from_records_and_from_the_files_of_a_bundle():
    spec, evidence = full()
    evidence["metrics"][1]["metrics"][0]["low"] = float("nan")  # null in a file
    before = copy.deepcopy(evidence)["metrics"][1]["slices"]
    assert card(spec, evidence) == card(spec, json.loads(to_json(evidence)))
    assert evidence["metrics"][1]["slices"] == before
