"""How runs, evaluations, answers and bundles look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from modelyard.terminal.words import console, duration, number, rate, size

__all__ = [
    "print_answers",
    "print_bundle",
    "print_check",
    "print_comparison",
    "print_evaluation",
    "print_recipes",
    "print_run",
    "print_runs",
    "print_written",
]


def print_run(run: Any) -> None:
    """Print what a finished run came to, where everything is, and what to try next."""
    training = run.training
    console.print()
    if training.stopped_early:
        console.print(f"[bold]stopped[/]   {training.stopped_early}")
    if training.kept_epoch != len(training.epochs):
        console.print(f"[bold]kept[/]      the weights of epoch {training.kept_epoch}")
    for evaluation in run.evaluations[-1:]:
        print_evaluation(evaluation)
    console.print(
        f"[bold]time[/]      {duration(run.data.seconds)} for the data, {duration(training.seconds)} for training "
        f"({rate(training.rows_per_second)})"
    )
    console.print(f"[bold]bundle[/]    {run.bundle}")
    console.print(f"[bold]report[/]    {run.bundle}/report.html")
    console.print("\n[dim]next[/]")
    console.print(f"  [dim]look at it:[/]    open {run.bundle}/report.html in a browser")
    console.print(f"  [dim]use it:[/]        modelyard predict {run.bundle} --input ROWS")
    console.print(f"  [dim]compare it:[/]    modelyard compare {run.path} OTHER-RUN")


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
    console.print(table)
    _print_closer(evaluation)
    if evaluation.rows_without_target:
        console.print(f"[yellow]{evaluation.rows_without_target:,} rows could not be measured[/]")
    for note in evaluation.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    console.print()


def _print_closer(evaluation: Any) -> None:
    """Print what the closer look found, a line each: calibration, threshold, worst slices, groups, corruptions."""
    calibration, threshold = evaluation.calibration, evaluation.threshold
    if calibration is not None:
        interval = f"{number(calibration.low)} … {number(calibration.high)}"
        line = f"[bold]calibration[/] error {number(calibration.ece)} ({interval})"
        if calibration.temperature is not None:
            line += f"; {number(calibration.ece_calibrated)} at temperature {number(calibration.temperature)}"
        console.print(line)
    if threshold is not None:
        console.print(
            f"[bold]threshold[/]   {number(threshold.value)} instead of {number(threshold.default)}: "
            f"{escape(threshold.goal)}"
        )
    for found in [one for one in evaluation.slices if one.worse][:3]:
        value = f"{number(found.metric_value, found.metric)}, elsewhere {number(found.rest, found.metric)}"
        console.print(
            f"[bold]worse on[/]    {escape(found.column)} = {escape(found.value)}: {found.metric} {value} "
            f"({found.rows:,} rows)"
        )
    for group in evaluation.fairness:
        for gap in group.differences[:2]:
            console.print(
                f"[bold]groups[/]      {escape(group.column)}: {gap['metric']} differs by {number(gap['difference'])} "
                f"({number(gap['low'])} … {number(gap['high'])}), {escape(str(gap['highest']))} above "
                f"{escape(str(gap['lowest']))}"
            )
    better = {metric.name: 1 if metric.higher_is_better else -1 for metric in evaluation.metrics}
    lost = sorted(evaluation.robustness, key=lambda one: one.change * better.get(one.metric, 1))
    lost = [one for one in lost if one.change * better.get(one.metric, 1) < 0][:2]
    for one in lost:
        console.print(
            f"[bold]corrupted[/]   {escape(one.corruption)}, severity {one.severity}: {one.metric} "
            f"{number(one.clean, one.metric)} → {number(one.corrupted, one.metric)}"
        )
    if evaluation.suspect_rows:
        console.print(
            f"[bold]suspects[/]    {evaluation.suspect_rows:,} rows whose label is likely wrong; see the report"
        )


def print_answers(result: Mapping[str, Any]) -> None:
    """Print answers, one line a row."""
    for row in result["answers"]:
        parts = []
        for name, value in row.items():
            if isinstance(value, list):
                continue
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            parts.append(f"[dim]{escape(name)}[/] {escape(shown)}")
        console.print("  ".join(parts))
    for note, count in result["notes"].items():
        console.print(f"[yellow]note: {escape(note)} ({count} rows)[/]")


def print_written(written: Any) -> None:
    """Print where answers were written."""
    console.print(f"{written.rows:,} rows answered: {escape(written.path)}")
    if written.unanswered:
        console.print(f"[yellow]{written.unanswered:,} rows could not be read; their column 'problem' says why[/]")
    for note, count in written.notes.items():
        if note != "unreadable":
            console.print(f"[yellow]note: {escape(note)} ({count:,} rows)[/]")


def print_runs(records: list[Any]) -> None:
    """Print the runs of a folder."""
    if not records:
        console.print("no runs here yet; start one with: modelyard train SPEC")
        return
    table = Table("run", "status", "started", "time", "result", show_edge=False, pad_edge=False)
    for run in records:
        result = "  ".join(f"{name} {number(value, name)}" for name, value in list(run.metrics.items())[:2])
        style = {"failed": "red", "stopped": "yellow", "running": "cyan"}.get(run.status, "")
        table.add_row(str(run.path), run.status, run.started[:16].replace("T", " "), duration(run.seconds),
                      escape(result or run.message.split("\n")[0][:60]), style=style)  # fmt: skip
    console.print(table)


def print_comparison(comparison: Any, page: str) -> None:
    """Print what differs between runs, and what the paired tests say."""
    heads = [run.path.name for run in comparison.runs]
    table = Table("", *heads, show_edge=False, pad_edge=False)
    for name, values in comparison.metrics.items():
        table.add_row(f"[bold]{name}[/]", *(number(value, name) for value in values))
    table.add_row("[bold]time[/]", *(duration(run.seconds) for run in comparison.runs), end_section=True)
    for name, values in comparison.settings.items():
        table.add_row(escape(name), *("–" if value is None else escape(str(value)) for value in values))
    console.print(table)
    if comparison.paired is None:
        console.print(f"\n[yellow]not tested on the same rows: {escape(comparison.unpaired_because)}[/]")
    else:
        paired = comparison.paired
        console.print(f"\n[bold]on the same {paired.rows:,} rows[/] ({escape(paired.data)})")
        for verdict in paired.verdict:
            console.print(f"  {escape(verdict)}")
        for note in paired.notes:
            console.print(f"  [dim]note: {escape(note)}[/]")
    console.print(f"\n[bold]page[/]      {escape(page)}")


def print_recipes(records: list[Any]) -> None:
    """Print the recipes."""
    table = Table("recipe", "what it trains", "expect", show_edge=False, pad_edge=False)
    for recipe in records:
        table.add_row(f"[bold]{recipe.name}[/]", escape(recipe.about), escape(recipe.expected))
    console.print(table)
    console.print("\n[dim]read one:[/] modelyard recipes show NAME   [dim]run one:[/] modelyard train NAME")


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
        console.print(f"[bold]{name:<9}[/] {escape(value)}")


def print_check(check: Any) -> None:
    """Print that a bundle is whole."""
    console.print(f"[green]whole[/]: {check.files} files, {size(check.bytes)}, every digest as written")
