"""Hide some cells of each row and find out which ones, and what they were: features of tables without labels.

A hidden cell takes the value of another row, as in VIME (Yoon, Zhang, Jordon and van der Schaar 2020), so that any
family of tables can learn it without a sign for "hidden". Numbers by squared error, categories by cross-entropy, both
on hidden cells alone; which cells were changed by binary cross-entropy on all.

Legend: B batch, W numbers, K categorical columns, N = W + K cells, S ids of all columns, F features, n rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from modelyard.core.errors import Problem, SpecError
from modelyard.core.randomness import uniforms
from modelyard.data.batch import Batch
from modelyard.data.kinds import Categories, Numbers
from modelyard.models.base import Family
from modelyard.models.blocks.dense import DenseLayers, output_layer
from modelyard.spec.settings import Settings
from modelyard.tasks.cells import cell_columns
from modelyard.tasks.decoders import TableDecoder, category_losses, indicators, trivial_category_losses
from modelyard.tasks.from_inputs import FromInputs, Running, draw_of, feature_size

__all__ = ["MaskedValues", "MaskedValuesSettings"]


class MaskedValuesSettings(Settings):
    """How much is hidden."""

    share: float = Field(default=0.3, gt=0, lt=1)
    """Share of each row's cells that are hidden, at least one."""
    hidden_size: int = Field(default=128, ge=1)
    """Units of the hidden layer between the features and what is predicted from them."""


class MaskedValues(FromInputs):
    """Learn the hidden cells of tables. Which cells are hidden follows from (seed, epoch, row)."""

    Settings = MaskedValuesSettings
    name = "masked_values"
    settings: MaskedValuesSettings
    _cells = 0

    @property
    def parts(self) -> tuple[str, ...]:
        """`values`, the hidden cells; `mask`, which ones they are."""
        return ("values", "mask")

    @property
    def answer_size(self) -> int:
        """F features and N doubts."""
        return self.features + self._cells

    def equip(self, model: Family) -> None:
        """Put the two predictors in place of the last layer; see `Task`."""
        unfit = [one for one in model.inputs if not isinstance(one, Numbers | Categories)]
        if unfit:
            message = "masked_values hides numbers and categories, and this one is of kind {}; leave it out"
            raise SpecError([Problem(f"data.inputs.{one.name}", message.format(one.kind)) for one in unfit])
        numbers = sum(one.width for one in model.inputs if isinstance(one, Numbers))
        sizes = next((one.sizes for one in model.inputs if isinstance(one, Categories)), ())
        self._cells = numbers + len(sizes)
        if self._cells < 2:
            message = "masked_values predicts a cell from the others, and there is only one; name more columns"
            raise SpecError([Problem("data.inputs", message)])
        self.features = feature_size(self.name, model)
        model.output = _Head(self.features, self.settings.hidden_size, numbers, sizes)

    def pose(self, batch: Batch) -> Batch:
        """Give hidden cells the values of other rows of the batch, and ask for their own."""
        assert self._cells, "the task has equipped a model"
        draw, (B, N) = draw_of(batch), (len(batch), self._cells)
        drawn = uniforms(draw.seed, "masked_values", draw.epoch, draw.ids, 2 * N)
        count = min(N - 1, max(1, round(self.settings.share * N)))
        order = np.argsort(drawn[:, :N], axis=1, kind="stable")
        hidden = np.zeros((B, N), bool)
        np.put_along_axis(hidden, order[:, :count], True, axis=1)
        # another row of the batch, never the row itself
        step = 1 + (drawn[:, N:] * max(B - 1, 1)).astype(np.int64)
        rows = np.where(hidden, (np.arange(B)[:, None] + step) % B, np.arange(B)[:, None])
        device = next(iter(batch.inputs.values())).device
        from_BN, hidden_BN = torch.from_numpy(rows).to(device), torch.from_numpy(hidden).to(device)
        inputs, targets = dict(batch.inputs), {"hidden": hidden_BN}
        changed, at = [], 0
        for name in ("numbers", "categories"):
            own = batch.inputs.get(name)
            if own is None:
                continue
            width = own.shape[1]
            inputs[name] = own.gather(0, from_BN[:, at : at + width])
            targets[name] = own
            changed.append(inputs[name] != own)
            at += width
        return replace(batch, inputs=inputs, targets={**targets, "changed": torch.cat(changed, 1)})

    def errors(self, model: Family, batch: Batch) -> tuple[Tensor, Tensor]:
        head = cast(_Head, model.output)
        return head.errors(model.features(batch.inputs), batch.targets)

    def answer(self, model: Family, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the features and, of each cell, the probability that it is not the row's own, float32 (B, F + N)."""
        head = cast(_Head, model.output)
        features = model.features(inputs)
        return torch.cat([features.float(), head.mask(head.hidden(features)).float().sigmoid()], 1)

    def decode(self, output: npt.NDArray[np.float32]) -> dict[str, list[Any]]:
        """Return `embedding`, the features; `doubt`, column → the probability that its value is not the row's own (the
        largest over its cells), the most doubtful first."""
        columns = cell_columns(self.inputs)
        doubts: list[dict[str, float]] = []
        for row in output[:, self.features :].tolist():
            largest: dict[str, float] = {}
            for column, doubt in zip(columns, row, strict=True):
                largest[column] = max(doubt, largest.get(column, 0.0))
            doubts.append(dict(sorted(largest.items(), key=lambda one: -one[1])))
        return {"embedding": output[:, : self.features].tolist(), "doubt": doubts}


class _Head(nn.Module):
    """Features → hidden layer → the cells' values, and whether each is the row's own."""

    def __init__(self, features: int, hidden_size: int, numbers: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.hidden = DenseLayers(features, (hidden_size,), "relu")
        self.table = TableDecoder(hidden_size, numbers, sizes)
        self.mask = output_layer(hidden_size, numbers + len(sizes))
        self.trivial_numbers = Running(numbers) if numbers else None
        self.trivial_categories = Running(sum(sizes)) if sizes else None
        self.trivial_mask = Running(1, 0.5)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return numbers, categories' logits and the mask's logits side by side, float (B, …)."""
        hidden = self.hidden(features_BF)
        return torch.cat([*self.table(hidden).values(), self.mask(hidden)], 1)

    def errors(self, features_BF: Tensor, true: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the errors of hidden cells and of the mask, and those of the training mean, float32 (B, 2)."""
        hidden_BF = self.hidden(features_BF)
        found = self.table(hidden_BF)
        cells, trivial = [], []
        if self.trivial_numbers is not None:
            numbers = true["numbers"].float()
            cells.append((found["numbers"] - numbers).square())
            trivial.append((self.trivial_numbers(numbers) - numbers).square())
        if self.trivial_categories is not None:
            ids = true["categories"]
            frequency = self.trivial_categories(indicators(ids, self.sizes))
            cells.append(category_losses(found["categories"], ids, self.sizes))
            trivial.append(trivial_category_losses(frequency, ids, self.sizes))
        hidden_BN, changed_BN = true["hidden"].float(), true["changed"].float()
        count = hidden_BN.sum(1)
        mask = functional.binary_cross_entropy_with_logits(self.mask(hidden_BF).float(), changed_BN, reduction="none")
        rate = self.trivial_mask(changed_BN.mean(1, keepdim=True)).clamp(1e-4, 1 - 1e-4)
        trivial_mask = -(changed_BN * rate.log() + (1 - changed_BN) * (1 - rate).log())
        values = (torch.cat(cells, 1) * hidden_BN).sum(1) / count
        trivial_values = (torch.cat(trivial, 1) * hidden_BN).sum(1) / count
        return torch.stack([values, mask.mean(1)], 1), torch.stack([trivial_values, trivial_mask.mean(1)], 1)
