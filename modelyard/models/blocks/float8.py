"""Linear layers whose products run in 8-bit floating point in training, on accelerators that multiply it natively.

Source: Micikevicius et al. 2022, FP8 Formats for Deep Learning: inputs and weights as e4m3, gradients as e5m2, each
tensor scaled as a whole. The scale follows from the tensor itself, so that a training keeps no history of them.

Legend: M rows, K input width, N output width.
"""

from __future__ import annotations

import math
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from modelyard.core.errors import Problem, SpecError

__all__ = ["float8_linear", "float8_linears", "large_linears"]

_FORWARD, _BACKWARD = torch.float8_e4m3fn, torch.float8_e5m2
_MULTIPLE = 16
"""What the sides of a matrix must be a multiple of."""
_REUSE = 512
"""Least K·N / (K + N): how often a number of inputs and results is used, for each time that it is converted. An
accelerator that does some 200 products of bfloat16 in the time of moving a byte wins nothing below."""
_ROWS = 1024
"""Least M, for the same reason: how often a converted weight is used."""
_TINY = 2.0**-100
"""What a largest magnitude counts as at least, which keeps scales finite."""
_EXPONENT = 0x7F800000
"""The bits of a float32 that are its exponent."""


def float8_linears(model: nn.Module) -> list[str]:
    """Let the large linear layers of a model multiply in float8 wherever autocast asks for bfloat16. In place.

    Weights stay float32; names of parameters and what is stored are the same. Copies of the model do as it does.
    Outside autocast, as in evaluation, nothing changes; inside, products of few rows stay bfloat16, as does the head.

    Returns:
        The names of the layers.

    Raises:
        SpecError: There is no such layer.
    """
    found = large_linears(model)
    if not found:
        message = (
            f"float8 is for linear layers of width K to N with K·N / (K + N) of {_REUSE} or more, such as "
            f"{2 * _REUSE} to {2 * _REUSE}, both multiples of {_MULTIPLE}, the head left out; this "
            f"{type(model).__name__.lower()} has none. Use bfloat16"
        )
        raise SpecError([Problem("train.precision", message)])
    for _, linear in found:
        # A bound method, which copies of the module take along as their own.
        linear.forward = MethodType(_forward, linear)  # type: ignore[method-assign]
    return [name for name, _ in found]


def large_linears(model: nn.Module) -> list[tuple[str, nn.Linear]]:
    """Return the linear layers that are faster in float8, with their names: large ones, and not the head, `output`."""
    return [
        (name, module)
        for name, module in model.named_modules()
        # Not subclasses: they may do something else with their weights.
        if type(module) is nn.Linear and name.split(".")[0] != "output" and _is_large(module)
    ]


def _is_large(linear: nn.Linear) -> bool:
    width, results = linear.in_features, linear.out_features
    fits = width % _MULTIPLE == 0 and results % _MULTIPLE == 0
    return fits and width * results >= _REUSE * (width + results)


def _forward(linear: nn.Linear, x: Tensor) -> Tensor:
    device = x.device.type
    asked = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) is torch.bfloat16
    if not asked or x.numel() < _ROWS * linear.in_features:
        return nn.Linear.forward(linear, x)
    return float8_linear(x, linear.weight, linear.bias)


def float8_linear(x: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """Return x · weightᵀ + bias as bfloat16, by a product of float8 that is summed in float32.

    Both products of the way back are float8 as well; gradients of weight and bias are float32. An infinity or NaN in a
    tensor makes the whole result NaN.

    Args:
        x: float32 or bfloat16 (..., K).
        weight_NK: float32 (N, K), both multiples of 16.
        bias_N: float32 (N,), or None.
    """
    y_MN: Tensor = _Float8Linear.apply(x.reshape(-1, x.shape[-1]), weight_NK, bias_N)  # type: ignore[no-untyped-call]
    return y_MN.view(*x.shape[:-1], y_MN.shape[-1])


class _Float8Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_MK: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        x, x_scale = _scaled(x_MK, _FORWARD)
        weight, weight_scale = _scaled(weight_NK, _FORWARD)
        # Each is for the gradient of the other; what is frozen needs none.
        of_x, of_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(x if of_weight else None, x_scale, weight if of_x else None, weight_scale)
        ctx.dtype = x_MK.dtype
        bias = None if bias_N is None else bias_N.to(torch.bfloat16)
        return _product(x, weight.t(), x_scale, weight_scale, torch.bfloat16, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_MN: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, x_scale, weight, weight_scale = ctx.saved_tensors
        grad, grad_scale = _scaled(grad_MN, _BACKWARD)
        of_x, of_weight, of_bias = None, None, None
        if weight is not None:
            of_x = _product(grad, _transposed(weight).t(), grad_scale, weight_scale, ctx.dtype)
        if x is not None:
            of_weight = _product(_transposed(grad), _transposed(x).t(), grad_scale, x_scale, torch.float32)
        if ctx.needs_input_grad[2]:
            of_bias = grad_MN.sum(0, dtype=torch.float32)
        return of_x, of_weight, of_bias


def _scaled(matrix: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return a matrix times a scale in float8, row after row, and 1 / scale, a float32 scalar.

    The scale is the largest power of two that leaves no number too large: multiplying by it rounds nothing.
    """
    largest = torch.linalg.vector_norm(matrix, math.inf, dtype=torch.float32).clamp(min=_TINY)
    ratio = torch.finfo(dtype).max / largest
    scale = ratio.view(torch.int32).bitwise_and(_EXPONENT).view(torch.float32)
    # The conversion may turn infinity into the largest number; NaN here says what happened: 0 · infinity is NaN.
    back = scale.reciprocal() + 0 * largest
    return (matrix * scale).to(dtype).contiguous(), back


def _transposed(matrix: Tensor) -> Tensor:
    """Return the transpose, row after row, with columns of zeros up to a multiple of 16: sums over them are the same.

    Accelerators of compute capability 8.9 and 9.0 take float8 in no other order.
    """
    rows, columns = matrix.shape
    if rows % _MULTIPLE == 0:
        return matrix.t().contiguous()
    padded = matrix.new_zeros(columns, rows + -rows % _MULTIPLE)
    padded[:, :rows] = matrix.t()
    return padded


def _product(
    left: Tensor, right: Tensor, left_scale: Tensor, right_scale: Tensor, dtype: torch.dtype, bias: Tensor | None = None
) -> Tensor:
    """Return left · right: `left` lies row after row, `right` column after column."""
    # Processors compute this by products of float32, which autocast would turn into bfloat16.
    with torch.autocast(left.device.type, enabled=False):
        # Not functional.scaled_mm: torch's counter of operations knows this one alone.
        return torch._scaled_mm(left, right, left_scale, right_scale, bias=bias, out_dtype=dtype, use_fast_accum=False)
