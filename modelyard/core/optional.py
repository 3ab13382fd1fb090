"""Import what may be absent or slow only when it is needed, and say how to install it when it is missing."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from modelyard.core.errors import MissingExtraError

__all__ = ["require", "resolve"]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: The module's dotted name, such as `"torch.utils.tensorboard"`.
        extra: The extra of modelyard that installs it.

    Raises:
        MissingExtraError: The module is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        raise MissingExtraError(
            f"{root} is not installed, and this needs it ({error}). Install it with: pip install 'modelyard[{extra}]'"
        ) from error


def resolve(target: str) -> Any:
    """Return what `"package.module:name"` names. Only ever called with names from modelyard's own tables
    and from installed entry points, never with text out of a bundle or a spec."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
