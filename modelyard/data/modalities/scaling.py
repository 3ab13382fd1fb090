"""Numbers on the scale a network learns from, and back to the user's units."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from modelyard.core.errors import DataError
from modelyard.data.modalities.streaming import Moments

__all__ = ["LARGEST", "MOST_KNOTS", "Scale", "Scaler", "fit_scaler", "piece_edges", "piecewise", "signed_log"]

Scale = Literal["standard", "quantile", "log", "minmax", "none"]
Floats = npt.NDArray[np.float64]

LARGEST = float(np.finfo(np.float32).max)
"""The largest number a 32-bit float holds; what lies beyond cannot be fed to a network."""
MOST_KNOTS = 1000
_MOST_LOG = float(np.log1p(LARGEST))


@dataclass(frozen=True)
class Scaler:
    """A fitted, invertible map from the user's units to the network's.

    | scale | forward |
    |---|---|
    | `standard`, `minmax`, `none` | (x − center) / spread |
    | `log` | (sign(x) · log(1 + |x|) − center) / spread |
    | `quantile` | linear between `knots` (quantiles of training) and `scores` (those of a normal distribution) |
    """

    scale: Scale
    center: float = 0.0
    spread: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    def forward(self, values: Floats) -> Floats:
        """Map float64 values (any shape) to the network's scale; NaN stays NaN, quantiles end at the last knots."""
        if self.scale == "quantile":
            return np.interp(values, self.knots, self.scores)
        if self.scale == "log":
            values = signed_log(values)
        return (values - self.center) / self.spread

    def inverse(self, values: Floats) -> Floats:
        """Map float64 values (any shape) back to the user's units; NaN stays NaN."""
        if self.scale == "quantile":
            return np.interp(values, self.scores, self.knots)
        values = values * self.spread + self.center
        if self.scale == "log":
            return np.sign(values) * np.expm1(np.minimum(np.abs(values), _MOST_LOG))
        return values

    def problem(self) -> str | None:
        """Say what is wrong with these numbers, or None: for scalers that come from a file."""
        if self.scale not in get_args(Scale):
            return f"unknown scale {self.scale!r}"
        if not (np.isfinite(self.center) and np.isfinite(self.spread) and self.spread > 0):
            return f"center {self.center} and spread {self.spread} are not a finite number and a positive one"
        if (self.scale == "quantile") != bool(self.knots) or len(self.knots) != len(self.scores):
            return f"{len(self.knots)} knots with {len(self.scores)} scores do not fit scale {self.scale}"
        if len(self.knots) > MOST_KNOTS:
            return f"{len(self.knots)} knots, at most {MOST_KNOTS} are possible"
        for name in ("knots", "scores"):
            values = np.asarray(getattr(self, name), np.float64)
            if not np.isfinite(values).all() or (np.diff(values) <= 0).any():
                return f"{name} that are not finite and rising"
        return None


def signed_log(values: Floats) -> Floats:
    """sign(x) · log(1 + |x|): a logarithm that takes zero and negative numbers."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float64)


def fit_scaler(scale: Scale, moments: Moments, sample: Floats) -> Scaler:
    """Fit a scaler.

    Args:
        moments: Of the training values; for `log`, of their signed logarithms.
        sample: Training values, all or equally likely ones, at least one.

    Raises:
        DataError: The values vary so much that their spread is no number.
    """
    if scale == "quantile":
        knots, scores = _normal_knots(sample)
        return Scaler(scale, knots=knots, scores=scores)
    if scale == "none":
        return Scaler(scale)
    if scale == "minmax":
        center, spread = moments.minimum, moments.maximum - moments.minimum
    else:
        center, spread = moments.mean, moments.deviation
    if not np.isfinite(spread):
        raise DataError(
            f"the values reach from {moments.minimum:g} to {moments.maximum:g}, too far apart for scale {scale!r}; "
            "use scale: quantile or scale: log"
        )
    return Scaler(scale, center, spread if spread > 0 else 1.0)


def _normal_knots(sample: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles of the sample at the middles of equal shares, with the normal distribution's quantiles there."""
    count = min(MOST_KNOTS, len(sample))
    levels = (np.arange(count) + 0.5) / count
    quantiles = np.quantile(sample, levels, method="hazen")
    knots, group = np.unique(quantiles, return_inverse=True)
    normal = NormalDist()
    scores = np.array([normal.inv_cdf(level) for level in levels])
    shared = np.bincount(group, scores) / np.bincount(group)  # a repeated value stands in the middle of its quantiles
    return tuple(knots.tolist()), tuple(shared.tolist())


def piece_edges(sample: Floats, pieces: int) -> tuple[float, ...]:
    """Return rising edges that cut the sample into at most `pieces` pieces; one edge for a constant.

    A value so frequent that it would fill a piece by itself (such as the zeros of a column that is mostly zero) gets
    an edge of its own; the other edges cut the rest into equally full pieces.
    """
    values, counts = np.unique(sample, return_counts=True)
    frequent = values[counts * pieces > len(sample)][: pieces + 1]
    rest = sample[~np.isin(sample, frequent)]
    left = pieces + 1 - len(frequent)
    edges = frequent
    if len(rest) and left > 1:
        spread = np.quantile(rest, np.linspace(0.0, 1.0, left), method="inverted_cdf")
        edges = np.unique(np.concatenate([frequent, spread]))
    return tuple(edges.tolist())


def piecewise(values: Floats, edges: tuple[float, ...]) -> Floats:
    """Encode numbers piece by piece: 1 for a piece that lies below the value, 0 for one above, the share in its own.

    The first piece goes on below its edge and the last above it (Gorishniy, Rubachev and Babenko 2022,
    arXiv 2203.05556, equation 1).

    Args:
        values: float64 (n,), without NaN.
        edges: T + 1 rising edges; fewer than two make a single column of zeros.

    Returns:
        float64 (n, T).
    """
    if len(edges) < 2:
        return np.zeros((len(values), 1))
    low, high = np.array(edges[:-1], np.float64), np.array(edges[1:], np.float64)
    share: Floats = (values[:, None] - low) / (high - low)
    share[:, 1:] = np.maximum(share[:, 1:], 0.0)
    share[:, :-1] = np.minimum(share[:, :-1], 1.0)
    return share
