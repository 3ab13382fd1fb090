"""The recipes that ship with modelyard: specs with a stated command, cost and expected result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from modelyard.core.errors import DataError, UsageError, nearest
from modelyard.core.records import Record
from modelyard.spec.spec import Spec

__all__ = ["Recipe", "open_spec", "recipe_text", "recipes"]


@dataclass(frozen=True)
class Recipe(Record):
    """A shipped spec."""

    name: str
    about: str
    source: str
    family: str
    expected: str
    """The head's line of what to expect, measured."""


def recipes() -> list[Recipe]:
    """Return the shipped recipes, by name."""
    found = []
    for file in sorted(_folder().iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            text = file.read_text("utf-8")
            values: dict[str, Any] = yaml.safe_load(text)
            model = values.get("model", {})
            found.append(
                Recipe(
                    name=file.name.removesuffix(".yaml"),
                    about=values.get("about", ""),
                    source=str(values["data"]["source"]),
                    family=model if isinstance(model, str) else model.get("family", ""),
                    expected=_head_line(text, "expect"),
                )
            )
    return found


def recipe_text(name: str) -> str:
    """Return a recipe's YAML with its comments.

    Raises:
        UsageError: There is none of that name.
    """
    file = _folder() / f"{name}.yaml"
    if not name or "/" in name or "\\" in name or not file.is_file():
        known = [recipe.name for recipe in recipes()]
        raise UsageError(f"no recipe {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
    return str(file.read_text("utf-8"))


def open_spec(name: str | Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a spec from a YAML file, or the recipe of that name when there is no such file.

    Raises:
        DataError: There is neither.
        SpecError: Lists every problem at once, with its line.
    """
    path = Path(name)
    known = [recipe.name for recipe in recipes()]
    if not path.exists() and str(name) in known:
        return Spec.from_yaml(recipe_text(str(name)), overrides, f"recipe {name}")
    if not path.exists() and not path.suffix:
        raise DataError(
            f"no spec and no recipe {str(name)!r}{nearest(str(name), known)}; recipes: {', '.join(known)}. "
            "Write a spec for your own data with: modelyard new DATA --target COLUMN"
        )
    return Spec.load(path, overrides)


def _folder() -> Any:
    """`recipes/` at the root of a checkout; inside the package when installed."""
    checkout = Path(__file__).parents[2] / "recipes"
    return checkout if checkout.is_dir() else resources.files("modelyard") / "recipes"


def _head_line(text: str, label: str) -> str:
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        key, colon, rest = line.removeprefix("#").strip().partition(":")
        if colon and key.strip().lower() == label:
            return rest.strip()
    return ""
