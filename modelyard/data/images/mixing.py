"""Blending images of a batch in pairs: mixup (Zhang et al. 2017) and CutMix (Yun et al. 2019).

Pairs and shares are drawn from (seed, epoch, the batch's first id); the task blends the targets, from `Batch.mix`.

Legend: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from modelyard.core.errors import UsageError
from modelyard.core.randomness import stream
from modelyard.data.batch import Batch, Mix
from modelyard.data.modalities.base import Draw

__all__ = ["mix_batch"]


def mix_batch(
    batch: Batch, images: Sequence[str], mixup: float | None, cutmix: float | None, probability: float, draw: Draw
) -> Batch:
    """Return the batch with some of its images blended with another row's, and `mix` saying how their targets blend.

    Each row is blended with this probability, with a partner from a random permutation of the batch. Mixup adds up
    share · own + (1 − share) · partner's pixels, with share ~ Beta(mixup, mixup). CutMix puts a box of the partner's
    pixels, of an area ~ Beta(cutmix, cutmix) and cut off at the border, into the row's own; share is exactly the part
    that stays. With both given, each row's coin decides. Rows left alone have share 1 and their own targets.
    Inputs other than `images` stay the row's own.

    Args:
        batch: A batch that is not mixed yet.
        images: Names of pixel tensors in `batch.inputs`, float (B, C, H, W); their memory format is kept.
        mixup: Alpha of mixup; None: off.
        cutmix: Alpha of CutMix; None: off.
        probability: Of a row being blended, 0 to 1.
        draw: Seed and epoch; the place in the epoch is told by the first of its ids.

    Raises:
        UsageError: An alpha that is not positive, a probability outside [0, 1], a batch that was mixed before, images
            that are absent or not float, or CutMix over images of different sizes, whose boxes have no common share.
    """
    if mixup is None and cutmix is None:
        return batch
    _check(batch, images, mixup, cutmix, probability)
    B = len(batch)
    if B == 0:
        return batch
    random = stream(draw.seed, "mix", draw.epoch, int(draw.ids[0]))
    chosen = random.random(B) < probability
    boxed = random.random(B) < (0.5 if mixup is not None else 1.0) if cutmix is not None else np.zeros(B, bool)
    partner = np.where(chosen, random.permutation(B), np.arange(B))
    share = np.ones(B)
    if mixup is not None:
        share = np.where(boxed, share, random.beta(mixup, mixup, B))
    inside: npt.NDArray[np.bool_] | None = None
    if cutmix is not None:
        H, W = batch.inputs[images[0]].shape[2:]
        inside = _boxes(random, random.beta(cutmix, cutmix, B), H, W)
        share = np.where(boxed, 1.0 - inside.sum(axis=(1, 2)) / (H * W), share)
    alone = partner == np.arange(B)
    share = np.where(alone, 1.0, share)
    index, weight = torch.from_numpy(partner), torch.from_numpy(share.astype(np.float32))
    inputs = dict(batch.inputs)
    for name in images:
        own = inputs[name]
        others = own.index_select(0, index)
        keep = torch.where(torch.from_numpy(boxed), 1.0, weight).to(own.dtype)[:, None, None, None]
        blended = own if mixup is None else own * keep + others * (1 - keep)
        if inside is not None:
            box = torch.from_numpy(inside & (boxed & ~alone)[:, None, None])[:, None]
            out = torch.empty_like(own) if blended is own else blended  # keeps the memory format
            blended = torch.where(box, others, blended, out=out)
        inputs[name] = blended
    targets = {name: target.index_select(0, index) for name, target in batch.targets.items()}
    return replace(batch, inputs=inputs, mix=Mix(targets, weight))


def _boxes(random: np.random.Generator, kept: npt.NDArray[np.float64], H: int, W: int) -> npt.NDArray[np.bool_]:
    """Return masks (B, H, W) of boxes: the picture's shape, 1 − kept of its area, anywhere, cut at the border."""
    side = np.sqrt(1.0 - kept)
    lines = []
    for length in (H, W):
        extent = np.floor(length * side)
        start = np.floor(random.random(len(kept)) * length) - np.floor(extent / 2)
        at = np.arange(length)
        lines.append((at >= start[:, None]) & (at < (start + extent)[:, None]))
    boxes: npt.NDArray[np.bool_] = lines[0][:, :, None] & lines[1][:, None, :]
    return boxes


def _check(batch: Batch, images: Sequence[str], mixup: float | None, cutmix: float | None, probability: float) -> None:
    for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
        if alpha is not None and not alpha > 0:
            raise UsageError(
                f"{name} is {alpha}; expected a positive number (0.2 and 1.0 are common), or none to leave it off"
            )
    if not 0 <= probability <= 1:
        raise UsageError(f"the probability of mixing is {probability}; expected 0 to 1")
    if batch.mix is not None:
        raise UsageError("the batch was mixed before; mix it once")
    if not images:
        raise UsageError("mixup and cutmix blend images, and the batch has none; leave them off")
    absent = [name for name in images if name not in batch.inputs]
    if absent:
        raise UsageError(f"no images {', '.join(absent)} in the batch; it holds: {', '.join(batch.inputs)}")
    wrong = [name for name in images if not batch.inputs[name].is_floating_point() or batch.inputs[name].ndim != 4]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: expected float tensors (batch, channels, height, width)")
    sizes: set[tuple[int, ...]] = {tuple(_size(batch.inputs[name])) for name in images}
    if cutmix is not None and len(sizes) > 1:
        raise UsageError(f"cutmix needs images of one size, got {sorted(sizes)}; give them one size, or use mixup")


def _size(pixels: Tensor) -> torch.Size:
    return pixels.shape[2:]
