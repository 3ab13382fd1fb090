"""Iris: Fisher's flowers."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import read_csv, scikit_learn
from modelyard.data.catalog.write import write_csv

_COLUMNS = {
    "sepal_length": "length of the sepal in cm",
    "sepal_width": "width of the sepal in cm",
    "petal_length": "length of the petal in cm",
    "petal_width": "width of the petal in cm",
    "species": "setosa, versicolor or virginica",
}


def convert(raw: Path, out: Path) -> None:
    """The class number at the end of each row becomes its name."""
    (_, _, *species), *rows = read_csv(raw / "iris.csv")
    write_csv(out / "iris.csv", list(_COLUMNS), ([*row[:-1], species[int(row[-1])]] for row in rows))


ENTRY = Entry(
    name="iris",
    title="Iris",
    description="Four measurements of iris flowers: tell which of three species it is.",
    task="classification",
    rows={"all": 150},
    columns=_COLUMNS,
    files={"all": "iris.csv"},
    licence="CC BY 4.0 (UCI); carried by scikit-learn under BSD-3-Clause",
    publisher="R. A. Fisher, measured by Edgar Anderson",
    reference="Fisher, The Use of Multiple Measurements in Taxonomic Problems, Annals of Eugenics 7, 1936",
    download_bytes=8_636_997,
    origins=(scikit_learn("iris.csv"),),
    notes=(
        "As in Fisher's paper and R; the copy at UCI has two wrong rows (35 and 38).",
        "Rows are sorted by species: shuffle before splitting.",
        "Rows 102 and 143 are the same.",
    ),
    digests={
        "iris.csv": "9cc1c345c71bcc9b486b74cbf6063fa66f4bb5e0f603a4b3c3471ec2e5e8e355",
    },
    convert=convert,
)
