"""How far the values of held-out rows are from those of training: per column, with a threshold that knows how much
chance alone makes of so few rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from modelyard.core.records import Record
from modelyard.data.gate.check import Found, RowIndex
from modelyard.data.gate.finding import Finding, Policy
from modelyard.data.gate.profile import ColumnProfile, Profile, ProfileCheck
from modelyard.data.gate.words import listed
from modelyard.data.split import SPLITS

__all__ = ["Drift", "DriftBetweenSplits", "drift_of"]

_LEVEL = 0.001
"""How often chance alone may show drift in a whole data set without any."""
_LEAST = 0.1
"""Smaller distances are no drift, however many rows prove them."""


@dataclass(frozen=True)
class Drift(Record):
    """How far one column's values in a held-out split are from training."""

    split: str
    column: str
    measure: Literal["kolmogorov_smirnov", "total_variation", "missing_share"]
    """`kolmogorov_smirnov`: largest distance between the cumulative distributions, from a sample of at most 8,192 rows
    of each split; of texts, of their lengths · `total_variation`: half the sum of the differences of all values'
    shares, over all rows · `missing_share`: difference of the shares of missing values."""
    value: float
    """0 (alike) to 1."""
    threshold: float
    """What chance alone reaches in less than one of a thousand data sets, and at least 0.1."""
    drifted: bool


def drift_of(profile: Profile) -> list[Drift]:
    """Return the distances of all columns and held-out splits from training; measured once."""
    if profile.drift is None:
        profile.drift = _measured(profile)
    return profile.drift


def _measured(profile: Profile) -> list[Drift]:
    if not profile.rows[0]:
        return []
    comparisons = 2 * max(len(profile.columns) * len(profile.held_out()), 1)
    found = []
    for code in profile.held_out():
        for part in profile.each(partial(_of_column, profile, code, comparisons)):
            found += part
    return found


def _of_column(profile: Profile, code: int, comparisons: int, column: ColumnProfile) -> list[Drift]:
    split, level = SPLITS[code], _LEVEL / comparisons
    found = []
    if column.kind == "category" and column.tally is not None and len(column.tally):
        train, held = column.tally.counts[:, 0], column.tally.counts[:, code]
        if train.any() and held.any():
            found.append(_drift(split, column.column, "total_variation", *_total_variation(train, held, level)))
    elif column.kind != "other":
        known, judged = profile.ordered(column.column, 0), profile.ordered(column.column, code)
        if len(known) and len(judged):
            value = _kolmogorov_smirnov(known, judged)
            threshold = math.sqrt(math.log(2 / level) / 2 * (1 / len(known) + 1 / len(judged)))
            found.append(_drift(split, column.column, "kolmogorov_smirnov", value, threshold))
    if column.missing[0] or column.missing[code]:
        rows = profile.rows[0], profile.rows[code]
        value = abs(float(column.missing[code] / rows[1] - column.missing[0] / rows[0]))
        threshold = math.sqrt(math.log(2 / level) / 2 * (1 / rows[0] + 1 / rows[1]))
        found.append(_drift(split, column.column, "missing_share", value, threshold))
    return found


def _drift(
    split: str,
    column: str,
    measure: Literal["kolmogorov_smirnov", "total_variation", "missing_share"],
    value: float,
    chance: float,
) -> Drift:
    threshold = min(max(chance, _LEAST), 1.0)
    return Drift(split, column, measure, value, threshold, value > threshold)


def _kolmogorov_smirnov(train: npt.NDArray[np.float64], held: npt.NDArray[np.float64]) -> float:
    """The two-sample statistic of Kolmogorov and Smirnov, of rising values."""
    both = np.concatenate([train, held])
    order = np.argsort(both, kind="stable")  # two rising runs: merged in one go
    both = both[order]
    apart = np.cumsum(np.where(order < len(train), 1 / len(train), -1 / len(held)))
    ends = np.append(both[1:] != both[:-1], True)
    return min(float(np.abs(apart[ends]).max()), 1.0)


def _total_variation(train: npt.NDArray[np.int64], held: npt.NDArray[np.int64], level: float) -> tuple[float, float]:
    """Return the distance of two sets of counts, and what equal distributions stay below but for a chance of `level`.

    The expected distance is bounded through the deviation of each value's share; by how much it can exceed that,
    through McDiarmid's inequality (1989).
    """
    rows = int(train.sum()), int(held.sum())
    value = float(np.abs(train / rows[0] - held / rows[1]).sum() / 2)
    apart = 1 / rows[0] + 1 / rows[1]
    shares = (train + held) / sum(rows)
    expected = float(np.sqrt(shares * (1 - shares) * apart).sum() / 2)
    return value, expected + math.sqrt(math.log(1 / level) / 2 * apart)


class DriftBetweenSplits(ProfileCheck):
    """Held-out rows that are not like those of training."""

    name = "drift"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "error")

    def finish(self, index: RowIndex) -> list[Found]:
        measured = drift_of(self.profile)
        found = []
        for code in self.profile.held_out():
            split = SPLITS[code]
            drifted = [one for one in measured if one.split == split and one.drifted]
            if not drifted:
                continue
            drifted.sort(key=lambda one: -one.value)
            columns = list(dict.fromkeys(one.column for one in drifted))
            targets = [target.column for target in self.subject.targets if target.column in columns]
            why = f"Results on the {split} split speak of other rows than {self.target} was learned from"
            why += f"; {listed(targets)} itself is distributed otherwise." if targets else "."
            finding = Finding(
                self.name,
                "warn",
                f"{len(columns)} of {len(self.profile.columns)} columns are distributed otherwise in {split} than in "
                f"training: {listed(columns)}",
                why + " Expect this where the split follows time or origin; a random split should not show it.",
                0,
                columns,
                details={one.column: {one.measure: one.value, "threshold": one.threshold} for one in reversed(drifted)},
            )
            found.append(Found(finding, np.empty(0, np.int64)))
        return found
