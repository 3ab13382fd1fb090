"""How a profile looks on a terminal: the verdict, the parts of a step, modules, operators, memory, advice."""

from __future__ import annotations

import re
from typing import Any

from rich.columns import Columns
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from modelyard.terminal.words import console, duration, rate, size

__all__ = ["print_profile"]

_BAR = 24
"""Characters of a bar that stands for a whole step."""
_ROWS = 8
"""Modules and operators that are shown; the record has more."""
_MEANING = {
    "data": "waiting for the batch",
    "transfer": "moving it to the device",
    "forward": "the model",
    "loss": "the task, without the model",
    "backward": "gradients",
    "optimizer": "clipping, step, moving average",
    "other": "rate, seeds, the loop's notes",
}
_SPENT = {
    "products": ("compute", "products, convolutions, attention"),
    "traffic": ("memory traffic", "other kernels, which mostly move memory"),
    "fixed": ("fixed costs", "calling operators, Python: in no kernel"),
    "input": ("input", "waiting for batches"),
}


def print_profile(profile: Any) -> None:
    """Print where a training step's time and memory go, and what to change."""
    cut = f" in {profile.accumulate} pieces" if profile.accumulate > 1 else ""
    console.print(
        f"[bold]{escape(profile.name)}[/]: {profile.family}, {profile.parameters:,} parameters, {profile.precision}, "
        f"{profile.optimizer}, {profile.batch_size:,} rows a step{cut}"
    )
    threads = f"{profile.threads} thread{'' if profile.threads == 1 else 's'} of {profile.processor}"
    where = threads if profile.device == "cpu" else profile.limits.device
    console.print(f"[dim]on {escape(where)}; {profile.steps} steps measured[/]\n")
    step, plan, account = profile.step, profile.projection, profile.account
    lines = Table.grid(padding=(0, 2))
    lines.add_row(
        "[bold]step[/]",
        f"{time_of(step.median)} (half of them {time_of(step.low)} … {time_of(step.high)}), "
        f"{rate(profile.rows_per_second)}",
    )
    lines.add_row(
        "[bold]training[/]",
        f"{time_of(plan.seconds_per_epoch)} an epoch of {plan.steps_per_epoch:,} steps, {time_of(plan.seconds)} in "
        "all; validation and saving not counted",
    )
    lines.add_row("[bold]bound by[/]", f"[bold yellow]{account.bound_by}[/]")
    lines.add_row("[bold]products[/]", _work(profile))
    console.print(lines)
    console.print()
    _print_parts(profile)
    _print_account(profile)
    _print_modules(profile)
    _print_operators(profile)
    _print_memory(profile.memory, profile.device)
    for note in profile.notes:
        console.print(f"[dim]note: {escape(note)}[/]")
    console.print("[bold]what to change[/]")
    for advice in profile.advice:
        if advice.setting:
            console.print(f"  [green]{escape(advice.setting)}[/]")
        indent = 4 if advice.setting else 2
        # A log has no width to wrap at.
        reason = escape(advice.reason)
        console.print(" " * indent + reason if console.soft_wrap else Padding(reason, (0, 0, 0, indent)))
    if profile.trace:
        console.print(f"\n[bold]trace[/]     {escape(profile.trace)}; open it at ui.perfetto.dev")


def time_of(seconds: float) -> str:
    """Return a short time as a person reads it, with three digits: `812 µs`, `46.2 ms`, `1.30 s`."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{_three(seconds * factor)} {unit}"
    return f"{_three(seconds)} s" if seconds < 119.5 else duration(seconds)


def _three(value: float) -> str:
    """Return a number below 1000 with three digits."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _flops(count: float) -> str:
    """Return a number of floating-point operations as a person reads it."""
    for factor, unit in ((1e3, "kFLOP"), (1e6, "MFLOP"), (1e9, "GFLOP")):
        if count < 999.5 * factor:
            return f"{_three(count / factor)} {unit}" if count else "–"
    return f"{_three(count / 1e12) if count < 999.5e12 else f'{count / 1e12:,.0f}'} TFLOP"


def _work(profile: Any) -> str:
    work = profile.work
    if not work.achieved:
        return "none that could be counted"
    least = work.least_seconds[profile.precision]
    return (
        f"{_flops(work.flops_model + work.flops_optimizer)} a step, {_flops(work.achieved)}/s: "
        f"{work.share_of_limit:.1%} of this machine's measured limit in {profile.precision} ({time_of(least)} a step)"
    )


def _table(title: str, *columns: str, left: int = 1) -> Table:
    table = Table(*columns, title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for column in table.columns[left:]:
        column.justify = "right"
    return table


def _bar(share: float) -> str:
    return "█" * round(_BAR * share) or ("▏" if share > 0 else "")


def _print_parts(profile: Any) -> None:
    table = _table("where a step goes", "part", "time", "share", "", "")
    table.columns[3].justify = table.columns[4].justify = "left"
    for part in profile.parts:
        if part.seconds >= 1e-5 * profile.parts_seconds or part.name == "data":
            table.add_row(part.name, time_of(part.seconds), f"{part.share:.1%}", f"[cyan]{_bar(part.share)}[/]",
                          f"[dim]{_MEANING[part.name]}[/]")  # fmt: skip
    console.print(table)
    apart = profile.parts_seconds - profile.step.median
    said = f"together {time_of(profile.parts_seconds)}"
    if abs(apart) > 0.02 * profile.step.median:
        why = "the device is waited for at every border" if profile.device != "cpu" else "medians, added up"
        said += f", {abs(apart) / profile.step.median:.0%} {'more' if apart > 0 else 'less'} than the step: {why}"
    console.print(f"[dim]{said}; making a batch by itself takes {time_of(profile.loading_seconds)}[/]\n")


def _print_account(profile: Any) -> None:
    account = profile.account
    table = _table("what it is spent on", "", "time", "share", "", "")
    table.columns[3].justify = table.columns[4].justify = "left"
    for name, (shown, meaning) in _SPENT.items():
        share = account.share(name)
        table.add_row(shown, time_of(getattr(account, name)), f"{share:.1%}", f"[cyan]{_bar(share)}[/]",
                      f"[dim]{meaning}[/]")  # fmt: skip
    console.print(table)
    console.print(f"[dim]{account.calls:,.0f} operator calls a step[/]\n")


def _print_modules(profile: Any) -> None:
    if not profile.modules:
        return
    table = _table("costliest modules", "module", "kind", "forward", "backward", "share", "FLOP", "FLOP/s", left=2)
    for module in profile.modules[:_ROWS]:
        whole = module.forward_seconds + module.backward_seconds
        speed = f"{_flops(module.flops / whole)}/s" if module.flops and whole else "–"
        table.add_row(
            escape(module.name) or "[dim](the model itself)[/]",
            escape(module.kind),
            time_of(module.forward_seconds),
            time_of(module.backward_seconds),
            f"{whole / profile.parts_seconds:.1%}",
            _flops(module.flops),
            speed,
        )
    console.print(table)
    console.print()


def _print_operators(profile: Any) -> None:
    kernels = any(operator.kernels for operator in profile.operators)
    columns = ["operator", "calls", "time", "share", *(["longest kernel"] if kernels else [])]
    table = _table("costliest operators", *columns)
    if kernels:
        table.columns[-1].justify = "left"
    for operator in profile.operators[:_ROWS]:
        kernel = [escape(_kernel(operator.kernels[0])) if operator.kernels else ""] if kernels else []
        table.add_row(escape(operator.name), f"{operator.calls:,.0f}", time_of(operator.seconds),
                      f"{operator.share:.1%}", *kernel)  # fmt: skip
    console.print(table)
    console.print()


def _kernel(name: str) -> str:
    """Return a kernel's name without its types and arguments, no longer than half a line."""
    short = re.sub(r"^void |<.*|\(.*", "", name)
    return short if len(short) <= 48 else short[:47] + "…"


def _print_memory(memory: Any, device: str) -> None:
    console.print("[bold]memory of a step[/]")
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "average": memory.average,
        "activations": memory.activations,
        "batch": memory.batch,
    }
    shown = {name: count for name, count in parts.items() if count}
    whole = "" if memory.device_total is None else f" of {size(memory.device_total)}"
    most = size(memory.peak_step) + ("" if device == "cpu" else whole)
    process = size(memory.peak_process) + (whole if device == "cpu" else "")
    console.print(_line({name: size(count) for name, count in shown.items()}))
    console.print(_line({"at most at once": most, "the whole process": process}))
    console.print()


def _line(values: dict[str, str]) -> Padding:
    """Names and values side by side, in more lines where they are too many."""
    return Padding(Columns([f"[dim]{name}[/] {value}" for name, value in values.items()], padding=(0, 2)), (0, 0, 0, 2))
