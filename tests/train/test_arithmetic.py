"""Trainings in float8: chosen where they pay, refused where there is none, and as good as in bfloat16."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import modelyard
from modelyard.core import device as devices
from modelyard.core.errors import SpecError, Stopped
from modelyard.models.blocks import float8
from modelyard.spec.spec import Spec, TrainSpec
from modelyard.train import arithmetic, resolve
from modelyard.train.step import Setup

CPU = torch.device("cpu")


def setup_of(**settings: Any) -> Setup:
    @dataclass
    class Batches:
        def epoch(self, number: int) -> list[None]:
            return [None, None]

    train = TrainSpec(**{"threads": 1, "side_by_side": 1, **settings})
    return Setup(None, Batches(), None, train, 0, CPU, train.precision)  # type: ignore[arg-type]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Make up a machine with every arithmetic; return the seconds of a step in each, which a test may change."""
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))
    monkeypatch.setattr(arithmetic, "multiplies_bfloat16", lambda kind: True)
    monkeypatch.setattr(arithmetic, "multiplies_float8", lambda device: True)
    seconds = {"float32": 1.0, "bfloat16": 0.5, "float8": 0.25}

    def time(setup, begin, compiled=False):
        assert setup.settings.precision == setup.precision  # or the model would be made for another arithmetic
        return seconds[begin(setup).settings.precision]

    monkeypatch.setattr(arithmetic, "_time", time)
    monkeypatch.setattr(arithmetic.Neighbours, "cores", lambda self: 0.0)
    return seconds


@dataclass
class Begun:
    model: nn.Module
    settings: TrainSpec


def large(setup: Setup) -> Begun:
    return Begun(nn.Sequential(nn.Linear(1024, 1024)), setup.settings)


def small(setup: Setup) -> Begun:
    return Begun(nn.Sequential(nn.Linear(64, 64)), setup.settings)


def test_the_fastest_is_taken_and_all_are_told(machine):
    found = arithmetic.choose_arithmetic(setup_of(compile=False), large, 10, [])
    assert (found.precision, found.seconds) == ("float8", machine)
    assert found.reason == "measured here: float32 1e+03 ms a step, bfloat16 500 ms a step, float8 250 ms a step"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({"float8": 0.48}, "bfloat16"),  # 1.04 times as fast does not make up for fewer digits
        ({"float8": 0.45}, "float8"),
        ({"bfloat16": 0.95, "float8": 0.85}, "float32"),
        ({"bfloat16": 0.95, "float8": 0.8}, "float8"),
    ],
)
def test_fewer_digits_must_pay(machine, seconds, expected):
    machine.update(seconds)
    assert arithmetic.choose_arithmetic(setup_of(compile=False), large, 10, []).precision == expected


def test_a_model_without_large_layers_is_not_measured_in_float8(machine):
    found = arithmetic.choose_arithmetic(setup_of(compile=False), small, 10, [])
    assert (found.precision, list(found.seconds)) == ("bfloat16", ["float32", "bfloat16"])
    assert arithmetic.choose_arithmetic(setup_of(compile=False), small, 10, []) == found  # from the cache


def test_what_was_measured_in_company_is_not_kept(machine, monkeypatch):
    monkeypatch.setattr(arithmetic.Neighbours, "cores", lambda self: 1.24)
    found = arithmetic.choose_arithmetic(setup_of(compile=False), large, 10, [])
    assert found.reason.startswith("measured here beside programs that kept 1.2 processors busy: float32 1e+03 ms")
    machine["float8"] = 2.0
    assert arithmetic.choose_arithmetic(setup_of(compile=False), large, 10, []) == found  # within this process
    monkeypatch.setattr(arithmetic, "_in_company", {})
    assert arithmetic.choose_arithmetic(setup_of(compile=False), large, 10, []).precision == "bfloat16"


def test_a_long_training_of_a_known_job_tries_to_compile_alone(machine, monkeypatch):
    """Steps of 0.25 s: ten take too short a time to win anything back, a hundred thousand do."""
    timed = []

    def time(setup, begin, compiled=False):
        timed.append((setup.precision, compiled))
        return 0.1 if compiled else machine[setup.precision]

    monkeypatch.setattr(arithmetic, "_time", time)
    short = arithmetic.choose_arithmetic(setup_of(), large, 10, [])
    assert (short.compiled, short.step, len(timed)) == (False, 0.25, 3)
    for _ in range(2):  # the second time from the cache
        long = arithmetic.choose_arithmetic(setup_of(), large, 100_000, [])
        assert (long.compiled, long.precision, long.seconds["float8, compiled"]) == (True, "float8", 0.1)
        assert timed[3:] == [("float8", True)]
    assert arithmetic.choose_arithmetic(setup_of(), large, 12, []) == short
    assert len(timed) == 4


def test_a_model_that_cannot_be_compiled_is_run_as_it_is(machine, monkeypatch):
    plain = arithmetic._time

    def time(setup, begin, compiled=False):
        if compiled:
            raise RuntimeError("no compiler")
        return plain(setup, begin)

    monkeypatch.setattr(arithmetic, "_time", time)
    found = arithmetic.choose_arithmetic(setup_of(), large, 100_000, [])
    assert (found.precision, found.compiled) == ("float8", False)


def test_what_is_asked_for_is_not_measured(machine):
    found = arithmetic.choose_arithmetic(setup_of(compile=False, precision="float8"), large, 10, [])
    assert (found.precision, found.seconds, found.reason) == ("float8", {}, "")


def test_one_thread_is_taken_unless_all_are_clearly_faster(machine, monkeypatch):
    monkeypatch.setattr(arithmetic, "cores", lambda: 2)
    monkeypatch.setattr(arithmetic, "_kinds", lambda device: ["float32"])
    by_threads = {1: 0.010, 2: 0.008}
    monkeypatch.setattr(arithmetic, "_time", lambda *_, **__: by_threads[torch.get_num_threads()])
    before = torch.get_num_threads()
    found = arithmetic.choose_arithmetic(setup_of(compile=False, threads=None), small, 10, ["first"])
    assert (found.threads, found.seconds) == (2, {"2 threads": 0.008, "1 thread": 0.010})
    by_threads[2] = 0.0095
    assert arithmetic.choose_arithmetic(setup_of(compile=False, threads=None), small, 10, ["second"]).threads == 1
    by_threads[2] = 0.2  # a step this long is not tried on one thread
    assert arithmetic.choose_arithmetic(setup_of(compile=False, threads=None), small, 10, ["third"]).threads == 2
    assert torch.get_num_threads() == before


def test_a_brief_step_takes_one_thread_unless_all_are_half_as_fast_again_in_the_best_of_three_turns(
    machine, monkeypatch
):
    monkeypatch.setattr(arithmetic, "cores", lambda: 2)
    monkeypatch.setattr(arithmetic, "_kinds", lambda device: ["float32"])
    turns = {1: [], 2: []}
    monkeypatch.setattr(arithmetic, "_time", lambda *_, **__: turns[torch.get_num_threads()].pop(0))

    def chosen(name: str, **seconds: list[float]) -> arithmetic.Arithmetic:
        turns.update({1: seconds["one"], 2: seconds["two"]})
        return arithmetic.choose_arithmetic(setup_of(compile=False, threads=None), small, 10, [name])

    found = chosen("disturbed once", one=[0.0015, 0.0010, 0.0012], two=[0.0009, 0.0008, 0.0007])
    assert (found.threads, found.seconds) == (1, {"2 threads": 0.0007, "1 thread": 0.0010})
    assert chosen("clearly faster", one=[0.0011, 0.0010, 0.0012], two=[0.0009, 0.0008, 0.0006]).threads == 2
    found = chosen("twice as fast", one=[0.0021], two=[0.0010])  # out of the race after its first turn
    assert (found.threads, turns) == (2, {1: [], 2: []})


def test_a_machine_without_it_says_what_it_has():
    with pytest.raises(
        SpecError, match=r"compute capability 8\.9 or more .* this cpu is .* multiplies float32"
    ) as error:
        resolve.choose_training(TrainSpec(precision="float8", device="cpu"), "encoder", {})
    assert error.value.problems[0].place == "train.precision"


@pytest.mark.parametrize(
    ("capability", "hip", "expected"),
    [((8, 0), None, False), ((8, 6), None, False), ((8, 9), None, True), ((9, 0), None, True), ((12, 0), None, True),
     ((9, 4), "6.2", False)],
)  # fmt: skip
def test_float8_begins_with_compute_capability_8_9(monkeypatch, capability, hip, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    assert devices.multiplies_float8.__wrapped__(torch.device("cuda:0")) is expected
    assert not devices.multiplies_float8(CPU)


def spec(rows: Any, precision: str, **train: Any) -> Spec:
    return Spec.parse(
        {
            "name": "feelings",
            "data": {"source": rows, "inputs": {"review": "text"}, "targets": {"label": "category"}},
            "model": {"family": "encoder", "width": 32, "layers": 2, "heads": 2, "feed_forward_size": 64},
            "train": {
                "epochs": 6,
                "batch_size": 16,
                "learning_rate": 0.001,
                "threads": 1,
                "device": "cpu",
                "compile": False,
                "precision": precision,
                **train,
            },
            "evaluate": {"resamples": 0, "robustness": False, "slices": None},
        }
    )


@pytest.fixture
def pretended(monkeypatch):
    """Let this processor, which computes products of float8 in its own way, pass for one that multiplies it natively,
    and small layers for large ones; return how many such products were computed."""
    monkeypatch.setattr(resolve, "multiplies_float8", lambda device: True)
    monkeypatch.setattr(float8, "_REUSE", 8)
    monkeypatch.setattr(float8, "_ROWS", 16)
    counts = {"products": 0}
    product = float8._product

    def counted(*given: Any) -> torch.Tensor:
        counts["products"] += 1
        return product(*given)

    monkeypatch.setattr(float8, "_product", counted)
    return counts


def test_an_encoder_learns_in_float8_as_in_bfloat16(pretended, sentences, tmp_path):
    runs = {}
    for precision in ("float32", "bfloat16", "float8"):
        before = pretended["products"]
        runs[precision] = modelyard.train(spec(sentences, precision), tmp_path / precision)
        assert (pretended["products"] > before) == (precision == "float8")
    last = {name: run.training.epochs[-1].validation["loss"] for name, run in runs.items()}
    first = runs["float32"].training.epochs[0].validation["loss"]
    assert last["bfloat16"] < 0.5 * first
    assert last["float8"] == pytest.approx(last["bfloat16"], rel=0.05)
    assert len(set(last.values())) == 3
    assert runs["float8"].training.precision == "float8"


def test_predictions_are_float32_and_names_are_the_same(pretended, sentences, tmp_path):
    runs = [modelyard.train(spec(sentences, one, epochs=1), tmp_path / one) for one in ("float32", "float8")]
    before = pretended["products"]
    predictors = [modelyard.load(run.bundle) for run in runs]
    predictors[1].predict([{"review": row["review"]} for row in sentences[:64]])
    assert pretended["products"] == before
    names = [list(predictor.network.state_dict()) for predictor in predictors]
    assert names[0] == names[1]


def test_an_interrupted_training_goes_on_bit_equal(pretended, sentences, tmp_path):
    def weights(run):
        return (run.bundle / "weights.safetensors").read_bytes()

    def stop(event):
        steps.append(event["event"] == "progress" and "batch" in event)
        if steps[-1] and sum(steps) == 7:
            os.kill(os.getpid(), signal.SIGINT)

    steps: list[bool] = []
    asked = spec(sentences, "float8", epochs=2, learning_rate="find")
    alone = modelyard.train(asked, tmp_path / "alone")
    with pytest.raises(Stopped):
        modelyard.train(asked, tmp_path / "runs", [stop])
    (stopped,) = modelyard.runs(tmp_path / "runs")
    before = pretended["products"]
    assert weights(modelyard.train(asked, resume=stopped.path)) == weights(alone)
    assert pretended["products"] > before


def test_a_model_too_small_for_it_is_refused(monkeypatch, sentences, tmp_path):
    monkeypatch.setattr(resolve, "multiplies_float8", lambda device: True)
    with pytest.raises(SpecError, match=r"this encoder has none\. Use bfloat16"):
        modelyard.train(spec(sentences, "float8"), tmp_path)
