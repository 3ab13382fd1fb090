"""What is shown while something goes on: a bar on a terminal, a line an epoch everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from modelyard.terminal.words import console, duration, number, rate, size

__all__ = ["DownloadDisplay", "TrainingDisplay", "WorkDisplay"]


class _Display:
    """A bar that stands while its `with` block runs."""

    _bar: Progress

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class TrainingDisplay(_Display):
    """An observer that shows a training as it goes: a bar on a terminal, a line an epoch everywhere."""

    def __init__(self) -> None:
        self._live = console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[speed]}"),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("starting", total=None, speed="")
        self._epochs = 0
        self._shown = 0.0

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
        for finding in event["findings"]:
            if finding["severity"] != "note":
                said = f"{finding['severity']}: {escape(finding['title'])}"
                self._say(f"          [yellow]{said}[/] [dim]({finding['check']})[/]")
        notes = sum(finding["severity"] == "note" for finding in event["findings"])
        if notes:
            self._say(f"          [dim]{notes} note{'s' if notes > 1 else ''} of the data gate: see the report[/]")
        modalities: dict[str, list[str]] = {}
        for column in event["columns"]:
            column = column if isinstance(column, dict) else column.as_dict()
            modalities.setdefault(column["modality"] or "not used", []).append(column["column"])
        for modality, columns in modalities.items():
            shown = ", ".join(columns[:8]) + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")
            self._say(f"          [dim]{modality}: {escape(shown)}[/]")

    def _on_fold(self, event: dict[str, Any]) -> None:
        which = f"{event['fold']}/{event['folds']}"
        self._say(f"[bold]fold[/]      {which} {_line(event['metrics'])} {duration(event['seconds'])}")

    def _on_learning_curve(self, event: dict[str, Any]) -> None:
        self._say(
            f"[bold]share[/]     {event['share']:.0%} of the training rows: "
            f"{event['metric']} {number(event['value'], event['metric'])} {duration(event['seconds'])}"
        )

    def _on_finding_rate(self, event: dict[str, Any]) -> None:
        self._bar.update(self._task, description="learning-rate test", total=None)

    def _on_training(self, event: dict[str, Any]) -> None:
        self._epochs = event["epochs"]
        self._say(
            f"[bold]model[/]     {event['family']}, {event['parameters']:,} parameters, {event['precision']} "
            f"on {event['device']}"
        )
        self._bar.update(self._task, description="epoch 1", total=event["batches"], completed=0)

    def _on_continued(self, event: dict[str, Any]) -> None:
        within = f", batch {event['batch']}" if event["batch"] else ""
        self._say(f"[bold]continued[/] after {event['epoch']} epochs{within} ({event['step']:,} steps)")

    def _on_passed_over(self, event: dict[str, Any]) -> None:
        self._say(f"          [yellow]checkpoint passed over: {escape(event['message'])}[/]")

    def _on_notice(self, event: dict[str, Any]) -> None:
        self._say(f"          [dim]{escape(event['message'])}[/]")

    def _on_no_targets(self, event: dict[str, Any]) -> None:
        self._say(f"          [yellow]step {event['step']:,}: {escape(event['message'])}[/]")

    def _on_spike(self, event: dict[str, Any]) -> None:
        self._say(
            f"          [yellow]the loss of step {event['step']:,} is {event['loss']:.4g}, the usual one "
            f"{event['usual']:.4g}; rows: {escape('; '.join(event['rows'][:3]))} …[/]"
        )

    def _on_skipped(self, event: dict[str, Any]) -> None:
        self._say(f"          [yellow]batch left out: {escape(event['message'])}[/]")

    def _on_went_back(self, event: dict[str, Any]) -> None:
        self._say(f"          [yellow]back from step {event['from_step']:,} to step {event['to_step']:,}[/]")

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


class DownloadDisplay(_Display):
    """Shows a download as it goes."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=32), TextColumn("{task.fields[got]}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, got="")

    def __call__(self, what: str, received: int, total: int | None) -> None:
        """Show how far a download is, in bytes."""
        got = size(received) + (f" of {size(total)}" if total else "")
        self._bar.update(self._task, description=escape(what), completed=received, total=total, got=got)


class WorkDisplay(_Display):
    """Shows what is being done to rows, and how many are through."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("looking at the data", total=None)

    def __call__(self, what: str, rows: int) -> None:
        """Show how many rows are through."""
        self._bar.update(self._task, description=f"{what} {rows:,} rows")


def _line(values: Mapping[str, float]) -> str:
    """The loss and the headline metric of an epoch."""
    return " ".join(f"{name} {number(value, name)}" for name, value in list(values.items())[:2])
