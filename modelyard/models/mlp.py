"""Multilayer perceptron: dense layers over tables and small pictures.

Legend: B batch, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from modelyard.data.kinds import Input
from modelyard.models.base import Family
from modelyard.models.blocks.activation import Activation
from modelyard.models.blocks.dense import DenseLayers, DenseNorm, output_layer
from modelyard.models.blocks.inputs import CategoryEmbedding, Vector
from modelyard.spec.settings import SizedSettings

__all__ = ["Mlp"]


class Mlp(Family):
    """All inputs in one vector → dense layers → outputs.

    Hidden layers start by He et al. 2015 (Glorot and Bengio 2010 before tanh and sigmoid), the output layer by Glorot
    and Bengio 2010, category embeddings from N(0, 1/width); biases are zero.
    """

    class Settings(SizedSettings):
        """The layers between inputs and outputs. Alone, `hidden_sizes` gives the textbook network."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "small": {"hidden_sizes": [128, 64]},
            "medium": {"hidden_sizes": [256, 256]},
            "large": {"hidden_sizes": [512, 512, 512]},
        }

        hidden_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (128, 64)
        """Units of each hidden layer, the first nearest to the inputs."""
        activation: Activation = "relu"
        """Function after each hidden layer."""
        dropout: float = Field(0.0, ge=0.0, lt=1.0)
        """Share of each hidden layer's units that is dropped while training."""
        norm: DenseNorm = "none"
        """Normalisation between each hidden layer and its activation."""
        residual: bool = False
        """Add a hidden layer's input to its result wherever two neighbouring hidden layers have the same size."""
        category_embedding: CategoryEmbedding = "auto"
        """Width of each category's learned vector; `auto` derives it from the number of ids (min(50, 1.6 n^0.56)),
        `one_hot` learns none and gives each id a place of its own."""

        @model_validator(mode="after")
        def _check_residual(self) -> Mlp.Settings:
            sizes = self.hidden_sizes
            if self.residual and not any(a == b for a, b in pairwise(sizes)):
                raise ValueError(
                    f"residual adds a layer's input to its result, which needs two neighbouring hidden sizes that are "
                    f"equal; got {list(sizes)}. Make neighbours equal, such as [{sizes[0]}, {sizes[0]}], or leave "
                    "residual out"
                )
            return self

    name = "mlp"
    accepts = ("numbers", "categories", "image")
    several = True

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        self.vector = Vector(inputs, settings.category_embedding)
        self.hidden = DenseLayers(
            self.vector.width,
            settings.hidden_sizes,
            settings.activation,
            settings.dropout,
            settings.norm,
            settings.residual,
        )
        self.output = output_layer(self.hidden.output_width, output_size)

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map the inputs' tensors to what the last hidden layer makes of them, float (B, F)."""
        return self.hidden(self.vector(inputs))  # type: ignore[no-any-return]
