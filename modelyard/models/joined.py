"""Several inputs of different nature: an encoder for each, joined by dense layers (late fusion).

Legend: B batch, W width of one encoder's features, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from modelyard.core.errors import Problem, SpecError, nearest
from modelyard.core.registry import table
from modelyard.data.kinds import Input
from modelyard.models.base import Family
from modelyard.models.blocks.activation import Activation
from modelyard.models.blocks.dense import DenseLayers, output_layer
from modelyard.models.blocks.dropout import Dropout
from modelyard.models.build import assemble, family_for, settle
from modelyard.spec.settings import Choice, Of, SizedSettings

__all__ = ["TABLE", "Joined"]

TABLE = "table"
"""Name of the encoder that takes number and category columns together."""


class Joined(Family):
    """Each input → its encoder → W features; all features side by side → dense layers → outputs.

    Number and category columns share one encoder, named `table`. Encoders start as their family says, hidden layers by
    He et al. 2015, the biases of the first from U(−0.1, 0.1), the output layer by Glorot and Bengio 2010.
    """

    class Settings(SizedSettings):
        """The encoders, and the layers that join them."""

        SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
            "small": {"width": 32, "hidden_sizes": [64]},
            "medium": {"width": 64, "hidden_sizes": [128]},
            "large": {"width": 256, "hidden_sizes": [512, 256]},
        }

        encoders: Annotated[dict[str, Choice[Any] | None], Of("family", key="family")] = Field(default_factory=dict)
        """Input name (`table` for number and category columns together) → the family that encodes it. An input that is
        not named, or named with null, gets its kind's default family, in size small where there is one."""
        width: PositiveInt = 32
        """Features each encoder makes."""
        hidden_sizes: tuple[PositiveInt, ...] = (64,)
        """Units of each hidden layer after joining; an empty list connects the features straight to the outputs."""
        activation: Activation = "relu"
        """Function after each hidden layer."""
        dropout: float = Field(0.0, ge=0.0, lt=1.0)
        """Share of the features and of each hidden layer's units that is dropped while training."""

    name = "joined"
    accepts = ("numbers", "categories", "tokens", "image", "bag")
    several = True

    def __init__(self, settings: Settings, inputs: Sequence[Input], output_size: int) -> None:
        super().__init__(settings, inputs, output_size)
        settled = self.settle(settings, inputs)
        self.encoders = nn.ModuleList()
        for name, group in _groups(inputs).items():
            choice = settled.encoders[name]
            assert choice is not None
            with _below(name):
                self.encoders.append(assemble(choice, group, settings.width))
        self.dropout = Dropout(settings.dropout)
        self.hidden = DenseLayers(
            settings.width * len(self.encoders), settings.hidden_sizes, settings.activation, settings.dropout
        )
        # Encoders that start at zero (linear) would otherwise meet rectifiers at zero, which pass no gradient back.
        for name, parameter in self.hidden.named_parameters():
            if name == "layers.0.linear.bias":
                nn.init.uniform_(parameter, -0.1, 0.1)
        self.output = output_layer(self.hidden.output_width, output_size)

    @classmethod
    def settle(cls, settings: Settings, inputs: Sequence[Input]) -> Settings:
        """Return the settings with an encoder named for every input.

        Raises:
            SpecError: An encoder is named for an input that does not exist.
        """
        groups = _groups(inputs)
        known = ", ".join(groups)
        unknown = [
            Problem(f"model.encoders.{name}", f"no input is called {name!r}{nearest(name, groups)}; known: {known}")
            for name in settings.encoders
            if name not in groups
        ]
        if unknown:
            raise SpecError(unknown)
        chosen = {name: settings.encoders.get(name) or _default(group) for name, group in groups.items()}
        encoders = {}
        for name, group in groups.items():
            with _below(name):
                encoders[name] = settle(chosen[name], group)
        return settings.model_copy(update={"encoders": encoders})

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map the inputs' tensors to what the last hidden layer makes of all encoders' features, float (B, F)."""
        features = torch.cat([encoder(inputs) for encoder in self.encoders], 1)
        return self.hidden(self.dropout(features))  # type: ignore[no-any-return]

    def blocks(self) -> list[tuple[str, list[nn.Module]]]:
        """Return the encoders, which stand side by side, as one; then each hidden layer, and the head."""
        hidden: list[tuple[str, list[nn.Module]]] = [
            (f"hidden.layers.{number}", [layer]) for number, layer in enumerate(self.hidden.layers)
        ]
        return [("encoders", [self.encoders]), *hidden, ("output", [self.output])]


def _groups(inputs: Sequence[Input]) -> dict[str, list[Input]]:
    """Return the inputs of each encoder by its name."""
    groups: dict[str, list[Input]] = {}
    for one in inputs:
        tabular = one.kind in ("numbers", "categories")
        name = TABLE if tabular else one.name
        if name in groups and not (tabular and groups[name][0].kind in ("numbers", "categories")):
            message = (
                f"two inputs are called {name!r}; number and category columns together take the name {TABLE!r}, so no "
                "other input can have it: rename the column"
            )
            raise SpecError([Problem(f"data.inputs.{name}", message)])
        groups.setdefault(name, []).append(one)
    return groups


def _default(inputs: Sequence[Input]) -> Choice[Any]:
    name, _ = family_for(inputs)
    settings = table("family").find(name).Settings
    size = {"size": "small"} if "small" in getattr(settings, "SIZES", ()) else {}
    return Choice("family", name, settings(**size), key="family")


@contextmanager
def _below(name: str) -> Iterator[None]:
    """Move the problems of an encoder, which stand below `model`, to below `model.encoders.NAME`."""
    try:
        yield
    except SpecError as error:
        raise SpecError(
            Problem(_moved(problem.place, name), problem.message, problem.line) for problem in error.problems
        ) from error


def _moved(place: str, name: str) -> str:
    return f"model.encoders.{name}.{place.removeprefix('model.')}" if place.startswith("model.") else place
