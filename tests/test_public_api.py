"""The public API, name by name: a change here is a change for everyone who uses modelyard."""

from __future__ import annotations

import inspect

import pytest

import modelyard

PUBLIC = {
    "BundleError", "DataError", "GateError", "MissingExtraError", "ModelyardError", "Predictions", "Predictor", "Run",
    "Spec", "SpecError", "Stopped", "StorageError", "UnreachableError", "UsageError", "__version__", "catalog",
    "check", "compare", "describe", "draft", "evaluate", "load", "open_spec", "profile", "recipe_text", "recipes",
    "runs", "schema", "train", "verify",
}  # fmt: skip


def test_the_public_names_are_exactly_these():
    assert set(modelyard.__all__) == PUBLIC
    assert set(dir(modelyard)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_a_public_name_is_there_and_documented(name):
    thing = getattr(modelyard, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"


def test_an_unknown_name_says_which_are_known():
    with pytest.raises(AttributeError, match=r"public names: .*Spec"):
        modelyard.trian  # noqa: B018


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert modelyard.__version__ == version("modelyard")
