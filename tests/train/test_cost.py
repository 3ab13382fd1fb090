"""Operations, memory and the record of what a training cost."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from small_training import blobs, small_training
from torch import nn

from modelyard.core.energy import EnergyMeter
from modelyard.data.batch import Batch
from modelyard.models.build import build
from modelyard.train.cost import count_flops, measure_cost, peak_memory
from modelyard.train.start import set_up

CPU = torch.device("cpu")


class Sum:
    """A task whose loss is the sum of the outputs."""

    def forward(self, model, batch):
        return {"loss": model(*batch.inputs.values()).sum()}


def flops(model, *inputs):
    batch = Batch({f"x{place}": value for place, value in enumerate(inputs)}, {}, np.arange(len(inputs[-1])))
    return count_flops(Sum(), model, [batch], CPU)


def test_a_dense_layer_costs_two_operations_a_weight_and_as_much_again_for_its_gradient():
    counted = flops(nn.Linear(7, 3), torch.ones(5, 7))
    assert counted.forward == 2 * 7 * 3
    assert counted.training == 2 * (2 * 7 * 3)  # the input needs no gradient
    assert counted.rows == 5


def test_a_second_layer_also_passes_its_gradient_on():
    counted = flops(nn.Sequential(nn.Linear(7, 4), nn.ReLU(), nn.Linear(4, 3)), torch.ones(5, 7))
    assert counted.forward == 2 * (28 + 12)
    assert counted.training == counted.forward + 2 * (28 + 2 * 12)


def test_a_convolution_costs_its_kernel_at_every_place():
    counted = flops(nn.Conv2d(2, 6, 3, padding=1), torch.ones(4, 2, 8, 8))
    assert counted.forward == 2 * (8 * 8) * (3 * 3 * 2 * 6)


class Last(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_cost_their_two_matrices_at_every_step(kind, gates):
    """Torch has no formula for its fused LSTM; whichever way a layer runs here, the count is that of its products."""
    counted = flops(Last(kind(5, 6, batch_first=True)), torch.ones(3, 4, 5))
    assert counted.forward == 2 * 4 * gates * 6 * (5 + 6)
    assert counted.training > 2 * counted.forward


def test_a_sum_of_embeddings_costs_each_id_a_row_of_the_table():
    counted = flops(nn.EmbeddingBag(10, 4, mode="sum"), torch.tensor([[1, 2, 3], [4, 5, 6]]))
    assert counted.forward == 2 * 3 * 4
    assert counted.training == 2 * counted.forward


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x):
        q = (x * self.scale).view(len(x), 2, 6, 8)
        return nn.functional.scaled_dot_product_attention(q, q, q)


def test_attention_costs_its_scores_and_its_weighted_values():
    counted = flops(Attention(), torch.ones(3, 12, 8))
    forward = 2 * (2 * 2 * 6 * 6 * 8)  # two products of 2 heads, 6 places by 6, width 8
    assert counted.forward == forward
    assert counted.training == forward + forward * 5 / 2


def test_a_model_without_anything_countable_is_said_to_be_uncounted():
    counted = flops(nn.Sequential(nn.LayerNorm(4)), torch.ones(2, 4))
    assert counted.forward is None and counted.training is None
    assert counted.how.startswith("not counted")


def test_counting_leaves_weights_gradients_statistics_and_modes_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flops(model, torch.randn(6, 3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [module.training for module in model] == [True, True, False]


def test_peak_memory_is_in_bytes():
    held = np.ones(8 << 20)  # 64 MiB
    assert held.nbytes < peak_memory() < 64 << 30


def test_the_record_adds_the_steps_up(tmp_path):
    small = small_training({"source": blobs(100), "targets": ["side"]}, tmp_path, train={"epochs": 1})
    setup = set_up(small.spec, small.prepared.splits, small.prepared.fitted, small.task, [])
    model = build(small.spec.model, small.prepared.fitted.describe(), 1, 0)
    with EnergyMeter(counters=tmp_path) as meter, meter.stage("training"):
        pass
    rows = len(small.prepared.splits["train"])
    per_epoch = len(setup.train)
    cost = measure_cost(meter, setup, model, 2 * per_epoch + 1).as_dict()
    assert cost["flops_per_row_forward"] == 2 * 2  # two numbers, one output
    assert cost["flops_per_step"] == 16 * 2 * 4
    assert cost["flops_training"] == (2 * rows + 16) * 2 * 4
    assert set(cost["seconds"]) == {"data", "training", "evaluation"} and cost["seconds"]["data"] == 0.0
    assert cost["energy_joules"] >= 0 and "estimate" in cost["energy_how"]
    assert cost["peak_memory_bytes"] > 1 << 20 and cost["peak_accelerator_bytes"] is None


def test_rows_of_different_lengths_are_counted_over_several_batches(sentences, tmp_path):
    data = {"source": sentences, "inputs": ["review"], "targets": ["label"]}
    small = small_training(data, tmp_path, model={"family": "embedding", "size": "small"}, train={"epochs": 1})
    setup = set_up(small.spec, small.prepared.splits, small.prepared.fitted, small.task, [])
    model = build(small.spec.model, small.prepared.fitted.describe(), 1, 0)
    with EnergyMeter(counters=tmp_path) as meter:
        pass
    cost = measure_cost(meter, setup, model, 1)
    counted = int(re.search(r"while (\d+) training rows", cost.flops_how).group(1))
    assert 3 * 16 < counted <= 4 * 16  # four batches of 16, of which one may be the epoch's shorter last one
    assert cost.flops_per_row_forward > 0
