"""Where in a YAML file each part of a spec stands, so that every problem can name its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import yaml

from modelyard.core.errors import Problem, SpecError

__all__ = ["Places"]


@dataclass(frozen=True)
class Places:
    """A parsed YAML mapping with the line (from 1) of every dotted place in it."""

    values: dict[str, Any]
    lines: dict[str, int]
    source: str | None

    @classmethod
    def of(cls, text: str, source: str | None) -> Places:
        """Parse YAML safely.

        Raises:
            SpecError: The text is not YAML, is not a mapping, or says the same key twice.
        """
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            values = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = None if mark is None else mark.line + 1
            what = getattr(error, "problem", None) or str(error)
            raise SpecError([Problem("", f"not valid YAML: {what}", line)], source) from error
        except (ValueError, RecursionError) as error:
            raise SpecError([Problem("", f"not valid YAML: {error}")], source) from error
        if not isinstance(values, dict) or not isinstance(node, yaml.MappingNode):
            received = "nothing" if values is None else f"a {type(values).__name__}"
            raise SpecError([Problem("", f"a spec is a mapping of settings, got {received}")], source)
        lines: dict[str, int] = {}
        twice = []
        for place, line in _walk(node, ""):
            if place in lines:
                twice.append(Problem(place, f"said twice, first in line {lines[place]}; keep one", line))
            lines[place] = line
        if twice:
            raise SpecError(twice, source)
        return cls(values, lines, source)

    def locate(self, problem: Problem) -> Problem:
        """Return the problem with its line, or the line of the nearest enclosing part."""
        place = problem.place
        while place:
            if place in self.lines:
                return replace(problem, line=self.lines[place])
            place = place.rpartition(".")[0]
        return replace(problem, line=1)


def _walk(node: yaml.Node, place: str) -> Iterator[tuple[str, int]]:
    children: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(str(index), value, value) for index, value in enumerate(node.value)]
    for name, start, value in children:
        inner = f"{place}.{name}" if place else name
        yield inner, start.start_mark.line + 1
        yield from _walk(value, inner)
