"""From tokens to one vector, by hand."""

from __future__ import annotations

import pytest
import torch

from modelyard.models.blocks.pooling import pool, real_tokens
from modelyard.models.blocks.recurrence import turn

X = torch.tensor([[[1.0, -1.0], [3.0, -5.0], [99.0, 99.0]], [[2.0, 4.0], [6.0, 0.0], [1.0, 2.0]]])
LENGTH = torch.tensor([2, 3])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [[2.0, -3.0], [3.0, 2.0]]),
        ("max", [[3.0, -1.0], [6.0, 4.0]]),
        ("first", [[1.0, -1.0], [2.0, 4.0]]),
        ("last", [[3.0, -5.0], [1.0, 2.0]]),
    ],
)
def test_pooling_counts_real_tokens_alone(how: str, expected: list[list[float]]) -> None:
    assert pool(how, X, LENGTH).tolist() == expected  # type: ignore[arg-type]


def test_padding_that_is_not_a_number_does_not_spread() -> None:
    x = X.clone()
    x[0, 2] = float("nan")
    for how in ("mean", "max", "first", "last"):
        assert pool(how, x, LENGTH).isfinite().all()  # type: ignore[arg-type]


def test_the_mean_of_a_long_text_is_exact_in_bfloat16() -> None:
    ones = torch.ones(1, 3000, 2, dtype=torch.bfloat16)
    pooled = pool("mean", ones, torch.tensor([3000]))
    assert pooled.dtype == torch.bfloat16
    assert pooled.tolist() == [[1.0, 1.0]]


def test_real_tokens_end_at_the_length() -> None:
    assert real_tokens(X[:, :, 0], LENGTH).tolist() == [[True, True, False], [True, True, True]]


def test_turning_reverses_within_the_length() -> None:
    turned = turn(X, LENGTH)
    assert turned[0, :2].tolist() == [[3.0, -5.0], [1.0, -1.0]]
    assert turned[1].tolist() == [[1.0, 2.0], [6.0, 0.0], [2.0, 4.0]]
