"""How findings say numbers: `1 row`, `12 of 3,000 rows (0.4%)`, `'a', 'b' and 3 more`."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["count", "listed", "rows_of", "share"]


def count(number: int, what: str, plural: str = "") -> str:
    """Return a number with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def share(part: float) -> str:
    """Return a share in percent, with as many digits as it needs: `50%`, `0.4%`, `0.012%`."""
    percent = 100 * part
    return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.2g}%"


def rows_of(number: int, total: int) -> str:
    """Return `12 of 3,000 rows (0.4%)`."""
    return f"{number:,} of {count(total, 'row')} ({share(number / max(total, 1))})"


def listed(items: Sequence[str], most: int = 5) -> str:
    """Return `'a', 'b' and 3 more`, long items shortened."""
    quoted = [repr(item if len(item) <= 40 else item[:40] + "…") for item in items[:most]]
    rest = len(items) - len(quoted)
    if rest:
        return f"{', '.join(quoted)} and {rest:,} more"
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
