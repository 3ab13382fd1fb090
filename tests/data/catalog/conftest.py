"""A data set of two rows, with its home on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from catalog_packing import Home, make_tar

from modelyard.data.catalog import catalog
from modelyard.data.catalog.entry import Entry
from modelyard.data.catalog.origins import Url
from modelyard.data.catalog.write import write_jsonl


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    home = Home()
    yield home
    home.server.shutdown()
    home.server.server_close()


def lines_of(raw: Path, out: Path) -> None:
    """The conversion of the toy data set: one row a line."""
    write_jsonl(out / "all.jsonl", ({"text": line} for line in (raw / "lines.txt").read_text().splitlines()))


@pytest.fixture
def toy(home: Home) -> Entry:
    """A data set of two rows at this machine's home."""
    home.answers["/toy.tar.gz"] = make_tar({"toy-1/lines.txt": b"one\ntwo\n", "toy-1/setup.py": b"raise SystemExit"})
    return Entry(
        name="toy",
        title="Toy",
        description="Two lines.",
        task="classification",
        rows={"all": 2},
        columns={"text": "a line"},
        files={"all": "all.jsonl"},
        licence="CC0",
        publisher="This test",
        reference="This test",
        download_bytes=200,
        origins=(Url(urls={home.url + "/toy.tar.gz": None}, root="toy-1/", take=("lines.txt",)),),
        convert=lines_of,
    )


@pytest.fixture
def known(toy: Entry, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Entry]:
    """Make the catalogue know the toy data set, with the given changes, under every name."""

    def know(**changes: object) -> Entry:
        entry = replace(toy, **changes)  # type: ignore[arg-type]
        monkeypatch.setattr(catalog, "entry", lambda name: entry)
        return entry

    return know


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs the registries, unless `-m` asks for it."""
    if "network" not in config.getoption("markexpr"):
        for item in items:
            if item.path.parent == Path(__file__).parent and item.get_closest_marker("network"):
                item.add_marker(pytest.mark.skip(reason="needs package registries: run with -m network"))
