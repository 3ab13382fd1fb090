"""Small real data, shared by the tests; nothing here needs a network."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
import sklearn.datasets

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Keep prepared data of the tests out of the user's cache."""
    os.environ["MODELYARD_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def cancer_csv(tmp_path_factory):
    """Breast cancer, 569 rows, 30 numbers and a diagnosis."""
    data = sklearn.datasets.load_breast_cancer()
    path = tmp_path_factory.mktemp("data") / "cancer.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*data.feature_names, "diagnosis"])
        for row, label in zip(data.data, data.target, strict=True):
            writer.writerow([*row, data.target_names[label]])
    return path


@pytest.fixture(scope="session")
def diabetes_rows():
    """Diabetes progression, 442 rows as dicts, ten numbers and a target."""
    data = sklearn.datasets.load_diabetes(scaled=False)
    names = [*data.feature_names, "progression"]
    return [
        dict(zip(names, map(float, [*row, target]), strict=True))
        for row, target in zip(data.data, data.target, strict=True)
    ]


@pytest.fixture(scope="session")
def digits():
    """Handwritten digits, 1797 images of 8×8 grey levels, as columns."""
    data = sklearn.datasets.load_digits()
    return {"image": (data.images * 15.9375).astype(np.uint8), "digit": [str(label) for label in data.target]}


@pytest.fixture(scope="session")
def sentences():
    """Made-up reviews whose label follows from their words; some in Chinese."""
    good = ["lovely", "excellent", "warm", "honest", "delicious", "很好", "喜欢"]
    bad = ["awful", "cold", "rude", "broken", "stale", "糟糕", "失望"]
    rng = np.random.default_rng(0)
    rows = []
    for index in range(240):
        words, label = (good, "good") if index % 2 else (bad, "bad")
        picked = rng.choice(words, 2)
        filler = rng.choice(["the food", "the room", "service", "我们的晚餐", "this phone"])
        rows.append({"review": f"{filler} was {picked[0]} and {picked[1]} {index % 7}", "label": label})
    return rows
