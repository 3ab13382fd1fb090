"""What loading costs: the time to make a batch of fitted columns, as a share of a training step, for every recipe.

    python benchmarks/loading.py                 all recipes whose data can be had, a few minutes
    python benchmarks/loading.py mnist adult     some

`gather` is the loading of fitted columns (the order, the gather from the store, the tensors); `augment` is what varying
the pictures adds, where a recipe asks for it. Both are measured on the batches that training would take, alone, and set
beside the median step on the same batches.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

import modelyard
from modelyard.bundle.contents import make_task
from modelyard.core.registry import table
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.models.build import build, settle
from modelyard.train.resolve import choose_family, choose_task, choose_training
from modelyard.train.start import denormals_flushed, set_up, start
from modelyard.train.step import train_step

STEPS = 60


def measure(name: str) -> tuple[float, float, float, int]:
    """Return seconds a batch of gathering, of augmenting, and of a step, and the rows of a batch."""
    spec = modelyard.open_spec(name)
    reasons: dict[str, str] = {}
    accepts = None if spec.model is None else table("family").find(spec.model.name).accepts
    prepared = prepare(spec, accepts, None)
    spec = spec.replace(data=prepared.data)
    spec = spec.replace(task=choose_task(spec, prepared.data.targets or {}, reasons))
    task = make_task(spec, prepared.fitted)
    inputs = prepared.fitted.describe()
    family = settle(choose_family(spec, inputs, len(prepared.splits["train"]), reasons), inputs)
    spec = spec.replace(model=family, train=choose_training(spec.train, family.name, reasons))
    setup = set_up(spec, prepared.splits, prepared.fitted, task, prepared.record.files)
    task.prepare(setup.train.targets())
    state = start(spec, setup, build(family, inputs, task.output_size, spec.seed))
    loader = setup.train
    plain = Loader(loader.store, loader.fitted, loader.batch_size, spec.seed, True, None, loader.sampler)
    for modality in prepared.fitted.inputs:
        if hasattr(modality.settings, "augment"):
            modality.settings = modality.settings.model_copy(update={"augment": type(modality.settings.augment)()})
    gather = _each(_batches(plain))
    for modality, choice in zip(prepared.fitted.inputs, (prepared.data.inputs or {}).values(), strict=True):
        modality.settings = choice.settings if choice is not None else modality.settings
    load = _each(_batches(loader))
    batches = _batches(loader)
    state.model.train()
    with denormals_flushed():
        step = _each(batches, lambda batch: train_step(setup, state, batch))
    return gather, max(0.0, load - gather), step, loader.batch_size


def _batches(loader: Loader) -> Iterator[Any]:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


def _each(batches: Iterator[Any], work: Callable[[Any], object] | None = None) -> float:
    """Return the median seconds of `work` on a batch, or of getting one when there is no work."""
    for _ in range(5):
        batch = next(batches)
        if work is not None:
            work(batch)
    seconds = []
    for _ in range(STEPS):
        started = time.perf_counter()
        batch = next(batches)
        if work is not None:
            started = time.perf_counter()
            work(batch)
        seconds.append(time.perf_counter() - started)
    # A window of batches is ordered at once: its cost is spread over them by the mean, without the slowest twentieth.
    return statistics.median(seconds) if work is not None else statistics.mean(sorted(seconds)[: -STEPS // 20])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(
        f"{'recipe':28}{'rows':>6}{'gather ms':>11}{'augment ms':>12}{'step ms':>10}{'gather/step':>13}{'all/step':>10}"
    )
    for name in options.recipes or [recipe.name for recipe in modelyard.recipes()]:
        try:
            gather, augment, step, rows = measure(name)
        except modelyard.ModelyardError as error:
            print(f"{name:28}{str(error).splitlines()[0][:90]}")
            continue
        share, whole = gather / step, (gather + augment) / step
        print(f"{name:28}{rows:6}{1e3 * gather:11.3f}{1e3 * augment:12.3f}{1e3 * step:10.2f}{share:13.1%}{whole:10.1%}")


if __name__ == "__main__":
    main()
