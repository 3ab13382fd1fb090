"""The losses, each without its mean: one number a row (or a value), in the precision of what it is given.

Legend: B batch, O outputs, L labels, T targets.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "cross_entropy",
    "focal",
    "hinge",
    "huber",
    "log_probabilities",
    "squared_error",
    "squared_hinge",
]

_SMALLEST_MISS = 1e-12


def log_probabilities(logits: Tensor) -> Tensor:
    """Return ln p, (B, L): log-softmax of (B, L) logits; for one logit (B, 1), both labels, the second the positive."""
    if logits.shape[1] == 1:
        return torch.cat([functional.logsigmoid(-logits), functional.logsigmoid(logits)], dim=1)
    return functional.log_softmax(logits, dim=1)


def cross_entropy(log_p: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return -ln p of the target, (B,).

    Args:
        log_p: Log-probabilities, (B, L).
        target: Label ids, int64 (B,), each in [0, L).
        smoothing: Share of the target spread evenly over all labels (Szegedy et al. 2016).
    """
    return _smoothed(-log_p, target, smoothing)


def focal(log_p: Tensor, target: Tensor, gamma: float, smoothing: float = 0.0) -> Tensor:
    """Return -(1 - p)^gamma · ln p of the target, (B,): cross-entropy that dwells on hard rows (Lin et al. 2017)."""
    # 1 - p from its logarithm keeps its digits when p is near 1; the floor keeps the slope finite for gamma < 1.
    miss = (-torch.expm1(log_p)).clamp(min=_SMALLEST_MISS)
    return _smoothed(-(miss**gamma) * log_p, target, smoothing)


def _smoothed(losses: Tensor, target: Tensor, smoothing: float) -> Tensor:
    own = losses.gather(1, target[:, None])[:, 0]
    return own if smoothing == 0 else (1 - smoothing) * own + smoothing * losses.mean(dim=1)


def hinge(margins: Tensor, target: Tensor) -> Tensor:
    """Return how far the target's margin falls short of the best other margin plus 1, (B,) (Crammer and Singer 2001).

    With one output (B, 1): max(0, 1 - t·margin), t = +1 for target 1 and -1 for target 0 (Cortes and Vapnik 1995).
    """
    if margins.shape[1] == 1:
        return functional.relu(1 - _signs(margins, target))[:, 0]
    own = margins.gather(1, target[:, None])
    others = margins.scatter(1, target[:, None], float("-inf"))
    return functional.relu(1 + others.amax(dim=1) - own[:, 0])


def squared_hinge(margins: Tensor, target: Tensor) -> Tensor:
    """Return Σ over outputs of max(0, 1 - t·margin)², (B,), each label against the rest (L2-SVM; Tang 2013)."""
    return functional.relu(1 - _signs(margins, target)).square().sum(dim=1)


def _signs(margins: Tensor, target: Tensor) -> Tensor:
    if margins.shape[1] == 1:
        return margins * (2 * target[:, None] - 1)
    return -margins + 2 * margins * functional.one_hot(target, margins.shape[1])


def binary_cross_entropy(logits: Tensor, target: Tensor, positive_weight: Tensor | None = None) -> Tensor:
    """Return the mean over labels of -t·w·ln p - (1 - t)·ln(1 - p), (B,), p being the sigmoid of the logit.

    Args:
        logits: (B, L).
        target: 0 or 1, of the logits' dtype, (B, L).
        positive_weight: w, (L,); None for 1.
    """
    return functional.binary_cross_entropy_with_logits(
        logits, target, pos_weight=positive_weight, reduction="none"
    ).mean(dim=1)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return (output - target)², (B, T)."""
    return (output - target).square()


def absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """Return |output - target|, (B, T)."""
    return (output - target).abs()


def huber(output: Tensor, target: Tensor, delta: float) -> Tensor:
    """Return ½·error² up to `delta` and delta·(|error| - ½·delta) beyond, (B, T) (Huber 1964)."""
    return functional.huber_loss(output, target, reduction="none", delta=delta)
