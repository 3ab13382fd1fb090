"""Run folders as training leaves them, written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_run(root: Path, folder: str, **record: Any) -> Path:
    """Write a run's folder with its record and no events."""
    path = root / folder
    path.mkdir(parents=True)
    write_record(path, **record)
    return path


def write_record(path: Path, **record: Any) -> None:
    usual = {
        "name": path.name,
        "path": str(path),
        "status": "running",
        "started": "2026-01-01T10:00:00+00:00",
        "seconds": 0.0,
        "metrics": {},
        "split": "",
        "message": "",
    }
    (path / "run.json").write_text(json.dumps(usual | record))


def training(**fields: Any) -> str:
    return line("training", parameters=31, family="linear", epochs=3, device="cpu", rows={"train": 80}, **fields)


def epoch(number: int, loss: float, **fields: Any) -> str:
    values = {
        "epoch": number,
        "step": number * 5,
        "learning_rate": 0.1,
        "train": {"loss": loss / 2, "accuracy": 0.75},
        "validation": {"loss": loss, "accuracy": 0.5},
        "seconds": 1.0,
        "rows_per_second": 100.0,
        "best": False,
    }
    return line("epoch", time=1000.0 + number, **(values | fields))


def line(event: str, time: float = 1000.0, **fields: Any) -> str:
    return json.dumps({"event": event, "time": time, **fields}) + "\n"


def append(path: Path, text: str | bytes) -> None:
    """Add to a run's events."""
    with open(path / "events.jsonl", "ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)
