"""Carries out `train.memory` and float8: what a model and its optimizer do differently to take less memory and time."""

from __future__ import annotations

import torch
from torch import nn

from modelyard.core.registry import table
from modelyard.models.blocks.checkpointing import checkpoint_blocks
from modelyard.models.blocks.float8 import float8_linears
from modelyard.spec.spec import TrainSpec
from modelyard.train.memory.fused_backward import FusedBackward, check_fused_backward
from modelyard.train.memory.offload import offload
from modelyard.train.optimizing.low_bit import make_low_bit

__all__ = ["lean_model", "lean_optimizer", "make_optimizer"]


def lean_model(settings: TrainSpec, model: nn.Module) -> None:
    """Make a model forget what can be computed again, and multiply in float8, when the settings say so; in place,
    before it is compiled.

    Raises:
        SpecError: The model has nothing to forget, or nothing large enough for float8.
    """
    if settings.precision == "float8":
        float8_linears(model)
    if settings.memory.activation_checkpointing:
        checkpoint_blocks(model)


def make_optimizer(settings: TrainSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of resolved settings over a model's trainable parameters, with its state in 8 bits when they
    say so.

    Raises:
        SpecError: The optimizer has no 8-bit form.
    """
    assert settings.optimizer is not None, "the settings are resolved"
    choice, rate, decay = settings.optimizer, float(settings.learning_rate or 0.0), settings.weight_decay or 0.0
    if settings.memory.optimizer_bits == 8:
        return make_low_bit(choice, model, rate, decay)
    optimizer: torch.optim.Optimizer = table("optimizer").find(choice.name).make(model, rate, decay, choice.settings)
    return optimizer


def lean_optimizer(settings: TrainSpec, optimizer: torch.optim.Optimizer) -> tuple[FusedBackward | None, list[str]]:
    """Offload an optimizer and take its steps within the backward pass, where the settings say so.

    Returns:
        What steps within the backward pass, or None; and what to tell the user.

    Raises:
        SpecError: The settings contradict each other.
    """
    notices = []
    if settings.memory.offload == "optimizer":
        notice = offload(optimizer)
        if notice is not None:
            notices.append(notice)
    fused = None
    if settings.memory.fused_backward:
        check_fused_backward(settings, settings.accumulate)
        fused = FusedBackward(optimizer, settings.l1, settings.l2)
    return fused, notices
