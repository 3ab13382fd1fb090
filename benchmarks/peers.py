"""Peers run in environments of their own, made when they are first needed, so that nobody's packages meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.core.files import cache_directory

__all__ = ["environment_of", "run_peer"]

_CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def environment_of(name: str, packages: Sequence[str]) -> Path:
    """Return the Python of an environment that holds these packages; it is made once and kept in the cache."""
    folder = cache_directory() / "benchmarks" / name
    python = folder / "bin" / "python"
    ready = folder / ".ready"
    wanted = " ".join(packages)
    if not (ready.exists() and ready.read_text() == wanted):
        print(f"making the environment {name} ({wanted}) …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", str(_CONSTRAINTS), *packages], check=True)
        ready.write_text(wanted)
    return python


def run_peer(python: Path | str, script: Path, *arguments: str) -> dict[str, Any]:
    """Run a peer's script in a process of its own and return the JSON object on the last line it prints."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([str(python), str(script), *arguments], capture_output=True, text=True, env=quiet)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed:\n{done.stderr[-2000:]}")
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result
