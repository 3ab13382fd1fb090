"""Data sets that live on the Hugging Face hub as shards of Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modelyard.data.catalog.origins import Hub

__all__ = ["gather_text", "wikitext"]


def wikitext(folder: str, paths: Mapping[str, Sequence[str]]) -> Hub:
    """One of the WikiText corpora, pinned by commit."""
    return Hub(
        repository="Salesforce/wikitext",
        revision="b08601e04326c79dfdd32d625aee71d232d685c3",
        paths={f"{folder}/{name}": None for names in paths.values() for name in names},
    )


def gather_text(shards: Sequence[Path], target: Path) -> None:
    """Write the column `text` of several Parquet files into one, in order, without holding them in memory."""
    schema = pa.schema([("text", pa.string())])
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for shard in shards:
            with pq.ParquetFile(shard) as content:
                for batch in content.iter_batches(columns=["text"]):
                    writer.write_table(pa.Table.from_batches([batch]).cast(schema))
