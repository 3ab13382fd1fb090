"""Recurrent networks over text: plain (Elman 1990), LSTM (Hochreiter and Schmidhuber 1997), GRU (Cho et al. 2014).

Legend: B batch, T time, D width, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from modelyard.data.kinds import Input, Tokens
from modelyard.models.base import Family
from modelyard.models.blocks.dense import output_layer
from modelyard.models.blocks.dropout import Dropout
from modelyard.models.blocks.initialise import normal
from modelyard.models.blocks.pooling import Pooling
from modelyard.models.blocks.recurrence import Cell, Recurrence, pool_states
from modelyard.spec.settings import SizedSettings

__all__ = ["Rnn"]


class Rnn(Family):
    """Token embeddings → recurrent layers → pool over real tokens → outputs.

    Recurrent weights start orthogonal (Saxe et al. 2014), input weights by Glorot and Bengio 2010, the forget gate of
    an LSTM with bias 1 (Jozefowicz et al. 2015), embeddings from N(0, 1/D), the output layer by Glorot and Bengio 2010.
    """

    class Settings(SizedSettings):
        """The cell, its width and depth, and how its states become one vector."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "small": {"embedding_size": 32, "hidden_size": 64, "layers": 1},
            "medium": {"embedding_size": 128, "hidden_size": 256, "layers": 1},
            "large": {"embedding_size": 256, "hidden_size": 512, "layers": 2},
        }

        cell: Cell = "lstm"
        """Kind of cell: long short-term memory, gated recurrent unit, or plain with tanh."""
        embedding_size: PositiveInt = 32
        """Width of each token's learned vector."""
        hidden_size: PositiveInt = 64
        """Width of the state, in each direction."""
        layers: PositiveInt = 1
        """Recurrent layers, each reading the states of the one before."""
        bidirectional: bool = False
        """Read each text from its end as well; states of both directions stand side by side."""
        pool: Literal["last", "mean", "max"] = "last"
        """How the states of a text become one vector: the state after all tokens (of each direction), the mean, or
        the largest values."""
        dropout: float = Field(0.0, ge=0.0, lt=1.0)
        """Share of the embeddings, of the states between layers and of the pooled vector that is dropped while
        training."""

    name = "rnn"
    accepts = ("tokens",)
    gains_by_bfloat16 = True
    learning_rate = 0.003

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        (tokens,) = inputs
        assert isinstance(tokens, Tokens)
        self.pool: Pooling = settings.pool
        self.bidirectional = settings.bidirectional
        self.embedding = nn.Embedding(tokens.vocabulary_size, settings.embedding_size)
        normal(self.embedding, settings.embedding_size**-0.5)
        self.dropout = Dropout(settings.dropout)
        self.recurrences = nn.ModuleList()
        width = settings.embedding_size
        for _ in range(settings.layers):
            layer = Recurrence(settings.cell, width, settings.hidden_size, settings.bidirectional)
            self.recurrences.append(layer)
            width = layer.output_width
        self.output = output_layer(width, output_size)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map `NAME.ids` (B, T) and `NAME.length` (B,) to the pooled states, float (B, F)."""
        ids_BT, length_B = (inputs[tensor] for tensor in self.inputs[0].tensors)
        x_BTD = self.embedding(ids_BT)
        for layer in self.recurrences:
            x_BTD = layer(self.dropout(x_BTD), length_B)
        pooled_BD = pool_states(self.pool, x_BTD, length_B, self.bidirectional)
        return self.dropout(pooled_BD)  # type: ignore[no-any-return]
