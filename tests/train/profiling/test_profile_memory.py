"""What a step's tensors take, counted by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from modelyard.data.batch import Batch
from modelyard.spec.spec import TrainSpec
from modelyard.train.profiling.memory import measure_memory
from modelyard.train.state import Average, State
from modelyard.train.step import Setup, train_step

CPU = torch.device("cpu")


class Task:
    def forward(self, model, batch):
        output = model(batch.inputs["x"])
        return {"loss": output.square().mean(), "weight": torch.tensor(float(len(batch))), "output": output}


def measured(average=False, rows=64):
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 1))
    optimizer = torch.optim.AdamW(model.parameters())
    setup = Setup(Task(), None, None, TrainSpec(), 0, CPU, "float32")
    state = State(model, optimizer, None, None, Average(model, 0.9) if average else None)
    batch = Batch({"x": torch.ones(rows, 10)}, {"y": torch.ones(rows, dtype=torch.int64)}, np.arange(rows))
    train_step(setup, state, batch)
    return measure_memory(setup, state, batch), state, optimizer


def test_every_share_is_counted():
    found, _, _ = measured()
    parameters = 10 * 20 + 20 + 20 + 1
    assert found.weights == found.gradients == 4 * parameters
    assert found.optimizer == 2 * 4 * parameters + 4 * 4  # two moments, and a count of steps for each tensor
    assert found.average == 0
    assert found.batch == 64 * 10 * 4 + 64 * 8
    # The hidden layer before (kept as the relu's result alone), the outputs and a little more.
    assert 64 * 20 * 4 + 64 * 4 <= found.activations <= 2 * 64 * 20 * 4 + 4 * 64 * 4
    assert found.lasting == found.weights + found.optimizer + found.batch
    assert found.peak_step >= found.lasting + found.activations
    assert found.peak_process > 1 << 20 and found.device_total > found.peak_process


def test_activations_grow_with_the_batch_and_weights_do_not():
    small, large = measured()[0], measured(rows=128)[0]
    assert 1.9 * small.activations < large.activations < 2.1 * small.activations
    assert large.weights == small.weights and large.batch == 2 * small.batch


def test_a_moving_average_is_as_large_as_the_weights():
    found, _, _ = measured(average=True)
    assert found.average == found.weights


def test_the_step_is_a_real_one_and_the_optimizer_is_its_own_again():
    _, state, optimizer = measured()
    assert state.optimizer is optimizer and state.step == 1
    assert all(int(one["step"]) == 2 for one in optimizer.state.values())
