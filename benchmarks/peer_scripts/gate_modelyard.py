"""modelyard: the whole data gate over a CSV file that it has never seen. Prints seconds."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import modelyard
from modelyard.core.registry import table

check = modelyard.check
pa.array(np.zeros(1))  # brings pandas in where it is installed: importing is not what is measured
for kind in ("source", "modality", "check"):
    for name in table(kind):
        table(kind).find(name)
started = time.perf_counter()
found = check(sys.argv[1], [sys.argv[2]])
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
rows = sum(found.rows.values()) + sum(found.dropped.values())
findings = [f"{one.severity}: {one.title}" for one in found.findings]
about = {"seconds": seconds, "rows": rows, "peak": peak, "findings": findings}
print(json.dumps({**about, "version": f"modelyard {modelyard.__version__}"}))
