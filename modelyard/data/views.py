"""Two views of the same rows, for learning from rows without a target: a weak one, and a strong one that is harder.

The weak view is what a row of training goes through: an image column's own `augment`, everything else as it is. The
strong view varies each kind of input (`data.kinds`) further. Every choice is drawn from (seed, step, the row's id).

Legend: B batch, C columns, T tokens, N all n-grams of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from modelyard.core.errors import Problem, SpecError
from modelyard.core.randomness import uniforms
from modelyard.data.fitted import Fitted
from modelyard.data.images.strong import strong_views
from modelyard.data.kinds import Categories, Input, Numbers, Tokens
from modelyard.data.modalities.base import Column, Draw

__all__ = ["check_kinds", "join_inputs", "strong_view", "weak_view"]

_SWAPPED = 0.3
"""Share of a table's cells that take the value of another row (as Yoon et al. 2020)."""
_DROPPED = 0.2
"""Share of a text's tokens or n-grams that are left out."""
_MOVED = 3
"""A token moves by fewer than so many places (as Lample et al. 2018)."""

Alter = Callable[[Input, Mapping[str, Tensor], Draw, Fitted], dict[str, Tensor]]


def check_kinds(inputs: Sequence[Input], what: str) -> None:
    """Check that each input has a strong view.

    Raises:
        SpecError: One is of a kind that has none.
    """
    problems = [
        Problem(
            f"data.inputs.{item.name}",
            f"{what} needs a strong view of every input, and there is none for the kind {item.kind!r}; kinds with one: "
            f"{', '.join(sorted([*_PARTS, *_TENSORS]))}. Leave the column out, or choose pseudo_label",
        )
        for item in inputs
        if item.kind not in _PARTS and item.kind not in _TENSORS
    ]
    if problems:
        raise SpecError(problems)


def weak_view(fitted: Fitted, columns: Mapping[str, Column], draw: Draw) -> dict[str, Tensor]:
    """Return the tensors of stored rows as training varies them."""
    return fitted.collate(columns, draw)


def strong_view(fitted: Fitted, columns: Mapping[str, Column], draw: Draw) -> dict[str, Tensor]:
    """Return the tensors of stored rows, strongly varied.

    Args:
        fitted: The modalities that encoded the rows; `check_kinds` accepts what they describe.
        columns: The rows' stored columns of all inputs.
        draw: Seed, step and the B ids that decide. Cells of tables are swapped within these rows.
    """
    described = fitted.describe()
    varied: dict[str, Column] = dict(columns)
    for item in described:
        if item.kind in _PARTS:
            _PARTS[item.kind](item, varied, draw)
    tensors = fitted.collate(varied, draw)
    for item in described:
        if item.kind in _TENSORS:
            tensors.update(_TENSORS[item.kind](item, tensors, draw, fitted))
    return tensors


def join_inputs(parts: Sequence[Mapping[str, Tensor]], described: Sequence[Input]) -> dict[str, Tensor]:
    """Return the inputs of several batches as those of one: texts padded to the longest, bags end to end."""
    if len(parts) == 1:
        return dict(parts[0])
    padding = {f"{item.name}.ids": item.padding_id for item in described if isinstance(item, Tokens)}
    joined = {}
    for key, first in parts[0].items():
        tensors = [part[key] for part in parts]
        if key in padding:
            longest = max(tensor.shape[1] for tensor in tensors)
            tensors = [functional.pad(one, (0, longest - one.shape[1]), value=padding[key]) for one in tensors]
        elif key.endswith(".offsets") and first.ndim == 1:
            ids = key.removesuffix("offsets") + "ids"
            starts = np.cumsum([0, *(len(part[ids]) for part in parts[:-1])]).tolist()
            tensors = [tensor + start for tensor, start in zip(tensors, starts, strict=True)]
        joined[key] = torch.cat(tensors)
    return joined


# -- strong views, by kind --------------------------------------------------------------------------------------------


def _pixels(item: Input, columns: MutableMapping[str, Column], draw: Draw) -> None:
    pixels = columns[f"{item.name}.pixels"]
    assert isinstance(pixels, np.ndarray)
    columns[f"{item.name}.pixels"] = strong_views(pixels, draw, f"strong.{item.name}")


def _tokens(item: Input, tensors: Mapping[str, Tensor], draw: Draw, fitted: Fitted) -> dict[str, Tensor]:
    """Leave tokens out and move the others a little; a row keeps at least one."""
    assert isinstance(item, Tokens)
    ids_BT, length = tensors[f"{item.name}.ids"].numpy(), tensors[f"{item.name}.length"].numpy()
    B, T = ids_BT.shape
    places = np.arange(T)
    there = places < length[:, None]
    score = np.where(there, uniforms(draw.seed, f"strong.drop.{item.name}", draw.epoch, draw.ids, T), -1.0)
    kept = there & (score >= _DROPPED)
    kept[np.arange(B), score.argmax(axis=1)] |= ~kept.any(axis=1)
    moved = places + _MOVED * uniforms(draw.seed, f"strong.move.{item.name}", draw.epoch, draw.ids, T)
    order = np.where(kept, moved, np.inf).argsort(axis=1, kind="stable")
    length = kept.sum(axis=1)
    varied = np.where(places < length[:, None], np.take_along_axis(ids_BT, order, axis=1), item.padding_id)
    varied = np.ascontiguousarray(varied[:, : int(length.max(initial=1))])
    return {f"{item.name}.ids": torch.from_numpy(varied), f"{item.name}.length": torch.from_numpy(length)}


def _bag(item: Input, tensors: Mapping[str, Tensor], draw: Draw, fitted: Fitted) -> dict[str, Tensor]:
    """Leave n-grams out (their weight becomes 0); the others weigh more: its length stays on average."""
    offsets, weights = tensors[f"{item.name}.offsets"].numpy(), tensors[f"{item.name}.weights"]
    lengths = np.diff(np.append(offsets, len(weights)))
    most = int(lengths.max(initial=0))
    scores = uniforms(draw.seed, f"strong.drop.{item.name}", draw.epoch, draw.ids, most)
    kept = (scores >= _DROPPED)[np.arange(most) < lengths[:, None]]
    return {f"{item.name}.weights": weights * torch.from_numpy(kept) / (1 - _DROPPED) ** 0.5}


def _numbers(item: Input, tensors: Mapping[str, Tensor], draw: Draw, fitted: Fitted) -> dict[str, Tensor]:
    """A column's value and its flag of a missing one come from the same row."""
    described = [modality.describe() for modality in fitted.inputs]
    widths = [one.width for one in described if isinstance(one, Numbers)]
    return {"numbers": _swapped(tensors["numbers"], widths, draw, item.name)}


def _categories(item: Input, tensors: Mapping[str, Tensor], draw: Draw, fitted: Fitted) -> dict[str, Tensor]:
    assert isinstance(item, Categories)
    return {"categories": _swapped(tensors["categories"], [1] * len(item.sizes), draw, item.name)}


def _swapped(values_BC: Tensor, widths: Sequence[int], draw: Draw, name: str) -> Tensor:
    B, count = len(values_BC), len(widths)
    swap = uniforms(draw.seed, f"strong.swap.{name}", draw.epoch, draw.ids, count) < _SWAPPED
    other = (uniforms(draw.seed, f"strong.other.{name}", draw.epoch, draw.ids, count) * B).astype(np.int64)
    rows: npt.NDArray[np.int64] = np.where(swap, other, np.arange(B)[:, None]).repeat(widths, axis=1)
    return values_BC.gather(0, torch.from_numpy(rows))


_PARTS: dict[str, Callable[[Input, MutableMapping[str, Column], Draw], None]] = {"image": _pixels}
"""Kind → what varies it while it is still bytes."""
_TENSORS: dict[str, Alter] = {"tokens": _tokens, "bag": _bag, "numbers": _numbers, "categories": _categories}
"""Kind → what varies its tensors, and returns those that changed."""
