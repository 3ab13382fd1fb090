"""Choosing, checking and building a family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from modelyard.core.errors import SpecError, UsageError
from modelyard.data.kinds import Bag, Categories, Image, Input, Numbers, Tokens
from modelyard.models.build import build, count_parameters, default_family, settle
from modelyard.models.cnn import Cnn
from modelyard.models.mlp import Mlp
from modelyard.models.resnet import ResNet
from modelyard.models.rnn import Rnn
from modelyard.spec.settings import Choice

NUMBERS = Numbers("numbers", ("a", "b"), width=2)
CATEGORIES = Categories("categories", ("c",), sizes=(3,))
REVIEW = Tokens("review", ("review",), vocabulary_size=20, max_length=8)
TITLE = Tokens("title", ("title",), vocabulary_size=20, max_length=8)
BAG = Bag("body", ("body",), vocabulary_size=30)
SMALL = Image("photo", ("photo",), channels=1, height=28, width=64)
WIDE = Image("photo", ("photo",), channels=1, height=28, width=65)


def choice(family: Any, **settings: Any) -> Choice[Any]:
    return Choice("family", family.name, family.Settings(**settings), key="family")


@pytest.mark.parametrize(
    ("inputs", "family"),
    [
        ([NUMBERS], "mlp"),
        ([CATEGORIES], "mlp"),
        ([NUMBERS, CATEGORIES], "mlp"),
        ([REVIEW], "embedding"),
        ([BAG], "linear"),
        ([BAG, Bag("title", ("title",), vocabulary_size=5)], "linear"),
        ([SMALL], "cnn"),
        ([WIDE], "resnet"),
        ([REVIEW, TITLE], "joined"),
        ([NUMBERS, REVIEW], "joined"),
        ([SMALL, CATEGORIES], "joined"),
        (["numbers", "categories"], "mlp"),
        (["tokens"], "embedding"),
        (["image"], "cnn"),
        (["bag", "image"], "joined"),
    ],
)
def test_the_default_family_follows_from_the_kinds(inputs: list[Input | str], family: str) -> None:
    name, reason = default_family(inputs, rows=12_345)
    assert name == family
    assert "12,345 rows" in reason


def test_no_inputs_and_unknown_kinds_have_no_default() -> None:
    with pytest.raises(SpecError, match=r"data\.inputs: a model needs at least one input, got none"):
        default_family([], rows=10)
    with pytest.raises(SpecError, match="no family is the default for inputs of kind sound"):
        default_family(["sound", "numbers"], rows=10)


def test_a_family_that_does_not_take_a_kind_says_which_do() -> None:
    with pytest.raises(SpecError) as caught:
        build(choice(Cnn), [REVIEW], 2, seed=0)
    (problem,) = caught.value.problems
    assert problem.place == "model.family"
    assert problem.message == (
        "cnn takes exactly one input of kind image; got review (tokens); families that take these: "
        "embedding, rnn, encoder, joined"
    )


def test_a_family_of_one_input_refuses_two() -> None:
    with pytest.raises(SpecError, match=r"rnn takes exactly one input of kind tokens; got review \(tokens\), title"):
        build(choice(Rnn), [REVIEW, TITLE], 2, seed=0)
    with pytest.raises(SpecError, match="got none; no family takes these together"):
        build(choice(Rnn), [], 2, seed=0)


def test_an_unknown_family_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"unknown family 'resnext' \(did you mean 'resnet'\?\)"):
        build(Choice("family", "resnext", Mlp.Settings(), key="family"), [NUMBERS], 1, seed=0)


def test_a_shared_tensor_is_counted_once() -> None:
    linear = nn.Linear(3, 4)
    assert count_parameters(nn.ModuleList([linear, linear])) == 16


def test_settling_decides_what_was_left_to_the_inputs_and_changes_no_weight() -> None:
    open_choice = choice(ResNet, width=4)
    assert settle(open_choice, [SMALL]).settings.stem == "small"
    assert settle(open_choice, [WIDE]).settings.stem == "imagenet"
    assert settle(choice(ResNet, width=4, stem="imagenet"), [SMALL]).settings.stem == "imagenet"
    mlp = choice(Mlp)
    assert settle(mlp, [NUMBERS]) is mlp
    first, second = build(open_choice, [SMALL], 2, seed=3), build(settle(open_choice, [SMALL]), [SMALL], 2, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(SpecError, match="resnet takes exactly one input of kind image"):
        settle(open_choice, [NUMBERS])
