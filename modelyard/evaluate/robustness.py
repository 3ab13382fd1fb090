"""What is left of a model when its inputs are corrupted as happens in nature.

The corrupted rows go the way that any new row goes: the modalities' own encoding, the model, the task's answers.

Legend: n rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.bundle.contents import Contents
from modelyard.bundle.predictor import Predictor
from modelyard.core.randomness import stream
from modelyard.data.modalities.base import Modality
from modelyard.evaluate.corruptions import CORRUPTIONS, Change, missing
from modelyard.evaluate.metrics import Metric, form_of
from modelyard.evaluate.paired import ends, resampled
from modelyard.evaluate.raw_rows import choose_rows
from modelyard.evaluate.records import Robustness
from modelyard.evaluate.table import METRICS
from modelyard.tasks.base import Outcome

__all__ = ["robustness"]

_BUDGET = 40
"""How often each row is answered at most, clean once included."""
_COLUMNS = 12
_SCOUTED = 6
"""When there are more columns than that, finding those that matter costs at most so many answers a row."""
_FEWEST = 8
_BLOCK = 256

Values = Mapping[str, pa.Array]


@dataclass(frozen=True)
class _Trial:
    name: str
    severity: int
    modalities: tuple[Modality, ...]
    change: Change


def robustness(
    contents: Contents,
    values: Values,
    targets: Mapping[str, npt.NDArray[Any]],
    *,
    device: str = "cpu",
    seed: int | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    batch_size: int = 512,
) -> tuple[list[Robustness], list[str]]:
    """Corrupt the inputs of some rows and say what it changes.

    Every corruption of a modality is tried on all its columns at once; then each column is taken away on its own, where
    there are several. Of more than twelve columns the twelve whose absence moves the outputs most, on a part of the
    rows, are tried. Each row is answered at most about 40 times.

    Args:
        contents: The model with its fitted columns and task.
        values: The inputs as modalities read them (`raw_rows.read_inputs`), (n,) each.
        targets: Encoded targets of the same rows, by column; none missing.
        device: Where to run the model.
        seed: Source of the randomness; the spec's when None.
        resamples: Bootstrap resamples behind the intervals; 0 for none.
        confidence: Level of the intervals.
        batch_size: Rows per pass through the model.

    Returns:
        The findings in order (by modality, corruption and severity, then the missing columns by what they cost), and
        notes on what was not tried.
    """
    seed = contents.spec.seed if seed is None else seed
    rows = len(next(iter(values.values())))
    if not rows:
        return [], []
    runner = _Runner(contents, Predictor(contents, device), values, targets, seed, min(batch_size, _BLOCK))
    clean = runner.outcome(None)
    trials = _trials(contents.fitted.inputs)
    notes = []
    gone, note = _taken_away(runner, clean, min(_COLUMNS, _BUDGET - 1 - len(trials)))
    if note:
        notes.append(note)
    metric: Metric = METRICS.find(contents.task.metrics[0])
    outcomes = [runner.outcome(trial) for trial in (*trials, *gone)]
    prepared = [metric.prepared(outcome) for outcome in (clean, *outcomes)]
    # not label by label: a model that always answers the same would then seem to be measured without error
    drawn = resampled(prepared, np.zeros(rows, np.int64), seed=seed, resamples=resamples)
    value = metric(clean)
    found = []
    for trial, outcome, sample in zip((*trials, *gone), outcomes, drawn[1:], strict=True):
        corrupted = metric(outcome)
        low, high = ends(sample - drawn[0], confidence)
        found.append(
            Robustness(
                corruption=trial.name,
                severity=trial.severity,
                columns=[modality.column for modality in trial.modalities],
                rows=rows,
                metric=metric.name,
                clean=value,
                corrupted=corrupted,
                change=corrupted - value,
                low=low,
                high=high,
                changed_answers=_changed(clean, outcome),
            )
        )
    lost = sorted(found[len(trials) :], key=lambda one: one.change if metric.higher_is_better else -one.change)
    return [*found[: len(trials)], *lost], notes


class _Runner:
    """Answers the rows, corrupted or clean, a block at a time."""

    def __init__(
        self,
        contents: Contents,
        predictor: Predictor,
        values: Values,
        targets: Mapping[str, npt.NDArray[Any]],
        seed: int,
        block: int,
    ) -> None:
        self.contents, self.predictor = contents, predictor
        self.values, self.targets, self.seed, self.block = values, targets, seed, block
        self.rows = len(next(iter(values.values())))

    def outcome(self, trial: _Trial | None, rows: npt.NDArray[np.int64] | None = None) -> Outcome:
        """Return the outcome of some rows, by number (all when None)."""
        chosen = np.arange(self.rows) if rows is None else rows
        outputs = []
        for start in range(0, len(chosen), self.block):
            part = chosen[start : start + self.block]
            block = {column: values.take(pa.array(part)) for column, values in self.values.items()}
            if trial is not None:
                for modality in trial.modalities:
                    where = (trial.name, trial.severity, modality.column, start)
                    random = stream(self.seed, "robustness", *where)
                    block[modality.column] = trial.change(modality, block[modality.column], trial.severity, random)
            columns = self.contents.fitted.encode_inputs(block)
            outputs.append(self.predictor.run(columns, len(part), self.block))
        targets = {column: values[chosen] for column, values in self.targets.items()}
        return self.contents.task.outcome(np.concatenate(outputs), targets)


def _trials(inputs: Sequence[Modality]) -> list[_Trial]:
    """Every corruption of every modality at hand; the middle severities are left out where that is too many."""
    by_name: dict[str, list[Modality]] = {}
    for modality in inputs:
        by_name.setdefault(modality.name, []).append(modality)
    trials = []
    for name, modalities in by_name.items():
        for corruption in CORRUPTIONS.get(name, ()):
            for severity in corruption.severities:
                trials.append(_Trial(corruption.name, severity, tuple(modalities), corruption.change))
    if len(trials) > _BUDGET - 1 - _COLUMNS:
        trials = [trial for trial in trials if trial.severity != 2]
    return trials


def _taken_away(runner: _Runner, clean: Outcome, most: int) -> tuple[list[_Trial], str]:
    """One trial for each column that is taken away: those that matter most where they are many."""
    inputs = runner.contents.fitted.inputs
    if len(inputs) < 2:  # without its only input a model has nothing to answer from
        return [], ""
    gone = [_Trial(f"missing: {modality.column}", 3, (modality,), missing) for modality in inputs]
    if len(gone) <= most:
        return gone, ""
    count = max(min(_FEWEST, runner.rows), min(runner.rows, _SCOUTED * runner.rows // len(gone)))
    rows = np.unique(np.linspace(0, runner.rows - 1, count).astype(np.int64))
    looked_at = choose_rows(len(gone), max(most, _SCOUTED * runner.rows // count), runner.seed, "robustness.columns")
    tried = [gone[index] for index in looked_at]
    before = clean.score[rows]
    moved = [float(np.abs(runner.outcome(trial, rows).score - before).mean()) for trial in tried]
    chosen = sorted(np.argsort([-value for value in moved], kind="stable")[:most].tolist())
    untried = f"; {len(gone) - len(tried)} columns, drawn by chance, were not tried" if len(tried) < len(gone) else ""
    note = (
        f"robustness: of {len(gone)} input columns the {most} whose absence moves the outputs of {len(rows)} rows most "
        f"are shown missing{untried}"
    )
    return [tried[index] for index in chosen], note


def _changed(clean: Outcome, outcome: Outcome) -> float:
    """Share of rows answered otherwise; NaN for numbers."""
    if form_of(clean) == "regression":
        return float("nan")
    return float((clean.answer != outcome.answer).reshape(len(clean), -1).any(axis=1).mean())
