"""From a choice of family and the inputs the data makes to a module with its weights, ready to train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from modelyard.core.errors import Problem, SpecError
from modelyard.core.randomness import derive
from modelyard.core.registry import table
from modelyard.data.kinds import Image, Input
from modelyard.models.base import Family
from modelyard.spec.settings import Choice

__all__ = ["assemble", "build", "count_parameters", "default_family", "family_for", "settle"]

LARGEST_PICTURE_FOR_CNN = 64
"""Pixels on the longer side up to which a few convolutions see enough of a picture."""

_KIND_WORDS = {
    "numbers": "number columns",
    "categories": "category columns",
    "tokens": "text as tokens",
    "bag": "text as n-gram counts",
    "image": "pictures",
}


def build(choice: Choice[Any], inputs: Sequence[Input], output_size: int, seed: int) -> Family:
    """Return a new module of the chosen family, in train mode, on the CPU. Equal arguments give equal weights.

    The weights are drawn from torch's CPU generator, which is seeded for this purpose and put back afterwards.

    Args:
        choice: The family and its settings.
        inputs: What the batches will hold.
        output_size: The number of outputs a row gets.
        seed: The run's seed.

    Raises:
        SpecError: The family does not take these inputs, or its dimensions do not fit them.
    """
    # Only the CPU's generator: `torch.manual_seed` would also reset every accelerator's.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive(seed, "initialise"))
        return assemble(choice, inputs, output_size).train()


def assemble(choice: Choice[Any], inputs: Sequence[Input], output_size: int) -> Family:
    """Check the inputs and construct the family with weights from torch's global generator as it stands.

    Raises:
        SpecError: As `build`, with places below `model`.
    """
    return _family(choice, inputs)(choice.settings, inputs, output_size)


def settle(choice: Choice[Any], inputs: Sequence[Input]) -> Choice[Any]:
    """Return the choice with everything decided that its settings left to the inputs (a class method `settle` of the
    family says what that is), so that a stored spec builds the same module in every later release.

    Raises:
        SpecError: The family does not take these inputs, or its settings do not fit them.
    """
    settled = getattr(_family(choice, inputs), "settle", None)
    return choice if settled is None else Choice(choice.kind, choice.name, settled(choice.settings, inputs), choice.key)


def count_parameters(module: nn.Module) -> int:
    """Return the number of learned values of a module; tensors used twice count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def default_family(inputs: Sequence[Input | str], rows: int) -> tuple[str, str]:
    """Return the family to begin with when the user names none, and the reason in words for the user.

    Args:
        inputs: The inputs, or only the names of their kinds (a picture of unknown size counts as small).
        rows: Rows to train on, named in the reason.
    """
    name, reason = family_for(inputs)
    return name, f"{reason}; {rows:,} rows to learn from"


def family_for(inputs: Sequence[Input | str]) -> tuple[str, str]:
    """As `default_family`, without regard to the number of rows.

    Raises:
        SpecError: There is no input at all, or one of a kind that no default exists for.
    """
    kinds = [one if isinstance(one, str) else one.kind for one in inputs]
    if not kinds:
        raise SpecError([Problem("data.inputs", "a model needs at least one input, got none; name an input column")])
    unknown = [kind for kind in kinds if kind not in _KIND_WORDS]
    if unknown:
        message = f"no family is the default for inputs of kind {unknown[0]}; name one"
        raise SpecError([Problem("model.family", message)])
    words = " and ".join(_KIND_WORDS[kind] for kind in dict.fromkeys(kinds))
    if set(kinds) <= {"numbers", "categories"}:
        return "mlp", f"{words}: dense layers find what columns mean together"
    if set(kinds) == {"bag"}:
        return "linear", f"{words}: each n-gram speaks for itself, one weight an output is enough"
    if len(kinds) > 1:
        return "joined", f"{words}: {len(kinds)} inputs, each gets an encoder of its own"
    if kinds[0] == "tokens":
        return "embedding", f"{words}: averaged word vectors learn fast and do well on short training"
    (picture,) = inputs
    if isinstance(picture, Image) and max(picture.height, picture.width) > LARGEST_PICTURE_FOR_CNN:
        return "resnet", (
            f"{words} of {picture.height} × {picture.width}: more than {LARGEST_PICTURE_FOR_CNN} pixels a side need a "
            "deep network to be seen whole"
        )
    return "cnn", f"{words} of at most {LARGEST_PICTURE_FOR_CNN} pixels a side: a few convolutions see them whole"


def _family(choice: Choice[Any], inputs: Sequence[Input]) -> type[Family]:
    """Return the chosen family; a SpecError says which others take the inputs when this one does not."""
    family: type[Family] = table("family").find(choice.name)
    if _takes(family, inputs):
        return family
    suited = [other for other in table("family") if _takes(table("family").find(other), inputs)]
    advice = f"families that take these: {', '.join(suited)}" if suited else "no family takes these together"
    received = ", ".join(f"{one.name} ({one.kind})" for one in inputs) or "none"
    number = "one or more inputs" if family.several else "exactly one input"
    message = f"{choice.name} takes {number} of kind {' or '.join(family.accepts)}; got {received}; {advice}"
    raise SpecError([Problem("model.family", message)])


def _takes(family: type[Family], inputs: Sequence[Input]) -> bool:
    if not inputs or (len(inputs) > 1 and not family.several):
        return False
    return all(one.kind in family.accepts for one in inputs)
