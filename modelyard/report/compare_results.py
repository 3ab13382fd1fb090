"""Sections of the comparison page that put results side by side, each run's as it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.report.charts import Curve, as_table, line_chart
from modelyard.report.compare_sides import Cell, Line, Side, Table, as_number, change_between, cut
from modelyard.report.evaluations import headline, rows_of
from modelyard.report.formatting import MISSING, count, finite, label, number
from modelyard.report.metric_names import change_of, name_of, value_of
from modelyard.report.scales import Scale, linear, logarithmic, whole_ticks
from modelyard.report.strips import Interval, interval_strip
from modelyard.report.tables import scale_of

__all__ = ["calibration", "curves", "labels", "metrics", "robustness", "slices"]

_TABLE = 200
"""Epochs the table shows."""

Paired = Mapping[str, Any] | None
Tables = dict[str, Any]


# -- metrics ----------------------------------------------------------------------------------------------------------


def metrics(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return all metrics: on the same rows where there are such, and as each run measured them itself."""
    own = [run.measured for run in runs]
    tables = []
    if paired is not None:
        same = [{str(one["name"]): one for one in bundle.get("metrics") or []} for bundle in paired["bundles"]]
        if not _alike(same, own):
            what = f"On the same {count(paired.get('rows'), 'row')}: {paired.get('data')}"
            tables.append(_metrics(runs, same, what, False))
    rows = {rows_of(run.judge) for run in runs if run.judge}
    judged = "; ".join(f"{run.letter}: {rows_of(run.judge)}" for run in runs if run.judge)
    if any(own):
        # equal counts are equal rows only where the paired comparison has shown it
        what = f"On the same {rows.pop()}" if paired is not None and not tables and len(rows) == 1 else f"On {judged}"
        tables.append(_metrics(runs, own, what, True))
    if not tables:
        return None
    note = (
        ""
        if paired is not None
        else "These may be different rows: what differs between the runs need not be the models."
    )
    return {"tables": tables, "intro": note}


def _alike(same: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the runs measured on the rows of the paired comparison themselves: all values are equal."""
    for on_same, on_own in zip(same, own, strict=True):
        for name, one in on_same.items():
            here, there = finite(one.get("value")), finite((on_own.get(name) or {}).get("value"))
            if here is None and there is None:
                continue
            if here is None or there is None or abs(here - there) > 1e-6 or one["rows"] != on_own[name].get("rows"):
                return False
    return True


def _metrics(runs: Sequence[Side], by_run: Sequence[Mapping[str, Any]], what: str, baselines: bool) -> Table:
    names = list(dict.fromkeys(name for found in by_run for name in found))
    lines = []
    for name in names:
        measured = [found.get(name) or {} for found in by_run]
        parts = [
            Interval(f"judged {run.kind}", *(finite(one.get(key)) for key in ("value", "low", "high", "baseline")))
            for run, one in zip(runs, measured, strict=True)
        ]
        scale = scale_of(name, [end for one in parts for end in (one.value, one.low, one.high, one.baseline)])
        spoken = f"{name_of(name).title}: " + "; ".join(
            f"{run.letter} {value_of(name, one.get('value'))}" for run, one in zip(runs, measured, strict=True)
        )
        cells = [_with_interval(name, one) for one in measured]
        if baselines:
            cells.append(_baseline(name, measured))
        higher = next((one["higher_is_better"] for one in measured if "higher_is_better" in one), True)
        lines.append(
            Line(
                name_of(name).title,
                cells,
                name_of(name).meaning + ("" if higher else f"{' · ' if name_of(name).meaning else ''}lower is better"),
                interval_strip(parts, scale, spoken, 12),
                (_end(name, scale.low), _end(name, scale.high)),
            )
        )
    return Table(what, ("measured",), "Metric", lines, ["Trivial answer"] if baselines else [], "All runs")


def _with_interval(name: str, one: Mapping[str, Any]) -> Cell:
    value, low, high = (value_of(name, one.get(key), one.get("rows")) for key in ("value", "low", "high"))
    return Cell(value, "" if MISSING in (low, high) else f"{low} to {high}", finite(one.get("value")))


def _baseline(name: str, measured: Sequence[Mapping[str, Any]]) -> Cell:
    """The trivial answer, once when it is the same for all runs."""
    told = dict.fromkeys(value_of(name, one.get("baseline"), one.get("rows")) for one in measured)
    return Cell(" / ".join(text for text in told if text != MISSING) or MISSING)


def _end(name: str, value: float) -> str:
    return value_of(name, value).replace(".0%", "%")


# -- curves -----------------------------------------------------------------------------------------------------------


def curves(runs: Sequence[Side], paired: Paired, why: str) -> dict[str, Any] | None:
    """Return the validation curves of all runs over each other: the loss, the headline metric, and the others."""
    known = {
        name: None
        for run in runs
        for epoch in run.training.get("epochs") or []
        for name in epoch.get("validation") or {}
    }
    first = next((one["name"] for run in runs if (one := headline(run.judge)) is not None), None)
    names = sorted(known, key=lambda name: (name != "loss", name != first))
    charts = [chart for name in names if (chart := _chart(runs, name))]
    if not charts:
        return None
    losses = {str(run.spec.get("task")) for run in runs}
    return {"runs": runs, "charts": charts[:2], "more": charts[2:], "losses_differ": len(losses) > 1}


def _chart(runs: Sequence[Side], metric: str) -> dict[str, Any] | None:
    values: dict[str, dict[int, float]] = {}
    lines = []
    for run in runs:
        known = {
            int(epoch["epoch"]): value
            for epoch in run.training.get("epochs") or []
            if (value := finite((epoch.get("validation") or {}).get(metric))) is not None
        }
        if known:
            values[run.letter] = known
            lines.append(Curve(run.letter, run.kind, [(float(at), value) for at, value in known.items()]))
    if not lines:
        return None
    every = [y for curve in lines for _, y in curve.points]
    epochs = sorted({at for known in values.values() for at in known})
    log = metric == "loss" and min(every) > 0 and max(every) / min(every) > 30
    low, high = epochs[0], epochs[-1]
    step = -(-len(epochs) // 500)
    title = f"{name_of(metric).title} on validation"
    chart = line_chart(
        f"{title}, by epoch",
        lines,
        Scale(low, high) if low < high else Scale(low - 0.5, high + 0.5),
        logarithmic(every) if log else linear(every),
        [(float(tick), number(tick)) for tick in whole_ticks(low, high)],
        [(float(at), [f"epoch {at}", *_told(values, metric, at)]) for at in epochs[::step]],
        x_title="epoch",
    )
    shown = epochs[:: -(-len(epochs) // _TABLE)]
    rows = [[str(at), *(value_of(metric, known.get(at)) for known in values.values())] for at in shown]
    table = as_table(title, ["Epoch", *values], rows)
    note = "logarithmic" if log else name_of(metric).meaning
    return {"title": title, "note": note, "chart": chart, "table": table}


def _told(values: Mapping[str, Mapping[int, float]], metric: str, at: int) -> list[str]:
    return [f"{letter} {value_of(metric, known[at])}" for letter, known in values.items() if at in known]


# -- parts of the rows ------------------------------------------------------------------------------------------------


def labels(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return each label's F1 (each target's R²) in every run, those first that differ most."""
    by_run = [{str(one["name"]): one for one in run.judge.get("per_label") or []} for run in runs]
    keys = {next((key for key in ("f1", "r2") if key in one), "") for found in by_run for one in found.values()}
    if len(keys) != 1 or not (key := keys.pop()):
        return None
    lines = []
    for name in dict.fromkeys(name for found in by_run for name in found):
        measured = [found.get(name) or {} for found in by_run]
        cells = [Cell(value_of(key, one.get(key)), _small(one, key), finite(one.get(key))) for one in measured]
        lines.append(Line(label(name), [*cells, _spread(key, cells)], _rows(measured)))
    lines.sort(key=lambda line: -(line.cells[-1].sort or 0.0))
    shown, left_out = cut(lines)
    what = "F1 of each label, with precision and recall" if key == "f1" else "R² of each target"
    first = "Label" if key == "f1" else "Target"
    table = Table(what, ("measured",), first, shown, ["Largest difference"], left_out=left_out)
    return {"tables": [table], "intro": ""}


def _small(one: Mapping[str, Any], key: str) -> str:
    if key != "f1" or not one:
        return ""
    return f"{value_of('precision', one.get('precision'))} · {value_of('recall', one.get('recall'))}"


def _rows(measured: Sequence[Mapping[str, Any]]) -> str:
    told = dict.fromkeys(count(one["rows"], "row") for one in measured if one.get("rows") is not None)
    return " / ".join(told)


def _spread(metric: str, cells: Sequence[Cell]) -> Cell:
    known = [cell.sort for cell in cells if cell.sort is not None]
    if len(known) < 2:
        return Cell()
    gap = max(known) - min(known)
    return Cell(change_of(metric, gap).lstrip("+"), "", gap)


def slices(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return slices that several runs measured, with what became better or worse; then those of one run alone."""
    by_run = [{_slice_name(one): one for one in run.judge.get("slices") or []} for run in runs]
    names = list(dict.fromkeys(name for found in by_run for name in found))
    if not names:
        return None
    lines = []
    for name in names:
        measured = [found.get(name) or {} for found in by_run]
        cells = [_slice_cell(one) for one in measured]
        metric = next(one["metric"] for one in measured if one)
        lines.append(Line(name, [*cells, *(_change(metric, cells[0], cell) for cell in cells[1:])], _rows(measured)))
    lines.sort(key=lambda line: sum(cell.sort is None for cell in line.cells[: len(runs)]))
    shown, left_out = cut(lines)
    further = [f"{run.letter} less {runs[0].letter}" for run in runs[1:]]
    intro = (
        "A slice that was searched for is named only by the runs that do worst there, so a dash says nothing of the "
        "others. Name columns in evaluate.slices to measure the same slices in every run."
        if any(cell.sort is None for line in lines for cell in line.cells[: len(runs)])
        else ""
    )
    table = Table("The headline metric on rows that share something", ("measured",), "Slice", shown, further,
                  left_out=left_out)  # fmt: skip
    return {"tables": [table], "intro": intro}


def _slice_name(one: Mapping[str, Any]) -> str:
    parts = one.get("condition") or [one]
    return " and ".join(f"{part.get('column')} is {part.get('value')}" for part in parts)


def _slice_cell(one: Mapping[str, Any]) -> Cell:
    if not one:
        return Cell()
    rest = value_of(one["metric"], one.get("rest"))
    small = f"elsewhere {rest}" + (", worse" if one.get("worse") else "")
    return Cell(value_of(one["metric"], one.get("metric_value")), small, finite(one.get("metric_value")))


def _change(metric: str, first: Cell, other: Cell) -> Cell:
    if first.sort is None or other.sort is None:
        return Cell()
    change = other.sort - first.sort
    return Cell(change_of(metric, change), "", change)


# -- trust ------------------------------------------------------------------------------------------------------------


def calibration(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return the errors of the probabilities."""
    found = [run.judge.get("calibration") or {} for run in runs]
    if not any(found):
        return None
    named = (
        ("Expected calibration error", "mean distance of probability and truth", "ece"),
        ("Largest error of a bin", "", "largest"),
        ("Temperature", "above 1: the model is too sure", "temperature"),
        ("Calibration error with this temperature", "as the bundle can be asked to use it", "ece_calibrated"),
        ("Log loss", "surprise at the true label", "log_loss"),
        ("Log loss with this temperature", "", "log_loss_calibrated"),
    )
    lines = []
    for title, note, key in named:
        cells = [as_number(one.get(key)) for one in found]
        if key == "ece":
            cells = [_with_ends(one) for one in found]
        if any(cell.sort is not None for cell in cells):
            lines.append(Line(title, cells, note))
    return {"tables": [Table("Whether probabilities mean what they say", ("measured",), "", lines)], "intro": ""}


def _with_ends(one: Mapping[str, Any]) -> Cell:
    low, high = number(one.get("low")), number(one.get("high"))
    return Cell(number(one.get("ece")), "" if MISSING in (low, high) else f"{low} to {high}", finite(one.get("ece")))


def robustness(runs: Sequence[Side], paired: Paired, why: str) -> Tables | None:
    """Return what corrupted inputs cost each run."""
    by_run = [
        {(str(one.get("corruption")), int(one.get("severity") or 0)): one for one in run.judge.get("robustness") or []}
        for run in runs
    ]
    places = list(dict.fromkeys(place for found in by_run for place in found))
    if not places:
        return None
    lines = []
    for corruption, severity in places:
        measured = [found.get((corruption, severity)) or {} for found in by_run]
        lines.append(Line(f"{corruption}, severity {severity}", [_change_cell(one) for one in measured]))
    shown, left_out = cut(lines)
    metric = next(str(one["metric"]) for found in by_run for one in found.values())
    table = Table(f"Change of {name_of(metric).title} when inputs are corrupted (severity 1 to 3)", ("measured",),
                  "Corruption", shown, left_out=left_out)  # fmt: skip
    return {"tables": [table], "intro": ""}


def _change_cell(one: Mapping[str, Any]) -> Cell:
    if not one:
        return Cell()
    between = change_between(one["metric"], one.get("low"), one.get("high"))
    return Cell(change_of(one["metric"], one.get("change")), between.strip(MISSING), finite(one.get("change")))
