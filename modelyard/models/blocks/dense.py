"""Fully connected layers, one after another: the body of `mlp` and the last part of several other families.

Legend: B batch, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from modelyard.models.blocks.activation import Activation, activation
from modelyard.models.blocks.checkpointing import Block
from modelyard.models.blocks.dropout import Dropout
from modelyard.models.blocks.initialise import glorot, he

__all__ = ["DenseLayer", "DenseLayers", "DenseNorm", "output_layer"]

DenseNorm = Literal["none", "batch", "layer"]


class DenseLayer(Block):
    """Linear → norm → activation → dropout, and with `residual` the input added to the result.

    Weights start by He et al. 2015, or Glorot and Bengio 2010 before tanh and sigmoid.
    """

    def __init__(
        self,
        width: int,
        output_width: int,
        function: Activation,
        dropout: float = 0.0,
        norm: DenseNorm = "none",
        residual: bool = False,
    ) -> None:
        super().__init__()
        # A batch norm subtracts the mean, which makes a bias before it useless.
        self.linear = nn.Linear(width, output_width, bias=norm != "batch")
        he(self.linear, function)
        norms = {"none": nn.Identity, "batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
        self.norm = norms[norm](output_width)
        self.activation = activation(function)
        self.dropout = Dropout(dropout)
        self.residual = residual

    def forward(self, x_BD: Tensor) -> Tensor:
        """Map float (B, width) to float (B, output_width)."""
        y_BD: Tensor = self.linear(x_BD)
        # Modules that do nothing are not called: small layers take hardly longer than the calls around them.
        if not isinstance(self.norm, nn.Identity):
            y_BD = self.norm(y_BD)
        y_BD = self.activation(y_BD)
        if self.dropout.p:
            y_BD = self.dropout(y_BD)
        return x_BD + y_BD if self.residual else y_BD


class DenseLayers(nn.Module):
    """Dense layers of the given sizes; with no sizes, the identity. `output_width` is the width of the result.

    With `residual`, every layer whose input is a hidden layer of its own width adds its input to its result.
    """

    def __init__(
        self,
        width: int,
        sizes: Sequence[int],
        function: Activation,
        dropout: float = 0.0,
        norm: DenseNorm = "none",
        residual: bool = False,
    ) -> None:
        super().__init__()
        widths = [width, *sizes]
        self.layers = nn.ModuleList(
            DenseLayer(before, after, function, dropout, norm, residual and index > 0 and before == after)
            for index, (before, after) in enumerate(pairwise(widths))
        )
        self.output_width = widths[-1]

    def forward(self, x_BD: Tensor) -> Tensor:
        """Map float (B, width) to float (B, output_width)."""
        for layer in self.layers:
            x_BD = layer(x_BD)
        return x_BD


def output_layer(width: int, output_size: int) -> nn.Linear:
    """Return the last linear layer of a network, Glorot and Bengio 2010, bias zero."""
    linear = nn.Linear(width, output_size)
    glorot(linear)
    return linear
