"""Activation checkpointing: a block keeps only its inputs for the way back, and computes the rest a second time.

Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from modelyard.core.errors import Problem, SpecError

__all__ = ["Block", "blocks", "checkpoint_blocks"]

_PLACE = "train.memory.activation_checkpointing"


class Block(nn.Module):
    """A part of a network that can be computed twice: a function of its inputs, its weights and torch's generators.

    It changes nothing but the running statistics of batch norms. Families are made of blocks, and third parties' are
    found the same way.
    """


def blocks(model: nn.Module) -> list[tuple[str, Block]]:
    """Return the outermost blocks of a model with their names, in the order of definition."""
    found: list[tuple[str, Block]] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer, _ in found)
        if isinstance(module, Block) and not inside:
            found.append((name, module))
    return found


def checkpoint_blocks(model: nn.Module) -> list[str]:
    """Let the blocks of a model forget, in training, what they computed on the way forward. In place.

    Losses, gradients and running statistics are the same, bit for bit; names of parameters and what is stored are the
    same too. Copies of the model do as it does. Nothing changes in evaluation mode or where no gradient is wanted.

    Returns:
        The names of the blocks.

    Raises:
        SpecError: With fewer than two blocks nothing would be saved: what a single block computes is there as a whole
            when its gradient is.
    """
    found = blocks(model)
    if len(found) < 2:
        has = f"only one such block, {found[0][0]}" if found else "no such block"
        message = (
            "blocks of layers are computed again one at a time, which saves memory with two blocks or more; "
            f"this {type(model).__name__.lower()} has {has}. Leave it out, or cut the batch into pieces with "
            "train.accumulate"
        )
        raise SpecError([Problem(_PLACE, message)])
    for _, block in found:
        # A bound method, which copies of the module take along as their own.
        block.forward = MethodType(_forgetful, block)
    return [name for name, _ in found]


def _forgetful(block: Block, *inputs: Any) -> Any:
    forward = type(block).forward
    if not (block.training and torch.is_grad_enabled()):
        return forward(block, *inputs)
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    # A compiler moves the statistics once by itself, and takes no contexts.
    if not norms or torch.compiler.is_compiling():
        return checkpoint(forward, block, *inputs, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_kept(norms)

    return checkpoint(forward, block, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(norms: list[_BatchNorm]) -> Iterator[None]:
    """Compute batch norms on copies of their running statistics: the first time has moved them already."""
    held = [(norm, dict(norm.named_buffers(recurse=False))) for norm in norms]
    for norm, buffers in held:
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in held:
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)
