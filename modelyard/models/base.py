"""What every family is: an ordinary `torch.nn.Module` from a batch's input tensors to the task's output.

Legend: B batch, O outputs, F features, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from modelyard.data.kinds import Input
from modelyard.models.blocks.dense import DenseLayers
from modelyard.spec.settings import Settings

__all__ = ["Family"]


class Family(nn.Module):
    """An architecture. Subclasses are listed in `models/table.py`.

    A family knows kinds of input (`data.kinds`), never modalities; it knows how many outputs it makes, never what
    they mean. Parameters are initialised in the constructor by the field's standard rules, named in the docstring,
    from torch's global generator (which `models.build` seeds).
    """

    Settings: ClassVar[type[Settings]]
    name: ClassVar[str]
    accepts: ClassVar[tuple[str, ...]]
    """Kinds of input it takes, the preferred first; a modality that can encode in several ways follows this order."""
    learning_rate: ClassVar[float] = 0.001
    """A usual peak rate for AdamW, which a drafted spec starts from."""
    gains_by_bfloat16: ClassVar[bool] = False
    """Whether its time goes into large products; other families lose more to conversions than they gain."""
    several: ClassVar[bool] = False
    """Whether it takes more than one input."""
    has_features: ClassVar[bool] = True
    """Whether it makes features out of its inputs before its last layer does the rest."""
    output: nn.Module
    """The head, from features (B, F) to outputs: a linear layer, until a task puts one of its own in its place."""

    def __init__(self, settings: Any, inputs: Sequence[Input], output_size: int) -> None:
        """Build the module.

        Args:
            settings: An instance of this family's `Settings`, every dimension filled.
            inputs: What the batches will hold; the kinds were checked against `accepts`.
            output_size: O, the number of outputs a row gets (features, when an encoder of family `joined`).

        Raises:
            SpecError: Dimensions that do not fit together, such as a pool larger than the picture.
        """
        super().__init__()
        self.settings = settings
        self.inputs = tuple(inputs)
        self.output_size = output_size

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map the tensors of `batch.inputs` to outputs, float (B, O). No softmax or sigmoid: those are the task's."""
        return self.output(self.features(inputs))  # type: ignore[no-any-return]

    def features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Map the tensors of `batch.inputs` to what the head gets, float (B, F). Only where `has_features`."""
        raise NotImplementedError(f"family {self.name!r} has no features; whoever needs some asks `has_features` first")

    def maps(self, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """Return a picture's last maps before they become one vector, float (B, C, H, W), smaller than the picture;
        None when the family makes none."""
        return None

    def blocks(self) -> list[tuple[str, list[nn.Module]]]:
        """Return the parts that have parameters, by name, from the inputs to the head, which is last: `output`.

        Every parameter is in exactly one of them. Fine-tuning frees them one by one and gives each a learning rate.
        """
        if getattr(self, "output", None) is None:
            return [("output", [self])]
        found = [(name, [module]) for name, module in _parts(self) if name != "output"]
        return [*found, ("output", [self.output])]


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield children with parameters in order; of those that only hold others in a row, these."""
    for name, child in module.named_children():
        if isinstance(child, DenseLayers):
            yield from _parts(child.layers, f"{prefix}{name}.layers.")
        elif isinstance(child, nn.Sequential | nn.ModuleList) and not prefix:
            yield from _parts(child, f"{name}.")
        elif any(True for _ in child.parameters()):
            yield f"{prefix}{name}", child
