"""Multi-head self-attention (Vaswani et al. 2017), with grouped keys and values (Ainslie et al. 2023).

Legend: B batch, T time, D width, H query heads, G key-value heads, K head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.models.blocks.position import Rotary

__all__ = ["SelfAttention"]


_SHORT = 384
"""Tokens up to which plain products are trained faster in bfloat16 on a CPU than the fused kernel."""


class SelfAttention(nn.Module):
    """Every token looks at every token, or with `causal` at itself and those before it.

    Args:
        width: D, a multiple of `heads`.
        heads: H query heads of K = D / H numbers each.
        key_value_heads: G, a divisor of H: each key-value head serves H / G query heads. G = H is the plain kind.
        causal: Whether a token sees none of those after it.
        dropout: Share of attention weights dropped while training.
        rotary: Turns queries and keys by their positions; None leaves them as they are.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        key_value_heads: int,
        causal: bool = False,
        dropout: float = 0.0,
        rotary: Rotary | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.key_value_heads = key_value_heads
        self.head_width = width // heads
        self.causal = causal
        self.dropout = dropout
        self.rotary = rotary
        # Queries, keys and values out of one product: the rows stand in this order.
        self.query_key_value = nn.Linear(width, (heads + 2 * key_value_heads) * self.head_width)
        self.output = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, seen_B11T: Tensor | None = None) -> Tensor:
        """Map float (B, T, D) to the same shape.

        Args:
            x_BTD: The tokens' vectors.
            seen_B11T: bool (B, 1, 1, T), True for tokens that may be looked at, at least one a row; None for all. Not
                with `causal`, which needs none: padding on the right stands after all that counts.
        """
        batch, time, _ = x_BTD.shape
        heads, groups = self.heads, self.key_value_heads
        parts_BHTK = self.query_key_value(x_BTD).view(batch, time, heads + 2 * groups, self.head_width).transpose(1, 2)
        q_BHTK, k_BGTK, v_BGTK = parts_BHTK.split([heads, groups, groups], 1)
        if self.rotary is not None:
            q_BHTK, k_BGTK = self.rotary(q_BHTK), self.rotary(k_BGTK)
        if (
            torch.is_grad_enabled()
            and q_BHTK.device.type == "cpu"
            and q_BHTK.dtype == torch.bfloat16
            and time <= _SHORT
        ):
            y_BHTK = self._by_products(q_BHTK, k_BGTK, v_BGTK, seen_B11T)
            return self.output(y_BHTK.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]
        y_BHTK = functional.scaled_dot_product_attention(
            q_BHTK,
            k_BGTK,
            v_BGTK,
            attn_mask=seen_B11T,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
            enable_gqa=groups != heads,
        )
        return self.output(y_BHTK.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _by_products(self, q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, seen_B11T: Tensor | None) -> Tensor:
        """Compute attention by plain products, whose gradients on a CPU take a third of the fused kernel's time."""
        times = self.heads // self.key_value_heads
        if times > 1:
            k_BGTK, v_BGTK = k_BGTK.repeat_interleave(times, 1), v_BGTK.repeat_interleave(times, 1)
        score_BHTT = (q_BHTK * self.head_width**-0.5) @ k_BGTK.transpose(2, 3)
        if self.causal:
            size = score_BHTT.shape[-1]
            seen_B11T = torch.ones(size, size, dtype=torch.bool, device=q_BHTK.device).tril()
        if seen_B11T is not None:
            score_BHTT = score_BHTT.masked_fill(~seen_B11T, float("-inf"))
        weight_BHTT = functional.dropout(score_BHTT.softmax(3), self.dropout, self.training)
        return weight_BHTT @ v_BGTK
