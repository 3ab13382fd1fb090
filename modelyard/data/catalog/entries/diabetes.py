"""Diabetes: progression after one year."""

from pathlib import Path

from modelyard.data.catalog.archives import decompress
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import scikit_learn
from modelyard.data.catalog.write import write_csv

_LIMIT = 1 << 20
_COLUMNS = {
    "age": "age in years",
    "sex": "1 or 2; the source does not say which is which",
    "bmi": "body mass index, kg/m²",
    "bp": "average blood pressure, mmHg",
    "s1": "total serum cholesterol",
    "s2": "low-density lipoproteins",
    "s3": "high-density lipoproteins",
    "s4": "total cholesterol / HDL",
    "s5": "logarithm of serum triglycerides (possibly)",
    "s6": "blood sugar level",
    "progression": "measure of disease progression one year later, 25 to 346",
}


def convert(raw: Path, out: Path) -> None:
    """Ten measurements and the target lie in two files, row by row."""
    features = decompress(raw / "diabetes_data_raw.csv.gz", _LIMIT).decode("ascii").splitlines()
    targets = decompress(raw / "diabetes_target.csv.gz", _LIMIT).decode("ascii").split()
    rows = ([*line.split(), f"{float(target):g}"] for line, target in zip(features, targets, strict=True))
    write_csv(out / "diabetes.csv", list(_COLUMNS), rows)


ENTRY = Entry(
    name="diabetes",
    title="Diabetes (least angle regression)",
    description="Ten baseline measurements of diabetes patients: predict progression one year later.",
    task="regression",
    rows={"all": 442},
    columns=_COLUMNS,
    files={"all": "diabetes.csv"},
    licence="No licence stated; carried by scikit-learn under BSD-3-Clause",
    publisher="B. Efron, T. Hastie, I. Johnstone and R. Tibshirani",
    reference="Efron et al., Least Angle Regression, Annals of Statistics 32(2), 2004",
    download_bytes=8_636_997,
    origins=(scikit_learn("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),),
    notes=("Raw values, not the centred and scaled ones that scikit-learn returns by default.",),
    digests={
        "diabetes.csv": "731c91514b20f51185739fd2533cde9eccd1c61b16c2aba62d9c8082a9151d4f",
    },
    convert=convert,
)
