"""Digits: the small handwritten digits that scikit-learn ships."""

from pathlib import Path

import numpy as np

from modelyard.data.catalog.archives import decompress
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import scikit_learn
from modelyard.data.catalog.write import write_idx


def convert(raw: Path, out: Path) -> None:
    """64 counts and a digit a line, as IDX images and labels."""
    lines = decompress(raw / "digits.csv.gz", 1 << 22).decode("ascii").split()
    table = np.array([[int(value) for value in line.split(",")] for line in lines], dtype=np.uint8)
    write_idx(out / "all-images-idx3-ubyte.gz", table[:, :64].reshape(-1, 8, 8))
    write_idx(out / "all-labels-idx1-ubyte.gz", table[:, 64])


ENTRY = Entry(
    name="digits",
    title="Optical recognition of handwritten digits (test part)",
    description="Handwritten digits in 8×8 grey levels: tell which digit it is. Small enough for seconds on a CPU.",
    task="classification",
    rows={"all": 1_797},
    columns={"image": "8×8 levels, 0 to 16 (not 255): ink counts in 4×4 blocks", "label": "the digit, 0 to 9"},
    files={"all": "all-images-idx3-ubyte.gz"},
    labels={"label": tuple("0123456789")},
    licence="CC BY 4.0 (UCI); carried by scikit-learn under BSD-3-Clause",
    publisher="E. Alpaydin and C. Kaynak; UCI Machine Learning Repository",
    reference="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, doi:10.24432/C50P49",
    download_bytes=8_636_997,
    origins=(scikit_learn("digits.csv.gz"),),
    notes=("Written by 13 people; rows of one writer stand together, so a random split shares writers.",),
    digests={
        "all-images-idx3-ubyte.gz": "359cd13f0f514122884198b78a131df597421cbf5e93a76678fa96fc548f0d96",
        "all-labels-idx1-ubyte.gz": "ce71631c1f31ce56fa54f31d1d498fafacff59b001e6c30c4a5e29508aa277ad",
    },
    convert=convert,
)
