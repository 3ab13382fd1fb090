"""Feed damaged files of every format to the sources and modalities, and count what comes of it.

    python scripts/fuzz.py --cases 10000            all formats in turn
    python scripts/fuzz.py --only csv --seed 7      one format
    python scripts/fuzz.py --replay FOLDER          a kept failure, with its traceback

A case passes when it gives rows (counted exactly, see tests/fuzz/oracle.py) or an error of modelyard's. Anything else
is a failure: another exception, a crash, more seconds or more memory than allowed. Failures are cut down a little and
kept.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import random
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import asdict
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1] / "tests" / "fuzz"), str(HERE.parents[1])]

from mutations import damaged  # noqa: E402
from seed_files import FORMATS, Case, seed_case  # noqa: E402

from modelyard.data.modalities.table import MODALITIES  # noqa: E402
from modelyard.data.sources.table import SOURCES  # noqa: E402

SECONDS = 20
"""A case that takes longer hangs."""
PEAK = 400 << 20
"""Bytes of resident memory that a case may add: every seed has far below a megabyte, and blocks have 64 at most."""
LIMIT = 3 << 30
"""Bytes of data beyond which the worker gets no more memory."""


# -- the worker: one process that reads case after case ---------------------------------------------------------------


def work() -> None:
    """Read locations from standard input, a line of JSON each, and answer each with a line of JSON."""
    import oracle

    for table in (SOURCES, MODALITIES):
        for name in table:
            table.find(name)  # so that the first case is not charged with the imports
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints does not disturb the answers
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    for line in sys.stdin:
        case = json.loads(line)
        Path("/proc/self/clear_refs").write_text("5")  # start the peak anew
        before, started = _memory("VmRSS"), time.perf_counter()
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        answer: dict[str, object] = {}
        try:
            outcome = oracle.examine(Path(case["location"]), case["format"], case["options"])
            answer = asdict(outcome)
        except BaseException as error:
            answer = {"failure": _signature(error), "traceback": traceback.format_exc()[-6000:]}
        faulthandler.cancel_dump_traceback_later()
        added = _memory("VmHWM") - before
        answer |= {"seconds": time.perf_counter() - started, "memory": added}
        if added > PEAK and "failure" not in answer:
            answer |= {"failure": f"memory: {added >> 20} MiB", "traceback": str(answer.get("refused", ""))}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _memory(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    return 0


def _signature(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((f for f in reversed(frames) if "modelyard/" in f.filename or f.filename.endswith("oracle.py")), None)
    where = f" at {Path(frame.filename).name}:{frame.lineno}" if frame else ""
    detail = f" ({str(error)[:80]})" if type(error).__name__ == "Broken" else ""
    return f"{type(error).__name__}{where}{detail}"


class Worker:
    """The process, started again whenever it died."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process: subprocess.Popen[str] | None = None

    def run(self, case: Case) -> dict[str, object]:
        """Write a case's files, have them read, and return the answer."""
        folder = self._scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        location = write(case, folder)
        process = self._started()
        assert process.stdin and process.stdout
        process.stdin.write(
            json.dumps({"location": str(location), "format": case.format, "options": case.options}) + "\n"
        )
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS + 30)
        line = process.stdout.readline() if ready else ""
        if line:
            answer: dict[str, object] = json.loads(line)
            return answer
        self.stop()
        said = (self._scratch / "stderr").read_text("utf-8", "replace")[-6000:]
        how = "hang" if "Timeout" in said or not ready else f"crash (exit code {process.returncode})"
        return {"failure": how, "traceback": said, "seconds": 0.0, "memory": 0}

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            with open(self._scratch / "stderr", "w") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, str(HERE), "--worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
                )
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


# -- the cases --------------------------------------------------------------------------------------------------------


def write(case: Case, folder: Path) -> Path:
    """Write a case's files and return what is to be opened."""
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder / case.opened if case.opened else folder


def make(format: str, seed: int, index: int) -> Case:
    """Return the case of this number; always the same one."""
    rng = random.Random(f"{seed}:{format}:{index}")
    return damaged(seed_case(format, rng), rng)


def smaller(case: Case, failure: str, worker: Worker, tries: int = 60) -> Case:
    """Leave out pieces, large ones first, as long as the failure stays the same."""
    size = len(case.files[case.victim]) // 2
    while size >= 1 and tries > 0:
        at = 0
        while at < len(case.files[case.victim]) and tries > 0:
            content = case.files[case.victim]
            shorter = case.with_content(content[:at] + content[at + size :])
            tries -= 1
            if worker.run(shorter).get("failure") == failure:
                case = shorter
            else:
                at += size
        size //= 2
    return case


def keep(case: Case, answer: dict[str, object], place: Path) -> None:
    """Save a failure with what is needed to see it again."""
    location = write(case, place / "files")
    (place / "case.json").write_text(
        json.dumps({"location": str(location), "format": case.format, "options": case.options})
    )
    (place / "failure.txt").write_text(f"{answer['failure']}\n\n{answer['traceback']}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="how many, all formats together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FORMATS)
    parser.add_argument("--keep", type=Path, help="folder for failures (default: a new temporary one)")
    parser.add_argument("--replay", type=Path, help="read a kept failure here and now")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work()
        return 0
    if arguments.replay is not None:
        import oracle

        case = json.loads((arguments.replay / "case.json").read_text())
        print(oracle.examine(Path(case["location"]), case["format"], case["options"]))
        return 0
    formats = (arguments.only,) if arguments.only else FORMATS
    kept = arguments.keep or Path(tempfile.mkdtemp(prefix="modelyard-fuzz-"))
    with tempfile.TemporaryDirectory() as scratch:
        worker = Worker(Path(scratch))
        with contextlib.closing(contextlib.ExitStack()) as stack:
            stack.callback(worker.stop)
            return run(formats, arguments.cases, arguments.seed, worker, kept)


def run(formats: tuple[str, ...], cases: int, seed: int, worker: Worker, kept: Path) -> int:
    """Run the cases, print the counts, and return the exit code."""
    counts: dict[str, Counter[str]] = {format: Counter() for format in formats}
    signatures: Counter[str] = Counter()
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")
    started = time.perf_counter()
    for index in range(cases):
        format = formats[index % len(formats)]
        case = make(format, seed, index)
        answer = worker.run(case)
        name = f"{format} {index}"
        slowest = max(slowest, (float(str(answer["seconds"])), name))
        largest = max(largest, (int(str(answer["memory"])), name))
        count = counts[format]
        count["cases"] += 1
        for what in ("rows", "unreadable", "problems", "notes"):
            count[what] += int(str(answer.get(what, 0)))
        failure = answer.get("failure")
        if failure is None:
            count["refused" if answer["refused"] else "accepted"] += 1
            if "more memory than there is" in str(answer["refused"]):
                count["no memory"] += 1
            continue
        count["failures"] += 1
        signature = f"{format}: {failure}"
        signatures[signature] += 1
        if signatures[signature] == 1:
            place = kept / f"{format}-{seed}-{index}"
            keep(smaller(case, str(failure), worker), answer, place)
            print(f"FAILURE {signature}\n  see it again: python {sys.argv[0]} --replay {place}", flush=True)
    keys = ("cases", "accepted", "refused", "failures", "no memory", "rows", "unreadable", "problems", "notes")
    print(f"{'':10}" + "".join(f"{key:>12}" for key in keys))
    for format, count in counts.items():
        print(f"{format:10}" + "".join(f"{count[key]:>12,}" for key in keys))
    total = sum(counts.values(), Counter())
    print(f"{'all':10}" + "".join(f"{total[key]:>12,}" for key in keys))
    seconds = time.perf_counter() - started
    print(
        f"{seconds:.0f} s; slowest {slowest[0]:.2f} s ({slowest[1]}); most memory {largest[0] >> 20} MiB ({largest[1]})"
    )
    for signature, often in signatures.most_common():
        print(f"  {often:>5} × {signature}")
    return 1 if signatures else 0


if __name__ == "__main__":
    sys.exit(main())
