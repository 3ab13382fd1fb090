"""One run's folder as the board sees it: its record, and its events, of which only what is new is read."""

from __future__ import annotations

import json
import math
import os
import stat
import time
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["FILES", "RunFolder", "inside"]

FILES = {
    "report.html": ("bundle/report.html", "text/html; charset=utf-8"),
    "card.md": ("bundle/card.md", "text/plain; charset=utf-8"),
    "spec.yaml": ("spec.yaml", "text/plain; charset=utf-8"),
}
"""Name in a URL → the file in a run's folder, and its type. Nothing else of a run is handed out."""

_EPOCH = b'{"event": "epoch"'
_BLOCK = 1 << 20
_LONGEST_LINE = 64 << 20
_LARGEST_RECORD = 1 << 20
_SPARK = 40
_STATES = ("running", "finished", "stopped", "failed")


class RunFolder:
    """What a run's folder says.

    Args:
        name: The folder's name.
        path: Where it is.
        root: The folder of all runs, which no link may lead out of.
    """

    def __init__(self, name: str, path: Path, root: Path) -> None:
        self.name = name
        self.path = path
        self._root = root
        self._record: dict[str, Any] = {}
        self._record_state: tuple[int, int, int] | None = None
        self._problem = ""
        self._forget()

    def _forget(self) -> None:
        """Begin anew with the events."""
        self._generation = time.time_ns()
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._unreadable = 0
        self._about: dict[str, Any] = {}
        self._phase = ""
        self._last = self._first = 0.0
        self._starts, self._ends = array("q"), array("q")
        self._sampled = 0
        self._latest: dict[str, float | None] = {}
        self._spark: list[float | None] = []
        self._columns: dict[str, array[float]] = {}
        self._parsed = 0

    # -- reading ------------------------------------------------------------------------------------------------------

    def look(self) -> bool:
        """Read what is new; False when the run is gone."""
        try:
            self._read_record()
        except OSError:
            return False
        self._read_events()
        return True

    def _read_record(self) -> None:
        about = os.stat(self.path / "run.json")
        state = (about.st_mtime_ns, about.st_size, about.st_ino)
        if state == self._record_state:
            return
        with open(self.path / "run.json", "rb") as file:
            content = file.read(_LARGEST_RECORD)
        record = _json(content)
        self._problem = "" if record else "run.json cannot be read"
        self._record, self._record_state = record or {}, state

    def _read_events(self) -> None:
        path = inside(self._root, self.path / "events.jsonl")
        if path is None:
            return
        try:
            with open(path, "rb") as file:
                about = os.fstat(file.fileno())
                identity = (about.st_dev, about.st_ino)
                if self._file != identity or about.st_size < self._offset:
                    self._forget()
                    self._file = identity
                file.seek(self._offset)
                self._read_lines(file)
        except FileNotFoundError:
            return  # the run is being removed; the next look will not find it

    def _read_lines(self, file: Any) -> None:
        """Take in whole lines; one that is still being written waits for its end."""
        rest = b""
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if line.strip():
                    self._take(line)
                self._offset += len(line) + 1
            if len(rest) > _LONGEST_LINE:  # no event is that long: what it is will not be known
                self._offset += len(rest)
                self._unreadable += 1
                rest = b""

    def _take(self, line: bytes) -> None:
        """Take note of an event at the current offset. Epochs, the many, are found now and parsed when asked for."""
        if not (line.startswith(_EPOCH) and line.endswith(b"}")):
            event = _json(line)
            if event is None or not isinstance(event.get("event"), str):
                self._unreadable += 1
                return
            self._phase = event["event"]
            self._last = _finite(event.get("time")) or self._last
            if self._phase == "training":
                self._first = self._last
                self._about |= {key: event.get(key) for key in ("parameters", "family", "epochs", "device")}
                self._about["rows"] = event.get("rows")
            if self._phase in ("continued", "went_back"):
                self._cut(event.get("epoch"))
            if self._phase != "epoch":
                return
        self._phase = "training"
        self._starts.append(self._offset)
        self._ends.append(self._offset + len(line))

    def _cut(self, epochs: Any) -> None:
        """Forget the epochs after the first so many: the training went back there, and they come again."""
        if not isinstance(epochs, int) or not 0 <= epochs < len(self._starts):
            return
        del self._starts[epochs:], self._ends[epochs:]
        self._generation += 1
        self._parsed = min(self._parsed, epochs)
        for column in self._columns.values():
            del column[self._parsed :]
        self._sampled, self._latest, self._spark = 0, {}, []

    def _epochs(self, places: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Yield the events of some epochs; an empty one where the file no longer holds it."""
        path = inside(self._root, self.path / "events.jsonl")
        try:
            descriptor = -1 if path is None else os.open(path, os.O_RDONLY)
        except OSError:
            descriptor = -1
        try:
            for place in places:
                start, end = self._starts[place], self._ends[place]
                yield (_json(os.pread(descriptor, end - start, start)) or {}) if descriptor >= 0 else {}
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _sample(self) -> None:
        """Read the last epoch's values and some losses on the way there, when there are new epochs."""
        total = len(self._starts)
        if total == self._sampled:
            return
        count = min(_SPARK, total)
        events = list(self._epochs(round(place * (total - 1) / max(1, count - 1)) for place in range(count)))
        last = events[-1]
        split = "validation" if last.get("validation") else "train"
        self._latest = _measured(last, split)
        self._spark = [_measured(event, split).get("loss") for event in events]
        self._last = max(self._last, _finite(last.get("time")) or 0.0)
        self._sampled = total

    def _parse(self) -> None:
        """Bring the columns up to the last epoch."""
        for event in self._epochs(range(self._parsed, len(self._starts))):
            time_ = _finite(event.get("time"))
            values = {name: _finite(event.get(name)) for name in ("epoch", "learning_rate", "best")}
            values["seconds"] = max(0.0, time_ - self._first) if time_ and self._first else None
            for split in ("train", "validation"):
                values |= {f"{split}/{name}": value for name, value in _measured(event, split).items()}
            for name in values.keys() - self._columns.keys():
                self._columns[name] = array("d", [math.nan]) * self._parsed
            for name, column in self._columns.items():
                value = values.get(name)
                column.append(math.nan if value is None else value)
            self._parsed += 1

    # -- telling ------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Return the run's line in the table."""
        self._sample()
        record, about = self._record, self._about
        status = record.get("status")
        metrics = record.get("metrics") if isinstance(record.get("metrics"), dict) else {}
        return {
            "id": self.name,
            "name": _word(record.get("name")) or self.name,
            "status": status if status in _STATES else "unknown",
            "phase": self._phase,
            "started": _word(record.get("started")),
            "seconds": _finite(record.get("seconds")),
            "last": self._last or None,
            "split": _word(record.get("split")),
            "metrics": {str(name): _finite(value) for name, value in (metrics or {}).items()},
            "latest": self._latest,
            "epoch": len(self._starts),
            "epochs": _finite(about.get("epochs")),
            "family": _word(about.get("family")),
            "parameters": _finite(about.get("parameters")),
            "device": _word(about.get("device")),
            "rows": about.get("rows") if isinstance(about.get("rows"), dict) else {},
            "spark": self._spark,
            "message": _word(record.get("message")) or self._problem,
            "unreadable": self._unreadable,
            "files": [name for name in FILES if inside(self._root, self.path / FILES[name][0]) is not None],
        }

    def curves(self, generation: int, after: int) -> dict[str, Any]:
        """Return the epochs from number `after` on, as columns; all of them when the events began anew since."""
        self._parse()
        start = after if generation == self._generation and 0 <= after <= self._parsed else 0
        columns = {name: [_finite(value) for value in column[start:]] for name, column in self._columns.items()}
        # A number of 19 digits does not survive JavaScript, so it travels as text.
        return {"generation": str(self._generation), "from": start, "epochs": self._parsed, "columns": columns}


def _measured(event: Mapping[str, Any], split: str) -> dict[str, float | None]:
    values = event.get(split)
    return {str(name): _finite(value) for name, value in values.items()} if isinstance(values, dict) else {}


def inside(root: Path, path: Path) -> Path | None:
    """Return the path when it is a plain file that, all links followed, lies within the root."""
    try:
        real = path.resolve(strict=True)
        fine = real.is_relative_to(root.resolve()) and stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError):  # gone, unreadable, or links in a circle
        return None
    return path if fine else None


def _json(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _finite(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _word(value: Any) -> str:
    return value[:2000] if isinstance(value, str) else ""
