"""Memory that nothing needs, or needs any more, is not held.

What was freed stays with the process, in case that it is asked for again: with C's allocator in one heap a thread, with
Arrow in a pool. Preparing data and trying ways to compute need much for a short time, which a long training then keeps.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any

import pyarrow as pa

__all__ = ["freed_memory_kept", "give_back", "without_pandas"]

# Only GNU's C library has these functions.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_trim = getattr(_libc, "malloc_trim", None)
_option = getattr(_libc, "mallopt", None)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of `mallopt`: free bytes at a heap's end from which they are returned; sizes that get memory of their own."""
_KEPT = 1 << 30
_USUAL = 32 << 20
"""Where the library's own, moving thresholds end."""


def give_back() -> None:
    """Free what only cycles of references hold, and return all unused memory; takes some ten milliseconds.

    For the end of a stage: memory that is asked for again at once was returned in vain.
    """
    gc.collect()
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let C's allocator keep up to 1 GiB of what is freed for what is asked for next, and return it in the end.

    Each step of a training asks for the memory of the one before. Returned in between, every page of it would be
    cleared by the kernel again: up to a tenth of a step.
    """
    if _option is None:
        yield
        return
    _option(_TRIM_THRESHOLD, _KEPT)
    _option(_MMAP_THRESHOLD, _KEPT)
    try:
        yield
    finally:
        _option(_TRIM_THRESHOLD, 2 * _USUAL)
        _option(_MMAP_THRESHOLD, _USUAL)
        give_back()


@contextlib.contextmanager
def without_pandas() -> Iterator[None]:
    """Keep Arrow from importing pandas, as it does when it makes its first array where pandas is installed.

    It does so to tell pandas' own objects from others, of which there are none where pandas is not loaded yet; it takes
    40 MiB and a third of a second. Where pandas is loaded already, nothing changes. A table that is turned into pandas'
    or taken from it imports it all the same; afterwards Arrow looks for it anew.
    """
    asks: Any = getattr(pa.lib, "_pandas_api", None)
    if asks is None or "pandas" in sys.modules:
        yield
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([])  # Arrow asks once, and remembers the answer
    finally:
        sys.meta_path.remove(hidden)
    try:
        yield
    finally:
        asks.__init__()  # forgets the answer


class _Hidden(MetaPathFinder):
    """Says to whoever imports pandas that it is not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)
