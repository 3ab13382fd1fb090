"""Every entry is complete, and asking for one that does not exist helps."""

from __future__ import annotations

import json
import re

import pytest

from modelyard.core.errors import UsageError
from modelyard.core.files import to_json
from modelyard.data.catalog import catalog
from modelyard.data.catalog.contents import companions
from modelyard.data.catalog.origins import Debian, Hub, Npm, PyPI, Url
from modelyard.data.catalog.table import DATASETS

NAMES = catalog.names()
UNSEEN = {"ag_news", "cifar10", "cifar100", "imdb", "speech_commands", "wikitext103", "wikitext2"}
"""Entries whose arrival nobody has recorded yet, so that the digests of their content are not known."""


def test_the_names_are_sorted_and_hold_the_sets_people_expect():
    assert sorted(NAMES) == NAMES
    assert {"mnist", "fashion_mnist", "cifar10", "imdb", "ag_news", "wikitext2", "adult", "iris"} <= set(NAMES)


def test_an_unknown_name_suggests_the_nearest_one():
    with pytest.raises(UsageError, match=r"unknown dataset 'fashion_mnits' \(did you mean 'fashion_mnist'\?\)"):
        catalog.entry("fashion_mnits")
    with pytest.raises(UsageError, match="unknown dataset"):
        catalog.get("../../etc")


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_says_everything_a_user_must_know(name):
    entry = catalog.entry(name)
    assert entry.name == name == DATASETS[name].rpartition(".")[2].removesuffix(":ENTRY")
    for text in (entry.title, entry.description, entry.task, entry.licence, entry.publisher, entry.reference):
        assert text == text.strip() and len(text) >= 3
    assert len(entry.description) <= 120 and "\n" not in entry.description
    assert entry.columns and all(entry.columns.values())
    assert entry.files and set(entry.files) == set(entry.rows) <= {"train", "validation", "test", "all"}
    assert ("all" in entry.files) != ("train" in entry.files)
    assert all(count > 0 for count in entry.rows.values())
    assert entry.download_bytes > 0 and re.fullmatch(r"\d+", entry.version)
    assert set(entry.labels) <= set(entry.columns)
    assert all(len(set(labels)) == len(labels) > 1 for labels in entry.labels.values())
    assert entry.convert.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_what_an_entry_fetches_is_pinned_or_its_content_is(name):
    entry = catalog.entry(name)
    assert entry.origins
    for origin in entry.origins:
        assert origin.label and origin.files
        digests = [digest for digest in origin.files.values() if digest is not None]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
        assert not any(part in ("..", "") for name in origin.files for part in name.split("/"))
        if isinstance(origin, Url):
            assert all(url.startswith("https://") for url in origin.urls)
        if isinstance(origin, Hub):
            assert re.fullmatch("[0-9a-f]{40}", origin.revision)
        if isinstance(origin, PyPI | Npm | Debian):
            assert origin.take and not origin.root.startswith("/")
    if name not in UNSEEN:
        wanted = {p.name for file in entry.files.values() for p in companions(catalog.place(name) / file)}
        assert set(entry.digests) == wanted
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in entry.digests.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_is_a_record_that_prints_as_json(name):
    facts = json.loads(to_json(catalog.entry(name)))
    assert facts["name"] == name and "convert" not in facts
    assert facts["origins"][0]["label"]
    assert facts["rows"] == catalog.entry(name).rows


def test_the_place_of_a_data_set_is_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path))
    assert catalog.place("iris") == tmp_path / "data" / "iris" / "1"
    assert catalog.place("iris", tmp_path / "other") == tmp_path / "other" / "data" / "iris" / "1"
