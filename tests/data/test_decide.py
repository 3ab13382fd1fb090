"""What a spec leaves open is decided once for the same data, and anew for other data or another question."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from modelyard.data import decide as room
from modelyard.data.prepare import prepare
from modelyard.spec.spec import Spec


@pytest.fixture
def looks(monkeypatch, tmp_path):
    """The sources that were looked at, in a cache of their own."""
    monkeypatch.setenv("MODELYARD_CACHE", str(tmp_path / "cache"))
    seen, look = [], room.sample_rows

    def noted(source):
        seen.append(source)
        return look(source)

    monkeypatch.setattr(room, "sample_rows", noted)
    return seen


def write(path, count=200, word="and"):
    rows = [f"{i % 7 + 0.5},{'Ulm' if i % 3 else 'Jena'},text {i} {word} more,{'ab'[i % 2]}\n" for i in range(count)]
    path.write_text("age,city,text,y\n" + "".join(rows))
    return {"source": str(path), "targets": ["y"]}


def prepared(data, **how):
    return prepare(Spec.parse({"name": "t", "data": data}), **how)


def test_data_that_did_not_change_is_not_looked_at_again(looks, tmp_path):
    data = write(tmp_path / "rows.csv")
    first, second = prepared(data), prepared(data)
    assert len(looks) == 1
    assert second.data.model_dump() == first.data.model_dump()
    assert list(second.data.inputs) == list(first.data.inputs)  # their order, too
    assert second.data.split == first.data.split
    assert second.record.columns == first.record.columns
    assert second.record.store == first.record.store
    assert second.record.reused


def test_other_data_another_question_or_other_settings_are_looked_at(looks, tmp_path):
    data = write(tmp_path / "rows.csv")
    prepared(data)
    prepared(data, accepts=("tokens", "numbers", "categories"))
    assert len(looks) == 2
    prepared({**data, "ignore": ["city"]})
    assert len(looks) == 3
    write(tmp_path / "rows.csv", word="or")
    prepared(data)
    assert len(looks) == 4
    prepared(data)
    assert len(looks) == 4


def test_pictures_in_files_of_their_own_are_looked_at_every_time(looks, tmp_path):
    """The digest of a table with paths does not cover the files, and these say how large the pictures are."""

    def draw(side):
        for i in range(12):
            Image.fromarray(np.full((side, side), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")

    (tmp_path / "rows.csv").write_text(
        "file,y\n" + "".join(f"{tmp_path / str(i)}.png,{'ab'[i % 2]}\n" for i in range(12))
    )
    data = {"source": str(tmp_path / "rows.csv"), "inputs": ["file"], "targets": ["y"]}
    sizes = []
    for side in (8, 6):
        draw(side)
        sizes.append(prepared(data).data.inputs["file"].settings.size)
    assert sizes == [(8, 8), (6, 6)]


def test_what_cannot_be_understood_any_more_is_decided_anew(looks, tmp_path):
    data = write(tmp_path / "rows.csv")
    first = prepared(data)
    (kept,) = (tmp_path / "cache" / "decided").iterdir()
    kept.write_text(kept.read_text().replace('"type": "number"', '"type": "number", "gone": 1'))
    assert prepared(data).data.model_dump() == first.data.model_dump()
    assert len(looks) == 2


@pytest.mark.parametrize("text", ["[]", "{}", "1", "not JSON"])
def test_an_altered_file_is_decided_anew(looks, tmp_path, text):
    data = write(tmp_path / "rows.csv")
    first = prepared(data)
    (kept,) = (tmp_path / "cache" / "decided").iterdir()
    kept.write_text(text)
    assert prepared(data).data.model_dump() == first.data.model_dump()
    assert len(looks) == 2
