"""The model card (Mitchell et al. 2019): what a model is, what it was measured to do, and what nobody has said of it.

Every field says whether it was measured, derived from what was measured, or declared by a person; what is not known is
named as unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from modelyard.report.asked import source_words, targets_of
from modelyard.report.card_limits import limitations
from modelyard.report.card_results import calibration, factors, metrics, quantities, robustness
from modelyard.report.evaluations import Evidence, in_order, rows_of
from modelyard.report.formatting import MISSING, bytes_, count, duration, finite, number
from modelyard.report.markdown import Fact, Kind, facts, prose, table

__all__ = ["card"]

_MOST = 30
"""Lines a table shows of labels and of findings."""


def card(spec: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    """Return the model card as Markdown with YAML front matter.

    Args:
        spec: The resolved spec, as `Spec.as_dict` gives it.
        evidence: Records as plain dicts, as the files of a bundle's `evidence/` folder hold them. What is absent is
            written as unknown.
    """
    sections = (
        ("Model details", _details(spec, evidence)),
        ("Intended use", _use(spec, evidence)),
        ("Factors", factors(spec, evidence)),
        ("Metrics", metrics(spec, evidence)),
        ("Evaluation data", _evaluation_data(spec, evidence)),
        ("Training data", _training_data(spec, evidence)),
        ("Quantitative analyses", quantities(spec, evidence)),
        ("Calibration", calibration(evidence)),
        ("Robustness", robustness(evidence)),
        ("Limitations", limitations(spec, evidence)),
        ("Ethical considerations", _ethics(spec, evidence)),
        ("Environmental cost", _cost(evidence)),
        ("How to reproduce", _reproduce(spec, evidence)),
    )
    written = [_front_matter(spec, evidence), f"# {prose(spec.get('name') or 'model')}", _LEGEND]
    for title, blocks in sections:
        written += [f"## {title}", *blocks]
    return "\n\n".join(block for block in written if block) + "\n"


_LEGEND = (
    "Every field is tagged: *measured* was read from a clock or counted over rows, *derived* was computed from what "
    "was measured, *declared* was said by a person. What nobody measured or declared is unknown, and says so."
)


# -- for catalogues of models -----------------------------------------------------------------------------------------


def _front_matter(spec: Mapping[str, Any], evidence: Evidence) -> str:
    """Fields that model catalogues read. No licence of the model stands here, as no setting declares one."""
    data, training = evidence.get("data") or {}, evidence.get("training") or {}
    evaluations = in_order(evidence)
    judge = evaluations[0] if evaluations else {}
    measured = [
        {"type": one["name"], "value": round(value, 6), "name": f"{one['name']} ({judge.get('split')})"}
        for one in judge.get("metrics") or []
        if (value := finite(one.get("value"))) is not None
    ]
    task = _chosen(spec.get("task"), "type")
    source = source_words(data.get("source") or (spec.get("data") or {}).get("source"))
    name = str(spec.get("name") or "model")
    fields: dict[str, Any] = {
        "name": name,
        "library_name": "modelyard",
        "tags": [tag for tag in ("modelyard", task, str(training.get("family") or "")) if tag],
        "metrics": [one["type"] for one in measured],
    }
    if data.get("licence"):
        fields["data_licence"] = _line(data["licence"])
    if measured:
        result = {
            "task": {"type": task or "other"},
            "dataset": {"name": _line(source), "type": "other", "split": _line(judge.get("split"))},
            "metrics": measured,
        }
        fields["model-index"] = [{"name": name, "results": [result]}]
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=math.inf)
    return f"---\n{text.encode('utf-8', 'backslashreplace').decode()}---"


def _line(text: object) -> str:
    return " ".join(str(text).encode("utf-8", "backslashreplace").decode().split())


# -- what it is -------------------------------------------------------------------------------------------------------


def _details(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    training, environment = evidence.get("training") or {}, evidence.get("environment") or {}
    chosen: Mapping[str, Any] = training.get("choices") or {}
    settings = (
        ("Optimizer", "train.optimizer", training.get("optimizer")),
        ("Learning rate", "train.learning_rate", _number(training.get("learning_rate"))),
        ("Weight decay", "train.weight_decay", _number(training.get("weight_decay"))),
        ("Arithmetic", "train.precision", training.get("precision")),
    )
    family, reason = str(training.get("family") or ""), str(training.get("family_reason") or "")
    epochs = training.get("epochs") or []
    kept = f"of epoch {training.get('kept_epoch')}, after {count(len(epochs), 'epoch')}" if training else ""
    return [
        facts(
            [
                Fact("Name", "declared", str(spec.get("name") or "")),
                Fact("Task", _settled("task.type", chosen), _chosen(spec.get("task"), "type")),
                Fact("Family", _settled("model.family", chosen), f"{family} ({reason})" if reason else family),
                Fact("Parameters", "measured", _number(training.get("parameters"))),
                *(Fact(name, _settled(place, chosen), str(value or "")) for name, place, value in settings),
                Fact("Weights", "measured", kept),
                Fact("Trained", "measured", str(environment.get("created") or "")),
                Fact("Made with", "measured", _versions(environment)),
                Fact("Developed by", "declared", ""),
                Fact("Licence of the model", "declared", ""),
                Fact("Questions to", "declared", ""),
            ]
        )
    ]


def _use(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    columns = (evidence.get("data") or {}).get("columns") or []
    targets = targets_of(spec)
    inputs = [one for one in columns if one.get("modality") and one.get("column") not in targets]
    by_kind: dict[str, list[str]] = {}
    for one in inputs:
        by_kind.setdefault(str(one["modality"]), []).append(str(one["column"]))
    reads = "; ".join(f"{kind}: {_some(names)}" for kind, names in by_kind.items())
    labels = (evidence.get("data") or {}).get("labels") or {}
    answers = [
        f"{target}: {_some([str(name) for name in (splits.get('train') or {})])}" for target, splits in labels.items()
    ]
    return [
        facts(
            [
                Fact("What it is for", "declared", str(spec.get("about") or "")),
                Fact("Who it is for", "declared", ""),
                Fact("What it must not be used for", "declared", ""),
                Fact("Predicts", "declared", ", ".join(targets)),
                Fact("Labels it can answer", "measured", "; ".join(answers)) if answers else _numbers(spec),
                Fact("Reads", "derived", reads),
            ]
        )
    ]


def _numbers(spec: Mapping[str, Any]) -> Fact:
    told = "numbers" if _chosen(spec.get("task"), "type") == "regression" else ""
    return Fact("Answers with", "derived", told)


# -- data -------------------------------------------------------------------------------------------------------------


def _evaluation_data(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    data, evaluations = evidence.get("data") or {}, in_order(evidence)
    split = data.get("split") or {}
    how = str(split.get("method") or "")
    if how and split.get("by"):
        how += f" by {split['by']}"
    drifted = [f"{one['column']} ({one['split']})" for one in data.get("drift") or [] if one.get("drifted")]
    drift = "" if "drift" not in data else _some(drifted) if drifted else "no column"
    without = sum(one.get("rows_without_target") or 0 for one in evaluations)
    fields = [
        Fact("Judged on", "measured", rows_of(evaluations[0]) if evaluations else ""),
        Fact("Also measured on", "measured", ", ".join(rows_of(one) for one in evaluations[1:])),
        Fact("How rows were held out", "measured", how),
        Fact("Rows not measured, for want of a known target", "measured", number(without) if evaluations else ""),
        Fact("Columns whose values differ from training", "derived", drift),
    ]
    return [facts([one for one in fields if one.text or one.name != "Also measured on"])]


def _training_data(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    data = evidence.get("data") or {}
    origin: Mapping[str, Any] = data.get("origin") or {}
    declared = spec.get("data") or {}
    dropped = sum((data.get("dropped") or {}).values())
    rows = data.get("rows") or {}
    blocks = [
        facts(
            [
                Fact("Source", "declared", source_words(data.get("source") or declared.get("source"))),
                Fact("Origin", "declared", str(declared.get("origin") or origin.get("title") or "")),
                Fact("Reference", "declared", str(origin.get("reference") or "")),
                Fact("Licence of the data", "declared", str(declared.get("licence") or data.get("licence") or "")),
                Fact("Fingerprint", "measured", str(data.get("fingerprint") or "")),
                Fact("Rows", "measured", ", ".join(f"{split} {number(many)}" for split, many in rows.items())),
                Fact("Rows left out", "measured", number(dropped) if "dropped" in data else ""),
            ]
        )
    ]
    for reason, many in sorted((data.get("dropped") or {}).items(), key=lambda item: -item[1])[:_MOST]:
        blocks[-1] += f"\n  - {prose(reason)}: {number(many)}"
    for target, splits in (data.get("labels") or {}).items():
        names = list(dict.fromkeys(name for counts in splits.values() for name in counts))
        lines = [[name, *(number(counts.get(name, 0)) for counts in splits.values())] for name in names[:_MOST]]
        blocks += [f"Rows by label of {prose(target)}{_of_all(names)}:"]
        blocks += [table([("Label", None), *((str(split), "measured") for split in splits)], lines)]
    findings = data.get("findings") or []
    if findings:
        lines = [
            [one.get("severity"), one.get("title"), number(one.get("rows")), one.get("policy")]
            for one in findings[:_MOST]
        ]
        heads: list[tuple[str, Kind | None]] = [("Severity", None), ("Finding", "measured"), ("Rows", "measured")]
        blocks += [f"What the data gate found{_of_all(findings)}:", table([*heads, ("Done", "declared")], lines)]
    else:
        found = "nothing" if "findings" in data else ""
        blocks += [facts([Fact("What the data gate found", "measured", found)])]
    return blocks


# -- what it means and costs ------------------------------------------------------------------------------------------


def _ethics(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    """Counts only: a card travels farther than the data it speaks of."""
    data = evidence.get("data") or {}
    found = [one for one in data.get("findings") or [] if one.get("check") == "personal_data"]
    personal = []
    for one in found:
        kinds: Mapping[str, Mapping[str, Any]] = (one.get("details") or {}).get("kinds") or {}
        pieces = ", ".join(f"{name}: {number(many.get('pieces'))}" for name, many in kinds.items())
        where = ", ".join(map(str, one.get("columns") or []))
        personal.append(f"{count(one.get('rows'), 'row')} of {where}" + (f" ({pieces})" if pieces else ""))
    texts = any(one.get("modality") == "text" for one in data.get("columns") or [])
    none = "none found" if texts else "no text column was looked at"
    told = "; ".join(personal) if personal else none if "findings" in data else ""
    groups = [str(column) for column in (spec.get("evaluate") or {}).get("groups") or []]
    return [
        facts(
            [
                Fact("Personal data in text columns, by its form", "measured", told),
                Fact("Groups compared", "declared", ", ".join(groups)),
                Fact("Risks and harms", "declared", ""),
                Fact("Consent of the people in the data", "declared", ""),
            ]
        )
    ]


def _cost(evidence: Evidence) -> list[str]:
    cost, training = evidence.get("cost") or {}, evidence.get("training") or {}
    environment = evidence.get("environment") or {}
    seconds = cost.get("seconds") or {}
    spent = ", ".join(f"{stage} {duration(taken)}" for stage, taken in seconds.items())
    energy = finite(cost.get("energy_joules"))
    how = str(cost.get("energy_how") or "")
    estimated = "estimate" in how
    machine = ", ".join(
        [str(environment["processor"]), count(environment.get("cores"), "core")]
        + [str(one) for one in environment.get("accelerators") or []]
    ) if environment.get("processor") else ""  # fmt: skip
    return [
        facts(
            [
                Fact("Time", "measured", spent or _time(training)),
                Fact("Machine", "measured", machine),
                Fact(
                    "Energy",
                    "derived" if estimated else "measured",
                    "" if energy is None else f"{_energy(energy)}; {how}",
                ),
                Fact("Floating-point operations, training", "derived", _number(cost.get("flops_training"))),
                Fact("Floating-point operations, one answer", "measured", _number(cost.get("flops_per_row_forward"))),
                Fact("Most memory held at once", "measured", _bytes(cost.get("peak_memory_bytes"))),
                Fact("Carbon dioxide", "declared", ""),
            ]
        )
    ]


def _reproduce(spec: Mapping[str, Any], evidence: Evidence) -> list[str]:
    environment, data = evidence.get("environment") or {}, evidence.get("data") or {}
    fields = [
        Fact("Seed", "declared", _number(spec.get("seed"))),
        Fact("Fingerprint of the data", "measured", str(data.get("fingerprint") or "")),
        Fact("Versions", "measured", _versions(environment)),
        Fact("System", "measured", str(environment.get("system") or "")),
    ]
    commands = (
        "modelyard bundle verify .          # no file of this bundle was altered",
        "modelyard train spec.yaml          # train it again",
        "modelyard evaluate . --data ROWS   # measure it on other rows whose answers are known",
        "modelyard predict . --input ROWS   # get answers",
    )
    told = "In this folder, with the same data and versions of modelyard and PyTorch:"
    return [facts(fields), told, "```sh\n" + "\n".join(commands) + "\n```"]


# -- small things -----------------------------------------------------------------------------------------------------


def _settled(setting: str, chosen: Mapping[str, Any]) -> Kind:
    """A setting is declared where the spec says it, and derived where it was left open."""
    part, _, _ = setting.partition(".")
    return "derived" if setting in chosen or part in chosen else "declared"


def _chosen(choice: Any, key: str) -> str:
    """The name in a choice, which is written as a name or as a mapping."""
    return str((choice.get(key) if isinstance(choice, Mapping) else choice) or "")


def _versions(environment: Mapping[str, Any]) -> str:
    named = (("modelyard", "modelyard"), ("Python", "python"), ("PyTorch", "torch"))
    return ", ".join(f"{name} {environment[key]}" for name, key in named if environment.get(key))


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {number(len(names) - most)} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _of_all(items: Sequence[Any]) -> str:
    return f" (the first {_MOST} of {number(len(items))})" if len(items) > _MOST else ""


def _number(value: Any) -> str:
    return "" if finite(value) is None else number(value)


def _bytes(value: Any) -> str:
    return "" if finite(value) is None else bytes_(value)


def _time(training: Mapping[str, Any]) -> str:
    told = duration(training.get("seconds"))
    return "" if told == MISSING else f"training {told}"


def _energy(joules: float) -> str:
    return f"{number(joules, 3)} J" if joules < 36_000 else f"{number(joules / 3.6e6, 3)} kWh"
