"""Compress a row to a few numbers and make it again out of them: what cannot be made again is unusual.

Rumelhart, Hinton and Williams 1986; Hinton and Salakhutdinov 2006. Numbers and pixels by squared error on the scale the
network sees, categories by cross-entropy.

Legend: B batch, T parts, F features, E code, W numbers, K categorical columns, S ids of all columns, n rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from modelyard.core.errors import Problem, SpecError
from modelyard.data.batch import Batch
from modelyard.data.kinds import Categories, Image, Input, Numbers
from modelyard.models.base import Family
from modelyard.models.blocks.dense import output_layer
from modelyard.models.blocks.initialise import he
from modelyard.spec.settings import Settings
from modelyard.tasks.cells import decoded_cells
from modelyard.tasks.decoders import (
    PictureDecoder,
    TableDecoder,
    category_losses,
    indicators,
    likeliest,
    trivial_category_losses,
)
from modelyard.tasks.from_inputs import FromInputs, Running, feature_size

__all__ = ["Autoencoding", "AutoencodingSettings"]


class AutoencodingSettings(Settings):
    """How narrow the middle is."""

    code_size: int = Field(default=32, ge=1)
    """Numbers that a row is compressed to; the fewer, the more only the usual can be made again."""
    hidden_size: int = Field(default=128, ge=1)
    """Units of the decoder's hidden layer."""


class Autoencoding(FromInputs):
    """Learn to reconstruct numbers, categories and pictures. Each kind (and each picture) is a part of its own."""

    Settings = AutoencodingSettings
    name = "autoencoding"
    settings: AutoencodingSettings
    _described: tuple[Input, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """`numbers`, `categories`, and the names of the pictures."""
        return tuple(one.name for one in self._described)

    @property
    def answer_size(self) -> int:
        """The error, the code, and of tables the reconstructed cells."""
        cells = sum(one.width for one in self._described if isinstance(one, Numbers))
        cells += sum(len(one.sizes) for one in self._described if isinstance(one, Categories))
        return 1 + self.settings.code_size + cells

    def equip(self, model: Family) -> None:
        """Put the code and the decoder in place of the last layer; see `Task`."""
        unfit = [one for one in model.inputs if not isinstance(one, Numbers | Categories | Image)]
        if unfit:
            message = (
                "autoencoding makes numbers, categories and pictures again, and this one is of kind {}; leave it out"
            )
            raise SpecError([Problem(f"data.inputs.{one.name}", message.format(one.kind)) for one in unfit])
        self._described = model.inputs
        self.features = feature_size(self.name, model)
        model.output = _Decoder(self.features, self.settings, model.inputs)

    def pose(self, batch: Batch) -> Batch:
        """Ask for the inputs themselves."""
        return replace(batch, targets=dict(batch.inputs))

    def errors(self, model: Family, batch: Batch) -> tuple[Tensor, Tensor]:
        head = cast(_Decoder, model.output)
        return head.errors(head.reconstruct(head.code(model.features(batch.inputs))), batch.targets)

    def answer(self, model: Family, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return each row's error, its code, its numbers and its categories' ids, float32 (B, A)."""
        head = cast(_Decoder, model.output)
        code = head.code(model.features(inputs))
        found = head.reconstruct(code)
        errors, _ = head.errors(found, inputs)
        columns = [errors.mean(1, keepdim=True), code.float()]
        columns += [found[one.name] for one in self._described if isinstance(one, Numbers)]
        columns += [
            likeliest(found[one.name], one.sizes).float() for one in self._described if isinstance(one, Categories)
        ]
        return torch.cat(columns, 1)

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return `anomaly`, the mean error over the parts; `embedding`, the code; of tables also `reconstruction`, the
        columns in the user's words and units."""
        until = 1 + self.settings.code_size
        answers: dict[str, list[Any]] = {"anomaly": output[:, 0].tolist(), "embedding": output[:, 1:until].tolist()}
        if output.shape[1] > until:
            answers["reconstruction"] = decoded_cells(self.inputs, self._described, output[:, until:])
        return answers


class _Decoder(nn.Module):
    """Features → code → hidden layer → every input again."""

    def __init__(self, features: int, settings: AutoencodingSettings, inputs: Sequence[Input]) -> None:
        super().__init__()
        self.inputs = tuple(inputs)
        self.code = output_layer(features, settings.code_size)
        self.hidden = nn.Linear(settings.code_size, settings.hidden_size)
        he(self.hidden, "relu")
        self.sizes = next((one.sizes for one in inputs if isinstance(one, Categories)), ())
        numbers = sum(one.width for one in inputs if isinstance(one, Numbers))
        self.table = TableDecoder(settings.hidden_size, numbers, self.sizes)
        self.pictures = nn.ModuleList(
            PictureDecoder(settings.hidden_size, one) for one in inputs if isinstance(one, Image)
        )
        self.trivial = nn.ModuleList(_trivial(one) for one in inputs)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return all reconstructions side by side, float (B, …): numbers, categories' logits, pictures."""
        return torch.cat([found.flatten(1) for found in self.reconstruct(self.code(features_BF)).values()], 1)

    def reconstruct(self, code_BE: Tensor) -> dict[str, Tensor]:
        """Return the inputs as the code remembers them: numbers (B, W), logits (B, S), pictures (B, C, H, W)."""
        hidden = functional.relu(self.hidden(code_BE))
        found: dict[str, Tensor] = self.table(hidden)
        pictures = [one.name for one in self.inputs if isinstance(one, Image)]
        return found | {name: decoder(hidden).float() for name, decoder in zip(pictures, self.pictures, strict=True)}

    def errors(self, found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the error of each part and that of the training mean, float32 (B, T)."""
        errors, trivial = [], []
        for one, running in zip(self.inputs, self.trivial, strict=True):
            value = true[one.tensors[0]]
            if isinstance(one, Categories):
                frequency = running(indicators(value, one.sizes))
                errors.append(category_losses(found[one.name], value, one.sizes).mean(1))
                trivial.append(trivial_category_losses(frequency, value, one.sizes).mean(1))
            else:
                flat = value.float().flatten(1)
                errors.append((found[one.name].flatten(1) - flat).square().mean(1))
                trivial.append((running(flat) - flat).square().mean(1))
        return torch.stack(errors, 1), torch.stack(trivial, 1)


def _trivial(one: Input) -> Running:
    if isinstance(one, Categories):
        return Running(sum(one.sizes))
    if isinstance(one, Numbers):
        return Running(one.width)
    assert isinstance(one, Image)
    return Running(one.channels * one.height * one.width)
