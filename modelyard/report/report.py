"""The report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render"]


def render(spec: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    """Return the report as HTML."""
    return f"<title>{spec['name']}</title>"
