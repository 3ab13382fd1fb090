"""modelyard: a folder of pictures to batches; the first epoch includes reading, checking and preparing everything."""

import json
import sys
import time

import numpy as np
import pyarrow as pa

import modelyard
from modelyard.core.registry import table
from modelyard.data.loader import Loader
from modelyard.data.prepare import prepare
from modelyard.spec.spec import Spec

folder, size, batch, epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
pa.array(np.zeros(1))  # brings pandas in where it is installed: the peers' imports are not measured either
for kind in ("source", "modality", "check"):
    for name in table(kind):
        table(kind).find(name)
started = time.perf_counter()
data = {
    "source": folder,
    "inputs": {"image": {"type": "image", "size": size}},
    "targets": {"label": "category"},
    "split": {"validation": 0, "test": 0},
}
found = prepare(Spec.parse({"name": "images", "data": data}), ("image",), ("category",))
loader = Loader(found.splits["train"], found.fitted, batch, 0, True)
seconds, images = [], 0
for epoch in range(epochs):
    images = sum(len(piece) for piece in loader.epoch(epoch))
    seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
print(json.dumps({"seconds": seconds, "images": images, "version": f"modelyard {modelyard.__version__}"}))
