"""Recurrent layers whose answers never depend on padding.

Legend: B batch, T time, D width, S state width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from modelyard.models.blocks.checkpointing import Block
from modelyard.models.blocks.initialise import recurrent
from modelyard.models.blocks.pooling import Pooling, pool

__all__ = ["Cell", "Recurrence", "pool_states", "turn"]

Cell = Literal["lstm", "gru", "rnn"]

_CELLS: dict[str, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class Recurrence(Block):
    """One recurrent layer in one or both directions; `output_width` is S, or 2 S for both.

    Rows stay padded: on a CPU, packing them doubles the time of an LSTM. Reading forward, padding comes after all that
    counts; for reading backward each row is turned around within its length, so that padding comes last again.
    """

    def __init__(self, cell: Cell, width: int, state_width: int, bidirectional: bool) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        self.directions = nn.ModuleList()
        for _ in range(directions):
            direction = _CELLS[cell](width, state_width, batch_first=True)
            recurrent(direction)
            self.directions.append(direction)
        self.output_width = state_width * directions

    def forward(self, x_BTD: Tensor, length_B: Tensor) -> Tensor:
        """Map float (B, T, D) to each token's states, float (B, T, output_width); those of padding mean nothing."""
        states = [self.directions[0](x_BTD)[0]]
        if len(self.directions) == 2:
            states.append(turn(self.directions[1](turn(x_BTD, length_B))[0], length_B))
        return torch.cat(states, 2)


def pool_states(how: Pooling, x_BTS: Tensor, length_B: Tensor, bidirectional: bool) -> Tensor:
    """Reduce the states of a `Recurrence` to (B, S or 2 S); `last` takes each direction's state after all tokens."""
    if how != "last" or not bidirectional:
        return pool(how, x_BTS, length_B)
    onward_BTS, backward_BTS = x_BTS.chunk(2, 2)
    return torch.cat([pool("last", onward_BTS, length_B), pool("first", backward_BTS, length_B)], 1)


def turn(x_BTD: Tensor, length_B: Tensor) -> Tensor:
    """Return each row's real vectors in reverse order; what stands in the padding after them means nothing."""
    place_T = torch.arange(x_BTD.shape[1], device=x_BTD.device)
    source_BT = (length_B[:, None] - 1 - place_T).clamp(min=0)
    return x_BTD.gather(1, source_BT[:, :, None].expand(-1, -1, x_BTD.shape[2]))
