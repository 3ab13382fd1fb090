"""Large Movie Review Dataset: whole reviews from IMDb."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.write import write_jsonl

_LABELS = {"neg": "negative", "pos": "positive"}


def convert(raw: Path, out: Path) -> None:
    """One text file a review, named by number and stars, in a folder a class."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", _rows(raw / split))


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    for name, label in _LABELS.items():
        for path in sorted((folder / name).glob("*.txt"), key=lambda path: int(path.stem.partition("_")[0])):
            stars = int(path.stem.partition("_")[2])
            yield {"text": path.read_text("utf-8"), "label": label, "stars": stars}


ENTRY = Entry(
    name="imdb",
    title="IMDb (Large Movie Review Dataset)",
    description="Film reviews, strongly for or strongly against: tell which.",
    task="classification",
    rows={"train": 25_000, "test": 25_000},
    columns={
        "text": "the review; holds <br /> where it had line breaks",
        "label": "positive (7 to 10 stars) or negative (1 to 4)",
        "stars": "stars given, 1 to 10; tells the label",
    },
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="No licence stated; its authors ask to be cited",
    publisher="A. L. Maas and others, Stanford University",
    reference="Maas et al., Learning Word Vectors for Sentiment Analysis, ACL 2011",
    download_bytes=84_125_825,
    origins=(
        Url(
            urls={
                "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz": (
                    "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"
                )
            },
            root="aclImdb/",
            take=("train/pos/*.txt", "train/neg/*.txt", "test/pos/*.txt", "test/neg/*.txt"),
        ),
    ),
    notes=(
        "Negative reviews stand first: shuffle. No film is in both splits. The 50,000 unlabelled reviews are left.",
    ),
    convert=convert,
)
