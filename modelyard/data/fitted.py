"""The fitted columns of a job: raw rows → read values → stored arrays → tensors. Training and prediction share this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from torch import Tensor

from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import read_json, to_json
from modelyard.core.registry import table
from modelyard.data.kinds import Categories, Input, Numbers
from modelyard.data.modalities.base import Column, Draw, Modality, State
from modelyard.spec.settings import Choice

__all__ = ["Fitted", "make_modality"]


def make_modality(choice: Choice[Any], column: str, role: str) -> Modality:
    """Return an unfitted modality for a column. `role` is `"input"` or `"target"`."""
    modality = table("modality").find(choice.name)(column, choice.settings, role)
    assert isinstance(modality, Modality)
    return modality


class Fitted:
    """The modalities of all inputs and targets, each in the order of the spec."""

    def __init__(self, inputs: Sequence[Modality], targets: Sequence[Modality]) -> None:
        self.inputs = tuple(inputs)
        self.targets = tuple(targets)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Inputs, then targets."""
        return (*self.inputs, *self.targets)

    def describe(self) -> list[Input]:
        """Return the inputs as a model sees them: `numbers` and `categories` together, then the others."""
        described = [modality.describe() for modality in self.inputs]
        numbers = [item for item in described if isinstance(item, Numbers)]
        categories = [item for item in described if isinstance(item, Categories)]
        merged: list[Input] = []
        if numbers:
            columns = tuple(column for item in numbers for column in item.columns)
            merged.append(Numbers("numbers", columns, sum(item.width for item in numbers)))
        if categories:
            columns = tuple(column for item in categories for column in item.columns)
            merged.append(Categories("categories", columns, tuple(s for item in categories for s in item.sizes)))
        return merged + [item for item in described if not isinstance(item, Numbers | Categories)]

    # -- rows to arrays -------------------------------------------------------------------------------------------

    def encode_inputs(self, values: Mapping[str, pa.Array]) -> dict[str, Column]:
        """Turn read values of all input columns into stored columns, by name."""
        return encode(self.inputs, values)

    def encode_targets(self, values: Mapping[str, pa.Array]) -> dict[str, npt.NDArray[Any]]:
        """Turn read values of all target columns into arrays, by column."""
        return {target.column: target.encode_target(values[target.column]) for target in self.targets}

    def collate(self, columns: Mapping[str, Column], draw: Draw | None) -> dict[str, Tensor]:
        """Turn gathered stored columns into the tensors a model takes."""
        tensors: dict[str, Tensor] = {}
        for modality in self.inputs:
            if modality.group is not None:
                if modality.group not in tensors:
                    tensors.update(modality.collate({"": columns[modality.group]}, draw))
                continue
            prefix = f"{modality.column}."
            parts = {name.removeprefix(prefix): columns[name] for name in self._parts(modality, columns)}
            tensors.update(modality.collate(parts, draw))
        return tensors

    @staticmethod
    def _parts(modality: Modality, columns: Mapping[str, Column]) -> list[str]:
        prefix = f"{modality.column}."
        return [name for name in columns if name.startswith(prefix) and "." not in name[len(prefix) :]]

    # -- in and out of a folder -----------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """Return the fitted state as files: `inputs/000/state.json`, `outputs/000/state.json`, and tokenizers."""
        files: dict[str, bytes] = {}
        for folder, modalities in (("inputs", self.inputs), ("outputs", self.targets)):
            for index, modality in enumerate(modalities):
                state = modality.state()
                about = {"column": modality.column, "modality": modality.name, "state": state.json}
                files[f"{folder}/{index:03d}/state.json"] = (to_json(about, indent=1) + "\n").encode()
                for name, content in state.files.items():
                    files[f"{folder}/{index:03d}/{name}"] = content
        return files

    @classmethod
    def load(
        cls, root: Path, inputs: Mapping[str, Choice[Any] | None], targets: Mapping[str, Choice[Any] | None]
    ) -> Fitted:
        """Build the modalities a resolved spec names and restore their state from the folder `files` was written to.

        Raises:
            BundleError: The states are incomplete or do not belong to this spec.
        """
        return cls(_restore(root / "inputs", inputs, "input"), _restore(root / "outputs", targets, "target"))


def encode(modalities: Sequence[Modality], values: Mapping[str, pa.Array]) -> dict[str, Column]:
    """Encode columns; those of one group are put side by side in one matrix."""
    columns: dict[str, Column] = {}
    grouped: dict[str, list[npt.NDArray[Any]]] = {}
    for modality in modalities:
        for part, column in modality.encode(values[modality.column]).items():
            if modality.group is None:
                columns[f"{modality.column}.{part}"] = column
            else:
                assert isinstance(column, np.ndarray)
                grouped.setdefault(modality.group, []).append(column)
    for group, matrices in grouped.items():
        columns[group] = matrices[0] if len(matrices) == 1 else np.concatenate(matrices, axis=1)
    return columns


def _restore(root: Path, choices: Mapping[str, Choice[Any] | None], role: str) -> list[Modality]:
    modalities = []
    for index, (column, choice) in enumerate(choices.items()):
        folder = root / f"{index:03d}"
        if choice is None:
            raise BundleError(f"the spec does not say the modality of {column!r}; it is not a resolved spec")
        try:
            about = read_json(folder / "state.json")
        except DataError as error:
            raise BundleError(f"the fitted state of {role} {column!r} cannot be read: {error}") from error
        if not isinstance(about, dict) or about.get("column") != column or about.get("modality") != choice.name:
            raise BundleError(f"{folder.name} of {role}s does not hold the state of {column!r} ({choice.name})")
        others = sorted(path for path in folder.iterdir() if path.name != "state.json")
        files = {path.name: path.read_bytes() for path in others}
        modality = make_modality(choice, column, role)
        modality.restore(State(about["state"], files))
        modalities.append(modality)
    return modalities
