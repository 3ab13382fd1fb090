"""Breast cancer Wisconsin (diagnostic)."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import read_csv, scikit_learn
from modelyard.data.catalog.write import write_csv

_MEASURES = {
    "radius": "mean distance from centre to perimeter",
    "texture": "standard deviation of grey values",
    "perimeter": "perimeter",
    "area": "area",
    "smoothness": "local variation in radius lengths",
    "compactness": "perimeter² / area − 1",
    "concavity": "severity of concave portions of the contour",
    "concave_points": "number of concave portions of the contour",
    "symmetry": "symmetry",
    "fractal_dimension": "coastline approximation − 1",
}
_STATISTICS = {"mean": "mean over the nuclei", "error": "standard error", "worst": "mean of the three largest"}
_COLUMNS = {
    f"{statistic}_{measure}": f"{meaning}: {over}"
    for statistic, over in _STATISTICS.items()
    for measure, meaning in _MEASURES.items()
} | {"diagnosis": "malignant or benign"}


def convert(raw: Path, out: Path) -> None:
    """The class number at the end of each row becomes its name."""
    (_, _, *diagnoses), *rows = read_csv(raw / "breast_cancer.csv")
    write_csv(out / "breast_cancer.csv", list(_COLUMNS), ([*row[:-1], diagnoses[int(row[-1])]] for row in rows))


ENTRY = Entry(
    name="breast_cancer",
    title="Breast Cancer Wisconsin (Diagnostic)",
    description="Shape and texture of cell nuclei in an image: tell whether the tumour is malignant.",
    task="classification",
    rows={"all": 569},
    columns=_COLUMNS,
    files={"all": "breast_cancer.csv"},
    licence="CC BY 4.0 (UCI); carried by scikit-learn under BSD-3-Clause",
    publisher="W. H. Wolberg, W. N. Street and O. L. Mangasarian, University of Wisconsin",
    reference="Street, Wolberg and Mangasarian, Nuclear feature extraction for breast tumor diagnosis, 1993",
    download_bytes=8_636_997,
    origins=(scikit_learn("breast_cancer.csv"),),
    digests={
        "breast_cancer.csv": "bbe6bc506fec05b65edfb905b871a229bdc97341f512e7548a9ecc6081644251",
    },
    convert=convert,
)
