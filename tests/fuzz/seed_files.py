"""Valid files in many shapes, from which damaged ones are made: a case is a few files, one of which is opened."""

from __future__ import annotations

import bz2
import csv
import datetime
import decimal
import gzip
import io
import json
import math
import random
import struct
import zipfile
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from PIL import Image

FORMATS = ("csv", "jsonl", "parquet", "idx", "npz", "images")

_WORDS = [
    "plain",
    "two words",
    "Größe",
    "数据",
    "emoji 🦜",
    "comma, inside",
    'a "quoted" word',
    "line\nbreak",
    "  pad ",
    "=1+1",
]
_MISSING = ["", "NA", "null", "-", "nan", "None", "N/A", "?"]
_NUMERALS = ["1,234", "1.234,5", "inf", "-inf", "1e400", "-0", "0x1f", "１２", "12%", "1_000", "+5", "9" * 40, "1e-320"]


@dataclass(frozen=True)
class Case:
    """Files by name, and the one to open (empty: the folder that holds them)."""

    files: dict[str, bytes]
    opened: str
    format: str
    options: dict[str, Any] = field(default_factory=dict)

    def with_content(self, content: bytes) -> Case:
        """Return the case with other bytes in the file to be damaged."""
        return replace(self, files={**self.files, self.victim: content})

    @property
    def victim(self) -> str:
        """The file to be damaged: the opened one, or the first."""
        return self.opened or next(iter(self.files))


def seed_case(format: str, rng: random.Random) -> Case:
    """Return a valid case of a format; equal random states give equal cases."""
    return {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "idx": _idx, "npz": _npz, "images": _images}[format](rng)


def _packed(content: bytes, name: str, rng: random.Random) -> tuple[bytes, str]:
    """Compress now and then."""
    roll = rng.random()
    if roll < 0.04:
        return gzip.compress(content, 1, mtime=0), f"{name}.gz"
    if roll < 0.06:
        return bz2.compress(content, 1), f"{name}.bz2"
    if roll < 0.09:
        return pa.compress(content, "zstd", asbytes=True), f"{name}.zst"
    return content, name


def _cell(kind: str, rng: random.Random) -> str:
    if rng.random() < 0.08:
        return rng.choice(_MISSING)
    if kind == "int":
        return str(rng.randint(-1000, 1000))
    if kind == "float":
        return f"{rng.gauss(0, 10):.4g}"
    if kind == "numeral":
        return rng.choice(_NUMERALS)
    if kind == "path":
        return rng.choice(["a.png", "b.jpg", "../x.gif", "/dev/zero", "https://host/x.png"])
    return rng.choice(_WORDS)


_CSV_OPTIONS: list[dict[str, Any]] = [
    {"quote": None},
    {"quote": "'"},
    {"delimiter": ";"},
    {"header": False},
    {"header": ["first", "second"]},
    {"skip_rows": 2},
    *[{"encoding": name} for name in ("utf-16", "latin-1", "cp1252", "gb18030", "shift-jis", "utf-32", "utf-7", "hz")],
]


def _csv(rng: random.Random) -> Case:
    kinds = rng.choices(["int", "float", "text", "numeral", "path"], k=rng.randint(1, 6))
    delimiter = rng.choice(",,,;\t|")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=rng.choice(["\n", "\n", "\r\n", "\r"]))
    writer.writerow([f"{kind}_{number}" for number, kind in enumerate(kinds)])
    for _ in range(rng.choice([0, 1, 5, 40, 200])):
        writer.writerow([_cell(kind, rng) for kind in kinds])
    encoding = rng.choices(["utf-8", "utf-8-sig", "utf-16", "gb18030", "cp1252"], [16, 2, 1, 1, 1])[0]
    content, name = _packed(out.getvalue().encode(encoding, "replace"), "t.tsv" if delimiter == "\t" else "t.csv", rng)
    if rng.random() < 0.05:
        return Case({name: content, "u.csv": content}, "", "csv")
    options = rng.choice(_CSV_OPTIONS) if rng.random() < 0.25 else {}
    return Case({name: content}, name, "csv", options)


def _json_value(kind: str, rng: random.Random, depth: int = 0) -> object:
    if rng.random() < 0.05:
        return None
    if kind == "mixed":
        kind = rng.choice(["int", "float", "text", "bool", "list"])
    if kind == "list":
        return [_json_value("int", rng) for _ in range(rng.randint(0, 4))]
    if kind == "dict":
        return {"k": _json_value("dict" if depth < 3 else "int", rng, depth + 1)}
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "int":
        return (
            rng.choice([rng.randint(-9, 9), 2**53 + 1, 2**63, -(2**70)]) if rng.random() < 0.1 else rng.randint(-9, 9)
        )
    return rng.gauss(0, 1) if kind == "float" else rng.choice(_WORDS)


def _jsonl(rng: random.Random) -> Case:
    kinds = rng.choices(["int", "float", "text", "bool", "list", "dict", "mixed"], k=rng.randint(1, 5))
    rows = [
        {f"{kind}_{number}": _json_value(kind, rng) for number, kind in enumerate(kinds) if rng.random() > 0.03}
        for _ in range(rng.choice([0, 1, 5, 40, 150]))
    ]
    ascii_only = rng.random() < 0.3
    if rng.random() < 0.3:
        text, name = json.dumps(rows, ensure_ascii=ascii_only, indent=rng.choice([None, 2])), "t.json"
    else:
        end = rng.choice(["\n", "\r\n"])
        text, name = "".join(json.dumps(row, ensure_ascii=ascii_only) + end for row in rows), "t.jsonl"
    content, name = _packed(text.encode(rng.choice(["utf-8"] * 9 + ["utf-8-sig"])), name, rng)
    return Case({name: content}, name, "jsonl")


def _arrow_column(rng: random.Random, rows: int) -> pa.Array:
    def nulls(values: list) -> list:
        return [None if rng.random() < 0.1 else value for value in values]

    whole = nulls([rng.randint(0, 100) for _ in range(rows)])
    words = nulls([rng.choice(_WORDS) for _ in range(rows)])
    lists = nulls([[rng.randint(0, 255) for _ in range(rng.randint(0, 5))] for _ in range(rows)])
    moment = datetime.datetime(2024, 2, 29, 12, 30)
    makers = [
        lambda: pa.array(whole, rng.choice([pa.int8(), pa.uint8(), pa.int64(), pa.uint64(), pa.float32()])),
        lambda: pa.array(words, rng.choice([pa.string(), pa.large_string(), pa.string_view()])),
        lambda: pa.array(words, pa.string()).dictionary_encode(),
        lambda: pa.array(words).cast(rng.choice([pa.binary(), pa.large_binary()])),
        lambda: pa.array([None if item is None else item % 2 == 0 for item in whole], pa.bool_()),
        lambda: pa.array(lists, rng.choice([pa.list_(pa.int16()), pa.large_list(pa.uint8()), pa.list_(pa.float32())])),
        lambda: pa.array([[1, 2, 3, 4]] * rows, pa.list_(pa.uint8(), 4)),
        lambda: pa.array([[[1, 2], [3]]] * rows, pa.list_(pa.list_(pa.int32()))),
        lambda: pa.array([{"a": item, "b": word} for item, word in zip(whole, words, strict=True)]),
        lambda: pa.array([{"bytes": b"", "path": word} for word in words]),
        lambda: pa.array([[("k", item)] for item in whole], pa.map_(pa.string(), pa.int32())),
        lambda: pa.array(nulls([moment] * rows), pa.timestamp(rng.choice(["s", "ns"]), rng.choice([None, "UTC"]))),
        lambda: pa.array(nulls([moment.date()] * rows), rng.choice([pa.date32(), pa.date64()])),
        lambda: pa.array(nulls([datetime.timedelta(seconds=5)] * rows), pa.duration("s")),
        lambda: pa.array(nulls([decimal.Decimal("12.34")] * rows), pa.decimal128(10, 2)),
        lambda: pa.array(nulls([np.float16(1.5)] * rows), pa.float16()),
        lambda: pa.nulls(rows),
        lambda: _far_moments(rows),
        lambda: pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), _far_moments(rows)),
        lambda: pa.StructArray.from_arrays([pa.array(words), _far_moments(rows)], names=["path", "taken"]),
        lambda: pa.array([_tiny_png(rng) for _ in range(rows)], pa.binary()),
    ]  # fmt: skip
    return rng.choice(makers)()


def _far_moments(rows: int) -> pa.Array:
    """Return moments that no Python object can hold."""
    return pa.array([2**60] * rows, pa.int64()).view(pa.timestamp("us"))


def _tiny_png(rng: random.Random) -> bytes:
    out = io.BytesIO()
    Image.new("L", (8, 8), rng.randint(0, 255)).save(out, "PNG")
    return out.getvalue()


def _parquet(rng: random.Random) -> Case:
    rows = rng.choice([0, 1, 7, 60])
    arrays = [_arrow_column(rng, rows) for _ in range(rng.randint(1, 5))]
    table = pa.table(arrays, names=[f"c{number}" for number in range(len(arrays))])
    out = io.BytesIO()
    if rng.random() < 0.35:
        new = pyarrow.ipc.new_stream if rng.random() < 0.3 else pyarrow.ipc.new_file
        options = pyarrow.ipc.IpcWriteOptions(compression=rng.choice([None, None, "lz4", "zstd"]))
        with new(out, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=rng.choice([5, 100]))
        return Case({"t.arrow": out.getvalue()}, "t.arrow", "parquet")
    try:
        _write_parquet(table, out, rng)
    except pa.ArrowNotImplementedError:  # not every Arrow type has a place in Parquet
        return _parquet(rng)
    return Case({"t.parquet": out.getvalue()}, "t.parquet", "parquet")


def _write_parquet(table: pa.Table, out: io.BytesIO, rng: random.Random) -> None:
    pq.write_table(
        table,
        out,
        compression=rng.choice(["none", "none", "snappy", "gzip", "zstd", "lz4"]),
        use_dictionary=rng.random() < 0.5,
        data_page_version=rng.choice(["1.0", "2.0"]),
        row_group_size=rng.choice([3, 1000]),
        write_statistics=rng.random() < 0.5,
        store_schema=rng.random() < 0.7,
        write_page_index=rng.random() < 0.3,
        write_page_checksum=rng.random() < 0.2,
    )


_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def idx_bytes(values: np.ndarray, code: int = 8) -> bytes:
    """Return an array as an IDX file."""
    head = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    return head + values.astype(_IDX[code]).tobytes()


def _idx(rng: random.Random) -> Case:
    rows = rng.choice([0, 1, 9, 50])
    shape = rng.choice([(rows,), (rows, 4), (rows, 8, 8), (rows, 3, 8, 8)])
    code = rng.choice([8, 8, 8, *_IDX])
    images = idx_bytes(np.arange(math.prod(shape)).reshape(shape) % 100, code)
    if rng.random() < 0.5 or len(shape) == 1:
        content, name = _packed(images, "t.idx3" if rng.random() < 0.5 else "t-ubyte", rng)
        return Case({name: content}, name, "idx")
    labels = idx_bytes(np.arange(rows) % 10)
    names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]
    files = dict(zip(names, [images, labels], strict=True))
    if rng.random() < 0.3:  # damage the labels instead
        files = dict(reversed(files.items()))
        return Case(files, "", "idx")
    return Case(files, names[0], "idx")


def npz_bytes(arrays: dict[str, bytes], compressed: bool = False) -> bytes:
    """Return encoded arrays (`.npy` files) as an archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, archive.compression)
    return out.getvalue()


def npy_bytes(values: np.ndarray) -> bytes:
    """Return an array as a `.npy` file."""
    out = io.BytesIO()
    np.save(out, values, allow_pickle=True)
    return out.getvalue()


def npy_members(rng: random.Random) -> dict[str, bytes]:
    """Return a few arrays of one length, encoded."""
    rows = rng.choice([0, 1, 9, 40])
    names = rng.choice([["x"], ["x", "y"], ["x_train", "y_train", "x_test", "y_test"]])
    members = {}
    for name in names:
        odd = rng.random() < 0.1
        dtype = rng.choice(
            ["U5", "S4", "M8[s]", "c8", "O"] if odd else ["u1", "i2", ">i4", "i8", "f2", "f4", "f8", "?"]
        )
        shape = rng.choice([(rows,), (rows, 1), (rows, 3), (rows, 8, 8)]) if not odd else (rows,)
        values = np.zeros(shape, dtype) if odd else (np.arange(math.prod(shape)) % 100).reshape(shape)
        members[name] = npy_bytes(np.asarray(values.astype(dtype), order=rng.choice("CF")))
    return members


def _npz(rng: random.Random) -> Case:
    return Case({"t.npz": npz_bytes(npy_members(rng), rng.random() < 0.4)}, "t.npz", "npz")


def picture(rng: random.Random, mode: str, size: tuple[int, int]) -> Image.Image:
    """Return a picture of soft patterns in a mode of Pillow's."""
    width, height = size
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    plane = (x * rng.randint(1, 9) + y * rng.randint(1, 9)) % 256
    if mode == "I;16":
        return Image.fromarray((plane * 257).astype(np.uint16))
    if mode == "F":
        return Image.fromarray(plane.astype(np.float32))
    rgb = Image.fromarray(np.stack([plane, 255 - plane, plane // 2], 2).astype(np.uint8))
    if mode in ("LA", "RGBA"):
        rgb.putalpha(Image.fromarray(plane.astype(np.uint8)))
    return rgb.convert(mode)


_KINDS = [
    *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
    ("PNG", "RGB", {"frames": 3}),
    *[("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")],
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"orientation": 6}),
    ("JPEG", "RGB", {"exif": b"Exif\0\0II*\0\xff\xff\0\0"}),
    ("GIF", "P", {}),
    ("GIF", "P", {"frames": 3}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    ("WEBP", "RGB", {"frames": 2}),
    *[("BMP", mode, {}) for mode in ("1", "L", "P", "RGB")],
    *[("TIFF", mode, {}) for mode in ("1", "L", "RGB", "CMYK", "I;16", "F")],
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "L", {"frames": 3}),
    *[("PPM", mode, {}) for mode in ("1", "L", "RGB", "I;16")],
    ("JPEG2000", "RGB", {}),
    ("AVIF", "RGB", {}),
]
_SUFFIX = {"PNG": "png", "JPEG": "jpg", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "PPM": "ppm"}


def encoded(rng: random.Random, format: str, mode: str, size: tuple[int, int], frames: int = 1, orientation: int = 0,
            **options: object) -> bytes:  # fmt: skip
    """Return a picture in an encoding of Pillow's."""
    out = io.BytesIO()
    if frames > 1:
        options |= {"save_all": True, "append_images": [picture(rng, mode, size) for _ in range(frames - 1)]}
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    picture(rng, mode, size).save(out, format, **options)
    return out.getvalue()


def _images(rng: random.Random) -> Case:
    format, mode, options = rng.choice(_KINDS)
    if format not in Image.SAVE:
        format, mode, options = _KINDS[0]
    content = encoded(rng, format, mode, (rng.choice([1, 8, 17, 64]), rng.choice([1, 8, 30])), **options)
    suffix = _SUFFIX.get(format, "png") if rng.random() < 0.9 else rng.choice(list(_SUFFIX.values()))
    return Case({f"b/x.{suffix}": content, "a/good.png": _tiny_png(rng)}, "", "images")
