import datetime
import decimal
import enum
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from modelyard.core.errors import DataError
from modelyard.data.sources.memory import Memory, MemorySettings


def source(rows):
    return Memory(rows, MemorySettings())


def content(rows, columns=None, chunk=65536):
    return [row for part in source(rows).read(columns, chunk) for row in part.table.to_pylist()]


def column(*values):
    found = source([{"x": value} for value in values])
    return found.schema().field("x").type, [row["x"] for part in found.read() for row in part.table.to_pylist()]


ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": None, "b": "z"}]


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        tuple(ROWS),
        {"a": [1, 2, None], "b": ("x", None, "z")},
        pa.Table.from_pylist(ROWS),
        pa.RecordBatch.from_pylist(ROWS),
        pa.table({"a": pa.chunked_array([[1], [2, None]]), "b": ["x", None, "z"]}),
        {"a": pa.array([1, 2, None]), "b": np.array(["x", None, "z"], dtype=object)},
        {"a": np.ma.masked_array([1, 2, 3], [False, False, True]), "b": pa.chunked_array([["x"], [None, "z"]])},
        pd.DataFrame({"a": pd.array([1, 2, None], dtype="Int64"), "b": ["x", None, "z"]}, index=[7, 8, 9]),
        pd.DataFrame(
            {"a": pd.array([1, 2, None], dtype="Int64"), "b": pd.Series(["x", float("nan"), "z"], dtype=object)}
        ),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_kind_of_table_gives_the_same_rows_and_digest(given):
    assert content(given) == ROWS
    assert source(given).schema().names == ["a", "b"]
    assert source(given).fingerprint() == source(ROWS).fingerprint()
    assert content(given, ["b"], chunk=2) == [{"b": row["b"]} for row in ROWS]
    parts = list(source(given).read(chunk=2))
    assert sum(part.table.num_rows for part in parts) == 3 and [part.start for part in parts][-1] in (1, 2)


def test_another_cell_or_name_gives_another_digest():
    digests = {
        source(rows).fingerprint() for rows in ([{"a": 1}], [{"a": 2}], [{"b": 1}], [{"a": None}], [{"a": 1}] * 2)
    }
    assert len(digests) == 5


def test_missing_keys_are_null_and_columns_stand_in_the_order_of_their_first_row():
    assert content([{"b": 1}, {"a": 2}]) == [{"b": 1, "a": None}, {"b": None, "a": 2}]


def test_mixed_columns_become_text_as_in_json():
    assert column(1, "two", None, 2.5, True) == (pa.string(), ["1", "two", None, "2.5", "true"])
    assert column({"k": (1, np.float32(0.5))}, None) == (pa.string(), ['{"k": [1, 0.5]}', None])
    assert column([1, "a"], [2]) == (pa.string(), ['[1, "a"]', "[2]"])


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("values", "kind", "read"),
    [
        ([np.int64(3), 4, np.int8(5)], pa.int64(), [3, 4, 5]),
        ([np.float32(0.5), 1], pa.float64(), [0.5, 1.0]),
        ([np.True_, False], pa.bool_(), [True, False]),
        ([np.str_("a"), Colour.RED], pa.string(), ["a", "red"]),
        ([pd.NA, 1, pd.NaT], pa.int64(), [None, 1, None]),
        ([(1, 2), [3]], pa.list_(pa.int64()), [[1, 2], [3]]),
        ([b"\xff", bytearray(b"a"), None], pa.large_binary(), [b"\xff", b"a", None]),
        ([datetime.date(2024, 2, 29), None], pa.date32(), [datetime.date(2024, 2, 29), None]),
        ([decimal.Decimal("1.50")], pa.decimal128(3, 2), [decimal.Decimal("1.50")]),
        ([np.array([1, 2]), np.array([3])], pa.list_(pa.int64()), [[1, 2], [3]]),
        ([np.array(7), torch.tensor(8)], pa.int64(), [7, 8]),
    ],
)
def test_cells_of_many_types(values, kind, read):
    assert column(*values) == (kind, read)


@pytest.mark.parametrize("make", [np.array, lambda values: torch.tensor(values).numpy(), torch.tensor])
def test_arrays_of_one_shape_are_tensors(make):
    cells = [make([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), None, make([[0.0] * 3] * 2)]
    kind, values = column(*cells)
    assert isinstance(kind, pa.FixedShapeTensorType) and list(kind.shape) == [2, 3]
    assert values[1] is None
    np.testing.assert_array_equal(np.reshape(values[0], (2, 3)), [[1, 2, 3], [4, 5, 6]])


def test_dict_of_arrays_keeps_dtypes_and_shapes():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    found = source({"image": images, "label": np.array([1, 0], np.int8), "name": np.array(["a", "b"])})
    assert found.schema() == pa.schema(
        [("image", pa.fixed_shape_tensor(pa.uint8(), (3, 4))), ("label", pa.int8()), ("name", pa.string())]
    )
    (part,) = found.read()
    np.testing.assert_array_equal(part.table["image"].to_numpy_ndarray(), images)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "F"])
def test_pil_images_become_bytes_without_loss(mode):
    image = Image.new(mode, (5, 4), 1)
    kind, (data,) = column(image)
    assert kind == pa.large_binary()
    again = Image.open(io.BytesIO(data))
    assert again.size == (5, 4) and again.tobytes() == image.tobytes()


def test_the_orientation_of_a_pil_image_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (4, 2)).save(buffer, "JPEG", exif=exif)
    _, (data,) = column(Image.open(buffer))
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6


def test_half_a_surrogate_pair_makes_its_row_unreadable():
    parts = list(source([{"t": "a"}, {"t": "\ud800"}, {"t": "c"}, {"t": "\udfff"}]).read())
    assert [row for part in parts for row in part.table.to_pylist()] == [{"t": "a"}, {"t": "c"}]
    assert parts[0].positions == [0, 2]
    unreadable = {position: reason for part in parts for position, reason in part.unreadable.items()}
    assert list(unreadable) == [1, 3] and "expected text of valid Unicode" in unreadable[1]


def test_pandas_types():
    frame = pd.DataFrame(
        {
            0: pd.Categorical(["a", None]),
            "when": pd.to_datetime(["2024-01-01", None]),
            "mixed": pd.Series([1, "x"], dtype=object),
            "float": [1.5, float("nan")],
            "list": [[1], None],
            "interval": pd.arrays.IntervalArray.from_breaks([0, 1, 2]).astype(str),
        }
    )
    assert source(frame).schema().names == ["0", "when", "mixed", "float", "list", "interval"]
    first, second = content(frame)
    assert first["0"] == "a" and first["mixed"] == "1" and first["list"] == [1]
    assert (second["0"], second["when"], second["float"], second["list"]) == (None, None, None, None)


def loop():
    cells = []
    cells.append(cells)
    return cells


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([{"a": 1}, 2], "row 1 is a int; expected a dict"),
        ({"a": [1, 2], "b": [1]}, "not of one length.*'a': 2, 'b': 1"),
        ({"a": "text"}, "column 'a' is a str; expected a list or an array"),
        ({"a": 5}, "column 'a' is a int"),
        ({"a": np.float32(5)}, "column 'a' is the single value"),
        ([{}], "has no columns"),
        ({}, "has no columns"),
        ([{b"a": 1}], "a column is called b'a', a bytes"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column called 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than one column called 'a'"),
        (pd.Series([1]), "cannot be read from a Series"),
        ([{"a": object()}], "column 'a' holds values of type object"),
        ([{"a": [object()]}], "column 'a' holds a object inside a list or dict"),
        ([{"a": b"x"}, {"a": "x"}], "column 'a' mixes values of the types bytes, str"),
        ([{"a": datetime.date(2024, 1, 1)}, {"a": 1}], "mixes values of the types date, int"),
        ({"a": np.zeros(2, complex)}, "column 'a' is of dtype complex128"),
        ({"a": torch.zeros(2, dtype=torch.bfloat16)}, "column 'a' holds a Tensor that does not become a NumPy array"),
        ([{"a": loop()}], "nested too deeply, or hold themselves"),
        (5, "rows cannot be read from a int"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(rows, match):
    with pytest.raises(DataError, match=match):
        source(rows).schema()


def test_a_pandas_frame_is_read_without_importing_pandas():
    import subprocess
    import sys

    code = "import sys, modelyard.data.sources.memory, modelyard.data.sources.open; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
