"""What this machine is and what it does fast: cores, instructions, accelerators, memory."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from modelyard.core.errors import UsageError

__all__ = ["cores", "environment", "multiplies_bfloat16", "multiplies_float8", "pick_device"]


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the first accelerator, else the CPU.

    Raises:
        UsageError: The machine has no such device; the message lists those it has.
    """
    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name not in known and not (name == "cuda" and cuda):
        raise UsageError(f"this machine has no device {name!r}; it has: {', '.join(known)}")
    return torch.device(name)


@cache
def multiplies_bfloat16(kind: str) -> bool:
    """Whether devices of this kind (`cpu`, `cuda`) multiply bfloat16 natively."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_flags() & {"amx_bf16", "avx512_bf16"})


@cache
def multiplies_float8(device: torch.device) -> bool:
    """Whether a device multiplies float8 (e4m3, e5m2) natively: NVIDIA's of compute capability 8.9 and more."""
    # AMD's number their capabilities differently, and the older ones have formats of their own.
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 9)


@cache
def _flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


@cache
def environment() -> dict[str, Any]:
    """Return the facts that go into the evidence: processor, memory, system, versions."""
    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "bfloat16": multiplies_bfloat16("cpu"),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
