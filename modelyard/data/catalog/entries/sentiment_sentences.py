"""Sentences of film, restaurant and product reviews, each for or against."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Npm, Url
from modelyard.data.catalog.write import write_jsonl

_SOURCES = ("imdb", "yelp", "amazon")
_HOME = "https://cdn.jsdelivr.net/npm/sentiment@5.0.2/test/fixtures/"


def convert(raw: Path, out: Path) -> None:
    """The three files one after the other; class 1 is positive. Each ends with an empty row, which is left out."""
    write_jsonl(out / "all.jsonl", _rows(raw))


def _rows(raw: Path) -> Iterator[dict[str, Any]]:
    for source in _SOURCES:
        for row in json.loads((raw / f"{source}.json").read_text("utf-8")):
            if row != {"text": "", "class": None}:
                yield {"text": row["text"].strip(), "label": ("negative", "positive")[row["class"]], "source": source}


ENTRY = Entry(
    name="sentiment_sentences",
    title="Sentiment Labelled Sentences",
    description="Single sentences from reviews at IMDb, Yelp and Amazon: tell whether they are for or against.",
    task="classification",
    rows={"all": 3_000},
    columns={"text": "the sentence", "label": "positive or negative", "source": "imdb, yelp or amazon"},
    files={"all": "all.jsonl"},
    licence="CC BY 4.0 (UCI); the carrying package is MIT",
    publisher="D. Kotzias, University of California, Irvine",
    reference="Kotzias et al., From Group to Individual Labels using Deep Features, KDD 2015",
    download_bytes=141_649,
    origins=(
        Npm(
            package="sentiment",
            release="5.0.2",
            sha256="89302eb03d2005d03b214fe65814bb48adb7d3c42c8ca80bdee6a3ecb7e4480f",
            bytes=141_649,
            root="package/test/fixtures/",
            take=tuple(f"{source}.json" for source in _SOURCES),
        ),
        Url(urls={f"{_HOME}{source}.json": None for source in _SOURCES}),
    ),
    notes=("1,000 sentences a source, half of them positive. 18 texts stand twice.",),
    digests={
        "all.jsonl": "d2705195e01c9b3d3964c9dd26e5af546d3c00fbb5b927e5a38d820d2604ae39",
    },
    convert=convert,
)
