"""pyarrow: read a CSV file into a table. Prints seconds."""

import json
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

started = time.perf_counter()
table = pyarrow.csv.read_csv(sys.argv[1])
seconds = time.perf_counter() - started
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps({"seconds": seconds, "rows": table.num_rows, "peak": peak, "version": f"pyarrow {pa.__version__}"}))
