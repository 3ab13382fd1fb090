"""How records about data look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from modelyard.terminal.words import console, duration

__all__ = ["print_catalog", "print_data_check", "print_draft", "print_entry", "print_fetched", "print_findings"]

_STYLES = {"refuse": "bold red", "warn": "yellow", "note": "cyan"}


def print_data_check(check: Any) -> None:
    """Print what the data is and what the data gate found."""
    rows = ", ".join(f"{count:,} {split}" for split, count in check.rows.items())
    console.print(f"[bold]data[/]      {escape(str(check.source))}: {rows} rows, {len(check.schema)} columns")
    for reason, count in check.dropped.items():
        console.print(f"          [yellow]{count:,} rows left out: {escape(reason)}[/]")
    if check.quarantine:
        console.print(f"          [dim]they are listed in {escape(check.quarantine)}[/]")
    print_findings(check.findings, examples=5)
    counts = {name: sum(one.severity == name for one in check.findings) for name in _STYLES}
    verdict = "[green]nothing stops training on it[/]"
    if counts["refuse"]:
        verdict = "[bold red]training on it is refused[/] until each of the refusals is mended or accepted"
    said = f"{counts['refuse']} refusals, {counts['warn']} warnings, {counts['note']} notes"
    console.print(f"\n[bold]verdict[/]   {verdict}: {said} [dim]({duration(check.seconds)})[/]")


def print_findings(findings: Any, examples: int = 3) -> None:
    """Print findings of the data gate, each with the first of its rows and the setting that is about it."""
    for finding in findings:
        style = _STYLES[finding.severity]
        console.print(
            f"\n[{style}]{finding.severity:<7}[/]   [bold]{escape(finding.title)}[/] [dim]({finding.check})[/]"
        )
        console.print(f"          {escape(finding.why)}")
        for row in finding.examples[:examples]:
            what = f": {escape(row.what)}" if row.what else ""
            console.print(f"          [dim]{escape(row.place)}{what}[/]")
        if finding.rows > examples and len(finding.examples) >= examples:
            console.print(f"          [dim]… and {finding.rows - examples:,} more rows[/]")
        if finding.policy == "drop":
            console.print("          [dim]these rows are left out[/]")
        if finding.setting:
            console.print(f"          [dim]setting:[/] {escape(finding.setting)}")


def print_draft(draft: Mapping[str, Any]) -> None:
    """Print what was inferred about somebody's data."""
    table = Table("column", "taken as", "because", title=f"{draft['rows_seen']:,} rows looked at", title_justify="left",
                  show_edge=False, pad_edge=False)  # fmt: skip
    for column in draft["columns"]:
        style = "" if column["modality"] else "dim"
        table.add_row(escape(column["column"]), column["modality"] or "not used", escape(column["reason"]), style=style)
    console.print(table)
    console.print(f"\n[bold]task[/]    {draft['task']}")
    console.print(f"[bold]model[/]   {draft['family']}: {escape(draft['family_reason'])}")
    console.print(f"[bold]written[/] {draft['path']}\n\n[dim]next:[/] modelyard train {draft['path']}")


def print_catalog(entries: list[Any]) -> None:
    """Print the catalogue of data sets."""
    table = Table("name", "what it is", "rows", "licence", show_edge=False, pad_edge=False)
    for entry in entries:
        rows = ", ".join(f"{count:,} {split}" for split, count in entry.rows.items())
        table.add_row(f"[bold]{entry.name}[/]", escape(entry.title), rows, escape(entry.licence))
    console.print(table)
    console.print("\n[dim]fetch one:[/] modelyard data get NAME   [dim]use one:[/] source: catalog:NAME")


def print_entry(entry: Any) -> None:
    """Print all that is known of a data set."""
    for name, value in entry.as_dict().items():
        if isinstance(value, dict):
            value = ", ".join(f"{key}: {item}" for key, item in value.items())
        elif isinstance(value, list):
            value = ", ".join(str(item) for item in value)
        console.print(f"[bold]{name:<12}[/] {escape(str(value))}")


def print_fetched(result: Mapping[str, Any]) -> None:
    """Print where a data set is."""
    console.print(f"{result['name']} is in {result['path']}\n[dim]in a spec:[/] source: catalog:{result['name']}")
