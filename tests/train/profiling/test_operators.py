"""Operators and modules out of the profiler's events."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from modelyard.train.profiling.operators import is_product, read_events, watch_operators

CPU = torch.device("cpu")


class Event(SimpleNamespace):
    """An event as the profiler has them; times in microseconds."""

    def __init__(self, name, start, whole, own=None, parent=None, number=-1, thread=1, device="CPU", kernels=()):
        super().__init__(
            name=name,
            time_range=SimpleNamespace(start=start, end=start + whole),
            cpu_time_total=whole,
            self_cpu_time_total=whole if own is None else own,
            device_time_total=sum(kernel.duration for kernel in kernels),
            self_device_time_total=sum(kernel.duration for kernel in kernels),
            device_type=SimpleNamespace(name=device),
            kernels=list(kernels),
            sequence_nr=number,
            thread=thread,
            cpu_parent=parent,
            cpu_children=[],
        )


def step_of(start, relu=40.0):
    """A step of a model with a product inside `0` and a relu of the model's own, and their way back."""
    step = Event("modelyard: step", start, 1000)
    whole = Event("modelyard: module ", start + 1, 300, parent=step)
    inner = Event("modelyard: module 0", start + 2, 200, parent=whole)
    product = Event("aten::mm", start + 3, 150, 100, parent=inner, number=7)
    relu_ = Event("aten::relu", start + 250, relu, parent=whole, number=8)
    back = [
        Event("autograd::engine::evaluate_function: ReluBackward0", start + 400, 30, 1, number=8),
        Event("autograd::engine::evaluate_function: MmBackward0", start + 500, 60, 1, number=7, thread=2),
        Event("autograd::engine::evaluate_function: torch::autograd::AccumulateGrad", start + 600, 10, 1),
    ]
    return [step, whole, inner, product, relu_, *back]


def calls_of(start, each=2.0):
    calls = Event("modelyard: calls", start, 10)
    calls.cpu_children = [Event("aten::add", start, each), Event("aten::add", start, each)]
    return [calls]


def test_times_are_sorted_by_operator_and_by_the_innermost_module():
    found = read_events([*step_of(0), *step_of(2000), *calls_of(5000)], False)
    assert set(found.operators) == {"aten::mm", "aten::relu"}
    assert found.operators["aten::mm"].calls == 1
    assert found.operators["aten::mm"].seconds == pytest.approx(100e-6)
    assert found.operators["aten::mm"].kernel_seconds == pytest.approx(98e-6)  # without what a call costs
    assert found.products == pytest.approx(98e-6) and found.traffic == pytest.approx(38e-6) and found.calls == 2
    assert found.modules["0"].forward == pytest.approx(200e-6)
    assert found.modules["0"].backward == pytest.approx(60e-6)  # though the engine ran it in a thread of its own
    assert found.modules[""].forward == pytest.approx(100e-6)  # 300 less the 200 of the module inside
    assert found.modules[""].backward == pytest.approx(30e-6)


def test_one_disturbed_step_of_three_is_not_seen():
    found = read_events([*step_of(0), *step_of(2000, relu=45.0), *step_of(4000, relu=900.0), *calls_of(9000)], False)
    assert found.operators["aten::relu"].seconds == pytest.approx(45e-6)


def test_on_an_accelerator_kernels_are_what_counts_and_its_own_track_is_not_counted_again():
    kernel = SimpleNamespace(name="gemm", duration=500.0)
    events = [*step_of(0), *calls_of(5000)]
    events[3].kernels, events[3].device_time_total, events[3].self_device_time_total = [kernel], 500.0, 500.0
    copy = Event("aten::mm", 100, 500, device="CUDA")
    found = read_events([*events, copy], True)
    assert found.operators["aten::mm"].calls == 1 and found.operators["aten::mm"].kernels == ["gemm"]
    assert found.operators["aten::mm"].kernel_seconds == pytest.approx(500e-6)
    assert found.operators["aten::relu"].kernel_seconds == 0 and found.products == pytest.approx(500e-6)


@pytest.mark.parametrize(
    "name",
    ["mm", "addmm", "bmm", "convolution_backward", "mkldnn_convolution", "cudnn_convolution", "_cudnn_rnn",
     "_scaled_mm", "_scaled_dot_product_flash_attention_for_cpu", "mkldnn_rnn_layer_backward", "_embedding_bag"],
)  # fmt: skip
def test_products_are_told_from_the_rest(name):
    assert is_product(f"aten::{name}")


@pytest.mark.parametrize("name", ["add", "native_batch_norm", "copy_", "_fused_adamw_", "sum", "embedding", "mul"])
def test_the_rest_is_told_from_products(name):
    assert not is_product(f"aten::{name}")


class Model(nn.Module):
    """A product inside a module, and a relu of its own."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.Identity())

    def forward(self, x):
        return torch.relu(self.inner(x))


def test_real_steps_are_watched_and_traced(tmp_path, capfd):
    model, x = Model(), torch.ones(4, 8)
    trace = tmp_path / "trace.json"
    found = watch_operators(lambda: model(x).sum().backward(), 2, model, CPU, trace)
    assert found.operators["aten::relu"].calls == 1 and found.operators["aten::addmm"].calls == 1
    assert set(found.modules) == {"", "inner", "inner.0", "inner.1"}
    assert found.modules["inner.0"].backward > 0 and found.modules[""].backward > 0
    assert found.modules["inner.1"].backward == 0 and found.modules["inner"].backward == 0
    assert not model._forward_hooks and not model.inner._forward_pre_hooks
    assert any(event.get("name") == "aten::addmm" for event in json.loads(trace.read_text())["traceEvents"])
    assert capfd.readouterr() == ("", "")


def test_hooks_are_gone_after_an_error():
    model = Model()
    with pytest.raises(RuntimeError):
        watch_operators(lambda: model(torch.ones(4, 3)), 1, model, CPU)
    assert not model._forward_hooks and not model.inner._forward_hooks


def test_without_a_model_nothing_is_hooked_and_no_module_named():
    model, x = Model(), torch.ones(4, 8)
    found = watch_operators(lambda: model(x).sum().backward(), 1, None, CPU)
    assert found.modules == {} and found.operators["aten::relu"].calls == 1
