"""Fashion-MNIST: pictures of clothes, made to replace MNIST one for one."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Debian, Url
from modelyard.data.catalog.write import copy_idx

_LIMIT = 256 << 20
_HOME = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def convert(raw: Path, out: Path) -> None:
    """The four IDX files as they are; Debian compressed them anew, the content is the same."""
    for name in _FILES:
        copy_idx(raw / name, out / name, _LIMIT)


ENTRY = Entry(
    name="fashion_mnist",
    title="Fashion-MNIST",
    description="Zalando's article pictures, 28×28 grey pixels: tell which of ten kinds of clothing it is.",
    task="classification",
    rows={"train": 60_000, "test": 10_000},
    columns={"image": "28×28 pixels, 0 (background) to 255", "label": "the kind of article, 0 to 9"},
    files={"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"},
    labels={
        "label": (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        )
    },
    licence="MIT",
    publisher="Zalando Research",
    reference="Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
    download_bytes=30_900_652,
    origins=(
        Debian(
            package="dataset-fashion-mnist",
            bytes=30_900_652,
            root="usr/share/datasets/fashion-mnist/",
            take=tuple(_FILES),
        ),
        Url(urls={_HOME + name: digest for name, digest in _FILES.items()}),
    ),
    notes=("Published test accuracies: two convolutions with pooling 0.916, two with three dense layers 0.932.",),
    digests={
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    convert=convert,
)
