"""What every family is: an ordinary `torch.nn.Module` from a batch's input tensors to the task's output.

Legend: B batch, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from modelyard.data.kinds import Input
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
        raise NotImplementedError
