from __future__ import annotations

import pytest

from modelyard.core import registry
from modelyard.core.errors import MissingExtraError, UsageError
from modelyard.core.optional import require
from modelyard.core.registry import Table, table

KINDS = sorted(registry._TABLES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_of_every_table_can_be_found(kind):
    for name in table(kind):
        assert table(kind).find(name) is not None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("metric", "check")])
def test_every_entry_that_a_spec_can_name_documents_all_its_settings(kind):
    for name in table(kind):
        for field, about in table(kind).find(name).Settings.model_fields.items():
            assert about.description, f"{kind} {name}: {field} has no docstring"


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(UsageError, match=r"unknown fruit 'aple' \(did you mean 'apple'\?\); known: apple, pear"):
        Table("fruit", {"apple": "a:b", "pear": "c:d"}).find("aple")


def test_a_missing_extra_says_how_to_install_it():
    with pytest.raises(MissingExtraError, match=r"pip install 'modelyard\[tensorboard\]'"):
        require("no_such_module_anywhere", "tensorboard")
