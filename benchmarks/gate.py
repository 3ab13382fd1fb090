"""The data gate beside merely reading the file: a table of a million rows and twenty columns.

    python benchmarks/gate.py                     five repeats of each, in turns, each in a process of its own
    python benchmarks/gate.py --rows 200000 --repeats 3

The table has fourteen columns of numbers, five of categories and one of short texts, and planted faults, so that the
findings can be looked at. The gate reads, hashes, splits, checks and describes every row; pyarrow infers types.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from peers import run_peer

SCRIPTS = Path(__file__).parent / "peer_scripts"


def make_table(path: Path, rows: int) -> None:
    """Write the table, with 100 exact duplicates, 50 rows without a label and 20 cells that are no number."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnoprstuvw"))
    words = np.array(["".join(letters[rng.integers(0, len(letters), length)]) for length in rng.integers(2, 9, 20_000)])
    columns: dict[str, object] = {}
    for number in range(10):
        columns[f"measure_{number}"] = rng.normal(50, 20, rows).round(3).astype(str)
    for number in range(4):
        columns[f"count_{number}"] = rng.integers(0, 1000, rows).astype(str)
    for number in range(4):
        columns[f"kind_{number}"] = np.array(["red", "green", "blue", "yellow", "violet"])[rng.integers(0, 5, rows)]
    picked = words[np.minimum(rng.zipf(1.2, (rows, 6)) - 1, len(words) - 1)]
    columns["remark"] = [" ".join(row) for row in picked]
    label = np.array(["no", "yes"])[rng.integers(0, 2, rows)].astype(object)
    label[rng.choice(rows, 50, replace=False)] = ""
    columns["label"] = label
    odd = columns["measure_3"].astype(object)
    odd[rng.choice(rows, 20, replace=False)] = "n.b."
    columns["measure_3"] = odd
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    table = pa.concat_tables([table, table.slice(0, 100)])
    pyarrow.csv.write_csv(table, path, pyarrow.csv.WriteOptions(quoting_style="needed"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "table.csv"
        make_table(path, options.rows)
        print(f"{options.rows:,} rows × 20 columns, {path.stat().st_size / 1e6:.0f} MB of CSV")
        reading, gate = [], []
        for repeat in range(options.repeats):
            reading.append(run_peer(sys.executable, SCRIPTS / "gate_pyarrow.py", str(path)))
            os.environ["MODELYARD_CACHE"] = str(Path(temporary) / f"cache-{repeat}")
            gate.append(run_peer(sys.executable, SCRIPTS / "gate_modelyard.py", str(path), "label"))
        for found in (reading, gate):
            seconds = [run["seconds"] for run in found]
            peak = max(run["peak"] for run in found) / 2**20
            print(
                f"{found[0]['version']:24} {statistics.median(seconds):6.2f} s "
                f"({min(seconds):.2f} … {max(seconds):.2f}), at most {peak:.0f} MiB"
            )
        ratios = [ours["seconds"] / theirs["seconds"] for ours, theirs in zip(gate, reading, strict=True)]
        print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
        print("\n".join(f"  {line}" for line in gate[0]["findings"]))


if __name__ == "__main__":
    main()
