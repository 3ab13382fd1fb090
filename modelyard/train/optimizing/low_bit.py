"""Optimizers whose state takes 8 bits a number instead of 32: SGD with momentum, Adam and AdamW.

Source: Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization. Each block of 256 numbers is scaled by its
largest and rounded to one of 256 values that lie densest near zero. Numbers are 32 bits wide while they are computed
with, a piece of a tensor at a time, so that no whole copy is ever made. As the paper found best, embeddings keep 32
bits; so do tensors of fewer than 4096 numbers, which weigh nothing.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from modelyard.core.errors import Problem, SpecError
from modelyard.spec.settings import Choice
from modelyard.train.optimizing.base import GroupOptimizer, embedding_ids
from modelyard.train.optimizing.optimizers import parameter_groups

__all__ = ["BLOCK", "SMALLEST", "LowBitAdam", "LowBitOptimizer", "LowBitSgd", "code_values", "make_low_bit"]

BLOCK = 256
"""Numbers that share a scale."""
SMALLEST = 4096
"""Numbers from which on a tensor's state is held in 8 bits."""
_PIECE = 1024 * BLOCK
"""Numbers that are computed with at once, 1 MiB a buffer: fewer are mostly overhead, more leave the cache."""
_BITS_DROPPED = 13
"""Lowest bits of a float32's fraction that do not matter to which of 256 values it is rounded."""


def make_low_bit(
    choice: Choice[Any], model: nn.Module, learning_rate: float, weight_decay: float
) -> LowBitAdam | LowBitSgd:
    """Return the chosen optimizer with its state in 8 bits, over the model's trainable parameters.

    Raises:
        SpecError: The optimizer, or a setting of it, has no such form.
    """
    settings, problem = choice.settings, None
    if choice.name not in ("adam", "adamw", "sgd"):
        problem = f"8 bits are for adam, adamw and sgd; the optimizer is {choice.name}"
    elif choice.name == "sgd" and settings.momentum == 0:
        problem = "sgd without momentum has no state that could be made smaller"
    elif choice.name != "sgd" and settings.amsgrad:
        problem = f"8 bits are for {choice.name} without amsgrad"
    if problem is not None:
        raise SpecError([Problem("train.memory.optimizer_bits", f"{problem}; set it to 32 or change train.optimizer")])
    embedded = embedding_ids(model)
    groups = []
    for bits in (8, 32):
        named = [(name, one) for name, one in model.named_parameters() if (id(one) in embedded) == (bits == 32)]
        groups += [{**group, "bits": bits} for group in parameter_groups(named, learning_rate, weight_decay)]
    if choice.name == "sgd":
        return LowBitSgd(groups, settings.momentum, settings.dampening, settings.nesterov)
    return LowBitAdam(groups, settings.betas, settings.eps, decoupled=choice.name == "adamw")


class LowBitOptimizer(GroupOptimizer):
    """What the low-bit optimizers share: a pass over each tensor in pieces, with its state widened and narrowed again.

    A tensor's state holds `step` (int) and for each kind of state either float32 `NAME` of the tensor's shape, or
    `NAME_codes`, uint8 (numbers,) in the tensor's order in memory, and `NAME_scales`, float32 (blocks,).
    """

    kinds: tuple[tuple[str, bool], ...]
    """Names of the states, and whether they can be negative."""

    def step_group(self, group: dict[str, Any]) -> None:
        for parameter in group["params"]:
            if parameter.grad is not None:
                self._step(group, parameter, parameter.grad)

    @abstractmethod
    def update(self, group: dict[str, Any], step: int, weights: Tensor, gradient: Tensor, states: list[Tensor]) -> None:
        """Move a piece of a tensor and its states in place; all of one shape and float32, `step` counts from 1."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; unlike torch's own, which makes floats of all tensors, it keeps each one's type."""
        super().load_state_dict(state_dict)
        numbered = [parameter for group in self.param_groups for parameter in group["params"]]
        for number, entries in state_dict["state"].items():
            state = self.state[numbered[number]]
            for key, value in entries.items():
                if isinstance(value, Tensor):
                    state[key] = value.to(numbered[number].device, copy=True)

    def _step(self, group: dict[str, Any], parameter: Tensor, gradient: Tensor) -> None:
        state = self.state[parameter]
        if not state:
            self._begin(state, group, parameter)
        state["step"] += 1
        if self.kinds[0][0] in state:
            self.update(group, state["step"], parameter, gradient, [state[name] for name, _ in self.kinds])
            return
        strides = parameter.stride()
        order = sorted(range(parameter.ndim), key=lambda dim: -strides[dim])
        weights, gradients = parameter.permute(order).view(-1), gradient.permute(order).reshape(-1)
        length = min(_PIECE, -(-len(weights) // BLOCK) * BLOCK)
        buffers = torch.empty(len(self.kinds), length, device=parameter.device)
        for first in range(0, len(weights), _PIECE):
            part = slice(first, first + _PIECE)
            blocks = slice(first // BLOCK, (first + _PIECE) // BLOCK)
            piece = weights[part]
            held = [(state[f"{name}_codes"][part], state[f"{name}_scales"][blocks]) for name, _ in self.kinds]
            states = [buffer[: len(piece)] for buffer in buffers]
            for (codes, scales), wide, (_, signed) in zip(held, buffers, self.kinds, strict=True):
                _widen(codes, scales, signed, wide)
            self.update(group, state["step"], piece, gradients[part], states)
            for (codes, scales), wide, (_, signed) in zip(held, buffers, self.kinds, strict=True):
                _narrow(wide, signed, codes, scales)

    def _begin(self, state: dict[str, Any], group: dict[str, Any], parameter: Tensor) -> None:
        state["step"] = 0
        narrow = group["bits"] == 8 and parameter.numel() >= SMALLEST
        for name, signed in self.kinds:
            if not narrow:
                state[name] = torch.zeros_like(parameter)
                continue
            zero, device = int(code_values(signed).abs().argmin()), parameter.device
            state[f"{name}_codes"] = torch.full((parameter.numel(),), zero, dtype=torch.uint8, device=device)
            state[f"{name}_scales"] = torch.zeros(-(-parameter.numel() // BLOCK), device=device)


class LowBitAdam(LowBitOptimizer):
    """Adam (Kingma and Ba 2015), or with `decoupled` weight decay AdamW (Loshchilov and Hutter 2019)."""

    kinds = (("mean", True), ("square", False))

    def __init__(self, groups: Any, betas: tuple[float, float], eps: float, decoupled: bool) -> None:
        super().__init__(groups, {"betas": betas, "eps": eps, "decoupled": decoupled, "bits": 8, "weight_decay": 0.0})

    def update(self, group: dict[str, Any], step: int, weights: Tensor, gradient: Tensor, states: list[Tensor]) -> None:
        mean, square = states
        (beta1, beta2), rate, decay = group["betas"], group["lr"], group["weight_decay"]
        if decay and group["decoupled"]:
            weights.mul_(1 - rate * decay)
        elif decay:
            gradient = gradient.add(weights, alpha=decay)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = square.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
        weights.addcdiv_(mean, denominator, value=-rate / (1 - beta1**step))


class LowBitSgd(LowBitOptimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013)."""

    kinds = (("momentum", True),)

    def __init__(self, groups: Any, momentum: float, dampening: float, nesterov: bool) -> None:
        defaults = {"momentum": momentum, "dampening": dampening, "nesterov": nesterov}
        super().__init__(groups, {**defaults, "bits": 8, "weight_decay": 0.0})

    def update(self, group: dict[str, Any], step: int, weights: Tensor, gradient: Tensor, states: list[Tensor]) -> None:
        (momentum,) = states
        if group["weight_decay"]:
            gradient = gradient.add(weights, alpha=group["weight_decay"])
        # The first gradient is taken whole, as torch's SGD does.
        momentum.mul_(group["momentum"]).add_(gradient, alpha=1 - group["dampening"] if step > 1 else 1.0)
        direction = gradient.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
        weights.add_(direction, alpha=-group["lr"])


@cache
def code_values(signed: bool) -> Tensor:
    """Return the 256 values that numbers of [-1, 1], or of [0, 1], are rounded to: float32 (256,), ascending.

    Dynamic tree quantisation: seven decades, each upper one cut twice as finely as the one below it, then 0 and 1.
    """
    values = [0.0, 1.0]
    for decade in range(7):
        count = 2 ** (decade if signed else decade + 1)
        width = 0.9 / count
        middles = [(0.1 + width * (index + 0.5)) * 10.0 ** (decade - 6) for index in range(count)]
        values += middles
        if signed:
            values += [-value for value in middles]
    return torch.tensor(sorted(values), dtype=torch.float32)


@cache
def _tables(signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the values by code, float32 (256,), and the codes by a float32's upper bits, uint8.

    A square that is not zero never becomes zero: divided by its root, a mean would become enormous.
    """
    values = code_values(signed)
    bits = torch.arange(2 ** (31 - _BITS_DROPPED), dtype=torch.int32) << _BITS_DROPPED
    middles = (bits + (1 << (_BITS_DROPPED - 1))).view(torch.float32)
    middles[0] = 0.0
    borders = (values[1:] + values[:-1]) / 2
    codes = torch.bucketize(middles, borders)
    if signed:
        codes = torch.cat([codes, torch.bucketize(-middles, borders)])
    else:
        codes[1:].clamp_(min=1)
    return values.to(device), codes.to(torch.uint8).to(device)


def _widen(codes: Tensor, scales: Tensor, signed: bool, wide: Tensor) -> None:
    """Turn codes, uint8 (n,), and scales, (blocks,), into float32 numbers in `wide[:n]`, with zeros after them."""
    values, _ = _tables(signed, codes.device)
    torch.index_select(values, 0, codes.int(), out=wide[: len(codes)])
    wide[len(codes) :].zero_()
    wide[: len(scales) * BLOCK].view(-1, BLOCK).mul_(scales[:, None])


def _narrow(wide: Tensor, signed: bool, codes: Tensor, scales: Tensor) -> None:
    """Write float32 numbers as codes and scales, in place; `wide` is scaled on the way."""
    _, table = _tables(signed, codes.device)
    blocks = wide[: len(scales) * BLOCK].view(-1, BLOCK)
    torch.amax(blocks.abs(), 1, out=scales)
    # A block of zeros is divided by one; a number that is none makes its block's scale none, and so stays visible.
    blocks.div_(torch.where(scales == 0, 1.0, scales)[:, None])
    upper = wide[: len(codes)].view(torch.int32) >> _BITS_DROPPED
    upper &= len(table) - 1
    torch.index_select(table, 0, upper, out=codes)
