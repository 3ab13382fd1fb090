"""CIFAR-10: tiny colour pictures of ten kinds of things."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.images import read_cifar
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.write import write_npz

_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))


def convert(raw: Path, out: Path) -> None:
    """The binary version: a label and 3,072 bytes a picture."""
    for split, names in (("train", _TRAIN), ("test", ("test_batch.bin",))):
        images, labels = read_cifar([raw / name for name in names], labels=1)
        write_npz(out / f"{split}.npz", image=images, label=labels[:, 0])


ENTRY = Entry(
    name="cifar10",
    title="CIFAR-10",
    description="Colour pictures of 32×32 pixels: tell which of ten kinds of thing it shows.",
    task="classification",
    rows={"train": 50_000, "test": 10_000},
    columns={"image": "32×32 pixels, red green blue, 0 to 255", "label": "the kind of thing, 0 to 9"},
    files={"train": "train.npz", "test": "test.npz"},
    labels={
        "label": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    },
    licence="No licence stated; free for research as its authors use it",
    publisher="Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, University of Toronto",
    reference="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
    download_bytes=170_052_171,
    origins=(
        Url(
            urls={
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": (
                    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
                )
            },
            root="cifar-10-batches-bin/",
            take=(*_TRAIN, "test_batch.bin"),
        ),
    ),
    convert=convert,
)
