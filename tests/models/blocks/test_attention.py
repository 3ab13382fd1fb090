"""Attention and positions against torch and against their definitions.

Legend: B batch, H heads, T time, K head width.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from modelyard.models.blocks.attention import SelfAttention
from modelyard.models.blocks.feed_forward import FeedForward
from modelyard.models.blocks.position import Rotary, sinusoids


@pytest.mark.parametrize("mask", ["none", "padding", "causal"])
def test_attention_is_that_of_torch(mask: str) -> None:
    mine = SelfAttention(12, heads=3, key_value_heads=3, causal=mask == "causal")
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.in_proj_weight.data.copy_(mine.query_key_value.weight.data)
    theirs.in_proj_bias.data.copy_(mine.query_key_value.bias.data)
    theirs.out_proj.load_state_dict(mine.output.state_dict())
    x = torch.randn(2, 5, 12)
    seen = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    expected, _ = theirs(
        x,
        x,
        x,
        key_padding_mask=~seen if mask == "padding" else None,
        attn_mask=nn.Transformer.generate_square_subsequent_mask(5) if mask == "causal" else None,
    )
    answer = mine(x, seen[:, None, None, :] if mask == "padding" else None)
    torch.testing.assert_close(answer, expected, rtol=1e-5, atol=1e-6)


def test_grouped_heads_are_plain_heads_whose_keys_and_values_repeat() -> None:
    grouped = SelfAttention(8, heads=4, key_value_heads=2)
    plain = SelfAttention(8, heads=4, key_value_heads=4)
    for name in ("weight", "bias"):
        source = getattr(grouped.query_key_value, name).data
        query, key, value = source.split([8, 4, 4])
        repeated = [part.view(2, 2, *part.shape[1:]).repeat_interleave(2, 0).flatten(0, 1) for part in (key, value)]
        getattr(plain.query_key_value, name).data.copy_(torch.cat([query, *repeated]))
    plain.output.load_state_dict(grouped.output.state_dict())
    x = torch.randn(3, 6, 8)
    torch.testing.assert_close(grouped(x), plain(x), rtol=1e-5, atol=1e-6)


def test_attention_dropout_acts_in_training_alone() -> None:
    layer = SelfAttention(8, heads=2, key_value_heads=2, dropout=0.5)
    x = torch.randn(2, 6, 8)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_sinusoids_by_their_definition() -> None:
    table = sinusoids(7, 6)
    for place in range(7):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert table[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_rotary_products_depend_on_the_distance_alone() -> None:
    rotary = Rotary(max_length=40, head_width=8)
    q, k = torch.randn(8), torch.randn(8)
    turned_q, turned_k = (rotary(x.expand(1, 1, 40, 8))[0, 0] for x in (q, k))
    products = turned_q @ turned_k.T
    for distance in (0, 1, 7):
        diagonal = products.diagonal(-distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)
    assert (products[5, 5] - products[6, 5]).abs() > 1e-3
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm().expand(40))
    torch.testing.assert_close(turned_q[0], q)


def test_rotary_turns_each_pair_by_its_own_angle() -> None:
    rotary = Rotary(max_length=4, head_width=4)
    turned = rotary(torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 4, 4))[0, 0]
    for place in range(4):
        fast, slow = place * 1.0, place * 0.01
        expected = [math.cos(fast), math.cos(slow), math.sin(fast), math.sin(slow)]
        assert turned[place].tolist() == pytest.approx(expected, abs=1e-6)


def test_swiglu_gates_one_half_by_the_other() -> None:
    layer = FeedForward(3, 5, "swiglu")
    x = torch.randn(2, 4, 3)
    gate, value = layer.hidden(x)[..., :5], layer.hidden(x)[..., 5:]
    expected = layer.output(gate * torch.sigmoid(gate) * value)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("mask", ["none", "padding", "causal"])
@pytest.mark.parametrize("groups", [4, 2])
def test_plain_products_are_the_fused_kernel(mask: str, groups: int) -> None:
    attention = SelfAttention(32, heads=4, key_value_heads=groups, causal=mask == "causal").bfloat16()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 9, 32, generator=generator).bfloat16().requires_grad_()
    seen = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    seen = seen[:, None, None, :] if mask == "padding" else None
    trained = attention(x, seen)
    with torch.no_grad():
        answered = attention(x, seen)  # never by products
    torch.testing.assert_close(trained, answered, atol=0.02, rtol=0.05)
    exact = attention.float()(x.detach().float().requires_grad_(), seen)
    torch.testing.assert_close(trained.float(), exact, atol=0.03, rtol=0.05)
    assert torch.isfinite(torch.autograd.grad(trained.float().sum(), x)[0]).all()
