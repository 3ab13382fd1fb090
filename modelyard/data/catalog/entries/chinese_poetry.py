"""Classical Chinese poetry, from the Book of Songs to the Qing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Npm
from modelyard.data.catalog.write import write_jsonl

_COLLECTIONS = {
    "shijing": "shijing/shijing.json",
    "chuci": "chuci/chuci.json",
    "caocao": "caocaoshiji/caocao.json",
    "tang": "quantangshi/poet.tang.*.json",
    "imperial_tang": "yudingquantangshi/json/*.json",
    "ink_tang": "shuimotangshi/shuimotangshi.json",
    "huajian": "wudaishici/huajianji/huajianji-*.json",
    "southern_tang": "wudaishici/nantang/poetrys.json",
    "song": "quantangshi/poet.song.*.json",
    "ci": "songci/ci.song.*.json",
    "yuanqu": "yuanqu/yuanqu.json",
    "nalan": "nalanxingde/*.json",
}


def convert(raw: Path, out: Path) -> None:
    """One JSON object a poem, collection by collection, files in the order of their numbers."""
    write_jsonl(out / "all.jsonl", _rows(raw))


def _rows(raw: Path) -> Iterator[dict[str, Any]]:
    for collection, pattern in _COLLECTIONS.items():
        for path in sorted(raw.glob(pattern), key=lambda path: (len(path.name), path.name)):
            for poem in json.loads(path.read_text("utf-8")):
                lines = poem.get("paragraphs") or poem.get("content") or poem.get("para") or []
                text = "\n".join(line.strip() for line in lines if line.strip())
                if text:
                    title = poem.get("title") or poem.get("rhythmic")
                    yield {"title": title, "author": poem.get("author"), "collection": collection, "text": text}


ENTRY = Entry(
    name="chinese_poetry",
    title="Chinese poetry",
    description="Nearly all preserved poems of Tang and Song and more: learn to write on, or tell author or age.",
    task="causal_lm",
    rows={"all": 388_271},
    columns={
        "title": "title, or the tune a ci is written to",
        "author": "author; null where the collection names none",
        "collection": ", ".join(_COLLECTIONS),
        "text": "the poem, one line of the source a line",
    },
    files={"all": "all.jsonl"},
    licence="MIT",
    publisher="The chinese-poetry project",
    reference="chinese-poetry, https://github.com/chinese-poetry/chinese-poetry",
    download_bytes=85_464_664,
    origins=(
        Npm(
            package="chinese-poetry",
            release="2.0.1",
            sha256="25b549e46919c3a0569db6b68ddc96956b04a484ea4518ad2bbd4f137e307e86",
            bytes=85_464_664,
            root="package/dist/",
            take=tuple(_COLLECTIONS.values()),
        ),
    ),
    notes=(
        "25.9 million characters. tang, song and imperial_tang are in traditional characters, the "
        "others in simplified ones.",
        "imperial_tang is an older edition of much of tang, and ink_tang a choice from it: leave them out to "
        "have each poem once. 6,251 texts repeat another to the letter, and 13 hold the replacement "
        "character.",
        "170 records without text are left out, and so are the package's prose collections and its folder error.",
    ),
    digests={
        "all.jsonl": "4b79544b0280aa7192cd558e7a1666257a58c29f60fcaa9d9310e29688dce957",
    },
    convert=convert,
)
