"""Normalisation of each vector on its own, by name."""

from __future__ import annotations

from typing import Literal

from torch import nn

__all__ = ["VectorNorm", "vector_norm"]

VectorNorm = Literal["layer", "rms"]


def vector_norm(name: VectorNorm, width: int) -> nn.Module:
    """Return LayerNorm (Ba et al. 2016, eps 1e-5) or RMSNorm (Zhang and Sennrich 2019, eps 1e-6) over the last axis."""
    return nn.LayerNorm(width) if name == "layer" else nn.RMSNorm(width, eps=1e-6)
