"""WikiText-103: good and featured articles of Wikipedia, as raw text."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.hub import gather_text, wikitext

_PATHS = {
    "train": ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
    "validation": ["validation-00000-of-00001.parquet"],
    "test": ["test-00000-of-00001.parquet"],
}


def convert(raw: Path, out: Path) -> None:
    """The shards of each split one after the other."""
    for split, names in _PATHS.items():
        gather_text([raw / name for name in names], out / f"{split}.parquet")


ENTRY = Entry(
    name="wikitext103",
    title="WikiText-103 (raw)",
    description="Paragraphs of Wikipedia articles in English: language modelling over long contexts.",
    task="causal_lm",
    rows={"train": 1_801_350, "validation": 3_760, "test": 4_358},
    columns={"text": "one line of an article: a paragraph, a heading such as = Title =, or empty"},
    files={split: f"{split}.parquet" for split in _PATHS},
    licence="CC BY-SA 3.0 and GFDL",
    publisher="S. Merity and others, Salesforce Research",
    reference="Merity et al., Pointer Sentinel Mixture Models, arXiv:1609.07843, 2016",
    download_bytes=315_466_397,
    origins=(wikitext("wikitext-103-raw-v1", _PATHS),),
    notes=("Rows are lines, in order: join them to have articles.",),
    convert=convert,
)
