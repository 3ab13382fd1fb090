"""GunPoint: the hand of someone who draws a gun, or only points."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import read_ts, sktime
from modelyard.data.catalog.write import write_jsonl

_LABELS = {"1": "gun", "2": "point"}


def convert(raw: Path, out: Path) -> None:
    """One JSON object a series, in the published split."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", read_ts(raw / f"GunPoint_{split.upper()}.ts", _LABELS))


ENTRY = Entry(
    name="gunpoint",
    title="GunPoint",
    description="How far right a hand is, 150 times in five seconds: tell whether it draws a gun or points a finger.",
    task="classification",
    rows={"train": 50, "test": 150},
    columns={"series": "150 positions, standardised a series", "label": "gun or point"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="No licence stated; the UCR archive asks to be cited. sktime is BSD-3-Clause",
    publisher="C. A. Ratanamahatana and E. Keogh; UCR Time Series Archive",
    reference="Dau et al., The UCR Time Series Archive, arXiv:1810.07758, 2018",
    download_bytes=8_201_107,
    origins=(sktime("GunPoint"),),
    digests={
        "train.jsonl": "33e0f59c83d1430159e124b3642a89402b691b11cdd69afd2858c19d6162df7c",
        "test.jsonl": "309937e208f72c4f9948b1ecb03cde3005061b39bfce244f841a370e143b0099",
    },
    convert=convert,
)
