"""Transformer encoder over text (Vaswani et al. 2017; Devlin et al. 2018), trained from nothing.

Legend: B batch, T time, D width, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from modelyard.data.kinds import Input, Tokens
from modelyard.models.base import Family
from modelyard.models.blocks.attention import SelfAttention
from modelyard.models.blocks.drop import rising
from modelyard.models.blocks.dropout import Dropout
from modelyard.models.blocks.feed_forward import FeedForward, FeedForwardFunction
from modelyard.models.blocks.initialise import normal
from modelyard.models.blocks.norm import VectorNorm, vector_norm
from modelyard.models.blocks.pooling import Pooling, pool, real_tokens
from modelyard.models.blocks.position import AddedPositions, Position, Rotary
from modelyard.models.blocks.transformer import TransformerLayer
from modelyard.spec.settings import SizedSettings

__all__ = ["Encoder"]


def _size(width: int, layers: int, heads: int) -> dict[str, int]:
    return {"width": width, "layers": layers, "heads": heads, "key_value_heads": heads, "feed_forward_size": 4 * width}


class Encoder(Family):
    """Token embeddings with positions → transformer layers → pool over real tokens → outputs.

    Weights start from N(0, 0.02²) (BERT, GPT), those that end a residual branch from N(0, 0.02² / (2 · layers)), as in
    GPT-2, so that depth does not make the sum grow; biases are zero.
    """

    class Settings(SizedSettings):
        """Width, depth and manner of the layers. Named sizes are the BERT miniatures of Turc et al. 2019."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "tiny": _size(128, 2, 2),
            "mini": _size(256, 4, 4),
            "small": _size(512, 4, 8),
            "medium": _size(512, 8, 8),
            "base": _size(768, 12, 12),
            "large": _size(1024, 24, 16),
        }

        width: PositiveInt = 128
        """Numbers in each token's vector; a multiple of `heads`."""
        layers: PositiveInt = 2
        """Transformer layers."""
        heads: PositiveInt = 2
        """Attention heads."""
        key_value_heads: PositiveInt = Field(default_factory=lambda filled: filled["heads"])
        """Heads of keys and values, a divisor of `heads`: fewer save memory (grouped attention). Not given: `heads`."""
        feed_forward_size: PositiveInt = 512
        """Hidden units of each layer's feed-forward part."""
        feed_forward: FeedForwardFunction = "gelu"
        """Function of the feed-forward part; `swiglu` has a third weight matrix, so give it two thirds of the units."""
        norm: VectorNorm = "layer"
        """Normalisation: LayerNorm or RMSNorm."""
        norm_first: bool = True
        """Norm at the start of each branch, which trains without warm-up; false puts it after each sum, as in 2017."""
        position: Position = "learned"
        """How places enter: a learned vector each, fixed sinusoids, or rotary (relative, by distance)."""
        causal: bool = False
        """Let a token see only itself and those before it."""
        pool: Pooling = "mean"
        """How the vectors of a text become one: mean, largest values, first or last token."""
        dropout: float = Field(0.1, ge=0.0, lt=1.0)
        """Share of the embeddings, of each branch's result and of the pooled vector that is dropped while training."""
        attention_dropout: float = Field(0.0, ge=0.0, lt=1.0)
        """Share of attention weights that is dropped while training; above 0 it rules out the fastest kernels."""
        drop_path: float = Field(0.0, ge=0.0, lt=1.0)
        """Chance that the last layer's branches are skipped while training; earlier layers less, in equal steps from 0
        (stochastic depth, Huang et al. 2016)."""

        @model_validator(mode="after")
        def _check_heads(self) -> Encoder.Settings:
            if self.width % self.heads:
                raise ValueError(f"width must be a multiple of heads; got width {self.width} and {self.heads} heads")
            if self.heads % self.key_value_heads:
                raise ValueError(
                    f"key_value_heads must divide heads; got {self.key_value_heads} key_value_heads and {self.heads} "
                    "heads"
                )
            if self.position == "rotary" and (self.width // self.heads) % 2:
                raise ValueError(
                    f"rotary positions turn pairs, so width / heads must be even; got {self.width} / {self.heads} = "
                    f"{self.width // self.heads}"
                )
            if self.position == "sinusoidal" and self.width % 2:
                raise ValueError(f"sinusoidal positions come in pairs, so width must be even; got {self.width}")
            if self.causal and self.pool == "first":
                raise ValueError("with causal, the first token has seen nothing but itself; use pool last, mean or max")
            return self

    name = "encoder"
    accepts = ("tokens",)
    gains_by_bfloat16 = True

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        (tokens,) = inputs
        assert isinstance(tokens, Tokens)
        width = settings.width
        self.pool: Pooling = settings.pool
        self.causal = settings.causal
        self.embedding = nn.Embedding(tokens.vocabulary_size, width)
        # Fixed sinusoids have length √(D / 2): unscaled, embeddings from N(0, 0.02²) would drown (Vaswani, 3.4).
        self.embedding_scale = width**0.5 if settings.position == "sinusoidal" else 1.0
        self.positions = (
            nn.Identity()
            if settings.position == "rotary"
            else AddedPositions(settings.position, tokens.max_length, width)
        )
        rotary = Rotary(tokens.max_length, width // settings.heads) if settings.position == "rotary" else None
        self.dropout = Dropout(settings.dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(
                width,
                SelfAttention(
                    width,
                    settings.heads,
                    settings.key_value_heads,
                    settings.causal,
                    settings.attention_dropout,
                    rotary,
                ),
                FeedForward(width, settings.feed_forward_size, settings.feed_forward),
                settings.norm,
                settings.norm_first,
                settings.dropout,
                drop_path,
            )
            for drop_path in rising(settings.drop_path, settings.layers)
        )
        self.norm = vector_norm(settings.norm, width) if settings.norm_first else nn.Identity()
        self.output = nn.Linear(width, output_size)
        self._initialise(settings.layers)

    def _initialise(self, layers: int) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                normal(module, 0.02)
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)
            for last in (layer.attention.output, layer.feed_forward.output):
                normal(last, 0.02 / (2 * layers) ** 0.5)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map `NAME.ids` (B, T), T at most the input's `max_length`, and `NAME.length` (B,) to the pooled vectors,
        float (B, F)."""
        ids_BT, length_B = (inputs[tensor] for tensor in self.inputs[0].tensors)
        seen_B11T = None if self.causal else real_tokens(ids_BT, length_B)[:, None, None, :]
        x_BTD = self.dropout(self.positions(self.embedding(ids_BT) * self.embedding_scale))
        for layer in self.layers:
            x_BTD = layer(x_BTD, seen_B11T)
        pooled_BD = pool(self.pool, self.norm(x_BTD), length_B)
        return self.dropout(pooled_BD)  # type: ignore[no-any-return]

    def blocks(self) -> list[tuple[str, list[nn.Module]]]:
        """Return the embeddings with their positions, each layer (the last with the norm after it), and the head."""
        layers = [(f"layers.{number}", [layer]) for number, layer in enumerate(self.layers)]
        layers[-1][1].append(self.norm)
        return [("embedding", [self.embedding, self.positions]), *layers, ("output", [self.output])]
