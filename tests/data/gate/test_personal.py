"""Personal data in texts: counted by kind, located by row, never shown; what only looks like it is left alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from modelyard.core.states import read_state, write_state
from modelyard.data.gate.check import RowIndex
from modelyard.data.gate.examined import DROPPED, Examined
from modelyard.data.gate.identity_numbers import IDENTITY_NUMBERS, luhn
from modelyard.data.gate.personal import KINDS, PersonalData, find_personal
from modelyard.data.sources.base import Rows


def kinds_in(text):
    return [KINDS[kind][0] for kind in find_personal(text)]


# Published examples of each number, and the same with one digit changed.
NUMBERS = [
    ("IBAN", "DE89 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"),
    ("IBAN", "GB29NWBK60161331926819", "GB29NWBK60161331926818"),
    ("IBAN", "NO9386011117947", "NO9386011117948"),
    ("Chinese resident identity number", "11010519491231002X", "110105194912310021"),
    ("payment card number", "4111 1111 1111 1111", "4111 1111 1111 1112"),
    ("payment card number", "5500-0000-0000-0004", "5500-0000-0000-0005"),
    ("payment card number", "378282246310005", "378282246310006"),
    ("French social security number", "2 55 08 14 168 025 38", "2 55 08 14 168 025 39"),
    ("Brazilian taxpayer number (CPF)", "529.982.247-25", "529.982.247-26"),
    ("Belgian national number", "85.07.30-033.28", "85.07.30-033.29"),
    ("German tax number (Steuer-ID)", "86095742719", "86095742718"),
    ("Italian tax code", "RSSMRA85T10A562S", "RSSMRA85T10A562T"),
    ("Spanish identity number (DNI, NIE)", "12345678Z", "12345678A"),
    ("Spanish identity number (DNI, NIE)", "X1234567L", "X1234567M"),
    ("US social security number", "123-45-6789", "666-45-6789"),
    ("US social security number", "219-09-9998", "219-09-9999"),
]


@pytest.mark.parametrize(("kind", "valid", "invalid"), NUMBERS)
def test_identity_numbers_are_told_by_their_checksums(kind, valid, invalid):
    assert kinds_in(f"her number is {valid}, she said") == [kind]
    assert kinds_in(valid) == [kind]
    assert kind not in kinds_in(f"her number is {invalid}, she said")


def test_korean_resident_numbers_have_a_date_and_a_check_digit():
    weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]
    digits = "900101123456"
    check = (11 - sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11) % 10
    assert kinds_in(f"900101-123456{check}") == ["Korean resident number"]
    assert kinds_in(f"900101-123456{(check + 1) % 10}") == []
    assert kinds_in(f"901301-123456{check}") == []


def test_every_identity_number_has_an_example_here():
    assert {entry.name for entry in IDENTITY_NUMBERS} - {kind for kind, *_ in NUMBERS} == {"Korean resident number"}


def test_luhn():
    assert luhn("79927398713")  # the example of Luhn's patent
    assert not any(luhn(f"7992739871{digit}") for digit in (0, 1, 2, 4, 5, 6, 7, 8, 9))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to bob.smith+shop@mail.example.org.", "e-mail address"),
        ("<ana@example.co>", "e-mail address"),
        ("from 192.168.17.4.", "IP address"),
        ("[2001:db8::8a2e:370:7334]", "IP address"),
        ("2001:0db8:85a3:0000:0000:8a2e:0370:7334 answered", "IP address"),
        ("call +49 30 1234567", "phone number"),
        ("+1 (212) 555-0123", "phone number"),
        ("(212) 555-0123", "phone number"),
        ("212-555-0123 after six", "phone number"),
        ("0044 20 7946 0958", "phone number"),
        ("tel: 020 7946 0958", "phone number"),
        ("06 12 34 56 78", "phone number"),
        ("0171/1234567", "phone number"),
        ("090-1234-5678", "phone number"),
        ("打 13812345678 找我", "phone number"),
        ("(11) 91234-5678", "phone number"),
    ],
)
def test_addresses_and_phone_numbers(text, kind):
    assert kinds_in(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "on 2020-01-01 at 10:00:00 it cost 1,234,567.89",
        "01.02.2020 12:30, 31/12/1999 and 2020-01-01T10:00:00.123456",
        "version 1.2.3.4 and v10.0.19041.1",
        "127.0.0.1 and ::1 and 0.0.0.0 and 300.1.2.3",
        "std::vector<int>, a::b, dead::beef",
        "@bob said 5 @ 3.50 each, x@y",
        "1612345678 1612345678123 1234567890123456789",
        "ISBN 978-3-16-148410-0",
        "600 000 000 people, 12 345 678",
        "3.14159265358979 and -122.4194155 and 1e-10",
        "0000000000000000 and 1111-1111-1111-1111",
        "a UUID 123e4567-e89b-12d3-a456-426614174000",
        "000-00-0000 and 900-12-3456",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text):
    assert kinds_in(text) == []


def test_a_piece_counts_once_and_several_count_each():
    text = "bob@example.org or 4111111111111111, 4111111111111111, ana@example.org"
    assert kinds_in(text) == ["payment card number"] * 2 + ["e-mail address"] * 2


@pytest.mark.parametrize("piece", ["a.", "1 ", "1-", "a@", "a@b.", "::", "1.", "A1 ", "0", "+1", "(", "é@"])
def test_no_pattern_runs_away(piece):
    """A pattern whose work grows faster than the text would not come back from this."""
    assert find_personal(piece * 100_000) == []


def check_of(policy=None):
    text = SimpleNamespace(column="note", name="text")
    other = SimpleNamespace(column="city", name="category")
    checks = {} if policy is None else {"personal_data": policy}
    spec = SimpleNamespace(data=SimpleNamespace(checks=checks))
    return PersonalData(SimpleNamespace(spec=spec, inputs=[text, other], targets=[], modalities=(text, other)))


def chunks(texts, codes, size):
    whole = pa.array(texts, pa.string())
    for start in range(0, len(whole), size):
        values = whole.slice(start, size)
        count = len(values)
        rows = Rows(pa.record_batch([values], names=["note"]), "t.csv", start)
        at = np.arange(start, start + count)
        yield Examined(rows, start, codes[start : start + count], at, np.zeros(count, np.uint64), {"note": values})


def index_of(codes):
    hashes = np.zeros(len(codes), np.uint64)
    return RowIndex(hashes, hashes, hashes, codes, np.zeros(len(codes), np.int32), np.arange(len(codes)), ["t.csv"])


def found_in(texts, codes=None, size=1000, policy=None):
    codes = np.zeros(len(texts), np.int8) if codes is None else np.array(codes, np.int8)
    check = check_of(policy)
    for chunk in chunks(texts, codes, size):
        check.observe(chunk)
    return check.finish(index_of(codes))


TEXTS = [
    "nothing here", "bob@example.org", None, "ana@example.org and 192.168.17.4", "in 2019, 3 of 7", "",
    "card 4111 1111 1111 1111, call +49 30 1234567 or +49 30 7654321", "@bob 12:30",
]  # fmt: skip


def test_planted_pieces_are_counted_by_kind_and_located():
    (found,) = found_in(TEXTS, [0, 0, 0, 1, 0, 0, 2, 0])
    finding = found.finding
    assert (finding.severity, finding.rows, finding.columns) == ("note", 3, ["note"])
    assert finding.details == {
        "kinds": {
            "payment card number": {"rows": 1, "pieces": 1},
            "e-mail address": {"rows": 2, "pieces": 2},
            "IP address": {"rows": 1, "pieces": 1},
            "phone number": {"rows": 1, "pieces": 2},
        },
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert found.numbers.tolist() == [1, 3, 6]
    assert found.words == {
        1: "1 e-mail address",
        3: "1 e-mail address, 1 IP address",
        6: "2 phone numbers, 1 payment card number",
    }
    assert "3 of 8 rows (38%) of 'note' hold personal data: 2 e-mail addresses, 2 phone numbers" in finding.title


def test_no_value_is_ever_shown():
    (found,) = found_in(TEXTS)
    shown = repr(found)
    assert not any(part in shown for part in ("bob", "ana@", "example.org", "192", "4111", "1234567"))


def test_texts_without_any_are_no_finding():
    assert found_in(["nothing", None, "5 of 7", ""]) == []
    assert found_in([None, None]) == []
    assert found_in([]) == []


def test_rows_that_are_left_out_do_not_count():
    assert found_in(["bob@example.org"], [DROPPED]) == []


@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_make_no_difference(size):
    (whole,), (cut,) = found_in(TEXTS * 40), found_in(TEXTS * 40, size=size)
    assert whole.finding == cut.finding
    assert whole.numbers.tolist() == cut.numbers.tolist()
    assert whole.words == cut.words


def test_all_rows_are_dropped_on_request():
    (found,) = found_in(TEXTS * 10, policy="drop")
    assert found.drop is not None
    assert len(found.drop) == found.finding.rows == 30


def test_an_interrupted_examination_goes_on_where_it_stopped(tmp_path: Path):
    codes = np.zeros(320, np.int8)
    one, other = check_of(), check_of()
    for at, chunk in enumerate(chunks(TEXTS * 40, codes, 32)):
        one.observe(chunk)
        if at == 4:
            write_state(tmp_path / "state", one.state())
            other.restore(read_state(tmp_path / "state"))
        elif at > 4:
            other.observe(chunk)
    (first,), (second,) = one.finish(index_of(codes)), other.finish(index_of(codes))
    assert first.finding == second.finding
    assert (first.numbers.tolist(), first.words) == (second.numbers.tolist(), second.words)
