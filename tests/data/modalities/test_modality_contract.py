"""What every modality in the table promises, whatever its kind of value."""

from __future__ import annotations

import copy
import datetime
import decimal
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Picture

from modelyard.core.errors import BundleError, DataError
from modelyard.core.files import to_json
from modelyard.data.modalities.base import Guess, Modality, Ragged, Shown, State
from modelyard.data.modalities.table import MODALITIES


@dataclass(frozen=True)
class Case:
    modality: str
    values: list[Any]
    settings: dict[str, Any] = field(default_factory=dict)
    role: str = "input"

    def build(self) -> Modality:
        kind = MODALITIES.find(self.modality)
        return kind("c", kind.Settings(**self.settings), self.role)


def _png(brightness: int) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", (4, 4), (brightness, 10, 200 - brightness)).save(buffer, "PNG")
    return buffer.getvalue()


NUMBERS = ["1", "2.5", None, "-3", "1e3", "7", "NA", "1,234"]
NAMES = ["b", "a", None, "b", "c", "?", "b", "a"]
SETS = ["a|b", "b", None, "c|a", "[]", "b|a", "", "c"]
TEXTS = ["good film", "a good, long film", None, "bad film", "我们 喜欢 电影", "我们", "", "good good film"]
PICTURES = [_png(10), _png(50), None, _png(90), _png(130)]

CASES = {
    **{f"number-{s}": Case("number", NUMBERS, {"scale": s}) for s in ("standard", "quantile", "log", "minmax", "none")},
    "number-piecewise": Case("number", NUMBERS, {"embedding": "piecewise", "pieces": 3}),
    "number-target": Case("number", NUMBERS, {}, "target"),
    "category": Case("category", NAMES),
    "category-target": Case("category", NAMES, {}, "target"),
    "labels": Case("labels", SETS),
    "labels-target": Case("labels", SETS, {}, "target"),
    **{f"text-{t}": Case("text", TEXTS, {"tokens": t, "min_count": 1}) for t in ("word", "character", "bpe", "ngrams")},
    "text-character-ngrams": Case("text", TEXTS, {"tokens": "ngrams", "character_ngrams": [2, 3]}),
    "image": Case("image", PICTURES, {"size": 4, "channels": 3}),
}
EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
INPUTS = pytest.mark.parametrize(
    "case",
    [case for case in CASES.values() if case.role == "input"],
    ids=[name for name, case in CASES.items() if case.role == "input"],
)

ODD = {
    "null": pa.nulls(3),
    "boolean": pa.array([True, None, False]),
    "integer": pa.array([1, None, 3], pa.uint64()),
    "half": pa.array(np.array([1.5, np.nan, np.inf], np.float16)),
    "double": pa.array([1e308, float("-inf"), None]),
    "decimal": pa.array([decimal.Decimal("1.50"), None]),
    "date": pa.array([datetime.date(2020, 1, 1), None]),
    "timestamp": pa.array([datetime.datetime(2020, 1, 1), None], pa.timestamp("us", tz="Asia/Shanghai")),
    "time": pa.array([datetime.time(1), None]),
    "duration": pa.array([datetime.timedelta(1), None]),
    "interval": pa.array([pa.MonthDayNano([1, 2, 3]), None]),
    "binary": pa.array([b"text", b"\xff\xfe", None]),
    "fixed-binary": pa.array([b"abc", None], pa.binary(3)),
    "string": pa.array(["a\nb", "x" * 5000, " ", "\0", None]),
    "large-string": pa.array(["a", None], pa.large_string()),
    "string-view": pa.array(["a", None], pa.string_view()),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "runs": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
    "list": pa.array([["a", None], [], None]),
    "list-of-lists": pa.array([[[1], [2]], None]),
    "struct": pa.array([{"a": 1}, None]),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
    "sliced": pa.array(["x", "1", "2", None])[1:],
    "empty": pa.array([], pa.string()),
}
ODD_TYPES = pytest.mark.parametrize("values", ODD.values(), ids=ODD.keys())


def fitted(case: Case, chunk: int | None = None) -> tuple[Modality, pa.Array]:
    modality = case.build()
    values = modality.read(pa.array(case.values)).values
    for start in range(0, len(values), chunk or len(values)):
        modality.partial_fit(values[start : start + (chunk or len(values))])
    modality.finish_fit()
    return modality, values


def arrays(modality: Modality, values: pa.Array) -> dict[str, np.ndarray]:
    """Everything the modality makes of read values, as plain arrays by name."""
    if modality.role == "target":
        return {"target": modality.encode_target(values)}
    found = {}
    for part, column in modality.encode(values).items():
        if isinstance(column, Ragged):
            found[f"{part}.values"], found[f"{part}.offsets"] = column.values, column.offsets
        else:
            found[part] = column
    return found


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype
        assert first[name].tobytes() == second[name].tobytes(), name


def test_every_modality_of_the_table_has_a_sample() -> None:
    assert {case.modality for case in CASES.values()} == set(MODALITIES)


@EVERY
def test_what_is_learned_does_not_depend_on_the_chunks(case: Case) -> None:
    whole = fitted(case)[0].state()
    for chunk in (1, 3):
        parts = fitted(case, chunk)[0].state()
        assert to_json(parts.json) == to_json(whole.json)
        assert parts.files == whole.files


@EVERY
def test_an_interrupted_fit_is_taken_up_by_another_object_as_if_nothing_had_happened(case: Case) -> None:
    whole, values = fitted(case)
    for edge in (0, 3, len(values)):
        first, second = case.build(), case.build()
        first.partial_fit(first.read(pa.array(case.values)).values[:edge])
        gathered = first.partial_state()
        second.restore_partial(State(json.loads(to_json(gathered.json)), dict(gathered.files)))
        assert second.partial_state() == gathered
        second.partial_fit(second.read(pa.array(case.values)).values[edge:])
        second.finish_fit()
        assert to_json(second.state().json) == to_json(whole.state().json)
        assert second.state().files == whole.state().files
        assert_same(arrays(second, values), arrays(whole, values))


@EVERY
def test_gathering_goes_on_after_it_was_saved(case: Case) -> None:
    modality = case.build()
    values = modality.read(pa.array(case.values)).values
    for value in range(len(values)):
        modality.partial_fit(values[value : value + 1])
        modality.partial_state()
    modality.finish_fit()
    assert to_json(modality.state().json) == to_json(fitted(case)[0].state().json)


@EVERY
def test_what_another_modality_gathered_or_what_is_damaged_is_refused(case: Case) -> None:
    modality = case.build()
    modality.partial_fit(modality.read(pa.array(case.values)).values)
    state = modality.partial_state()
    with pytest.raises(DataError, match="gathered so far about column 'c'"):
        case.build().restore_partial(State({"partial": "something else"}, state.files))
    for name, content in state.files.items():
        for damaged in (b"", b"PK\x03\x04", content[: len(content) // 2], b"\x80\x04."):
            with pytest.raises(DataError, match="begin anew"):
                case.build().restore_partial(State(state.json, {name: damaged}))


@INPUTS
def test_what_training_held_calls_for_no_remark(case: Case) -> None:
    modality, values = fitted(case)
    assert not {row: what for row, what in modality.remarks(values).items() if values[row].as_py() is None}
    assert not modality.remarks(values[:0])


@EVERY
def test_a_restored_modality_encodes_bit_for_bit_alike(case: Case) -> None:
    modality, values = fitted(case)
    state = modality.state()
    other = case.build()
    other.restore(State(json.loads(to_json(state.json)), state.files))
    assert_same(arrays(modality, values), arrays(other, values))
    assert to_json(other.state().json) == to_json(state.json)
    assert other.state().files == state.files
    if case.role == "input":
        assert other.describe() == modality.describe()


@EVERY
def test_the_state_is_plain_json(case: Case) -> None:
    state = fitted(case)[0].state()
    assert json.loads(json.dumps(state.json, allow_nan=False)) == json.loads(to_json(state.json))


@EVERY
def test_reading_what_was_read_changes_nothing(case: Case) -> None:
    modality = case.build()
    first = modality.read(pa.array(case.values))
    again = modality.read(first.values)
    assert not again.problems
    assert again.values.type == first.values.type
    assert again.values.equals(first.values)


@EVERY
def test_missing_values_are_null_and_no_problem(case: Case) -> None:
    reading = case.build().read(pa.array(case.values))
    assert not reading.problems
    assert reading.values[case.values.index(None)].as_py() is None


@INPUTS
def test_a_batch_has_the_tensors_that_are_described(case: Case) -> None:
    modality, values = fitted(case)
    described = modality.describe()
    tensors = modality.collate(modality.encode(values), None)
    assert set(tensors) == set(described.tensors)
    for name, tensor in tensors.items():
        assert name.endswith((".ids", ".weights")) or len(tensor) == len(values)


@EVERY
def test_no_rows_do_no_harm(case: Case) -> None:
    modality, _ = fitted(case)
    empty = modality.read(pa.array([], pa.array(case.values).type)).values
    assert len(empty) == 0
    modality.partial_fit(empty)
    made = arrays(modality, empty)
    assert all(len(array) == (1 if name.endswith("offsets") else 0) for name, array in made.items())
    if case.role == "input":
        modality.collate(modality.encode(empty), None)
    assert MODALITIES.find(case.modality).infer(empty, "c") is None


@EVERY
def test_a_column_of_missing_values_is_refused(case: Case) -> None:
    modality = case.build()
    modality.partial_fit(modality.read(pa.nulls(4, pa.array(case.values).type)).values)
    with pytest.raises(DataError):
        modality.finish_fit()


@EVERY
def test_values_and_missing_values_can_be_shown(case: Case) -> None:
    modality, values = fitted(case)
    for value in values.to_pylist():
        shown = modality.show(value)
        assert isinstance(shown, Shown)
        assert isinstance(shown.text, str)
    assert isinstance(modality.summary(), dict)
    to_json(modality.summary())


@pytest.mark.parametrize("modality", sorted(MODALITIES))
@ODD_TYPES
def test_no_type_of_column_makes_reading_or_inferring_fail(modality: str, values: pa.Array) -> None:
    kind = MODALITIES.find(modality)
    settings = {"size": 4, "channels": 3} if modality == "image" else {}
    reading = kind("c", kind.Settings(**settings)).read(values)
    assert len(reading.values) == len(values)
    for at, message in reading.problems.items():
        assert reading.values[at].as_py() is None
        assert 0 < len(message) < 300
    guess = kind.infer(values, "c")
    if guess is not None:
        assert isinstance(guess, Guess)
        assert 0 <= guess.score <= 1
        assert guess.reason
        kind.Settings(**guess.settings)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in leaves(item, (*path, key))]
    if isinstance(value, list | tuple):
        return [place for at, item in enumerate(value) for place in leaves(item, (*path, at))]
    return [path]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    *way, last = path
    place = value
    for step in way:
        place = place[step]
    place[last] = new
    return value


@EVERY
def test_a_state_of_another_shape_is_refused(case: Case) -> None:
    state = fitted(case)[0].state()
    plain = json.loads(to_json(state.json))
    wrong = [{}, {**plain, "__class__": "os.system"}]
    wrong += [replaced(plain, path, new) for path in leaves(plain) for new in ({"a": 1}, float("nan"))]
    for value in wrong:
        with pytest.raises(BundleError):
            case.build().restore(State(value, state.files))


@EVERY
def test_files_that_do_not_belong_to_the_state_are_refused(case: Case) -> None:
    state = fitted(case)[0].state()
    with pytest.raises(BundleError):
        case.build().restore(State(state.json, {**state.files, "more.pkl": b"\x80\x04."}))
    for name in state.files:
        for content in (b"", b"\x80\x04.", b"[]", b"{}", b'{"model": 3}', b"[" * 100_000, b"nul"):
            with pytest.raises(BundleError):
                case.build().restore(State(state.json, {**state.files, name: content}))
