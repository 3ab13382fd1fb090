"""Write docs/spec.md, the reference of every setting, from the code that declares it.

python scripts/spec_reference.py            write it
python scripts/spec_reference.py --check    exit with 1 when it is out of date
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from modelyard.core.registry import table
from modelyard.spec.parse import choice_container, choice_mark, settings_class
from modelyard.spec.settings import Choice, Settings, SizedSettings
from modelyard.spec.spec import (
    CheckpointSpec,
    DataSpec,
    DivergenceSpec,
    EarlyStopping,
    EvaluateSpec,
    MemorySpec,
    PretrainedSpec,
    Spec,
    SplitSpec,
    ThresholdSpec,
    TrainSpec,
)

TARGET = Path(__file__).parents[1] / "docs" / "spec.md"

HEAD = """\
# Every setting of a spec

Written by `python scripts/spec_reference.py` from the classes that declare the settings; do not edit it by hand.

A spec is a YAML mapping, or `Spec.parse({...})` in Python. What is left out is derived from the data and the machine,
shown once, and stored in the bundle's `spec.yaml` with nothing left to default. Any setting can be overridden on the
command line by its dotted place: `modelyard train reviews.yaml train.epochs=3 data.inputs.review.lowercase=false`.
Something out of a table (a family, a modality, …) is written as its name, or as a mapping of its name and settings:
`optimizer: adamw`, or `optimizer: {type: sgd, momentum: 0.9}`; a model's name stands under `family`.
"""

SECTIONS: list[tuple[str, str, type[Settings]]] = [
    ("The spec", "", Spec),
    ("`data`", "data", DataSpec),
    ("`data.split`", "data.split", SplitSpec),
    ("`train`", "train", TrainSpec),
    ("`train.early_stopping`", "train.early_stopping", EarlyStopping),
    ("`train.checkpoint`", "train.checkpoint", CheckpointSpec),
    ("`train.divergence`", "train.divergence", DivergenceSpec),
    ("`train.memory`", "train.memory", MemorySpec),
    ("`train.pretrained`", "train.pretrained", PretrainedSpec),
    ("`evaluate`", "evaluate", EvaluateSpec),
    ("`evaluate.threshold`", "evaluate.threshold", ThresholdSpec),
]

TABLES = [
    ("modality", "Modalities", "What a column holds: under `data.inputs` and `data.targets`."),
    ("family", "Families", "The architecture: under `model`, named by `family`."),
    ("task", "Tasks", "What is learned: under `task`."),
    ("optimizer", "Optimizers", "Under `train.optimizer`."),
    ("schedule", "Schedules", "Under `train.schedule`."),
    ("semi_supervised", "Learning from rows without a target", "Under `train.semi_supervised`."),
    ("sampler", "Samplers", "Which training rows come in an epoch: under `train.sampler`."),
    ("source", "Sources", "Formats of data: `data.format` names one, `data.options` holds its settings."),
    ("observer", "Observers", "Under `train.observers`."),
]


CHECKS = """\
## Checks

What the data gate looks for, and what can be done about it: `data.checks: {NAME: error | drop | keep}`. `error` refuses
to train, `drop` leaves the rows out and lists them in `quarantine.jsonl`, `keep` accepts it. Left unsaid, a finding has
the severity that it deserves by itself: some refuse, most warn or note. More about them: [data.md](data.md).

| check | what it looks for | policies |
|---|---|---|"""


def reference() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, _, settings in SECTIONS:
        parts.append(f"## {title}\n\n{_summary(settings)}\n\n{_fields(settings)}")
    for kind, title, about in TABLES:
        parts.append(f"## {title}\n\n{about}\n")
        for name in table(kind):
            entry = table(kind).find(name)
            parts.append(f"### `{name}`\n\n{_summary(entry)}\n\n{_fields(entry.Settings)}{_sizes(entry.Settings)}")
    parts.append(CHECKS)
    checks = table("check")
    for name in checks:
        entry = checks.find(name)
        policies = ", ".join(f"`{policy}`" for policy in entry.policies)
        parts.append(f"| `{name}` | {_text(_summary(entry))} | {policies} |")
    return "\n".join(parts).rstrip() + "\n"


def _summary(thing: Any) -> str:
    text = (thing.__doc__ or "").strip()
    return " ".join(text.split("\n\n")[0].split())


def _fields(settings: type[Settings], prefix: str = "") -> str:
    rows = []
    nested: list[str] = []
    for name, field in settings.model_fields.items():
        inner = settings_class(field)
        rows.append(f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_text(field.description or '')} |")
        if inner is not None and inner not in [section for _, _, section in SECTIONS]:
            nested.append(_rows(inner, f"{prefix}{name}."))
    if not rows:
        return "No settings.\n"
    return "| setting | values | default | meaning |\n|---|---|---|---|\n" + "\n".join([*rows, *nested]) + "\n"


def _rows(settings: type[Settings], prefix: str) -> str:
    table_text = _fields(settings, prefix)
    return "\n".join(table_text.strip().split("\n")[2:])


def _sizes(settings: type[Settings]) -> str:
    if not issubclass(settings, SizedSettings) or not settings.SIZES:
        return ""
    lines = [
        f"- `{size}`: " + ", ".join(f"{key} {_value(value)}" for key, value in dimensions.items())
        for size, dimensions in settings.SIZES.items()
    ]
    return "\nSizes:\n\n" + "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _type(field: FieldInfo) -> str:
    mark = choice_mark(field)
    if mark is not None:
        shape = choice_container(field.annotation)
        one = f"{'an' if mark.kind[0] in 'aeiou' else 'a'} {mark.kind}"
        return {dict: f"name → {one}", list: f"list of {mark.kind}s"}.get(shape, one)  # type: ignore[arg-type]
    return _text(_name(field.annotation))


def _name(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(_name(part) for part in get_args(annotation) if part is not types.NoneType)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if hasattr(annotation, "__metadata__"):
        return _name(get_args(annotation)[0])
    if origin in (list, tuple):
        inner = [_name(part) for part in get_args(annotation) if part is not Ellipsis]
        return f"list of {inner[0]}" if origin is list or len(set(inner)) == 1 else f"({', '.join(inner)})"
    if origin is dict:
        key, value = get_args(annotation)
        return f"{_name(key)} → {_name(value)}"
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return "group of settings"
    words = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true, false",
        Any: "anything",
        Choice: "a choice",
    }
    return words.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory_takes_validated_data:
        return "follows from the others"
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined or default is None:
        return "–"
    if isinstance(default, Settings):
        return "see below"
    return _value(default)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(_value(item).strip("`") for item in value) + "]`"
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"`{value}`"


def main() -> int:
    text = reference()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text("utf-8") != text:
            print(f"{TARGET.name} is out of date; run: python scripts/spec_reference.py", file=sys.stderr)
            return 1
        return 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, "utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
