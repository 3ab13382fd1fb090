"""What loading costs: the time to make a batch of fitted columns, as a share of a training step, for every recipe.

    python benchmarks/loading.py                 all recipes whose data can be had, some minutes
    python benchmarks/loading.py mnist adult     some

`gather` is the loading of fitted columns (the order, the gather from the store, the tensors); `augment` is what varying
the pictures adds, where a recipe asks for it. Both are measured on the batches that training would take, alone, and set
beside the median step on such batches, in the arithmetic that training decides for; all in turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch

import modelyard
from modelyard.core.events import EventLog
from modelyard.core.memory import freed_memory_kept
from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.train.job import make_job
from modelyard.train.side_by_side import sharing
from modelyard.train.start import denormals_flushed
from modelyard.train.step import train_step

ROUNDS = 7
"""Of gathering, augmenting and stepping in turns; the median of them counts."""
SECONDS = 0.2
"""A round of batches or steps lasts about as long. Batches are made many at once, and an epoch's order with its first:
a round has an epoch of them at least, where that takes no more than four times as long."""


def measure(name: str) -> tuple[float, float, float, int]:
    """Return seconds a batch of gathering, of augmenting, and of a step, and the rows of a batch."""
    spec = modelyard.open_spec(name)
    gathers, loads, steps = [], [], []
    with denormals_flushed(), freed_memory_kept():  # as in training
        job = make_job(spec, prepare(spec), None, None, EventLog(None))
        setup, loader = job.setup, job.setup.train
        plain = Loader(loader.store, loader.fitted, loader.batch_size, spec.seed, True, None, loader.sampler)
        augmented = {
            modality: modality.settings
            for modality in job.prepared.fitted.inputs
            if hasattr(modality.settings, "augment") and modality.settings.augment.active
        }
        state = job.begin()
        state.model.train()
        still, varied, stepped = _batches(plain), _batches(loader), _batches(loader)
        next(stepped), next(still), next(varied)
        for _ in range(ROUNDS):
            for modality, settings in augmented.items():
                modality.settings = settings.model_copy(update={"augment": type(settings.augment)()})
            gathers.append(_mean(still, len(loader)))
            for modality, settings in augmented.items():
                modality.settings = settings
            loads.append(_mean(varied, len(loader)) if augmented or loader.mixing else gathers[-1])
            with sharing(setup.settings):
                steps.append(_step(stepped, lambda batch: train_step(setup, state, batch)))
    gather, load = statistics.median(gathers), statistics.median(loads)
    return gather, max(0.0, load - gather), statistics.median(steps), loader.batch_size


def _batches(loader: Loader) -> Iterator[Batch]:
    epoch = 0
    while True:
        yield from loader.epoch(epoch)
        epoch += 1


def _mean(batches: Iterator[Batch], epoch: int) -> float:
    """Return the seconds of getting a batch, the mean of a round."""
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < SECONDS or (count < epoch and passed < 4 * SECONDS):
        next(batches)
        count += 1
    return passed / count


def _step(batches: Iterator[Batch], work: Callable[[Batch], object]) -> float:
    """Return the seconds of `work` on a batch, the median of a round; its first is not counted."""
    seconds: list[float] = []
    work(next(batches))
    while sum(seconds) < SECONDS:
        batch = next(batches)
        started = time.perf_counter()
        work(batch)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*")
    options = parser.parse_args()
    print(f"torch {torch.__version__}")
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
