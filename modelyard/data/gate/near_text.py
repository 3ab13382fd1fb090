"""Texts that are nearly the same as others: edited, recased or repunctuated copies, within and across splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modelyard.data.gate.banding import near_signatures
from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Policy
from modelyard.data.gate.fingerprints import Fingerprints
from modelyard.data.gate.minhash import LANES, signatures
from modelyard.data.gate.near_rows import Wording, near_found
from modelyard.data.rowhash import row_hashes

__all__ = ["NearDuplicateTexts"]

_THRESHOLD = 0.8
_LIMIT = 1 << 20
"""Different texts a column's signatures are kept of: 64 MiB of them."""
_LIMIT_OF_ALL = 1 << 21


class NearDuplicateTexts(Check):
    """Near duplicates among texts, by MinHash; exact ones are for other checks. Texts of under eleven letters are not
    compared. At most `limit` different texts of a column are compared with each other (fewer when there are more than
    two columns of text); of more, a sample that keeps near duplicates together, and the finding says so."""

    name = "near_duplicate_texts"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")

    def __init__(self, subject: Subject, limit: int = _LIMIT) -> None:
        super().__init__(subject)
        columns = [modality.column for modality in subject.inputs if modality.name == "text"]
        limit = min(limit, _LIMIT_OF_ALL // max(len(columns), 1))
        self._columns = {column: Fingerprints(LANES, limit) for column in columns}

    def observe(self, chunk: Examined) -> None:
        for column, prints in self._columns.items():
            texts = chunk.read[column]
            rows = np.flatnonzero((chunk.codes >= 0) & np.asarray(texts.is_valid()))
            if len(rows) < len(texts):
                texts = texts.take(pa.array(rows))
            _observe(prints, texts, rows + chunk.number)

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column, prints in self._columns.items():
            prints.settle()
            pairs = near_signatures(prints.values, prints.kinds, _THRESHOLD)
            wording = Wording(
                self.name,
                column,
                "text",
                f"Found by MinHash: an estimated similarity of {_THRESHOLD} or more, 1 being the same but for case, "
                "blanks and punctuation.",
                {"method": "MinHash", "threshold": _THRESHOLD, "compared_rows": len(prints.row_numbers)},
            )
            found += near_found(pairs, prints, index, wording)
        return found

    def state(self) -> Mapping[str, Any]:
        return {column: prints.state() for column, prints in self._columns.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for column, prints in self._columns.items():
            prints.restore(state[column])


def _observe(prints: Fingerprints, texts: pa.Array, numbers: npt.NDArray[np.int64]) -> None:
    """Sign each different text once, and note which rows hold it."""
    if not len(texts):
        return
    contents = row_hashes(pa.record_batch([texts], names=["text"]))
    order = np.argsort(contents, kind="stable")
    ordered = contents[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    firsts = np.sort(order[fresh])
    signed = signatures(texts if len(firsts) == len(texts) else texts.take(pa.array(firsts)))
    owners = firsts[signed.rows]
    prints.add(contents[owners], signed.keys, signed.kinds, signed.values)
    # A text with two signatures stays for as long as one of them does; one without is not compared.
    lowest = np.full(len(texts), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, owners, signed.keys)
    has = np.zeros(len(texts), bool)
    has[owners] = True
    leader = np.empty(len(texts), np.int64)
    leader[order] = order[fresh][np.cumsum(fresh) - 1]
    rows = np.flatnonzero(has[leader])
    prints.add_rows(contents[rows], lowest[leader[rows]], numbers[rows])
