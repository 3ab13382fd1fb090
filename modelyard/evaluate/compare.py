"""Two or more bundles on the same rows: which one is better, and whether the rows can tell.

Legend: n rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from modelyard.bundle.predictor import Predictor, load
from modelyard.core.errors import DataError, UsageError
from modelyard.core.files import read_json
from modelyard.data.lookup import Places
from modelyard.evaluate.answered import Answered, answer_rows
from modelyard.evaluate.bootstrap import intervals
from modelyard.evaluate.comparison import Compared, Comparison, Difference, OnlyRight
from modelyard.evaluate.metrics import Metric, form_of
from modelyard.evaluate.mistakes import describe_rows
from modelyard.evaluate.paired import ends, resampled, sign_share, strata_of
from modelyard.evaluate.records import Measured, Mistake
from modelyard.evaluate.significance import mcnemar, paired_permutation
from modelyard.evaluate.table import METRICS
from modelyard.evaluate.weighted import Floats
from modelyard.tasks.base import Outcome

__all__ = ["compare_bundles"]

_EXAMPLES = 5
_POWER = 0.8


def compare_bundles(
    bundles: Sequence[str | Path | Predictor], data: Any, format: str | None = None, device: str = "cpu"
) -> Comparison:
    """Measure bundles on the same rows, and test their differences from the first.

    Accuracy is tested by McNemar's exact test, means over rows (log loss, Brier score, errors of numbers) by random
    sign changes of the paired differences, other metrics by the paired bootstrap.

    Args:
        bundles: Two or more folders of bundles or finished runs, or loaded predictors.
        data: Rows with their targets: a file, glob or folder, or a table from Python.
        format: Name of the source's format, when the location's ending does not tell.
        device: Where to run bundles that are loaded here.

    Raises:
        UsageError: There are fewer than two bundles, or they predict different things.
        BundleError: A bundle is incomplete or altered.
        DataError: The rows lack a target column, or none can be used by all.
    """
    started = time.monotonic()
    if len(bundles) < 2:
        raise UsageError(f"a comparison needs two or more bundles, got {len(bundles)}")
    predictors = [bundle if isinstance(bundle, Predictor) else load(bundle, device) for bundle in bundles]
    _need_alike(predictors)
    answered = [answer_rows(predictor, data, format) for predictor in predictors]
    common = np.logical_and.reduce([one.usable for one in answered])
    if not common.any():
        raise DataError(f"none of the {len(common)} rows can be used by all {len(bundles)} bundles")
    outcomes = [one.outcome(common) for one in answered]
    settings, seed = predictors[0].spec.evaluate, predictors[0].spec.seed
    metrics = _metrics(predictors, outcomes)
    options: dict[str, Any] = {"seed": seed, "resamples": settings.resamples}
    strata = strata_of(outcomes[0])
    drawn = [resampled([m.prepared(outcome) for m in metrics], strata, **options) for outcome in outcomes]
    differences, only_right, verdict = [], [], []
    for number in range(1, len(outcomes)):
        pair = _Pair(outcomes[0], outcomes[number])
        here = [
            _difference(pair, number, metric, first, other, settings.confidence, seed)
            for metric, first, other in zip(metrics, drawn[0], drawn[number], strict=True)
        ]
        differences += here
        verdict.append(_verdict(here[0], bundles[number], bundles[0], int(common.sum())))
        if not pair.numbers:
            examples = _examples(pair, number, predictors, answered[0], common)
            only_right.append(
                OnlyRight(number, int(pair.only_first.sum()), int(pair.only_second.sum()), pair.agreement, examples)
            )
    return Comparison(
        data=answered[0].name,
        target=predictors[0].targets,
        rows=int(common.sum()),
        rows_left_out=int((~common).sum()),
        confidence=settings.confidence,
        bundles=[
            _compared(bundle, predictor, metrics, outcome)
            for bundle, predictor, outcome in zip(bundles, predictors, outcomes, strict=True)
        ],
        differences=differences,
        only_right=only_right,
        verdict=verdict,
        notes=_notes(bundles, predictors, answered[0]),
        seconds=time.monotonic() - started,
    )


class _Pair:
    """Two outcomes of the same rows, told in the same labels."""

    def __init__(self, first: Outcome, second: Outcome) -> None:
        self.first, self.second = first, _in_labels(second, first.labels)
        self.numbers = form_of(first) == "regression"
        right = [_right(self.first), _right(self.second)]
        self.only_first, self.only_second = right[0] & ~right[1], right[1] & ~right[0]
        same = (self.first.answer == self.second.answer).reshape(len(first), -1).all(axis=1)
        self.agreement = math.nan if self.numbers else float(same.mean())


def _right(outcome: Outcome) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = (outcome.target == outcome.answer).reshape(len(outcome), -1).all(axis=1)
    return result


def _in_labels(outcome: Outcome, labels: tuple[str, ...]) -> Outcome:
    """Return an outcome whose label ids mean `labels`; labels that only it knows stand behind them."""
    if outcome.labels == labels or form_of(outcome) == "regression":
        return outcome
    order = [*labels, *(label for label in outcome.labels if label not in labels)]
    place = np.array([order.index(label) for label in outcome.labels])
    score = np.zeros((len(outcome), len(order)))
    score[:, place] = outcome.score
    if outcome.target.ndim == 1:
        return Outcome(place[outcome.target], score, place[outcome.answer], tuple(order))
    target, answer = (np.zeros((len(outcome), len(order)), np.uint8) for _ in range(2))
    target[:, place], answer[:, place] = outcome.target, outcome.answer
    return Outcome(target, score, answer, tuple(order))


def _need_alike(predictors: Sequence[Predictor]) -> None:
    first = predictors[0]
    for other in predictors[1:]:
        if other.targets != first.targets or other.contents.task.name != first.contents.task.name:
            said = [f"{one.contents.task.name} of {', '.join(one.targets)}" for one in (first, other)]
            raise UsageError(
                f"bundles are compared when they predict the same, and these are a {said[0]} and a {said[1]}"
            )


def _metrics(predictors: Sequence[Predictor], outcomes: Sequence[Outcome]) -> list[Metric]:
    """The metrics that all of the tasks have, and that fit; the first task's headline stays first."""
    names = [
        name
        for name in predictors[0].contents.task.metrics
        if all(name in other.contents.task.metrics for other in predictors[1:])
    ]
    return [METRICS.find(name) for name in names]


def _difference(
    pair: _Pair, number: int, metric: Metric, first: Floats, other: Floats, confidence: float, seed: int
) -> Difference:
    value = metric(pair.second) - metric(pair.first)
    low, high = ends(other - first, confidence)
    losses = _row_differences(metric.name, pair)
    if metric.name in ("accuracy", "subset_accuracy"):
        p_value, test = mcnemar(int(pair.only_first.sum()), int(pair.only_second.sum())), "McNemar, exact"
    elif losses is not None:
        p_value, test = paired_permutation(losses, seed), "paired permutation"
    else:
        p_value, test = sign_share(other - first), "paired bootstrap"
    told = p_value < 1 - confidence
    verdict = "not distinguishable"
    if told and value != 0:
        verdict = "better" if (value > 0) == metric.higher_is_better else "worse"
    needed = None if verdict != "not distinguishable" or losses is None else _rows_needed(losses, confidence)
    return Difference(number, metric.name, value, low, high, p_value, test, metric.higher_is_better, verdict, needed)


def _row_differences(metric: str, pair: _Pair) -> Floats | None:
    """What each row adds to the difference of a metric that is a mean over rows (of its square, for the RMSE)."""
    losses = _LOSSES.get(metric)
    return None if losses is None else losses(pair.second) - losses(pair.first)


def _own_score(outcome: Outcome) -> Floats:
    result: Floats = np.take_along_axis(outcome.score, outcome.target[:, None], axis=1)[:, 0]
    return result


def _brier(outcome: Outcome) -> Floats:
    if outcome.score.shape[1] == 2:
        return (1 - _own_score(outcome)) ** 2
    hit = np.arange(outcome.score.shape[1]) == outcome.target[:, None]
    result: Floats = ((outcome.score - hit) ** 2).sum(axis=1)
    return result


def _errors(outcome: Outcome) -> Floats:
    result: Floats = np.abs(outcome.score - outcome.target).mean(axis=1)
    return result


def _squares(outcome: Outcome) -> Floats:
    result: Floats = ((outcome.score - outcome.target) ** 2).mean(axis=1)
    return result


_LOSSES = {
    "accuracy": lambda outcome: _right(outcome).astype(np.float64),
    "subset_accuracy": lambda outcome: _right(outcome).astype(np.float64),
    "hamming_loss": lambda outcome: (outcome.target != outcome.answer).mean(axis=1),
    "log_loss": lambda outcome: -np.log(np.maximum(_own_score(outcome), np.finfo(np.float64).tiny)),
    "brier": _brier,
    "mae": _errors,
    "rmse": _squares,
}


def _rows_needed(differences: Floats, confidence: float) -> int | None:
    """n = ((z of the level + z of the power) · deviation / mean)² of the paired differences."""
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if mean == 0 or deviation == 0:
        return None
    normal = NormalDist()
    needed = ((normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(_POWER)) * deviation / mean) ** 2
    return math.ceil(needed) if needed < 1e12 else None


def _verdict(headline: Difference, bundle: Any, first: Any, rows: int) -> str:
    name, other = _name(bundle), _name(first)
    told = f"{headline.metric} {headline.difference:+.4g}, p = {headline.p_value:.2g}, {headline.test}"
    if headline.verdict != "not distinguishable":
        return f"{name} is {headline.verdict} than {other} ({told})"
    text = f"{name} is not distinguishable from {other} on these {rows} rows ({told})"
    if headline.rows_needed is not None and headline.rows_needed > rows:
        text += f"; a difference of this size would take about {headline.rows_needed} rows to tell"
    return text


def _name(bundle: str | Path | Predictor) -> str:
    return bundle.spec.name if isinstance(bundle, Predictor) else str(bundle)


def _compared(
    bundle: str | Path | Predictor, predictor: Predictor, metrics: Sequence[Metric], outcome: Outcome
) -> Compared:
    settings, spec = predictor.spec.evaluate, predictor.spec
    found = intervals(metrics, outcome, seed=spec.seed, resamples=settings.resamples, confidence=settings.confidence)
    return Compared(
        path="" if isinstance(bundle, Predictor) else str(bundle),
        name=spec.name,
        family=spec.model.name if spec.model else "",
        parameters=sum(parameter.numel() for parameter in predictor.network.parameters()),
        metrics=[Measured(m.name, m(outcome), *found[m.name], None, m.higher_is_better, len(outcome)) for m in metrics],
    )


def _examples(
    pair: _Pair, number: int, predictors: Sequence[Predictor], answered: Answered, common: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Some rows that only one of the two gets right, those first that the wrong one is surest of."""
    places: Places = answered.places.take(common)
    found = []
    for right, rows, wrong, outcome in (
        (0, pair.only_first, number, pair.second),
        (number, pair.only_second, 0, pair.first),
    ):
        contents = predictors[wrong].contents
        numbers = np.flatnonzero(rows)
        losses = contents.task.row_losses(outcome)[numbers]
        chosen = numbers[np.argsort(-losses, kind="stable")][:_EXAMPLES]
        described: list[Mistake] = describe_rows(
            contents.task, outcome, chosen, places, answered.sources, contents.fitted
        )
        found += [{"right": right, "row": row.as_dict()} for row in described]
    return found


def _notes(bundles: Sequence[str | Path | Predictor], predictors: Sequence[Predictor], answered: Answered) -> list[str]:
    notes = ["whether a bundle was trained on some of these rows cannot be known from it; such rows would favour it"]
    files = {str(Path(file).resolve()) for file in answered.places.files}
    for bundle, predictor in zip(bundles, predictors, strict=True):
        if isinstance(bundle, Predictor):
            continue
        path = Path(bundle)
        path = path if (path / "manifest.json").exists() else path / "bundle"
        known = {str(Path(file).resolve()) for file in read_json(path / "evidence" / "data.json")["files"]}
        shared = sorted(files & known)
        if shared:
            named = ", ".join(shared[:3])
            notes.append(
                f"{predictor.spec.name} was made from {named}: rows of its training split among these favour it"
            )
    return notes
