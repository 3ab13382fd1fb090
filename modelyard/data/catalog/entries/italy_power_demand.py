"""Italy's power demand, a day at a time."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import read_ts, sktime
from modelyard.data.catalog.write import write_jsonl

_LABELS = {"1": "october_to_march", "2": "april_to_september"}


def convert(raw: Path, out: Path) -> None:
    """One JSON object a day, in the published split."""
    for split in ("train", "test"):
        write_jsonl(out / f"{split}.jsonl", read_ts(raw / f"ItalyPowerDemand_{split.upper()}.ts", _LABELS))


ENTRY = Entry(
    name="italy_power_demand",
    title="Italy power demand",
    description="Italy's electricity demand in the 24 hours of a day: tell which half of the year it is.",
    task="classification",
    rows={"train": 67, "test": 1_029},
    columns={"series": "24 hourly demands, standardised a day", "label": "october_to_march or april_to_september"},
    files={"train": "train.jsonl", "test": "test.jsonl"},
    licence="No licence stated; the UCR archive asks to be cited. sktime is BSD-3-Clause",
    publisher="E. Keogh and others; UCR Time Series Archive",
    reference="Dau et al., The UCR Time Series Archive, arXiv:1810.07758, 2018",
    download_bytes=8_201_107,
    origins=(sktime("ItalyPowerDemand"),),
    digests={
        "train.jsonl": "d32c5d6ddb0a60ca3b42a2337273ac69430900d444cc98733a1cadbdd46b1ccd",
        "test.jsonl": "c3874ed1486751dfecc35242367f2a5c0a46921d14141ed32974cec59e2a2c3d",
    },
    convert=convert,
)
