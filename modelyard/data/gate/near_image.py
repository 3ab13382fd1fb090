"""Pictures that are nearly the same as others: resized, recompressed or brightened copies, within and across splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.core.errors import DataError
from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Policy
from modelyard.data.gate.fingerprints import Fingerprints
from modelyard.data.gate.near_rows import Wording, near_found, with_partners
from modelyard.data.gate.perceptual_hash import SIDE, hashes_of, near_pictures, sampling_keys, thumbnails
from modelyard.data.modalities.image import Image
from modelyard.data.rowhash import row_hashes

__all__ = ["NearDuplicateImages"]

_MOST_BITS = 7
_CORRELATION = 0.99
_FLAT = 2.0
"""Deviation of a thumbnail's pixels below which there is nothing to compare."""
_LIMIT = 1 << 17
"""Different pictures a column's thumbnails are kept of: 128 MiB of them."""
_AT_ONCE = 1 << 26  # bytes


class NearDuplicateImages(Check):
    """Near duplicates among pictures, by perceptual hash and thumbnail; exact ones are for other checks. Pictures of
    one colour are not compared. At most `limit` different pictures are compared with each other; of more, a sample that
    mostly keeps near duplicates together, and the finding says so."""

    name = "near_duplicate_images"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")

    def __init__(self, subject: Subject, limit: int = _LIMIT) -> None:
        super().__init__(subject)
        self._modalities = {modality.column: modality for modality in subject.inputs if isinstance(modality, Image)}
        limit //= max(len(self._modalities), 1)
        self._columns = {column: Fingerprints(SIDE * SIDE, limit) for column in self._modalities}

    def observe(self, chunk: Examined) -> None:
        for column, prints in self._columns.items():
            images = chunk.read[column]
            rows = np.flatnonzero((chunk.codes >= 0) & np.asarray(images.is_valid()))
            if not len(rows):
                continue
            shape = self._modalities[column].shape
            if shape is None:
                raise DataError(f"the images of {column!r} were read without a size; set `size` and `channels`")
            if len(rows) < len(images):
                images = images.take(pa.array(rows))
            block = max(1, _AT_ONCE // max(images.type.list_size, 1))
            for start in range(0, len(rows), block):
                part = images.slice(start, block)
                pixels = part.flatten().to_numpy().reshape(len(part), *shape)
                _observe(prints, pixels, part, rows[start : start + block] + chunk.number)

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column, prints in self._columns.items():
            prints.settle()
            small = prints.values.reshape(-1, SIDE, SIDE)
            pairs = near_pictures(hashes_of(small), small, _MOST_BITS, _CORRELATION)
            wording = Wording(
                self.name,
                column,
                "picture",
                f"Found by perceptual hash (at most {_MOST_BITS} of 64 bits differ) and a correlation of "
                f"{_CORRELATION} or more between thumbnails.",
                {
                    "method": "perceptual hash",
                    "bits": _MOST_BITS,
                    "threshold": _CORRELATION,
                    "compared_rows": len(prints.row_numbers),
                },
            )
            found += near_found(pairs, prints, index, wording)
        return with_partners(found, self.subject, index)

    def state(self) -> Mapping[str, Any]:
        return {column: prints.state() for column, prints in self._columns.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for column, prints in self._columns.items():
            prints.restore(state[column])


def _observe(
    prints: Fingerprints, pixels: npt.NDArray[np.uint8], images: pa.Array, numbers: npt.NDArray[np.int64]
) -> None:
    contents = row_hashes(pa.record_batch([images], names=["image"]))
    small = thumbnails(pixels)
    kept = np.flatnonzero(small.reshape(len(small), -1).std(axis=1, dtype=np.float32) >= _FLAT)
    contents, small, numbers = contents[kept], small[kept], numbers[kept]
    keys = sampling_keys(hashes_of(small))
    prints.add(contents, keys, np.zeros(len(kept), np.uint8), small.reshape(len(small), SIDE * SIDE))
    prints.add_rows(contents, keys, numbers)
