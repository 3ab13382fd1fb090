"""Files that a stranger damaged, for every format: rows or an error meant for people, and nothing else.

`scripts/fuzz.py` does the same for as many cases as wanted, with limits on time and memory.
"""

import csv
import io
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import damaged
from oracle import Broken, examine
from seed_files import FORMATS, Case, seed_case

from modelyard.core.errors import DataError
from modelyard.data.modalities.number import Number
from modelyard.data.sources.base import Rows
from modelyard.data.sources.csv import Csv
from modelyard.data.sources.open import open_sources

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow has opinions on damaged files


def examples(count):
    """Ask for so many examples, always the same ones, however long each takes."""
    checks = list(HealthCheck)
    return settings(max_examples=count, derandomize=True, deadline=None, suppress_health_check=checks, database=None)


OPENINGS = {
    "csv": [b"", b"a,b\n", b'"', b"\xef\xbb\xbf", b"\xff\xfe"],
    "jsonl": [b"", b"[", b'{"a":', b'[{"a":1},', b'{"a":1}\n'],
    "parquet": [b"", b"PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff"],
    "idx": [b"", b"\0\0\x08\x01", b"\0\0\x08\x03\0\0\0\x02", b"\0\0\x0e\xff"],
    "npz": [b"", b"PK\x03\x04", b"PK\x05\x06"],
    "images": [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", b"P6 "],
}
ENDINGS = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "idx": "idx", "npz": "npz", "images": "png"}


def examined(case: Case, folder):
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return examine(folder / case.opened if case.opened else folder, case.format, case.options)


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_give_rows_or_an_error_for_people(format, tmp_path_factory):
    @examples(25)
    @given(st.integers(0, 2**32))
    def holds(number):
        rng = random.Random(number)
        examined(damaged(seed_case(format, rng), rng), tmp_path_factory.mktemp(format))

    holds()


@pytest.mark.parametrize("format", FORMATS)
def test_any_bytes_give_rows_or_an_error_for_people(format, tmp_path_factory):
    name = f"x.{ENDINGS[format]}"

    @examples(25)
    @given(st.sampled_from(OPENINGS[format]), st.binary(max_size=200))
    def holds(opening, rest):
        opened = "" if format == "images" else name
        examined(Case({name: opening + rest}, opened, format), tmp_path_factory.mktemp(format))

    holds()


@pytest.mark.parametrize("format", FORMATS)
def test_the_files_that_damage_is_done_to_are_sound(format, tmp_path):
    accepted = 0
    for number in range(20):
        outcome = examined(seed_case(format, random.Random(number)), tmp_path / str(number))
        accepted += not outcome.refused
    assert accepted >= 8  # without that, fuzzing would never come past the first check


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@examples(60)
@given(
    st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=12),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_written_as_csv_is_read_to_the_letter(tmp_path_factory, rows, delimiter, end):
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerows([("a", "b", "c"), *rows])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(out.getvalue().encode())
    (source,) = open_sources(str(path)).values()
    found = [tuple(row.values()) for part in source.read(chunk=5) for row in part.table.to_pylist()]
    assert found == rows


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@examples(40)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, min_size=1), min_size=1, max_size=10), st.booleans())
def test_every_json_record_that_was_seen_when_types_were_decided_is_read(tmp_path_factory, records, as_list):
    path = tmp_path_factory.mktemp("json") / "x.json"
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    path.write_text(f"[{','.join(lines)}]" if as_list else "\n".join(lines), encoding="utf-8")
    outcome = examine(path)
    assert (outcome.rows, outcome.unreadable, outcome.refused) == (len(records), 0, "")


# -- the oracle itself ------------------------------------------------------------------------------------------------


class TestOracle:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "x.csv").write_text("a,b\n1,x\n2\n3,z\n")
        return tmp_path / "x.csv"

    def test_counts(self, path):
        outcome = examine(path)
        assert (outcome.rows, outcome.unreadable, outcome.refused) == (2, 1, "")

    def test_a_lost_record_is_found(self, path, monkeypatch):
        read = Csv.read

        def forgetful(self, columns=None, chunk=65536):
            for rows in read(self, columns, chunk):
                yield Rows(rows.table, rows.file, rows.start, {}, rows.positions)

        monkeypatch.setattr(Csv, "read", forgetful)
        with pytest.raises(Broken, match="positions with gaps"):
            examine(path)

    def test_a_problem_without_a_row_is_found(self, path, monkeypatch):
        read = Number.read
        monkeypatch.setattr(Number, "read", lambda self, values, folder: read(self, values.slice(1), folder))
        with pytest.raises(Broken, match="number reads 1 of 2 values"):
            examine(path)

    def test_other_exceptions_go_through_and_our_own_are_counted(self, path, monkeypatch):
        monkeypatch.setattr(Csv, "fingerprint", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            examine(path)

        def refuse(self):
            raise DataError("no")

        monkeypatch.setattr(Csv, "fingerprint", refuse)
        assert examine(path).refused == "no"
