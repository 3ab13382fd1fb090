"""AG News: short news in four topics."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Hub, Url
from modelyard.data.catalog.packages import read_csv
from modelyard.data.catalog.write import write_jsonl

_LABELS = ("World", "Sports", "Business", "Sci/Tech")
_HOME = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/"


def convert(raw: Path, out: Path) -> None:
    """From the hub's Parquet (text, label from 0) or the original CSV (label from 1, title, description)."""
    for split in ("train", "test"):
        table = raw / f"{split}-00000-of-00001.parquet"
        rows = _parquet_rows(table) if table.exists() else _csv_rows(raw / f"{split}.csv")
        write_jsonl(out / f"{split}.jsonl", rows)


def _parquet_rows(path: Path) -> Iterator[dict[str, str]]:
    for row in pq.read_table(path, columns=["text", "label"]).to_pylist():
        yield {"text": row["text"], "label": _LABELS[row["label"]]}


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    for label, title, text in read_csv(path):
        yield {"text": f"{title} {text}", "label": _LABELS[int(label) - 1]}


ENTRY = Entry(
    name="ag_news",
    title="AG News",
    description="Headline and first sentences of news: tell whether it is world, sports, business or technology.",
    task="classification",
    rows={"train": 120_000, "test": 7_600},
    columns={"text": "title and description", "label": "World, Sports, Business or Sci/Tech"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="For research and other non-commercial use, as its collector states",
    publisher="A. Gulli (AG's corpus); X. Zhang, J. Zhao and Y. LeCun (this selection)",
    reference="Zhang, Zhao and LeCun, Character-level Convolutional Networks for Text Classification, NIPS 2015",
    download_bytes=19_820_267,
    origins=(
        Hub(
            repository="fancyzhx/ag_news",
            revision="eb185aade064a813bc0b7f42de02595523103ca4",
            paths={"data/train-00000-of-00001.parquet": None, "data/test-00000-of-00001.parquet": None},
        ),
        Url(urls={_HOME + "train.csv": None, _HOME + "test.csv": None}),
    ),
    convert=convert,
)
