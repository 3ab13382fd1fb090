"""Dotted overrides: `train.epochs=3`, `model.family=cnn`, `data.inputs.review=text`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from modelyard.core.errors import Problem

__all__ = ["apply_overrides"]

_CHOICES = {"model": "family", "task": "type", "optimizer": "type", "schedule": "type"}
"""Settings that may be written as a bare name; setting something inside one turns it into a mapping first."""


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Return a copy of `values` with each `place=value` carried out, and the problems of those that could not be.

    Values are read as YAML. A mapping is merged into the mapping that stands there; `null` takes a value away.
    """
    result: dict[str, Any] = copy.copy(dict(values))
    problems = []
    for override in overrides:
        place, equals, text = override.partition("=")
        place = place.strip()
        if not equals or not place:
            problems.append(Problem(override, "an override is written place=value, such as train.epochs=3"))
            continue
        try:
            value = yaml.safe_load(text) if text.strip() else ""
        except yaml.YAMLError:
            value = text
        message = _assign(result, place.split("."), value)
        if message:
            problems.append(Problem(place, message))
    return result, problems


def _assign(values: dict[str, Any], path: list[str], value: Any) -> str | None:
    node: Any = values
    for depth, name in enumerate(path[:-1]):
        child = node.get(name)
        if isinstance(child, str) and (name in _CHOICES or path[depth - 1] in ("inputs", "targets")):
            child = {_CHOICES.get(name, "type"): child}
        elif child is None:
            child = {}
        elif not isinstance(child, dict):
            return f"cannot be set: {'.'.join(path[: depth + 1])} is {child!r}, not a group of settings"
        node[name] = dict(child)
        node = node[name]
    last = path[-1]
    if isinstance(value, dict) and isinstance(node.get(last), dict):
        node[last] = {**node[last], **value}
    else:
        node[last] = value
    return None
