"""Prove that a bundle is what was written: every file there, every digest right, nothing added."""

from __future__ import annotations

from pathlib import Path

from modelyard.bundle.format import FileCheck, check_files, read_manifest

__all__ = ["verify"]


def verify(bundle: str | Path) -> FileCheck:
    """Recompute all digests of a bundle.

    Returns:
        What was found; `problems` is empty when the bundle is whole.

    Raises:
        BundleError: There is no bundle, or its manifest cannot be read.
    """
    path = Path(bundle)
    return check_files(path, read_manifest(path))
