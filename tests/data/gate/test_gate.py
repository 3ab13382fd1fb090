"""The gate as a whole: policies, settings, what is refused, and that neither chunks nor interruptions matter."""

from __future__ import annotations

import json

import numpy as np
import pytest
from driver import examine, found, gate_of, subject_of

from modelyard.core.errors import GateError, SpecError
from modelyard.core.files import to_json
from modelyard.core.states import read_state, write_state
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.gate import refuse
from modelyard.data.gate.table import CHECKS


def rows_of(count: int, seed: int = 0) -> list[dict]:
    """Good rows: a number, a category, a label that neither gives away."""
    rng = np.random.default_rng(seed)
    return [
        {
            "size": round(float(rng.normal(10, 2)), 6),
            "colour": str(rng.choice(["red", "green", "blue"])),
            "label": str(rng.choice(["yes", "no"])),
        }
        for _ in range(count)
    ]


def data_of(rows, **more) -> dict:
    return {"source": rows, "targets": {"label": "category"}, **more}


def said(result) -> str:
    return to_json(result.as_dict())


def test_good_rows_pass_without_refusals_or_warnings():
    result = examine(data_of(rows_of(1000)))
    assert [finding.title for finding in result.findings if finding.severity != "note"] == []
    refuse(result)


def test_every_check_can_be_named_and_says_its_policies():
    for name in CHECKS:
        check = CHECKS.find(name)
        assert check.name == name
        assert check.policies and set(check.policies) <= {"error", "drop", "keep"}


@pytest.mark.parametrize("chunk", [7, 64, 301])
def test_what_is_found_does_not_depend_on_the_chunks(chunk, planted):
    assert said(examine(planted, chunk=chunk)) == said(examine(planted))


@pytest.mark.parametrize("interrupt", [2, 5])
def test_an_interrupted_examination_finds_the_same(interrupt, planted):
    assert said(examine(planted, chunk=97, interrupt=interrupt)) == said(examine(planted))


def test_the_state_goes_through_a_file(tmp_path, planted):
    subject = subject_of(planted)
    gate = gate_of(subject, None)
    write_state(tmp_path / "state", gate.state())
    gate.restore(read_state(tmp_path / "state"))


@pytest.fixture
def planted(tmp_path):
    """A file with something for almost every check."""
    rows = rows_of(600)
    rng = np.random.default_rng(1)
    for at, row in enumerate(rows):
        row |= {"patient_id": f"p{at // 3}", "day": f"2024-01-{1 + at % 28:02d}", "note": "a few words " * (1 + at % 5)}
        row |= {"row": str(at), "always": "x", "amount": f"{rng.integers(1, 900)}"}
    rows[5]["amount"] = "1,234"
    rows[6]["amount"] = "NA"
    rows[7]["amount"] = ""
    rows[8]["label"] = ""
    rows[9]["amount"] = "many"
    rows[10]["label"] = "maybe"
    for at in (20, 21):
        rows[at]["colour"] = "12"
    rows[30] = dict(rows[29])
    rows[31] = dict(rows[29], label="no" if rows[29]["label"] == "yes" else "yes")
    path = tmp_path / "planted.csv"
    names = list(rows[0])
    lines = [",".join(f'"{row[name]}"' if row[name] != "" else "" for name in names) for row in rows]
    lines.insert(12, "too,few")
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return {
        "source": str(path),
        "targets": {"label": "category"},
        "inputs": dict.fromkeys(("size", "colour", "note", "amount")),
        "group": "patient_id",
    }


def test_refusals_come_first_then_warnings_then_notes(planted):
    result = examine(planted)
    order = [("refuse", "warn", "note").index(finding.severity) for finding in result.findings]
    assert order == sorted(order)
    assert {finding.severity for finding in result.findings} == {"refuse", "warn", "note"}


def test_a_refusal_names_rows_reason_and_setting(planted):
    result = examine(planted)
    with pytest.raises(GateError) as caught:
        refuse(result)
    message = str(caught.value)
    [leak] = found(result, "group_leakage")
    assert leak.title in message and leak.why in message
    assert "data.checks.group_leakage=keep" in message
    assert all(row.place in message for row in leak.examples[:3])
    assert leak.examples[0].place.startswith(planted["source"] + ", line ")
    assert caught.value.exit_code == 3


def test_keep_accepts_a_refusal_and_error_makes_one_of_a_note(planted):
    planted["checks"] = {"group_leakage": "keep", "missing_values": "error"}
    result = examine(planted)
    [leak] = found(result, "group_leakage")
    assert (leak.severity, leak.policy) == ("warn", "keep")
    [missing] = found(result, "missing_values")
    assert (missing.severity, missing.policy) == ("refuse", "error")
    assert missing.setting == "data.checks.missing_values=keep"
    with pytest.raises(GateError, match="refuses 1 thing:"):
        refuse(result)


def test_drop_leaves_out_exactly_the_rows_it_names():
    rows = rows_of(300)
    rows += [dict(rows[4]), dict(rows[4]), dict(rows[17])]
    split = {"validation": 0, "test": 0, "method": "random"}
    kept = examine(data_of(rows, split=split))
    assert kept.drop == {}
    result = examine(data_of(rows, split=split, checks={"duplicate_rows": "drop"}))
    assert list(result.drop) == [300, 301, 302]
    assert all(reason.startswith("duplicate_rows: 3 of 303 rows") for reason in result.drop.values())
    [finding] = found(result, "duplicate_rows")
    assert (finding.rows, finding.policy) == (3, "drop")
    assert "drop" not in result.as_dict()
    json.loads(said(result))


def test_all_wrong_settings_are_named_at_once_with_the_nearest_name():
    with pytest.raises(SpecError) as caught:
        examine(data_of(rows_of(50), checks={"duplicate_row": "drop", "group_leakage": "drop"}))
    first, second = sorted(caught.value.problems, key=lambda problem: problem.place)
    assert first.place == "data.checks.duplicate_row" and "did you mean 'duplicate_rows'?" in first.message
    assert second.place == "data.checks.group_leakage" and "expected keep or error" in second.message


def test_no_rows_at_all_are_no_reason_to_fail():
    gate = gate_of(subject_of(data_of(rows_of(50))), None)
    empty = np.empty(0, np.uint64)
    index = RowIndex(empty, empty, empty, np.empty(0, np.int8), np.empty(0, np.int32), np.empty(0, np.int64), [])
    result = gate.finish(index)
    assert result.findings == [] and result.statistics == {}
