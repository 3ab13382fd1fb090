"""The two layers a transformer applies to each token on its own.

Legend: B batch, T time, D width, F hidden width.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FeedForward", "FeedForwardFunction"]

FeedForwardFunction = Literal["gelu", "relu", "swiglu"]


class FeedForward(nn.Module):
    """D → F → D, with GELU, ReLU, or the gate of SwiGLU (Shazeer 2020), for which the first layer makes 2 F numbers."""

    def __init__(self, width: int, hidden_width: int, function: FeedForwardFunction) -> None:
        super().__init__()
        self.function = function
        self.hidden = nn.Linear(width, hidden_width * (2 if function == "swiglu" else 1))
        self.output = nn.Linear(hidden_width, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Map float (B, T, D) to the same shape."""
        h_BTF = self.hidden(x_BTD)
        if self.function == "swiglu":
            gate_BTF, value_BTF = h_BTF.chunk(2, 2)
            h_BTF = functional.silu(gate_BTF) * value_BTF
        else:
            h_BTF = functional.gelu(h_BTF) if self.function == "gelu" else functional.relu(h_BTF)
        return self.output(h_BTF)  # type: ignore[no-any-return]
