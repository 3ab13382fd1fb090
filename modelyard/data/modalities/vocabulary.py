"""What categories and sets of labels share: how a value is written, which values are known, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from modelyard.data.modalities.numerals import parse
from modelyard.data.modalities.reading import MISSING, as_text, present_text
from modelyard.data.modalities.restoring import Checked, Written, require_state
from modelyard.data.modalities.streaming import Counts
from modelyard.spec.settings import Settings

__all__ = ["Vocabulary", "VocabularySettings", "VocabularyState", "canonical"]


class VocabularySettings(Settings):
    """How values with names are read and which of them are known."""

    max_size: int = Field(default=10_000, ge=1, le=5_000_000)
    """How many different values are known at most: the most frequent ones."""
    min_count: int = Field(default=1, ge=1)
    """How often a value must occur in training to be known."""
    labels: list[str] | None = Field(default=None, min_length=1)
    """The values in a fixed order; no others are known. By default all that occur, sorted as numbers or as text."""
    names: dict[str, str] | list[str] | None = None
    """Names to show instead of the values: by value, or a list for 0, 1, 2 … Values without one keep their own."""
    missing: list[str] = Field(default_factory=lambda: list(MISSING))
    """What counts as missing, without regard to case."""

    @field_validator("labels", mode="before")
    @classmethod
    def _write_labels(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        labels = [_written(item) for item in value]
        repeated = sorted({str(label) for label in labels if labels.count(label) > 1})
        if repeated:
            raise ValueError(f"each label may stand once; repeated: {', '.join(repeated)}")
        return labels

    @field_validator("names", mode="before")
    @classmethod
    def _write_names(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            value = {_written(key): _written(item) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            value = [_written(item) for item in value]
        names = list(value.values()) if isinstance(value, dict) else value
        if isinstance(names, list) and len(set(map(str, names))) < len(names):
            raise ValueError("two values have the same name; give each its own")
        return value

    def name_of(self, value: str) -> str:
        """Return the name to show for a value."""
        if isinstance(self.names, dict):
            return self.names.get(value, value)
        if isinstance(self.names, list) and value.isascii() and value.isdigit() and str(int(value)) == value:
            return self.names[int(value)] if int(value) < len(self.names) else value
        return value


def _written(value: Any) -> Any:
    """Write a plain value of a spec (a number, a truth value) the way `canonical` writes it in a column."""
    if not isinstance(value, str | int | float):
        return value
    texts, problems = canonical(pa.array([value]), ())
    found = texts[0].as_py()
    if problems or not found:
        raise ValueError(f"{value!r} cannot be a label")
    return found


def canonical(values: pa.Array, missing: Sequence[str]) -> tuple[pa.Array, dict[int, str]]:
    """Write values so that equal ones are equal whatever file they came from.

    Without surrounding blanks, Unicode composed (NFC), whole numbers without ".0", truth values as `true` and `false`.

    Returns:
        Strings, null where missing or not readable, and the problems by position.
    """
    texts, problems = as_text(values)
    encoded = texts.dictionary_encode()  # the work is done once for each different value
    found = encoded.dictionary
    if not pc.all(pc.string_is_ascii(found)).as_py():
        found = pc.utf8_normalize(found, "NFC")
    found = pc.utf8_trim_whitespace(found)
    found = pc.replace_substring_regex(found, r"^(-?(?:0|[1-9]\d*))\.0+$", r"\1")
    found = pc.replace_substring_regex(found, "^-0$", "0")
    for word in ("true", "false"):
        spelled = pc.is_in(found, value_set=pa.array([word.title(), word.upper()], found.type))
        found = pc.if_else(spelled, pa.scalar(word, found.type), found)
    found = present_text(found, ("", *missing))
    return (texts if found.equals(encoded.dictionary) else found.take(encoded.indices)), problems


_Natural = Annotated[int, Field(ge=0, le=2**53)]


class VocabularyState(Checked):
    """The JSON shape of a learned vocabulary."""

    values: list[Written] = Field(min_length=1)
    counts: list[_Natural]
    rows: _Natural
    missing: _Natural
    dropped_values: _Natural
    dropped_count: _Natural
    approximate: bool


class Vocabulary:
    """The values that are known, in their order, with how often training held each."""

    def __init__(self, learned: VocabularyState) -> None:
        self.learned = learned
        self.values = tuple(learned.values)
        self._set = pa.array(learned.values, pa.string())

    @classmethod
    def learn(
        cls, counts: Counts, settings: VocabularySettings, rows: int, missing: int, by_frequency: bool
    ) -> Vocabulary | None:
        """Choose the known values: `settings.labels`, or the most frequent; None when there is not one.

        Args:
            by_frequency: Order by falling count, then by text; otherwise sorted as numbers when all are, or as text.
        """
        ranked = counts.ranked()
        if settings.labels is not None:
            occurring = dict(ranked)
            kept = [(label, occurring.get(label, 0)) for label in settings.labels]
        else:
            kept = [item for item in ranked if item[1] >= settings.min_count][: settings.max_size]
            if not by_frequency:
                kept = _in_order(kept)
        if not kept:
            return None
        known = {value for value, _ in kept}
        dropped = [count for value, count in ranked if value not in known]
        return cls(
            VocabularyState(
                values=[value for value, _ in kept],
                counts=[count for _, count in kept],
                rows=rows,
                missing=missing,
                dropped_values=len(dropped),
                dropped_count=sum(dropped),
                approximate=counts.approximate,
            )
        )

    @classmethod
    def restore(cls, learned: VocabularyState, settings: VocabularySettings, column: str) -> Vocabulary:
        """Check a stored vocabulary against the settings.

        Raises:
            BundleError: It is not one that these settings lead to.
        """
        size = len(learned.values)
        require_state(
            len(set(learned.values)) == size and "" not in learned.values, column, "values that repeat or are empty"
        )
        require_state(len(learned.counts) == size, column, f"{len(learned.counts)} counts for {size} values")
        fixed = settings.labels
        require_state(fixed is None or fixed == learned.values, column, "values other than the labels that are set")
        require_state(fixed is not None or size <= settings.max_size, column, f"{size} values, more than max_size")
        return cls(learned)

    def __len__(self) -> int:
        return len(self.values)

    def index(self, texts: pa.Array) -> npt.NDArray[np.int64]:
        """Return each text's position among the known values, −1 for null and for what is not known."""
        found = pc.index_in(texts, value_set=self._set.cast(texts.type))
        return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)

    def summary(self, settings: VocabularySettings) -> dict[str, Any]:
        """Return counts in a few plain values; at most twenty values are named."""
        learned = self.learned
        shown = sorted(zip(learned.values, learned.counts, strict=True), key=lambda item: -item[1])[:20]
        found: dict[str, Any] = {
            "rows": learned.rows,
            "missing": learned.missing,
            "known_values": len(self),
            "most_frequent": {settings.name_of(value): count for value, count in shown},
            "dropped_values": learned.dropped_values,
            "dropped_count": learned.dropped_count,
        }
        return {**found, "approximate": True} if learned.approximate else found


def _in_order(items: list[tuple[str, int]]) -> list[tuple[str, int]]:
    numbers = parse(pa.array([value for value, _ in items], pa.string()))
    if len(items) and np.isfinite(numbers).all():
        return [item for _, item in sorted(zip(numbers.tolist(), items, strict=True))]
    return sorted(items)
