"""One transformer layer: attention, then feed-forward, each on a residual branch.

Legend: B batch, T time, D width.
"""

from __future__ import annotations

from torch import Tensor

from modelyard.models.blocks.attention import SelfAttention
from modelyard.models.blocks.checkpointing import Block
from modelyard.models.blocks.drop import DropPath
from modelyard.models.blocks.dropout import Dropout
from modelyard.models.blocks.feed_forward import FeedForward
from modelyard.models.blocks.norm import VectorNorm, vector_norm

__all__ = ["TransformerLayer"]


class TransformerLayer(Block):
    """x + attention, then x + feed-forward.

    With `norm_first` each branch begins with a norm (Xiong et al. 2020), and the last layer's result needs one more;
    without, a norm follows each sum (Vaswani et al. 2017).
    """

    def __init__(
        self,
        width: int,
        attention: SelfAttention,
        feed_forward: FeedForward,
        norm: VectorNorm,
        norm_first: bool,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward
        self.attention_norm = vector_norm(norm, width)
        self.feed_forward_norm = vector_norm(norm, width)
        self.norm_first = norm_first
        self.dropout = Dropout(dropout)
        self.drop_path = DropPath(drop_path)

    def forward(self, x_BTD: Tensor, seen_B11T: Tensor | None = None) -> Tensor:
        """Map float (B, T, D) to the same shape; `seen_B11T` as in `SelfAttention`."""
        if self.norm_first:
            x_BTD = x_BTD + self._branch(self.attention(self.attention_norm(x_BTD), seen_B11T))
            return x_BTD + self._branch(self.feed_forward(self.feed_forward_norm(x_BTD)))
        x_BTD = self.attention_norm(x_BTD + self._branch(self.attention(x_BTD, seen_B11T)))
        return self.feed_forward_norm(x_BTD + self._branch(self.feed_forward(x_BTD)))  # type: ignore[no-any-return]

    def _branch(self, y_BTD: Tensor) -> Tensor:
        return self.drop_path(self.dropout(y_BTD))  # type: ignore[no-any-return]
