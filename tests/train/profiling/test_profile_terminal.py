"""How a profile looks on a terminal, from made-up numbers; and the verb."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import pytest
from made_up_profile import LIMITS, MB, made_up, parts
from rich.console import Console

from modelyard.cli import main
from modelyard.terminal import profile as page
from modelyard.terminal.profile import print_profile, time_of
from modelyard.train.profiling.records import Account, Advice, MemoryUse, ModuleCost, OperatorCost, StepWork

MODULE = importlib.import_module("modelyard.train.profiling.profile")


def printed(profile, monkeypatch, width=100):
    console = Console(width=width, record=True, highlight=False, file=open("/dev/null", "w"))  # noqa: SIM115
    monkeypatch.setattr(page, "console", console)
    print_profile(profile)
    return console.export_text()


def test_the_verdict_comes_first(monkeypatch):
    text = printed(made_up(), monkeypatch)
    head = text.split("where a step goes")[0]
    assert "made-up: cnn, 1,000,000 parameters, float32, adamw, 128 rows a step" in head
    assert "on 2 threads of a processor; 20 steps measured" in head
    assert "100 ms (half of them 90.0 ms … 120 ms), 1.3k rows/s" in head
    assert "10.0 s an epoch of 100 steps, 100 s in all" in head
    assert "bound by  compute" in head
    assert "2.00 GFLOP a step, 20.0 GFLOP/s: 20.0% of this machine's measured limit in float32 (20.0" in head


def test_parts_modules_operators_and_memory_have_their_lines(monkeypatch):
    text = printed(made_up(parts=parts(transfer=0.0)), monkeypatch)
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert any(line.startswith("backward 60.0 ms 60.0% █") for line in lines)
    assert not any(line.startswith("transfer") for line in lines)  # nothing is moved on a CPU
    assert any(line.startswith("compute 50.0 ms 50.0% █") for line in lines)
    assert "layers.0 Conv2d 20.0 ms 40.0 ms 60.0% 1.00 GFLOP 16.7 GFLOP/s" in lines
    assert "mm 12 30.0 ms 40.0%" in lines
    assert "weights 4.0 MB gradients 4.0 MB optimizer 8.0 MB activations 40.0 MB batch 1.0 MB" in lines
    assert "at most at once 60.0 MB the whole process 500.0 MB of 16.0 GB" in lines


def test_advice_shows_its_setting_and_its_reason_with_markup_taken_as_text(monkeypatch):
    advice = [Advice("train.workers=1", "a step waits [bold]34 ms[/]"), Advice("", "only less work helps")]
    text = printed(made_up(advice=advice, notes=["a [note]"]), monkeypatch)
    assert "  train.workers=1\n    a step waits [bold]34 ms[/]\n  only less work helps" in "\n".join(
        line.rstrip() for line in text.splitlines()
    )
    assert "note: a [note]" in text


def test_nothing_is_wider_than_the_terminal(monkeypatch):
    long = made_up(
        advice=[Advice("train.batch_size=512", "for many reasons " * 20)],
        modules=[ModuleCost("blocks.11.attention.projection", "Linear", 10, 0.1, 0.2, 1e12)],
        parts=parts(backward=3.0),
    )
    assert max(map(len, printed(long, monkeypatch).splitlines())) <= 100


def test_kernels_of_an_accelerator_are_named_without_their_types(monkeypatch):
    kernel = "void at::native::vectorized_elementwise_kernel<4, at::native::Fill<float>>(int, float)"
    found = made_up(
        device="cuda",
        limits=replace(LIMITS, device="NVIDIA H200"),
        operators=[OperatorCost("fill_", 1.0, 0.001, 1.0, [kernel]), OperatorCost("mm", 1.0, 0.0, 0.0)],
    )
    text = printed(found, monkeypatch)
    assert "at::native::vectorized_elementwise_kernel" in text and "<4" not in text
    assert "on NVIDIA H200; 20 steps" in text


def test_what_could_not_be_counted_is_said(monkeypatch):
    none = StepWork(0.0, 0.0, 0.0, {"float32": 0.0}, 0.0)
    text = printed(made_up(work=none, modules=[], account=Account(0, 0, 0.1, 0, 5, "fixed costs")), monkeypatch)
    assert "products  none that could be counted" in text and "costliest modules" not in text
    small = MemoryUse(4, 0, 0, 0, 0, 8, 12, MB)
    assert "gradients" not in printed(made_up(memory=small), monkeypatch).split("memory of a step")[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 µs"), (1.234e-6, "1.23 µs"), (0.000812, "812 µs"), (0.0462, "46.2 ms"), (0.9999, "1.00 s"),
     (99.96, "100 s"), (1200, "20 min 0 s")],
)  # fmt: skip
def test_times_are_shown_with_three_digits(seconds, text):
    assert time_of(seconds) == text


def call(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_the_verb_profiles_a_file_with_overrides_and_writes_a_trace(cancer_csv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(MODULE, "machine_limits", lambda device, refresh: LIMITS)
    monkeypatch.setattr(MODULE, "_PROFILED", (2, 2))
    spec, trace = tmp_path / "cancer.yaml", tmp_path / "trace.json"
    spec.write_text(f"data: {{source: {cancer_csv}, targets: {{diagnosis: category}}}}\nmodel: linear\n")
    common = ["profile", str(spec), "train.batch_size=50", "train.threads=1", "--steps", "4"]
    code, out, _ = call([*common, "--trace", str(trace)], capsys)
    assert code == 0 and "50 rows a step" in out and "where a step goes" in out and "what to change" in out
    assert str(trace) in out.replace("\n", "") and trace.exists()
    code, out, _ = call([*common, "--json"], capsys)
    assert code == 0 and json.loads(out)["batch_size"] == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "nowhere.yaml"], "no such spec: nowhere.yaml"),
        (["profile", "minst"], "did you mean 'mnist'"),
        (["profile", "breast_cancer", "--steps", "2"], "2 is not in the range x>=3"),
        (["profile", "breast_cancer", "train.batch_sise=3"], "did you mean 'batch_size'"),
    ],
)
def test_what_is_wrong_is_said_and_exits_with_2(arguments, message, capsys):
    code, _, errors = call(arguments, capsys)
    assert code == 2 and message in errors and "Traceback" not in errors
