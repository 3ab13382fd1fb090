"""Tensors in safetensors files: bit for bit, read by others, and nothing in a file is trusted."""

from __future__ import annotations

import json
import struct

import pytest
import safetensors.torch
import torch

from modelyard.core.digests import FileDigest, digest_pieces, read_digest, write_pieces
from modelyard.core.errors import DataError
from modelyard.core.tensors import lay_out, read_tensors


def some() -> dict[str, torch.Tensor]:
    return {
        "half": torch.tensor([1.5, -0.0]).bfloat16(),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "mask": torch.tensor([[True, False, True]]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "每": torch.tensor([2.0], dtype=torch.float64),
    }


def bits(tensor: torch.Tensor) -> tuple:
    plain = tensor.contiguous().reshape(-1).view(torch.uint8)
    return tensor.dtype, tuple(tensor.shape), plain.numpy().tobytes()


def test_the_safetensors_library_reads_what_is_written(tmp_path):
    write_pieces(tmp_path / "a.safetensors", lay_out(some()).pieces())
    read = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert {name: bits(tensor) for name, tensor in read.items()} == {n: bits(t) for n, t in some().items()}


def test_what_the_safetensors_library_writes_is_read(tmp_path):
    tensors = {name: tensor.contiguous() for name, tensor in some().items()}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors", metadata={"format": "pt"})
    read = read_tensors(tmp_path / "a.safetensors")
    assert {name: bits(tensor) for name, tensor in read.items()} == {n: bits(t) for n, t in tensors.items()}


def test_the_order_of_names_and_the_size_and_the_digest_are_known_before_it_is_written(tmp_path):
    file = lay_out(some())
    written = write_pieces(tmp_path / "a", file.pieces())
    assert written == digest_pieces(file.pieces()) == read_digest(tmp_path / "a")
    assert written.size == file.size == (tmp_path / "a").stat().st_size
    assert list(read_tensors(tmp_path / "a", written)) == list(some())


def test_tied_tensors_are_stored_once_and_come_back_as_one(tmp_path):
    weight = torch.randn(100, 10)
    tensors = {
        "embedding": weight,
        "head": weight,
        "alias": weight.view(100, 10),
        "part": weight[:2],
        "turned": weight.T,
    }
    file = lay_out(tensors)
    assert file.size < 2 * weight.nbytes + 80 + 1000  # the turned one lies differently in memory
    write_pieces(tmp_path / "a", file.pieces())
    read = read_tensors(tmp_path / "a")
    assert read["embedding"] is read["head"] is read["alias"]
    assert {name: bits(tensor) for name, tensor in read.items()} == {n: bits(t) for n, t in tensors.items()}


def test_conjugated_and_negated_views_are_written_as_what_they_mean(tmp_path):
    number = torch.tensor([1 + 2j], dtype=torch.complex64)
    tensors = {"plain": number, "conjugate": number.conj(), "negative": number.conj().imag}
    write_pieces(tmp_path / "a", lay_out(tensors).pieces())
    read = read_tensors(tmp_path / "a")
    assert read["conjugate"].tolist() == [1 - 2j] and read["plain"].tolist() == [1 + 2j]
    assert read["negative"].tolist() == [-2.0]


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({"a": torch.zeros(2, device="meta")}, TypeError, "on meta"),
        ({"a": torch.eye(2).to_sparse()}, TypeError, "sparse"),
        ({"a": torch.zeros(1, dtype=torch.complex128)}, TypeError, "complex128"),
        ({"__metadata__": torch.zeros(1)}, ValueError, "cannot be the name"),
        ({"\ud800": torch.zeros(1)}, ValueError, "cannot be the name"),
        ({"a": torch.zeros([1] * 65)}, ValueError, "65 dimensions"),
        (dict.fromkeys(map(str, range(60_001)), torch.zeros(1)), ValueError, "60001 tensors"),
    ],
)
def test_what_the_format_does_not_have_is_refused(tensors, error, message):
    with pytest.raises(error, match=message):
        lay_out(tensors)


def file_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: list, offsets: list, dtype: str = "U8") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE = {
    "nothing": b"",
    "seven bytes": b"1234567",
    "header of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
    "header longer than the file": struct.pack("<Q", 100) + b"{}",
    "a million tensors": file_of(
        b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(1_000_000)) + b"}"
    ),
    "as many tensors as the header holds": file_of(
        b"{" + b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(140_000)) + b"}"
    ),
    "shape of 10^18 items": file_of({"a": entry([10**6] * 3, [0, 4])}, b"1234"),
    "huge shape of nothing": file_of({"a": entry([0, 1 << 40, 1 << 40], [0, 0])}),
    "many dimensions": file_of({"a": entry([1] * 1000, [0, 1])}, b"1"),
    "overlapping": file_of({"a": entry([4], [0, 4]), "b": entry([4], [2, 6])}, b"123456"),
    "twice the same place": file_of({"a": entry([4], [0, 4]), "b": entry([4], [0, 4])}, b"1234"),
    "gap": file_of({"a": entry([1], [0, 1]), "b": entry([1], [2, 3])}, b"123"),
    "trailing byte": file_of({"a": entry([4], [0, 4])}, b"12345"),
    "too short": file_of({"a": entry([4], [0, 4])}, b"123"),
    "offsets backwards": file_of({"a": entry([4], [4, 0])}, b"1234"),
    "negative": file_of({"a": entry([-4], [0, 4])}, b"1234"),
    "true as a size": file_of({"a": entry([True], [0, 1])}, b"1"),
    "float as a size": file_of({"a": entry([1.0], [0, 1])}, b"1"),
    "NaN": file_of(b'{"a":NaN}'),
    "name twice": file_of(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":1}'),
    "deep": file_of(b"[" * 100_000),
    "list": file_of([]),
    "not UTF-8": file_of(b"\xff{}"),
    "digits": file_of(b'{"a":' + b"9" * 5000 + b"}"),
    "unknown dtype": file_of({"a": entry([1], [0, 1], "OBJECT")}, b"1"),
    "dtype that is a list": file_of({"a": {"dtype": [], "shape": [], "data_offsets": [0, 1]}}, b"1"),
    "entry with more": file_of({"a": {**entry([1], [0, 1]), "code": "x"}}, b"1"),
    "metadata that is not text": file_of({"__metadata__": {"a": 1}}),
    "tied to nothing": file_of({"__metadata__": {"tied": '{"b":"c"}'}, "a": entry([1], [0, 1])}, b"1"),
    "tied over a tensor": file_of({"__metadata__": {"tied": '{"a":"a"}'}, "a": entry([1], [0, 1])}, b"1"),
    "truth value 2": file_of({"a": entry([1], [0, 1], "BOOL")}, b"\x02"),
    "pickle": b"\x80\x04cos\nsystem\n(S'touch canary'\ntR.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_typed_error(name, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(DataError, match=r"a\.safetensors is no safetensors file"):
        read_tensors(path)


@pytest.mark.parametrize("at", [0, 8, 20, -1])
def test_a_changed_byte_is_said_to_be_one_wherever_it_is(at, tmp_path):
    path = tmp_path / "a.safetensors"
    digest = write_pieces(path, lay_out(some()).pieces())
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.safetensors was altered \(digest differs\)"):
        read_tensors(path, digest)


def test_a_file_of_another_length_is_not_read(tmp_path):
    path = tmp_path / "a.safetensors"
    digest = write_pieces(path, lay_out(some()).pieces())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"has {digest.size - 1} bytes, expected {digest.size}"):
        read_tensors(path, digest)
    with pytest.raises(DataError, match=r"a\.safetensors was altered"):
        read_tensors(path, FileDigest(digest.size - 1, digest.sha256))
