"""How groups of one column fare beside each other, with intervals.

Of two labels: the share answered with the positive one (equal shares: demographic parity, Dwork et al. 2012), the share
of positive rows found (equal: equal opportunity) and of negative rows taken for positive ones (both equal: equalised
odds, Hardt, Price and Srebro 2016), precision and accuracy. Of more labels accuracy, of several a row the share of
questions answered wrongly, of numbers the mean error (answer less target, which shows who is over- and who is
underrated) and the mean absolute error.

Rows are resampled within each group. A difference is taken between the two groups that stand furthest apart on these
rows; its interval keeps to these two, and holds 0 when their order could be chance.

Legend: n rows, R resamples, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.evaluate.cuts import MISSING_VALUE, Cut, cut
from modelyard.evaluate.metrics import form_of
from modelyard.evaluate.paired import ends, resampled
from modelyard.evaluate.records import Fairness
from modelyard.evaluate.weighted import Floats, group_sums, ratio
from modelyard.tasks.base import Outcome

__all__ = ["fairness"]

_FEWEST = 10
_SHARES = ("selection_rate", "true_positive_rate", "false_positive_rate", "precision", "accuracy", "hamming_loss")

Rate = Callable[[Floats], Floats]
Ids = npt.NDArray[np.int64]


def fairness(
    outcome: Outcome, column: str, kept: pa.Array, *, seed: int, resamples: int = 1000, confidence: float = 0.95
) -> Fairness:
    """Measure the groups of a column apart and compare them.

    Groups of fewer than ten rows are put together as one; when even that is of fewer, it is listed, said in a note, and
    left out of the differences. Rows without a value are a group of their own.

    Args:
        outcome: The rows' targets and answers.
        column: The column's name.
        kept: What `cuts.keep_for_cuts` kept of it, (n,).
        seed: The run's seed, from which the resamples follow.
        resamples: Bootstrap resamples behind the intervals.
        confidence: Level of the intervals.
    """
    cuts = cut(column, kept)
    if not cuts:
        return Fairness(column, [], [], [f"column {column!r} holds {kept.type}, which does not make groups"])
    codes, names, notes = _grouped(cuts[0])
    rates = _rates(outcome, codes, len(names))
    ones = np.ones((1, len(outcome)))
    values = {name: rate(ones)[0] for name, rate in rates.items()}
    drawn = dict(
        zip(rates, resampled(list(rates.values()), codes, seed=seed, resamples=resamples), strict=True)
        if resamples
        else [(name, np.empty((0, len(names)))) for name in rates]
    )
    rows = np.bincount(codes, minlength=len(names))
    groups: list[dict[str, Any]] = []
    for index, name in enumerate(names):
        measured = {}
        for metric in rates:
            low, high = ends(drawn[metric][:, index], confidence)
            measured[metric] = {"value": float(values[metric][index]), "low": low, "high": high}
        groups.append({"group": name, "rows": int(rows[index]), "metrics": measured})
    differences = []
    for metric in rates:
        comparable = ~np.isnan(values[metric]) & (rows >= _FEWEST)
        absent = [name for name, value in zip(names, values[metric], strict=True) if math.isnan(value)]
        if absent:
            notes.append(f"{metric} does not exist for {', '.join(absent)}: no row of theirs counts in it")
        if comparable.sum() >= 2:
            differences.append(_difference(metric, values[metric], drawn[metric], names, comparable, confidence))
    if not differences:
        notes.append("fewer than two groups have enough rows: nothing can be compared")
    return Fairness(column, groups, differences, notes)


def _difference(
    metric: str,
    values: Floats,
    drawn: Floats,
    names: list[str],
    comparable: npt.NDArray[np.bool_],
    confidence: float,
) -> dict[str, Any]:
    highest = int(np.argmax(np.where(comparable, values, -np.inf)))
    lowest = int(np.argmin(np.where(comparable, values, np.inf)))
    low, high = ends(drawn[:, highest] - drawn[:, lowest], confidence)
    is_share = metric in _SHARES
    return {
        "metric": metric,
        "difference": float(values[highest] - values[lowest]),
        "low": low,
        "high": high,
        "highest": names[highest],
        "lowest": names[lowest],
        # a ratio of errors that can be negative says nothing
        "ratio": float(values[lowest] / values[highest]) if is_share and values[highest] > 0 else math.nan,
    }


def _grouped(one: Cut) -> tuple[Ids, list[str], list[str]]:
    """Return each row's group, the groups' names, and notes; groups with few rows are one."""
    codes = np.where(one.codes < 0, len(one.values), one.codes).astype(np.int64)
    names = [*one.values, "other"]
    counts = np.bincount(codes, minlength=len(names))
    few = [index for index, count in enumerate(counts) if 0 < count < _FEWEST and names[index] != MISSING_VALUE]
    notes = []
    label = "other"
    if len(few) > 1 or (few and counts[-1]):
        merged = sorted({*few, len(names) - 1})
        pooled = int(counts[merged].sum())
        notes.append(f"{len(few)} groups have fewer than {_FEWEST} rows and are taken together ({pooled} rows)")
        codes[np.isin(codes, merged)] = len(names) - 1
        label = f"other ({len(few)} groups of fewer than {_FEWEST} rows)" if not counts[-1] else "other"
    names[-1] = label
    present = np.unique(codes)
    names = [names[index] for index in present]
    codes = np.searchsorted(present, codes)
    for name, count in zip(names, np.bincount(codes), strict=True):
        if count < _FEWEST:
            notes.append(f"{name!r} has {count} rows, fewer than {_FEWEST}: listed, and left out of the differences")
    return codes, names, notes


def _rates(outcome: Outcome, codes: Ids, count: int) -> dict[str, Rate]:
    """Return the metrics of all groups at once, each from weights (R, n) to (R, G)."""
    form = form_of(outcome)
    everyone = group_sums(codes, count)
    if form == "classification":
        right = group_sums(codes, count, outcome.target == outcome.answer)

        def accuracy(weights: Floats) -> Floats:
            return ratio(right(weights), everyone(weights))

        if len(outcome.labels) != 2:
            return {"accuracy": accuracy}
        positive, chosen = outcome.target == 1, outcome.answer == 1
        hits, true = group_sums(codes, count, positive & chosen), group_sums(codes, count, positive)
        alarms, false = group_sums(codes, count, ~positive & chosen), group_sums(codes, count, ~positive)
        selected = group_sums(codes, count, chosen)
        return {
            "selection_rate": lambda weights: ratio(selected(weights), everyone(weights)),
            "true_positive_rate": lambda weights: ratio(hits(weights), true(weights)),
            "false_positive_rate": lambda weights: ratio(alarms(weights), false(weights)),
            "precision": lambda weights: ratio(hits(weights), selected(weights)),
            "accuracy": accuracy,
        }
    if form == "multilabel":
        return {"hamming_loss": _mean((outcome.target != outcome.answer).mean(axis=1), codes, count)}
    error = outcome.score - outcome.target
    rates: dict[str, Rate] = {}
    for index, target in enumerate(outcome.labels):
        after = f" of {target}" if len(outcome.labels) > 1 else ""
        rates[f"mean_error{after}"] = _mean(error[:, index], codes, count)
        rates[f"mae{after}"] = _mean(np.abs(error[:, index]), codes, count)
    return rates


def _mean(values: Floats, codes: Ids, count: int) -> Rate:
    """The mean of values (n,) within each group."""
    everyone = group_sums(codes, count)
    spread = np.zeros((len(values), count))
    spread[np.arange(len(values)), codes] = values
    return lambda weights: ratio(weights @ spread, everyone(weights))
