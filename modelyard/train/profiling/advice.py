"""What to change, told from a profile's numbers: one rule a function, all thresholds in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.spec.spec import TrainSpec
from modelyard.train.profiling.records import Advice, Profile

__all__ = ["THRESHOLDS", "Thresholds", "advise"]


@dataclass(frozen=True)
class Thresholds:
    """From where on something is worth saying."""

    data: float = 0.1
    """Share of a step that waits for batches."""
    transfer: float = 0.1
    """Share of a step that moves batches to the accelerator."""
    optimizer: float = 0.25
    """Share of a step that the optimizer takes."""
    fixed: float = 0.4
    """Share of a step that is fixed costs."""
    products: float = 0.3
    """Share of a step in products, from which their precision matters."""
    faster: float = 1.3
    """How many times as fast another precision's limit must be."""
    traffic: float = 0.4
    """Share of a step in kernels that mostly move memory."""
    fills: float = 0.8
    """Share of the device's memory that is held at the peak."""
    state: float = 0.3
    """Share of a step's peak memory that is the optimizer's state."""
    activations: float = 0.5
    """Share of a step's peak memory that is activations."""
    near: float = 0.6
    """Share of the machine's limit that is near it."""
    worth_compiling: float = 600.0
    """Seconds of training, from which the minute that compiling may take comes back."""
    large: int = 4096
    """Rows of a batch, from which a larger one is not advised."""


THRESHOLDS = Thresholds()


def advise(profile: Profile, settings: TrainSpec, cores: int) -> list[Advice]:
    """Return what to change, the most promising first.

    Args:
        profile: The measured numbers; its own advice is not looked at.
        settings: As the spec asks, with `workers` resolved. What it leaves to measurement (`precision` and `compile`
            when `auto`) was measured on real steps, and no guess is made against that.
        cores: CPU cores this process may use.
    """
    rules = (_data, _transfer, _threads, _precision, _fixed, _optimizer, _traffic, _memory)
    found = [(gain, advice) for rule in rules for gain, advice in rule(profile, settings, cores)]
    found.sort(key=lambda one: -one[0])
    best: dict[str, Advice] = {}
    for _, advice in found:
        best.setdefault(advice.setting.partition("=")[0] or advice.reason, advice)  # one advice a setting
    return list(best.values()) or [_nothing(profile)]


_Found = Sequence[tuple[float, Advice]]
"""(Share of a step that may be gained, advice)."""


def _data(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    part, workers = profile.part("data"), settings.workers
    # Without workers a batch is waited for as long as it takes to make: more than that is others on the machine.
    seconds = min(part.seconds, profile.loading_seconds) if workers == 0 else part.seconds
    share = seconds / profile.parts_seconds
    if share < THRESHOLDS.data:
        return []
    waits = f"a step waits {_ms(seconds)} for its batch, {share:.0%} of its time"
    makes = f"making one takes {_ms(profile.loading_seconds)}"
    if workers == 0:
        ahead = f"{waits}, which a thread can make ahead of time where a core is left"
        return [(share, Advice("train.workers=1", ahead))]
    if isinstance(workers, int) and workers < cores:
        more = f"{makes}, more than {_threads_of(workers)} can do ahead"
        return [(share, Advice(f"train.workers={min(cores, 2 * workers)}", f"{waits}; {more}"))]
    busy = f"{makes}, and the cores are taken: less work a row (augmentation, image size, longest text) is what helps"
    return [(share, Advice("", f"{waits}; {busy}"))]


def _transfer(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    part = profile.part("transfer")
    if part.share < THRESHOLDS.transfer:
        return []
    moved = (
        f"moving {_size(profile.memory.batch)} to the accelerator takes {_ms(part.seconds)}, {part.share:.0%} of a step"
    )
    if settings.workers == 0:
        return [(part.share, Advice("train.workers=1", f"{moved}; a thread can have the next batch ready"))]
    return []


def _threads(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    account = profile.account
    if profile.device != "cpu" or profile.threads >= cores or account.share("fixed") >= THRESHOLDS.fixed:
        return []
    kernels = account.share("products") + account.share("traffic")
    reason = (
        f"{kernels:.0%} of a step is in kernels that threads share, and {profile.threads} of {cores} cores are used"
    )
    return [(kernels * (1 - profile.threads / cores), Advice(f"train.threads={cores}", reason))]


def _precision(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    share = profile.account.share("products")
    if share < THRESHOLDS.products or settings.precision == "auto":
        return []
    least = profile.work.least_seconds
    now = least.get(profile.precision, 0.0)
    found = []
    for name in ("bfloat16", "float32"):
        if name == profile.precision or name not in least or now < THRESHOLDS.faster * least[name]:
            continue
        ratio = now / least[name]
        reason = (
            f"{share:.0%} of a step is products; those of this model would take {_ms(least[name])} at the {name} limit "
            f"of this machine, {_ms(now)} at the {profile.precision} limit: {ratio:.1f}× as fast"
        )
        found.append((share * (1 - 1 / ratio), Advice(f"train.precision={name}", reason)))
    return found


def _fixed(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    account = profile.account
    share = account.share("fixed")
    if share < THRESHOLDS.fixed:
        return []
    mean = account.fixed / account.calls if account.calls else 0.0
    cost = (
        f"{share:.0%} of a step is fixed costs: {account.calls:,.0f} operator calls of {1e6 * mean:.0f} µs on average"
    )
    found = []
    if profile.batch_size < THRESHOLDS.large:
        larger = f"{cost}; a larger batch has as many calls"
        found.append((share * 0.75, Advice(f"train.batch_size={4 * profile.batch_size}", larger)))
    if settings.compile is False and profile.projection.seconds >= THRESHOLDS.worth_compiling:
        fewer = f"{cost}; a compiled model makes fewer, and auto measures whether that pays"
        found.append((share * 0.5, Advice("train.compile=auto", fewer)))
    return found


def _optimizer(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    part = profile.part("optimizer")
    if part.share < THRESHOLDS.optimizer or profile.batch_size >= THRESHOLDS.large:
        return []
    reason = (
        f"the optimizer ({profile.optimizer}) takes {_ms(part.seconds)}, {part.share:.0%} of a step, whatever the "
        "batch's size: fewer, larger steps"
    )
    return [(part.share * 0.5, Advice(f"train.batch_size={2 * profile.batch_size}", reason))]


def _traffic(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    share = profile.account.share("traffic")
    short = profile.projection.seconds < THRESHOLDS.worth_compiling
    if share < THRESHOLDS.traffic or settings.compile is not False or short:
        return []
    reason = (
        f"{share:.0%} of a step is elementwise work that moves memory; a compiled model does several in one pass, and "
        "auto measures whether that pays"
    )
    return [(share * 0.4, Advice("train.compile=auto", reason))]


def _memory(profile: Profile, settings: TrainSpec, cores: int) -> _Found:
    memory = profile.memory
    peak = memory.peak_process if profile.device == "cpu" else memory.peak_step
    if not memory.device_total or peak < THRESHOLDS.fills * memory.device_total:
        return []
    full = f"{_size(peak)} of {_size(memory.device_total)} are held at the peak"
    found = []
    if memory.activations >= THRESHOLDS.activations * memory.peak_step and not settings.memory.activation_checkpointing:
        reason = f"{full}, of which {_size(memory.activations)} are activations that can be computed again"
        found.append((1.0, Advice("train.memory.activation_checkpointing=true", reason)))
    if memory.optimizer >= THRESHOLDS.state * memory.peak_step and settings.memory.optimizer_bits == 32:
        reason = f"{full}, of which {_size(memory.optimizer)} are the optimizer's state"
        found.append((0.9, Advice("train.memory.optimizer_bits=8", reason)))
    return found


def _nothing(profile: Profile) -> Advice:
    """Say that no rule found anything, and what that means here."""
    share = profile.work.share_of_limit
    if share >= THRESHOLDS.near:
        return Advice(
            "", f"products run at {share:.0%} of the machine's limit over the whole step: only less work helps"
        )
    return Advice("", f"no part stands out; the step is bound by {profile.account.bound_by}")


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"


def _threads_of(count: int) -> str:
    return "one thread" if count == 1 else f"{count} threads"
