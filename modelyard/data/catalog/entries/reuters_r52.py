"""Reuters R52: newswire stories in fifty-two topics."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import orange_text, read_tab
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """One JSON object a story."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", read_tab(raw / f"reuters-r52-{split}.tab"))


ENTRY = Entry(
    name="reuters_r52",
    title="Reuters-21578, R52",
    description="Newswire stories of 1987 in 52 very uneven topics, in the standard split: tell the topic.",
    task="classification",
    rows={"train": 6_532, "test": 2_568},
    columns={"text": "title and story, lower case, letters only", "label": "one of 52 topics"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="For research; copyright in the stories is with Reuters",
    publisher="D. D. Lewis (Reuters-21578); A. Cardoso-Cachopo (R52)",
    reference="Cardoso-Cachopo, Improving Methods for Single-label Text Categorization, PhD thesis, IST Lisbon, 2007",
    download_bytes=38_107_331,
    origins=(orange_text("reuters-r52-train.tab", "reuters-r52-test.tab"),),
    notes=("6 texts stand in both splits; 82 of training and 15 of test repeat another of their split.",),
    digests={
        "train.jsonl": "2fde845d0e4ec633984fff3d4db287fc9fa9404f5415a906818c54c30c5b8acc",
        "test.jsonl": "6232a845901c0350cd8bec71ead45df80ba4d0963da66edc736c88e50c5f1021",
    },
    convert=convert,
)
