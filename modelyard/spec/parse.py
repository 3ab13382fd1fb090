"""From plain nested values to typed settings, gathering every problem on the way instead of stopping at the first."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from modelyard.core.errors import Problem, SpecError, UsageError, nearest
from modelyard.core.registry import table
from modelyard.spec.settings import Choice, Of, Settings

__all__ = ["choice_container", "choice_mark", "first_reason", "parse", "parse_choice", "settings_class"]

S = TypeVar("S", bound=Settings)


def parse(kind: type[S], values: Any, place: str) -> tuple[S | None, list[Problem]]:
    """Validate `values` against a settings class, nested settings and choices out of tables included.

    Args:
        kind: The settings class.
        values: A mapping of plain values; typed `Settings` and `Choice` objects may already stand inside.
        place: Dotted place of `values` in the spec, for the problems.

    Returns:
        The settings and no problems, or None and all problems.
    """
    if isinstance(values, kind):
        return values, []
    if values is None:
        values = {}
    if not isinstance(values, Mapping):
        known = ", ".join(kind.model_fields)
        return None, [Problem(place, f"expected a group of settings ({known}), got {values!r}")]
    ready = {str(name): value for name, value in values.items()}
    problems: list[Problem] = []
    broken: set[str] = set()
    for name, field in kind.model_fields.items():
        if ready.get(name) is None:
            continue
        inner = _join(place, name)
        of = choice_mark(field)
        nested = settings_class(field)
        if of is not None:
            ready[name], found = _parse_choices(of, ready[name], inner, field)
        elif nested is not None:
            ready[name], found = parse(nested, ready[name], inner)
        else:
            continue
        if found:
            problems.extend(found)
            broken.add(name)
    try:
        settings = kind.model_validate(ready)
    except ValidationError as error:
        for detail in error.errors():
            if detail["loc"] and str(detail["loc"][0]) in broken:
                continue
            problems.append(_explain(kind, detail, place))
        return None, _distinct(problems)
    return (None, problems) if problems else (settings, [])


def parse_choice(kind: str, key: str, value: Any, place: str) -> tuple[Choice[Any] | None, list[Problem]]:
    """Turn `"adamw"` or `{"type": "adamw", "betas": […]}` into a `Choice` out of the table `kind`."""
    if isinstance(value, Choice):
        return value, []
    if isinstance(value, str):
        value = {key: value}
    if not isinstance(value, Mapping):
        return None, [Problem(place, f"expected the name of a {kind} or a mapping with '{key}', got {value!r}")]
    values = dict(value)
    name = values.pop(key, None)
    if name is None:
        known = ", ".join(sorted(table(kind)))
        return None, [Problem(place, f"says no '{key}'; expected one of: {known}")]
    try:
        found = table(kind).find(name)
    except UsageError as error:
        return None, [Problem(_join(place, key), str(error))]
    settings, problems = parse(found.Settings, values, place)
    return (None, problems) if settings is None else (Choice(kind, name, settings, key), [])


def first_reason(error: ValueError) -> str:
    """Return what a failed validation says first, without pydantic's frame around it."""
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(error)


def _parse_choices(of: Of, value: Any, place: str, field: FieldInfo) -> tuple[Any, list[Problem]]:
    shape = choice_container(field.annotation)
    problems: list[Problem] = []
    if shape is dict:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = dict.fromkeys(value)
        if not isinstance(value, Mapping):
            return None, [Problem(place, f"expected a mapping of names to {of.kind} choices, got {value!r}")]
        chosen: dict[str, Any] = {}
        for name, item in value.items():
            if item is None:  # named, but which of the table it is follows from the data
                chosen[str(name)] = None
                continue
            chosen[str(name)], found = parse_choice(of.kind, of.key, item, _join(place, str(name)))
            problems.extend(found)
        return chosen, problems
    if shape is list:
        items = value if isinstance(value, list) else [value]
        parsed = [parse_choice(of.kind, of.key, item, _join(place, str(index))) for index, item in enumerate(items)]
        return [choice for choice, _ in parsed], [problem for _, found in parsed for problem in found]
    return parse_choice(of.kind, of.key, value, place)


def choice_mark(field: FieldInfo) -> Of | None:
    """Return which table a field's choices come from; None for a field without choices."""
    return next((mark for mark in field.metadata if isinstance(mark, Of)), None)


def choice_container(annotation: Any) -> type | None:
    """Return `dict` or `list` when a field holds several choices, None when it holds one."""
    for part in _parts(annotation):
        origin = get_origin(part)
        if origin in (dict, list):
            return origin  # type: ignore[no-any-return]
    return None


def settings_class(field: FieldInfo) -> type[Settings] | None:
    """Return the settings class that a field holds, or None."""
    for part in _parts(field.annotation):
        if isinstance(part, type) and issubclass(part, Settings):
            return part
    return None


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _explain(kind: type[Settings], detail: Any, place: str) -> Problem:
    location = [str(part) for part in detail["loc"]]
    # A union's branches show up in the location ("find", "constrained-float"); the field is what the user knows.
    field = location[0] if location else ""
    where = _join(place, field) if field else place
    if len(detail["loc"]) > 1 and isinstance(detail["loc"][1], int):
        where = _join(where, location[1])
    if detail["type"] == "extra_forbidden":
        known = list(kind.model_fields)
        hint = nearest(location[-1], known)
        return Problem(where, f"unknown setting{hint}; known here: {', '.join(known)}")
    if detail["type"] == "missing":
        about = (kind.model_fields[field].description or "").split("\n")[0] if field in kind.model_fields else ""
        return Problem(where, f"is required{': ' + about if about else ''}")
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, SpecError):
            message = "; ".join(problem.message for problem in cause.problems)
        return Problem(where, message)
    return Problem(where, f"{message[0].lower()}{message[1:]}, got {detail['input']!r}")


def _distinct(problems: list[Problem]) -> list[Problem]:
    """Keep one problem a place and kind: a union reports one for each of its branches."""
    merged: dict[str, Problem] = {}
    for problem in problems:
        if problem.place in merged and problem.message not in merged[problem.place].message:
            message = f"{merged[problem.place].message}; or {problem.message}"
            merged[problem.place] = Problem(problem.place, message, problem.line)
        else:
            merged.setdefault(problem.place, problem)
    return list(merged.values())


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
