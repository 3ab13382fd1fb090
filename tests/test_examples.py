"""Every example runs as its docstring says, offline, and comes to the result it promises."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
EACH_EXAMPLE = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def percent(text: str, pattern: str) -> float:
    match = re.search(pattern, text)
    assert match, f"{pattern!r} is not in:\n{text}"
    return float(match[1])


def check_compare_runs(text: str, folder: Path) -> None:
    line, curve = re.search(r"accuracy +([\d.]+) +[\d.]+ +([\d.]+)", text).groups()
    assert float(curve) > float(line) + 0.02
    assert re.search(r"model.family +linear +mlp +mlp", text)


def check_first_dataset(text: str, folder: Path) -> None:
    assert re.findall(r"→ ([a-z ]+) \(", text) == ["coffee", "lemonade", "hot chocolate"]
    assert percent(text, r"Right in (\d+)%") >= 85
    assert Path(folder, re.search(r"The report: (.+)", text)[1]).is_file()


def check_images_from_folders(text: str, folder: Path) -> None:
    found = re.findall(r"a new (\w+) +is taken for a (\w+)", text)
    assert len(found) == 3 and sum(shape == answer for shape, answer in found) >= 2
    assert percent(text, r"(\d+)% of the held-out") >= 85
    assert len(list(folder.glob("out/shapes/*/*.png"))) == 450


def check_mixed_inputs(text: str, folder: Path) -> None:
    praised, faulty = map(int, re.findall(r"(\d+) €\n", text)[:2])
    assert praised > faulty + 250  # two words of praise are worth 240 €, two faults cost 180 €
    assert percent(text, r"off by (\d+) €") < 40


def check_own_metric_gate(text: str, folder: Path) -> None:
    assert re.search(r"1 epoch: refused with exit code 3\n.*log_loss is [\d.]+, required at most 0.25", text)
    assert percent(text, r"accepted, (\d+)% of the malignant") >= 85


def check_plain_torch(text: str, folder: Path) -> None:
    assert text.startswith("Mlp(")
    effects = dict(re.findall(r"^ *(\w+) ([+-]\d\.\d\d)", text, re.MULTILINE))
    assert len(effects) == 10 and float(effects["bmi"]) > 0.1 > abs(float(effects["age"]))


def check_python_rows(text: str, folder: Path) -> None:
    rows = text.splitlines()[1:4]
    assert "Aldo" in rows[0] and "Carlo" in rows[2]
    assert "'a lot' is not a number" in rows[1] and "Bruna" not in rows[1]
    assert "From three of thirteen measurements: Aldo" in text and "taken as missing: malic_acid" in text


def check_watch_training(text: str, folder: Path) -> None:
    losses = [float(loss) for loss in re.findall(r"^epoch +\d+ █+ ([\d.]+)", text, re.MULTILINE)]
    assert 4 <= len(losses) <= 12 and losses[-1] < losses[0] / 2
    assert percent(text, r"([\d.]+)% right") > 90


@EACH_EXAMPLE
def test_an_example_is_short_and_opens_with_what_it_shows_and_how_long_it_takes(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 60
    about = ast.get_docstring(ast.parse(text))
    assert re.search(r"about \d+ seconds", about, re.IGNORECASE)
    assert f"python examples/{path.name}" in about


@EACH_EXAMPLE
def test_an_example_comes_to_what_it_promises(path, tmp_path):
    check = globals()[f"check_{path.stem}"]  # every example has one
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODELYARD_CACHE": str(tmp_path / "cache")}
    environment.update(OMP_NUM_THREADS="1", PYTHONIOENCODING="utf-8")
    result = subprocess.run(
        [sys.executable, str(path), "out"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300,
        preexec_fn=one_core,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    check(result.stdout, tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cache", "out"]


def one_core() -> None:
    """Leave the example one of our cores: what it then calls all cores is a single thread."""
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {mine[os.getpid() % len(mine)]})
