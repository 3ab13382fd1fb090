"""`evaluate` on new rows: the same metrics, and the closer look that the spec asks for."""

import csv

import numpy as np
import pytest
from small_bundles import write_small_bundle

from modelyard.bundle.predictor import load
from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import to_json
from modelyard.evaluate.evaluate import evaluate

ROWS = 600


def make(seed, rows=ROWS):
    """x decides; in the north labels are tossed; group and day are no inputs; three labels are turned around."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    place = random.choice(["north", "south", "east"], rows)
    y = (np.where(place == "north", random.normal(size=rows), x) > 0).astype(int)
    columns = {"x": x, "place": place, "group": random.choice(["f", "m"], rows), "y": np.where(y, "yes", "no")}
    sure = np.flatnonzero((place == "south") & (np.abs(x) > 2))[:3]
    columns["y"][sure] = np.where(x[sure] > 0, "no", "yes")
    return columns


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    columns = make(0)
    evaluate = {"groups": ["group", "nothing"], "robustness_rows": 200}
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    return write_small_bundle(path, columns, {"x": "number"}, {"y": "category"}, "classification", evaluate)


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    columns = make(1)
    path = tmp_path_factory.mktemp("data") / "new.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row, values in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow(["broken", *values[1:]] if row == 5 else values)
    return path, columns


def test_new_rows_are_measured_and_looked_at_closely(bundle, new):
    path, columns = new
    found = evaluate(bundle, path)
    assert (found.split, found.rows, found.rows_without_target) == (str(path), ROWS - 1, 1)
    assert any("unreadable: 1 rows" in note for note in found.notes)
    worst = found.slices[0]  # the place is no input, and is found all the same
    assert (worst.column, worst.value) == ("place", "north") and worst.worse
    inside = np.delete(columns["place"] == "north", 5)
    assert worst.rows == inside.sum()
    (fairness,) = found.fairness
    assert sum(group["rows"] for group in fairness.groups) == ROWS - 1
    assert any("no column 'nothing'" in note for note in found.notes)
    assert {one.corruption for one in found.robustness} == {"noise", "missing values"}
    assert all(one.rows == 200 for one in found.robustness)
    assert any("robustness: on 200 of 599 rows" in note for note in found.notes)
    assert found.suspect_rows >= 3 and len(found.suspects) == 3
    assert all(one.target != one.answer for one in found.suspects)
    assert all(one.confidence is not None and one.confidence > 0.9 for one in found.suspects)
    assert len(found.mistakes) == 3 and found.mistakes[0].loss >= found.mistakes[1].loss
    assert found.metrics[0].baseline is not None
    first = found.mistakes[0]
    assert float(first.shown["x"]["text"]) == pytest.approx(float(columns["x"][first.position]), rel=1e-5)
    assert '"nan"' not in to_json(found).lower()


def test_rows_from_python_are_looked_at_alike(bundle, new):
    _, columns = new
    loaded = load(bundle)
    found = evaluate(loaded, {name: list(values) for name, values in columns.items()}, mistakes=0)
    assert found.split == "rows given from Python" and found.mistakes == []
    assert found.slices[0].value == "north" and found.fairness and found.robustness
    assert found.metrics[0].baseline is None  # a loaded model does not carry the trivial answer


def test_declared_slices_instead_of_the_search_and_nothing_where_nothing_is_asked(tmp_path):
    columns = make(0, 200)
    arguments = (columns, {"x": "number"}, {"y": "category"}, "classification")
    rows = {name: list(values) for name, values in columns.items()}
    declared = write_small_bundle(tmp_path / "one", *arguments, {"slices": ["place", "y"], "robustness": False})
    found = evaluate(declared, rows)
    assert [(one.column, one.declared) for one in found.slices] == [("place", True)] * 3 + [("y", True)] * 2
    assert found.robustness == [] and found.fairness == []
    none = write_small_bundle(tmp_path / "two", *arguments, {"slices": None, "robustness": False})
    assert evaluate(none, rows).slices == []


def test_numbers_have_slices_and_robustness_but_no_suspects(tmp_path):
    random = np.random.default_rng(0)
    x, place = random.normal(size=300), random.choice(["north", "south"], 300)
    columns = {"x": x, "place": place, "y": 2 * x + random.normal(size=300) * np.where(place == "north", 3, 0.1)}
    path = write_small_bundle(tmp_path / "numbers", columns, {"x": "number"}, {"y": "number"}, "regression")
    found = evaluate(path, {name: list(values) for name, values in columns.items()})
    assert found.slices[0].value == "north" and found.slices[0].metric == "mae"
    assert found.suspects == [] and found.suspect_rows == 0
    assert found.robustness[0].metric == "r2"


def test_what_cannot_be_measured_is_refused(bundle, tmp_path):
    with pytest.raises(DataError, match="without the true answers nothing can be measured"):
        evaluate(bundle, {"x": [1.0]})
    with pytest.raises(DataError, match="nothing to evaluate"):
        evaluate(bundle, {"x": [1.0], "y": [None]})
    (tmp_path / "empty.csv").write_text("x,y\n")
    with pytest.raises(DataError, match="the data is empty"):
        evaluate(bundle, tmp_path / "empty.csv")
    with pytest.raises(BundleError):
        evaluate(bundle.parent / "nowhere", {"x": [1.0], "y": ["no"]})
