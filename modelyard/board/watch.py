"""The runs of a folder, kept up to date: which there are, what each says, what differs between them."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.board.run_folder import FILES, RunFolder, inside
from modelyard.core.errors import DataError, UsageError
from modelyard.train.runs import differing_settings

__all__ = ["Runs"]


class Runs:
    """The runs in a folder. Safe to ask from several threads.

    Args:
        folder: Where runs are; it may be empty or come into being later.
        every: Files are looked at again after this many seconds at the earliest.
    """

    def __init__(self, folder: Path, every: float = 0.5) -> None:
        self.folder = folder
        self._every = every
        self._looked = -math.inf
        self._known: dict[str, RunFolder] = {}
        self._lock = threading.Lock()

    def summaries(self) -> list[dict[str, Any]]:
        """Return a line of every run, the newest first."""
        with self._lock:
            self._look()
            lines = [run.summary() for run in self._known.values()]
        return sorted(lines, key=lambda line: (line["started"], line["id"]), reverse=True)

    def curves(self, name: str, generation: int, after: int) -> dict[str, Any] | None:
        """Return a run's epochs from number `after` on, as columns; None when there is no such run.

        Args:
            name: The run's folder.
            generation: As returned before; when the events began anew since, all epochs are returned.
            after: How many epochs are known already.
        """
        with self._lock:
            self._look()
            run = self._known.get(name)
            return None if run is None else run.curves(generation, after)

    def differences(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the settings that differ between runs: `{"runs": […], "settings": {dotted name: values}}`, and the
        runs that are left out because they have no readable spec (yet)."""
        paths, left_out = [], []
        for name in names:
            path = self.file(name, "spec.yaml")
            if path is None:
                left_out.append(name)
            else:
                paths.append(path.parent)
        while len(paths) > 1:
            try:
                settings = differing_settings(paths)
            except (DataError, UsageError) as error:
                bad = [path for path in paths if str(path) in str(error)]
                if not bad:
                    raise
                left_out += [path.name for path in bad]
                paths = [path for path in paths if path not in bad]
                continue
            return {"runs": [path.name for path in paths], "settings": settings, "left_out": left_out}
        return {"runs": [path.name for path in paths], "settings": {}, "left_out": left_out}

    def file(self, name: str, file: str) -> Path | None:
        """Return where one of `FILES` of a known run is; None when there is none, or it leads out of the folder."""
        if file not in FILES:
            return None
        with self._lock:
            self._look()
            run = self._known.get(name)
        return None if run is None else inside(self.folder, run.path / FILES[file][0])

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < self._every:
            return
        present: dict[str, RunFolder] = {}
        for name in _folders(self.folder):
            path = self.folder / name
            if inside(self.folder, path / "run.json") is None:
                continue
            present[name] = self._known.get(name) or RunFolder(name, path, self.folder)
        self._known = {name: run for name, run in present.items() if run.look()}
        self._looked = time.monotonic()


def _folders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
