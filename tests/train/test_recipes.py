"""Every shipped recipe is a spec that holds, says what it costs and what to expect, and uses a catalogued data set."""

from __future__ import annotations

import pytest

import modelyard
from modelyard.core.errors import DataError, UsageError

NAMES = [recipe.name for recipe in modelyard.recipes()]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_its_command_its_cost_and_its_measured_result(name):
    text = modelyard.recipe_text(name)
    head = [line for line in text.splitlines() if line.startswith("#")]
    for label in ("Run:", "Cost:", "Expect:"):
        (line,) = [line for line in head if line.startswith(f"# {label}")]
        assert line.removeprefix(f"# {label}").strip() not in ("", "TBD"), f"{name} does not say its {label}"
    assert f"modelyard train {name}" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_a_valid_spec_of_its_own_name(name):
    spec = modelyard.open_spec(name)
    assert spec.name == name and spec.about
    assert spec.model is not None and spec.task is not None
    assert spec.data.source.removeprefix("catalog:") in modelyard.catalog.names()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.network
def test_a_recipe_runs_on_some_of_its_rows(name, tmp_path):
    # Class folders are read one after the other: the first rows are all of one label.
    limit = 8000 if name == "textbook_binary_images" else 400
    small = [
        f"data.limit={limit}",
        "train.epochs=1",
        "evaluate.resamples=10",
        "evaluate.require=null",
        "train.threads=1",
    ]
    run = modelyard.train(modelyard.open_spec(name, small), tmp_path)
    assert run.metrics and modelyard.verify(run.bundle).whole


def test_a_recipe_can_be_overridden_and_a_file_of_the_same_name_goes_first(tmp_path, monkeypatch):
    assert modelyard.open_spec("mnist", ["train.epochs=1"]).train.epochs == 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist").write_text("name: mine\ndata: {source: a.csv}\n")
    assert modelyard.open_spec("mnist").name == "mine"


def test_a_name_that_is_neither_says_what_there_is():
    with pytest.raises(DataError, match=r"no spec and no recipe 'fashion' .*modelyard new"):
        modelyard.open_spec("fashion")
    with pytest.raises(UsageError, match="did you mean 'adult'"):
        modelyard.recipe_text("adlt")
    with pytest.raises(UsageError):
        modelyard.recipe_text("../pyproject")
