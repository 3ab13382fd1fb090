"""The sources by name. Adding one: a new file and a line here (docs/adding-a-source.md)."""

from __future__ import annotations

from modelyard.core.registry import Table

SOURCES = Table(
    "source",
    {
        "csv": "modelyard.data.sources.csv:Csv",
        "parquet": "modelyard.data.sources.parquet:Parquet",
        "jsonl": "modelyard.data.sources.jsonl:JsonLines",
        "images": "modelyard.data.sources.images:ImageFolder",
        "idx": "modelyard.data.sources.idx:Idx",
        "npz": "modelyard.data.sources.npz:Npz",
        "memory": "modelyard.data.sources.memory:Memory",
    },
)
