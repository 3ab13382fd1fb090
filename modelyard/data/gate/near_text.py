"""Texts that are nearly the same as others: edited, recased or repunctuated copies, within and across splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from modelyard.data.gate.banding import near_signatures
from modelyard.data.gate.check import Check, Found, RowIndex
from modelyard.data.gate.examined import Examined, Subject
from modelyard.data.gate.finding import Policy
from modelyard.data.gate.near_rows import Wording, near_found, with_partners
from modelyard.data.gate.text_sample import TextSample

__all__ = ["NearDuplicateTexts"]

_THRESHOLD = 0.8
_LIMIT = 1 << 18
"""Different texts a column's signatures are kept of: 16 MiB of them, or 32 when each has both kinds."""
_LIMIT_OF_ALL = 1 << 21


class NearDuplicateTexts(Check):
    """Near duplicates among texts, by MinHash; exact ones are for other checks. Texts of under eleven letters are not
    compared. At most `limit` different texts of a column are compared with each other (fewer when there are more than
    eight columns of text); of more, a sample that mostly keeps near duplicates together, and the finding says so."""

    name = "near_duplicate_texts"
    policies: ClassVar[tuple[Policy, ...]] = ("keep", "drop", "error")
    finishes_alone = True

    def __init__(self, subject: Subject, limit: int = _LIMIT) -> None:
        super().__init__(subject)
        columns = [modality.column for modality in subject.inputs if modality.name == "text"]
        limit = min(limit, _LIMIT_OF_ALL // max(len(columns), 1))
        self._columns = {column: TextSample(limit) for column in columns}

    def observe(self, chunk: Examined) -> None:
        for column, sample in self._columns.items():
            texts = chunk.read[column]
            rows = np.flatnonzero((chunk.codes >= 0) & np.asarray(texts.is_valid()))
            if len(rows) < len(texts):
                texts = texts.take(pa.array(rows))
            sample.add(texts, rows + chunk.number)

    def finish(self, index: RowIndex) -> list[Found]:
        found = []
        for column, sample in self._columns.items():
            prints = sample.finish()
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
        return with_partners(found, self.subject, index)

    def state(self) -> Mapping[str, Any]:
        return {column: sample.state() for column, sample in self._columns.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        for column, sample in self._columns.items():
            sample.restore(state[column])
