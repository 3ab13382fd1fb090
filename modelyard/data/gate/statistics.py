"""What the rows of each split are like, column by column, for `evidence/data.json` and the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelyard.data.gate.profile import ColumnProfile, Profile
from modelyard.data.split import SPLITS

__all__ = ["statistics_of"]

_QUANTILES = (5, 25, 50, 75, 95)
_MOST = 20


def statistics_of(profile: Profile) -> dict[str, dict[str, dict[str, Any]]]:
    """Return split → column → values.

    All columns have `kind`, `rows` and `missing`. Numbers have `mean`, `deviation` (divided by n), `minimum`,
    `maximum`, `zeros` and `quantiles`; texts the same of their `characters`, lists of their `items`. Categories have
    `distinct` and `most_frequent`; with more than 65,536 different values `about` says that these rest on a part of
    them. Everything is counted over all rows but quantiles, which come from `quantiles_from` rows of the split: all of
    them where it has no more than some thousands.
    """
    codes = [code for code in range(len(SPLITS)) if profile.rows[code]]
    columns = profile.each(lambda column: {code: _column(profile, column, code) for code in codes})
    names = [column.column for column in profile.columns.values()]
    return {SPLITS[code]: {name: found[code] for name, found in zip(names, columns, strict=True)} for code in codes}


def _column(profile: Profile, column: ColumnProfile, code: int) -> dict[str, Any]:
    rows = int(profile.rows[code])
    found: dict[str, Any] = {"kind": column.kind, "rows": rows, "missing": int(column.missing[code])}
    if column.kind == "category":
        return found | _category(column, code)
    summary = column.moments[code].summary()
    if not summary:
        return found
    ordered = profile.ordered(column.column, code)
    at = np.quantile(ordered, [quantile / 100 for quantile in _QUANTILES]) if len(ordered) else ()
    quantiles = {str(quantile): float(value) for quantile, value in zip(_QUANTILES, at, strict=False)}
    about = {"quantiles": quantiles, "quantiles_from": rows if profile.sample.is_whole(code) else len(ordered)}
    if column.kind == "number":
        return found | summary | about
    zeros = summary.pop("zeros")
    if column.kind == "text":
        return found | {"empty": zeros, "characters": summary | about}
    return found | {"empty": zeros, "items": summary | about}


def _category(column: ColumnProfile, code: int) -> dict[str, Any]:
    tally = column.tally
    assert tally is not None
    tally.merge()
    counts = tally.counts[:, code]
    present = np.flatnonzero(counts)
    words = {at: tally.text(at) for at in _most_frequent(counts, present)}
    ranked = sorted(words, key=lambda at: (-counts[at], words[at]))[:_MOST]
    found: dict[str, Any] = {
        "distinct": len(present) * tally.scale,
        "most_frequent": {column.show(words[at]): int(counts[at]) for at in ranked},
    }
    return found | {"about": True, "values_kept": len(tally)} if tally.about else found


def _most_frequent(counts: Any, present: Any) -> list[int]:
    """Return the values that may be among the most frequent, ties included."""
    if len(present) > _MOST:
        least = np.partition(counts[present], len(present) - _MOST)[len(present) - _MOST]
        present = present[counts[present] >= least]
    found: list[int] = present.tolist()
    return found
