"""Every error modelyard raises on purpose, in one tree, each with its exit code.

    ModelyardError                 1  something failed
    ├── SpecError                  2  the spec is wrong; lists all its problems at once
    ├── DataError                  2  the data is wrong, missing or unreadable
    │   └── NoTargets              2  no row of a batch has a target
    ├── BundleError                2  a bundle is incomplete, altered or of an unknown format
    ├── CheckpointError            2  a checkpoint is altered, or of another training
    ├── UsageError                 2  a name, argument or option that does not exist
    ├── GateError                  3  a gate refused; says which setting accepts it
    ├── MissingExtraError          1  an optional dependency is absent; says how to install it
    ├── StorageError               1  the disk is full, read-only or gone
    ├── DivergedError              1  the loss or a gradient is not finite, or far above the usual
    ├── UnreachableError           1  a download's home cannot be reached, or sent something else
    └── Stopped                   75  stopped early on request; the run can be continued or repeated

A message says what was received, what was expected and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BundleError",
    "CheckpointError",
    "DataError",
    "DivergedError",
    "GateError",
    "MissingExtraError",
    "ModelyardError",
    "NoTargets",
    "Problem",
    "SpecError",
    "Stopped",
    "StorageError",
    "UnreachableError",
    "UsageError",
    "nearest",
]


class ModelyardError(Exception):
    """The root of the tree. `exit_code` is what the command line exits with."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where it stands and what to do about it."""

    place: str
    """Dotted path inside the spec, such as `train.epochs`."""
    message: str
    """What was received, what was expected, what to do."""
    line: int | None = None
    """Line in the spec's file, counted from 1; None when the spec did not come from a file."""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.place}: {self.message}" if self.place else f"{where}{self.message}"


class SpecError(ModelyardError):
    """A spec that cannot be used. `problems` holds every one of them, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], source: str | None = None) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line or 0)
        self.source = source
        count = len(self.problems)
        head = f"{source or 'the spec'} has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class DataError(ModelyardError):
    """Data that is missing, unreadable or not what the spec says it is."""

    exit_code = 2


class NoTargets(DataError):
    """A batch in which no row has a target: there is no loss to speak of."""


class BundleError(ModelyardError):
    """A bundle that is incomplete, altered, or written in a format this release does not know."""

    exit_code = 2


class CheckpointError(ModelyardError):
    """A checkpoint that is incomplete, altered, or does not fit the training that is to go on from it."""

    exit_code = 2


class UsageError(ModelyardError):
    """A name, argument or option that does not exist or does not fit."""

    exit_code = 2


class GateError(ModelyardError):
    """A gate refused to let a stage go on. The message names the setting that accepts the finding."""

    exit_code = 3


class MissingExtraError(ModelyardError, ImportError):
    """An optional dependency is not installed. The message holds the exact install command."""


class StorageError(ModelyardError):
    """A file could not be written: no space left, no permission, or the device went away."""


class DivergedError(ModelyardError):
    """Training left all bounds. The message names the step and the rows of its batch."""


class UnreachableError(ModelyardError):
    """A data set's home could not be reached, or what came is not what the catalogue expects."""


class Stopped(ModelyardError):
    """Work stopped early because it was asked to (Ctrl-C, a signal, a time limit)."""

    exit_code = 75


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest known name, or an empty string when none is close."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{match[0]}'?)" if match else ""
