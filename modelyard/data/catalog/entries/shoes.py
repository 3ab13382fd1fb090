"""Shoes: two kinds of Fashion-MNIST as PNG files in class folders, the way a first picture course hands them out."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from modelyard.core.errors import DataError
from modelyard.data.catalog.entries import fashion_mnist
from modelyard.data.catalog.entry import Entry

_KINDS = {7: "sneaker", 9: "ankle_boot"}
_PARTS = {"train": "train", "t10k": "val"}


def convert(raw: Path, out: Path) -> None:
    """Write every sneaker and every ankle boot as a PNG named by its place in Fashion-MNIST, uncompressed so that the
    files are the same whatever library compresses."""
    for prefix, part in _PARTS.items():
        pixels = _bytes(raw / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = _bytes(raw / f"{prefix}-labels-idx1-ubyte.gz", 8)
        if len(pixels) != len(labels):
            raise DataError(f"{part}: {len(pixels)} pictures for {len(labels)} labels")
        for label, kind in _KINDS.items():
            folder = out / part / kind
            folder.mkdir(parents=True)
            for place in np.flatnonzero(labels == label):
                Image.fromarray(pixels[place]).save(folder / f"{place:05d}.png", compress_level=0)


def _bytes(path: Path, header: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    with gzip.open(path) as file:
        return np.frombuffer(file.read()[header:], np.uint8)


ENTRY = Entry(
    name="shoes",
    title="Shoes (of Fashion-MNIST)",
    description="Sneakers and ankle boots, 28×28 grey PNG files in class folders: tell which it is.",
    task="classification",
    rows={"train": 12_000, "validation": 2_000},
    columns={"image": "a PNG file of 28×28 grey pixels", "label": "sneaker or ankle_boot"},
    files={"train": "train", "validation": "val"},
    licence=fashion_mnist.ENTRY.licence,
    publisher=fashion_mnist.ENTRY.publisher,
    reference=fashion_mnist.ENTRY.reference,
    download_bytes=fashion_mnist.ENTRY.download_bytes,
    origins=fashion_mnist.ENTRY.origins,
    notes=("The validation pictures are those of Fashion-MNIST's test split.",),
    digests={
        "train": "3df7eddb6f165efe1375950c60002500c93c7c07880530dc36da9d7df9516fad",
        "val": "00c857df125c716ab075a4a0d2a7086a9a9dcf138a7445fd4920d6d691621d47",
    },
    convert=convert,
)
