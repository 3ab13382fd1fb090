"""What every training script of this benchmark shares: its task, the prepared arrays, the clock and the result.

A script is started with one argument, its task as JSON. It takes a first step, trains one epoch to warm up, then the
epochs that are timed. The last line it prints is the result. Only NumPy is needed.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


class Job:
    """The task: folder, batch, epochs (the first warms up), rate, seed, threads, started (seconds since 1970) …"""

    def __init__(self):
        self.__dict__.update(json.loads(sys.argv[1]))
        self.about = json.loads((Path(self.folder) / "about.json").read_text("utf-8"))
        self.kind = self.about["kind"]

    def arrays(self, split):
        """Inputs and labels of `train` or `test`: float32 pictures (N, H, W, C) or rows (N, D), int32 token ids (N, T);
        labels int64 (N,)."""
        folder = Path(self.folder)
        return np.load(folder / f"x_{split}.npy"), np.load(folder / f"y_{split}.npy")


class Clock:
    """Notes the first step, the ends of epochs and the most memory held until the last of them."""

    def __init__(self, job):
        self.job = job
        self.to_first_step = None
        self.ends = []
        self.peak = 0

    def stepped(self, at=None):
        """A step has ended; only the first counts."""
        if self.to_first_step is None:
            self.to_first_step = (time.time() if at is None else at) - self.job.started

    def epoch_ended(self, at=None):
        """An epoch has ended, or the first one begins."""
        self.ends.append(time.time() if at is None else at)
        self.peak = peak_memory()

    def report(self, scores, labels, parameters, version, **more):
        """Print the result.

        `scores` are the test rows' outputs before softmax or sigmoid, (N, C) or (N, 1); or their accuracy.
        """
        if len(self.ends) != self.job.epochs + 1:
            raise RuntimeError(f"{len(self.ends) - 1} epochs ended, expected {self.job.epochs}")
        rows = more.pop("rows", self.job.about["rows"])
        seconds = self.ends[-1] - self.ends[1]
        result = {
            "rows_per_second": rows * (self.job.epochs - 1) / seconds,
            "warm_up_seconds": self.ends[1] - self.ends[0],
            "to_first_step": self.to_first_step,
            "peak_bytes": self.peak,
            "accuracy": scores if isinstance(scores, float) else accuracy(np.asarray(scores), labels),
            "parameters": int(parameters),
            "version": version,
        }
        print(json.dumps(result | more))


def accuracy(scores, labels):
    scores = scores.reshape(len(labels), -1)
    answers = scores[:, 0] > 0 if scores.shape[1] == 1 else scores.argmax(1)
    return float((answers == labels).mean())


def peak_memory():
    """The most memory this program has held at once, in bytes. Not `ru_maxrss`, which a child process takes over from
    the one that started it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
