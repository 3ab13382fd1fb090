"""How records look on a terminal: tables and bars where a person watches, plain lines in a log."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = [
    "DownloadDisplay",
    "TrainingDisplay",
    "print_answers",
    "print_bundle",
    "print_catalog",
    "print_check",
    "print_comparison",
    "print_draft",
    "print_entry",
    "print_evaluation",
    "print_fetched",
    "print_recipes",
    "print_run",
    "print_runs",
    "print_written",
]

_console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())

_PERCENT = {"accuracy", "balanced_accuracy", "top_5_accuracy", "subset_accuracy", "precision", "recall"}


def number(value: float | None, metric: str = "") -> str:
    """Return a metric's value as a person reads it: shares as percent, others with four significant digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if metric in _PERCENT:
        return f"{100 * value:.2f}%"
    return f"{value:.4f}" if 0.001 <= abs(value) < 100 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a duration as a person reads it: `8.3 s`, `4 min 10 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int | None) -> str:
    """Return a number of bytes as a person reads it."""
    if count is None:
        return "–"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def rate(rows: float) -> str:
    """Return a speed in rows per second as a person reads it."""
    return f"{rows / 1000:.1f}k rows/s" if rows >= 1000 else f"{rows:.0f} rows/s"


# -- while something goes on ------------------------------------------------------------------------------------------


class TrainingDisplay:
    """An observer that shows a training as it goes: a bar on a terminal, a line an epoch everywhere."""

    def __init__(self) -> None:
        self._live = _console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[speed]}"),
            console=_console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("starting", total=None, speed="")
        self._epochs = 0
        self._shown = 0.0

    def __enter__(self) -> TrainingDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show an event."""
        handler = getattr(self, f"_on_{event['event']}", None)
        if handler is not None:
            handler(event)

    def _on_preparing(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, description=f"preparing {escape(event['source'])}", total=None)

    def _on_prepared(self, event: dict[str, Any]) -> None:
        rows = ", ".join(f"{count:,} {split}" for split, count in event["rows"].items())
        again = " (prepared before)" if event["reused"] else f" in {duration(event['seconds'])}"
        self._say(f"[bold]data[/]      {rows}{again}")
        for reason, count in event["dropped"].items():
            self._say(f"          [yellow]{count:,} rows left out: {escape(reason)}[/]")
        modalities: dict[str, list[str]] = {}
        for column in event["columns"]:
            column = column if isinstance(column, dict) else column.as_dict()
            modalities.setdefault(column["modality"] or "not used", []).append(column["column"])
        for modality, columns in modalities.items():
            shown = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
            self._say(f"          [dim]{modality}: {escape(shown)}[/]")

    def _on_finding_rate(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, description="learning-rate test", total=None)

    def _on_training(self, event: dict[str, Any]) -> None:
        self._epochs = event["epochs"]
        self._say(
            f"[bold]model[/]     {event['family']}, {event['parameters']:,} parameters, {event['precision']} "
            f"on {event['device']}"
        )
        self._bar.update(self._task, description="epoch 1", total=event["batches"], completed=0)

    def _on_progress(self, event: dict[str, Any]) -> None:
        if not self._live or event["time"] - self._shown < 0.1:
            return
        self._shown = event["time"]
        if "batch" in event:
            label = f"epoch {event['epoch']}/{self._epochs}"
            self._bar.update(self._task, description=label, completed=event["batch"], total=event["batches"])
        else:
            self._bar.update(self._task, description=f"{event['doing']}: {event['rows']:,} rows", total=None)

    def _on_epoch(self, event: dict[str, Any]) -> None:
        width = len(str(self._epochs))
        train = _line(event["train"])
        validation = f" │ validation {_line(event['validation'])}" if event["validation"] else ""
        star = " [yellow]★[/]" if event["best"] else ""
        speed = rate(event["rows_per_second"])
        self._say(
            f"[bold]epoch {event['epoch']:>{width}}/{self._epochs}[/] {train}{validation}{star} "
            f"[dim]{duration(event['seconds'])}, {speed}[/]"
        )
        self._bar.reset(self._task, description=f"epoch {event['epoch'] + 1}/{self._epochs}", speed=speed)

    def _on_evaluating(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, description="evaluating", total=None, speed="")

    def _say(self, text: str) -> None:
        self._bar.console.print(text)


class DownloadDisplay:
    """Shows a download as it goes."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=32), TextColumn("{task.fields[got]}"),
            console=_console, transient=True, disable=not _console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, got="")

    def __enter__(self) -> DownloadDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, what: str, received: int, total: int | None) -> None:
        """Show how far a download is, in bytes."""
        got = size(received) + (f" of {size(total)}" if total else "")
        self._bar.update(self._task, description=escape(what), completed=received, total=total, got=got)


def _line(values: Mapping[str, float]) -> str:
    """The loss and the headline metric of an epoch."""
    return " ".join(f"{name} {number(value, name)}" for name, value in list(values.items())[:2])


# -- results ----------------------------------------------------------------------------------------------------------


def print_run(run: Any) -> None:
    """Print what a finished run came to, where everything is, and what to try next."""
    training = run.training
    _console.print()
    if training.stopped_early:
        _console.print(f"[bold]stopped[/]   {training.stopped_early}")
    if training.kept_epoch != len(training.epochs):
        _console.print(f"[bold]kept[/]      the weights of epoch {training.kept_epoch}")
    for evaluation in run.evaluations[-1:]:
        print_evaluation(evaluation)
    _console.print(
        f"[bold]time[/]      {duration(run.data.seconds)} for the data, {duration(training.seconds)} for training "
        f"({rate(training.rows_per_second)})"
    )
    _console.print(f"[bold]bundle[/]    {run.bundle}")
    _console.print(f"[bold]report[/]    {run.bundle}/report.html")
    _console.print("\n[dim]next[/]")
    _console.print(f"  [dim]look at it:[/]    open {run.bundle}/report.html in a browser")
    _console.print(f"  [dim]use it:[/]        modelyard predict {run.bundle} --input ROWS")
    _console.print(f"  [dim]compare it:[/]    modelyard runs {run.path} OTHER-RUN")


def print_evaluation(evaluation: Any) -> None:
    """Print metrics with their intervals and baselines."""
    level = f"{100 * evaluation.confidence:g}% interval"
    table = Table("metric", "value", level, "baseline", title=f"{evaluation.split}: {evaluation.rows:,} rows",
                  title_justify="left", title_style="bold", show_edge=False, pad_edge=False)  # fmt: skip
    for column in table.columns[1:]:
        column.justify = "right"
    for metric in evaluation.metrics:
        interval = f"{number(metric.low, metric.name)} … {number(metric.high, metric.name)}"
        table.add_row(metric.name, number(metric.value, metric.name), interval, number(metric.baseline, metric.name))
    _console.print(table)
    if evaluation.rows_without_target:
        _console.print(f"[yellow]{evaluation.rows_without_target:,} rows could not be measured[/]")
    for note in evaluation.notes:
        _console.print(f"[dim]note: {escape(note)}[/]")
    _console.print()


def print_draft(draft: Mapping[str, Any]) -> None:
    """Print what was inferred about somebody's data."""
    table = Table("column", "taken as", "because", title=f"{draft['rows_seen']:,} rows looked at", title_justify="left",
                  show_edge=False, pad_edge=False)  # fmt: skip
    for column in draft["columns"]:
        style = "" if column["modality"] else "dim"
        table.add_row(escape(column["column"]), column["modality"] or "not used", escape(column["reason"]), style=style)
    _console.print(table)
    _console.print(f"\n[bold]task[/]    {draft['task']}")
    _console.print(f"[bold]model[/]   {draft['family']}: {escape(draft['family_reason'])}")
    _console.print(f"[bold]written[/] {draft['path']}\n\n[dim]next:[/] modelyard train {draft['path']}")


def print_answers(result: Mapping[str, Any]) -> None:
    """Print answers, one line a row."""
    for row in result["answers"]:
        parts = []
        for name, value in row.items():
            if isinstance(value, list):
                continue
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            parts.append(f"[dim]{escape(name)}[/] {escape(shown)}")
        _console.print("  ".join(parts))
    for note, count in result["notes"].items():
        _console.print(f"[yellow]note: {escape(note)} ({count} rows)[/]")


def print_written(written: Any) -> None:
    """Print where answers were written."""
    _console.print(f"{written.rows:,} rows answered: {escape(written.path)}")
    if written.unanswered:
        _console.print(f"[yellow]{written.unanswered:,} rows could not be read; their column 'problem' says why[/]")
    for note, count in written.notes.items():
        if note != "unreadable":
            _console.print(f"[yellow]note: {escape(note)} ({count:,} rows)[/]")


def print_runs(records: list[Any]) -> None:
    """Print the runs of a folder."""
    if not records:
        _console.print("no runs here yet; start one with: modelyard train SPEC")
        return
    table = Table("run", "status", "started", "time", "result", show_edge=False, pad_edge=False)
    for run in records:
        result = "  ".join(f"{name} {number(value, name)}" for name, value in list(run.metrics.items())[:2])
        style = {"failed": "red", "stopped": "yellow", "running": "cyan"}.get(run.status, "")
        table.add_row(str(run.path), run.status, run.started[:16].replace("T", " "), duration(run.seconds),
                      escape(result or run.message.split("\n")[0][:60]), style=style)  # fmt: skip
    _console.print(table)


def print_comparison(comparison: Any) -> None:
    """Print what differs between runs."""
    heads = [run.path.name for run in comparison.runs]
    table = Table("", *heads, show_edge=False, pad_edge=False)
    for name, values in comparison.metrics.items():
        table.add_row(f"[bold]{name}[/]", *(number(value, name) for value in values))
    table.add_row("[bold]time[/]", *(duration(run.seconds) for run in comparison.runs), end_section=True)
    for name, values in comparison.settings.items():
        table.add_row(escape(name), *("–" if value is None else escape(str(value)) for value in values))
    _console.print(table)


def print_recipes(records: list[Any]) -> None:
    """Print the recipes."""
    table = Table("recipe", "what it trains", "expect", show_edge=False, pad_edge=False)
    for recipe in records:
        table.add_row(f"[bold]{recipe.name}[/]", escape(recipe.about), escape(recipe.expected))
    _console.print(table)
    _console.print("\n[dim]read one:[/] modelyard recipes show NAME   [dim]run one:[/] modelyard train NAME")


def print_catalog(entries: list[Any]) -> None:
    """Print the catalogue of data sets."""
    table = Table("name", "what it is", "rows", "licence", show_edge=False, pad_edge=False)
    for entry in entries:
        rows = ", ".join(f"{count:,} {split}" for split, count in entry.rows.items())
        table.add_row(f"[bold]{entry.name}[/]", escape(entry.title), rows, escape(entry.licence))
    _console.print(table)
    _console.print("\n[dim]fetch one:[/] modelyard data get NAME   [dim]use one:[/] source: catalog:NAME")


def print_entry(entry: Any) -> None:
    """Print all that is known of a data set."""
    for name, value in entry.as_dict().items():
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        _console.print(f"[bold]{name:<12}[/] {escape(str(value))}")


def print_fetched(result: Mapping[str, Any]) -> None:
    """Print where a data set is."""
    _console.print(f"{result['name']} is in {result['path']}\n[dim]in a spec:[/] source: catalog:{result['name']}")


def print_bundle(bundle: Any) -> None:
    """Print what is in a bundle."""
    lines = {
        "bundle": f"{bundle.name}  ({bundle.digest[:12]}, {bundle.created}, modelyard {bundle.modelyard})",
        "inputs": ", ".join(f"{column} ({modality})" for column, modality in bundle.inputs.items()),
        "targets": ", ".join(f"{column} ({modality})" for column, modality in bundle.targets.items()),
        "model": f"{bundle.family}, {bundle.parameters:,} parameters, {bundle.task}",
        "rows": ", ".join(f"{count:,} {split}" for split, count in bundle.rows.items()),
        "results": "  ".join(f"{m['name']} {number(m['value'], m['name'])}" for m in bundle.metrics),
        "files": f"{len(bundle.files)}, {size(sum(bundle.files.values()))}",
    }
    for name, value in lines.items():
        _console.print(f"[bold]{name:<9}[/] {escape(value)}")


def print_check(check: Any) -> None:
    """Print that a bundle is whole."""
    _console.print(f"[green]whole[/]: {check.files} files, {size(check.bytes)}, every digest as written")
