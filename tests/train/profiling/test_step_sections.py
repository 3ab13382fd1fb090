"""Steps divided into parts: every moment belongs to one, and the parts are those of the real step."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from modelyard.data.batch import Batch
from modelyard.data.loader import Loader
from modelyard.spec.spec import TrainSpec
from modelyard.train.profiling import sections as module
from modelyard.train.profiling.sections import Clock, Sections
from modelyard.train.state import State
from modelyard.train.step import Setup, train_step

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when something here says that it took its time."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


class Slow(torch.autograd.Function):
    """Takes 5 on the way back."""

    clock: SimpleNamespace

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Slow.clock.now += 5
        return gradient


class Model(nn.Linear):
    """Takes 3."""

    def forward(self, inputs):
        Slow.clock.now += 3
        return Slow.apply(super().forward(inputs["x"]))


class Task:
    """Takes 2 beside the model."""

    def pose(self, batch):
        return batch

    def forward(self, model, batch):
        output = model(batch.inputs)
        Slow.clock.now += 2
        return {"loss": output.sum(), "weight": torch.tensor(float(len(batch))), "output": output}


class Source(Loader):
    """Takes 1 a batch."""

    def __init__(self, rows):
        self.rows = rows

    def epoch(self, epoch, start=0):
        for rows in self.rows:
            Slow.clock.now += 1
            yield Batch({"x": torch.ones(rows, 2)}, {}, np.arange(rows))


class Sgd(torch.optim.SGD):
    """Takes 7."""

    def step(self, closure=None):
        Slow.clock.now += 7
        return super().step(closure)


class Average:
    """Takes 4."""

    def __init__(self, model):
        self.model = model

    def update(self, step):
        Slow.clock.now += 4


def train(sections, clock, rows, average=True, **settings):
    """Take the steps of an epoch as the loop does; return the weights in the end."""
    Slow.clock = clock
    torch.manual_seed(0)
    model = Model(2, 1)
    setup = Setup(Task(), Source(rows), None, TrainSpec(**settings), 0, CPU, "float32")
    state = State(model, Sgd(model.parameters(), lr=0.1), None, None, Average(model) if average else None)
    if sections is not None:
        setup = Setup(sections.task(setup.task), sections.loader(setup.train), None, setup.settings, 0, CPU, "float32")
        state.optimizer, state.average = sections.optimizer(state.optimizer), sections.average(state.average)
    clock.now += 1000  # before the first batch is asked for: of no step
    for batch in setup.train.epoch(0):
        train_step(setup, state, batch.to(CPU))
        clock.now += 6
        if sections is not None:
            sections.end({"event": "progress"})
    return model.weight.detach()


def test_every_moment_of_a_step_belongs_to_its_part(clock):
    sections = Sections(CPU)
    train(sections, clock, [4, 4, 2])
    assert [step.rows for step in sections.steps] == [4, 4, 2]
    for step in sections.steps:
        assert step.seconds == {
            "data": 1, "transfer": 0, "forward": 3, "loss": 2, "backward": 5, "optimizer": 7 + 4, "other": 6
        }  # fmt: skip
        assert step.whole == 28


def test_pieces_of_a_batch_are_added_up(clock):
    sections = Sections(CPU)
    train(sections, clock, [4], accumulate=2)
    (step,) = sections.steps
    assert (step.seconds["forward"], step.seconds["loss"], step.seconds["backward"]) == (6, 4, 10)
    assert step.seconds["optimizer"] == 11 and step.rows == 4


def test_clipping_counts_to_the_optimizer_and_not_to_the_backward_pass(clock, monkeypatch):
    clip = nn.utils.clip_grad_norm_

    def slow(*given):
        clock.now += 9
        return clip(*given)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", slow)
    sections = Sections(CPU)
    train(sections, clock, [4], gradient_clip=1.0)
    assert sections.steps[0].seconds["backward"] == 5
    assert sections.steps[0].seconds["optimizer"] == 9 + 7 + 4


def test_learning_from_rows_without_a_target_has_its_parts_too(clock):
    """Its rows count to the data; what is not the model counts to the way back."""
    Slow.clock = clock
    sections, model = Sections(CPU), Model(2, 1)

    class Method:
        def batch(self, step):
            clock.now += 2
            return step

        def backward(self, model, batch):
            clock.now += 1
            output = model({"x": torch.ones(batch, 2)})
            clock.now += 4
            output.sum().backward()
            return model.weight

    assert sections.semi_supervised(None) is None
    watched = sections.semi_supervised(Method())
    sections.begin()
    assert watched.backward(model, watched.batch(3)) is model.weight
    sections.end({"event": "progress"})
    seconds = sections.steps[0].seconds
    assert (seconds["data"], seconds["forward"], seconds["backward"]) == (2, 3, 1 + 4 + 5)


def test_without_an_average_there_is_none(clock):
    assert Sections(CPU).average(None) is None
    sections = Sections(CPU)
    train(sections, clock, [4], average=False)
    assert sections.steps[0].seconds["optimizer"] == 7


def test_what_is_measured_trains_the_same_weights(clock):
    assert torch.equal(train(Sections(CPU), clock, [4, 3], accumulate=2), train(None, clock, [4, 3], accumulate=2))


def test_the_wait_for_a_batch_that_another_thread_asks_for_is_still_the_wait(clock):
    """The time of a thread that works ahead is not the step's; what passes until the batch is there is."""
    Slow.clock = clock
    sections = Sections(CPU)
    batches = sections.loader(Source([4])).epoch(0)
    got = []
    thread = threading.Thread(target=lambda: got.append(next(batches)))
    thread.start()
    thread.join()
    clock.now += 2
    got[0].to(CPU)
    sections.end({"event": "progress"})
    assert sections.steps[0].seconds["data"] == 1 + 2


def test_other_events_end_no_step(clock):
    sections = Sections(CPU)
    sections.end({"event": "epoch"})
    assert sections.steps == []


def test_a_clock_takes_whole_steps(clock):
    whole = Clock(CPU)
    train(whole, clock, [4, 2])
    assert [(step.rows, step.whole) for step in whole.steps] == [(4, 28), (2, 28)]
