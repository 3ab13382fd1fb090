"""Wine: chemical analysis of three cultivars."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import read_csv, scikit_learn
from modelyard.data.catalog.write import write_csv

_COLUMNS = {
    "alcohol": "alcohol, percent by volume",
    "malic_acid": "malic acid, g/l",
    "ash": "ash, g/l",
    "alcalinity_of_ash": "alkalinity of the ash, meq/l",
    "magnesium": "magnesium, mg/l",
    "total_phenols": "total phenols",
    "flavanoids": "flavanoids",
    "nonflavanoid_phenols": "phenols other than flavanoids",
    "proanthocyanins": "proanthocyanins",
    "color_intensity": "intensity of the colour",
    "hue": "hue",
    "od280_od315": "optical density of diluted wine at 280 nm over that at 315 nm",
    "proline": "proline, mg/l",
    "cultivar": "class_0, class_1 or class_2; the source does not name them",
}


def convert(raw: Path, out: Path) -> None:
    """The class number at the end of each row becomes its name."""
    (_, _, *cultivars), *rows = read_csv(raw / "wine_data.csv")
    write_csv(out / "wine.csv", list(_COLUMNS), ([*row[:-1], cultivars[int(row[-1])]] for row in rows))


ENTRY = Entry(
    name="wine",
    title="Wine",
    description="Thirteen measured constituents of Italian wines: tell which of three cultivars it is.",
    task="classification",
    rows={"all": 178},
    columns=_COLUMNS,
    files={"all": "wine.csv"},
    licence="CC BY 4.0 (UCI); carried by scikit-learn under BSD-3-Clause",
    publisher="M. Forina and others, Institute of Pharmaceutical and Food Analysis, Genoa",
    reference="Aeberhard and Forina, Wine, UCI Machine Learning Repository, 1992, doi:10.24432/C5PC7J",
    download_bytes=8_636_997,
    origins=(scikit_learn("wine_data.csv"),),
    notes=("Rows are sorted by cultivar: shuffle before splitting. The source gives no units for most columns.",),
    digests={
        "wine.csv": "bafc97afa2272002ba7475929632cf1425754f8055d1be1b3b11bd63d110d866",
    },
    convert=convert,
)
