"""Fine-tuning: beginning from a bundle's weights and fitted inputs, and letting the weights go by and by.

What is frozen in an epoch, and what rate a block has, are functions of the epoch and the spec alone: a training that is
taken up again needs nothing saved for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from modelyard.bundle.contents import Contents, read_contents
from modelyard.core.errors import BundleError, Problem, SpecError
from modelyard.core.files import digest_file
from modelyard.core.records import Record
from modelyard.data.fitted import Fitted
from modelyard.data.modalities.base import State
from modelyard.models.base import Family
from modelyard.spec.parse import first_reason
from modelyard.spec.settings import Choice
from modelyard.spec.spec import PretrainedSpec, Spec
from modelyard.tasks.base import Task

__all__ = [
    "Loaded",
    "Parent",
    "adopt",
    "blocks_of",
    "frozen_blocks",
    "inherited",
    "layer_wise",
    "load_pretrained",
    "open_parent",
    "thaw",
]

_PLACE = "train.pretrained.bundle"


@dataclass(frozen=True)
class Parent:
    """A bundle that a training begins from."""

    path: Path
    digest: str
    """SHA-256 of its manifest: what the new bundle's `parents` names."""
    contents: Contents


@dataclass(frozen=True)
class Loaded(Record):
    """What a training took over from a bundle."""

    bundle: str
    digest: str
    name: str
    task: str
    """What it had learned."""
    taken: list[str]
    """Tensors that began as they were there."""
    fresh: list[str]
    """Tensors that began anew: the head, unless both learn the same."""
    parameters: int
    """Learned values that were taken over."""


def open_parent(settings: PretrainedSpec) -> Parent:
    """Read the bundle that a training begins from; its digests are recomputed.

    Raises:
        SpecError: There is no bundle of that name.
        BundleError: It is incomplete, altered, or does not fit together.
    """
    path = Path(settings.bundle)
    if not (path / "manifest.json").exists() and (path / "bundle" / "manifest.json").exists():
        path = path / "bundle"
    if not (path / "manifest.json").exists():
        message = (
            f"{settings.bundle} holds no bundle (no manifest.json); name a bundle's folder, or that of a finished run"
        )
        raise Spec.problem(_PLACE, message)
    contents, _ = read_contents(path)
    return Parent(path, digest_file(path / "manifest.json"), contents)


def adopt(spec: Spec, parent: Parent) -> Spec:
    """Return the spec with its inputs and its family as the parent has them, where the spec leaves them open.

    Inputs are the parent's columns; what the spec says of one of them (how images are augmented, say) counts before
    what the parent says.

    Raises:
        SpecError: The spec names other inputs, other modalities or another family.
    """
    theirs, family = parent.contents.spec.data.inputs or {}, parent.contents.spec.model
    assert family is not None, "a bundle's spec is resolved"
    said = dict.fromkeys(theirs) if spec.data.inputs is None else spec.data.inputs
    problems = []
    if set(said) != set(theirs):
        message = (
            f"are {_listed(said)}, and {parent.path} was trained on {_listed(theirs)}; both must be the same columns"
        )
        problems.append(Problem("data.inputs", message))
    inputs: dict[str, Choice[Any] | None] = {}
    for column, choice in theirs.items():
        own = said.get(column)
        assert choice is not None, "a bundle's spec is resolved"
        if own is not None and own.name != choice.name:
            message = f"is {own.name}, and {parent.path} has it as {choice.name}"
            problems.append(Problem(f"data.inputs.{column}", message))
        elif own is not None:
            said_of_it = {name: getattr(own.settings, name) for name in own.settings.model_fields_set}
            try:
                choice = choice.with_settings(**said_of_it)
            except ValueError as error:
                message = f"does not go with what {parent.path} has: {first_reason(error)}"
                problems.append(Problem(f"data.inputs.{column}", message))
        inputs[column] = choice
    model = spec.model
    if model is not None and model.name != family.name:
        message = f"is {model.name}, and {parent.path} holds a {family.name}; weights go only to the same family"
        problems.append(Problem("model.family", message))
    if problems:
        raise SpecError(problems)
    if model is None or not model.settings.model_fields_set:
        model = family
    return spec.replace(data=spec.data.model_copy(update={"inputs": inputs}), model=model)


def inherited(parent: Parent) -> dict[str, State]:
    """Return what each input of the parent learned, by column, for `prepare`: its scales, vocabularies and sizes."""
    return {modality.column: modality.state() for modality in parent.contents.fitted.inputs}


def load_pretrained(model: Family, fitted: Fitted, task: Task, parent: Parent) -> Loaded:
    """Give a new model the parent's weights. The head is taken over when both learn the same task of the same targets.

    Args:
        model: The new model, equipped for its task.
        fitted: Its fitted inputs and targets.
        task: What it is to learn.
        parent: The bundle to begin from.

    Raises:
        SpecError: Another family, other inputs (or the same ones, fitted otherwise), or layers of other sizes.
    """
    before = parent.contents
    theirs, own = before.model.state_dict(), model.state_dict()
    if model.name != before.model.name:
        raise Spec.problem(_PLACE, f"{parent.path} holds a {before.model.name}, and the model is a {model.name}")
    _check_inputs(fitted, parent)
    is_same_task = task.name == before.task.name and _meaning(task) == _meaning(before.task)
    head = set() if is_same_task else {name for name in (*own, *theirs) if _is_head(model, name)}
    wanted = [name for name in own if name not in head]
    differing = [
        f"{name} ({_shape(theirs, name)} there, {_shape(own, name)} here)"
        for name in dict.fromkeys([*wanted, *(name for name in theirs if name not in head)])
        if _shape(theirs, name) != _shape(own, name)
    ]
    if differing:
        more = f" and {len(differing) - 4} more" if len(differing) > 4 else ""
        message = f"{parent.path} has other layers: {'; '.join(differing[:4])}{more}; give model the same settings"
        raise Spec.problem(_PLACE, message)
    if not wanted:
        message = f"{parent.path} is a {model.name} that learned something else, and its weights are all about that"
        raise Spec.problem(_PLACE, message)
    model.load_state_dict({name: theirs[name] if name not in head else tensor for name, tensor in own.items()})
    learned = {name for name, _ in model.named_parameters()}
    return Loaded(
        bundle=str(parent.path),
        digest=parent.digest,
        name=before.spec.name,
        task=before.task.name,
        taken=wanted,
        fresh=[name for name in own if name in head],
        parameters=sum(own[name].numel() for name in wanted if name in learned),
    )


# -- which blocks learn, and how fast ---------------------------------------------------------------------------------


def blocks_of(model: Family) -> list[tuple[str, list[nn.Parameter]]]:
    """Return the model's parameters by block, from the inputs to the head, which is last and called `output`."""
    return [(name, [p for module in modules for p in module.parameters()]) for name, modules in model.blocks()]


def frozen_blocks(settings: PretrainedSpec, blocks: int, epoch: int) -> int:
    """Return how many blocks, the first ones, stay as they are in an epoch (from 0). The head always learns.

    Gradual unfreezing begins with the head alone (Howard and Ruder 2018).
    """
    body = blocks - 1
    if settings.unfreeze_every is not None:
        return max(0, body - epoch // settings.unfreeze_every)
    return body if settings.freeze else 0


def thaw(model: nn.Module, settings: PretrainedSpec, epoch: int) -> int:
    """Let exactly the blocks learn that may in this epoch (from 0), and return how many are frozen.

    Frozen blocks have no gradients and run as in evaluation: no dropout, and batch norms keep their statistics. To be
    called at the beginning of every epoch, after `model.train()`, and whenever an epoch is taken up again.
    """
    assert isinstance(model, Family), "only families have blocks"
    blocks = model.blocks()
    frozen = frozen_blocks(settings, len(blocks), epoch)
    for number, (_, modules) in enumerate(blocks):
        for module in modules:
            module.requires_grad_(number >= frozen)
            if number < frozen:
                module.eval()
    return frozen


def layer_wise(optimizer: torch.optim.Optimizer, model: Family, decay: float) -> None:
    """Give each block a learning rate of its own, in place: the head the full one, each block before it `decay` times
    that of its successor (Howard and Ruder 2018; Clark et al. 2020). The optimizer was made while all could learn, and
    has not stepped yet; its last group is the head's."""
    if decay == 1:
        return
    blocks = blocks_of(model)
    distance = {id(p): len(blocks) - 1 - at for at, (_, parameters) in enumerate(blocks) for p in parameters}
    split: list[tuple[int, dict[str, Any]]] = []
    for group in optimizer.param_groups:
        away = [distance[id(parameter)] for parameter in group["params"]]
        for steps in set(away):
            parameters = [p for p, far in zip(group["params"], away, strict=True) if far == steps]
            rates = {key: group[key] * decay**steps for key in ("lr", "initial_lr")}
            split.append((steps, {**group, **rates, "params": parameters}))
    optimizer.param_groups[:] = [group for _, group in sorted(split, key=lambda one: -one[0])]


# -- agreement --------------------------------------------------------------------------------------------------------


def _check_inputs(fitted: Fitted, parent: Parent) -> None:
    theirs, own = _states(parent.contents.fitted.inputs), _states(fitted.inputs)
    if list(theirs) != list(own):
        message = (
            f"{parent.path} was trained on {_listed(theirs)}, and the inputs here are {_listed(own)}, in this order"
        )
        raise Spec.problem(_PLACE, message)
    differing = [column for column, state in own.items() if state != theirs[column]]
    if differing:
        raise BundleError(
            f"{_listed(differing)} was fitted anew on these rows (other scales, words or sizes), and the weights of "
            f"{parent.path} mean nothing to it; take over what the bundle's inputs learned"
        )


def _states(modalities: Sequence[Any]) -> dict[str, Any]:
    return {modality.column: (modality.name, modality.state()) for modality in modalities}


def _meaning(task: Task) -> Any:
    """Return what each output of a task means: a label, or a number on a scale."""
    return getattr(task, "labels", None) or _states(task.targets)


def _is_head(model: Family, name: str) -> bool:
    return not model.has_features or name.startswith("output.")


def _shape(tensors: dict[str, Any], name: str) -> str:
    return " × ".join(map(str, tensors[name].shape)) or "one number" if name in tensors else "none"


def _listed(names: Any) -> str:
    found = list(names)
    return ", ".join(map(repr, found[:6])) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
