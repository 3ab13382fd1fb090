"""Several inputs, an encoder each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from modelyard.core.errors import SpecError
from modelyard.data.kinds import Categories, Image, Input, Numbers, Tokens
from modelyard.models.build import build, settle
from modelyard.models.cnn import Cnn
from modelyard.models.joined import Joined
from modelyard.models.linear import Linear
from modelyard.models.mlp import Mlp
from modelyard.models.rnn import Rnn
from modelyard.spec.parse import parse_choice
from modelyard.spec.settings import Choice

NUMBERS = Numbers("numbers", ("a", "b"), width=2)
CATEGORIES = Categories("categories", ("c",), sizes=(3,))
REVIEW = Tokens("review", ("review",), vocabulary_size=20, max_length=8)
PHOTO = Image("photo", ("photo",), channels=1, height=4, width=4)


def choice(family: Any, **settings: Any) -> Choice[Any]:
    return Choice("family", family.name, family.Settings(**settings), key="family")


def joined(inputs: list[Input], **settings: Any) -> Any:
    return build(choice(Joined, **settings), inputs, 2, seed=0)


def test_number_and_category_columns_share_the_encoder_named_table() -> None:
    model = joined([NUMBERS, REVIEW, CATEGORIES], encoders={"table": choice(Linear), "review": choice(Rnn)})
    assert [encoder.name for encoder in model.encoders] == ["linear", "rnn"]
    assert [[one.kind for one in encoder.inputs] for encoder in model.encoders] == [
        ["numbers", "categories"],
        ["tokens"],
    ]


def test_an_input_without_a_named_encoder_gets_the_default_of_its_kind() -> None:
    open_choice = choice(Joined, encoders={"review": None})
    settled = settle(open_choice, [NUMBERS, REVIEW, PHOTO])
    assert {name: one.name for name, one in settled.settings.encoders.items()} == {
        "table": "mlp",
        "review": "embedding",
        "photo": "cnn",
    }
    assert settled.settings.encoders["review"].settings.size == "small"
    assert settle(settled, [NUMBERS, REVIEW, PHOTO]) == settled


def test_a_spec_written_as_plain_values_reads_back_as_it_was() -> None:
    settled = settle(choice(Joined, width=8), [NUMBERS, REVIEW, PHOTO])
    again, problems = parse_choice("family", "family", settled.as_dict(), "model")
    assert problems == []
    assert again == settled


def test_every_input_has_a_say() -> None:
    model = joined([NUMBERS, PHOTO]).eval()
    batch = {"numbers": torch.zeros(1, 2), "photo.pixels": torch.zeros(1, 1, 4, 4)}
    answer = model(batch)
    assert not torch.equal(model({**batch, "numbers": torch.ones(1, 2)}), answer)
    assert not torch.equal(model({**batch, "photo.pixels": torch.ones(1, 1, 4, 4)}), answer)


def test_an_encoder_for_no_input_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        joined([NUMBERS, REVIEW], encoders={"reviews": choice(Rnn), "numbers": choice(Mlp)})
    assert [str(problem) for problem in caught.value.problems] == [
        "model.encoders.reviews: no input is called 'reviews' (did you mean 'review'?); known: table, review",
        "model.encoders.numbers: no input is called 'numbers'; known: table, review",
    ]


def test_an_encoder_that_does_not_fit_its_input_names_its_own_place() -> None:
    with pytest.raises(SpecError, match=r"model\.encoders\.review\.family: mlp takes one or more inputs of kind"):
        joined([NUMBERS, REVIEW], encoders={"review": choice(Mlp)})
    with pytest.raises(SpecError, match=r"model\.encoders\.photo\.layers\.1: layer 1 gets a picture of 2 × 2"):
        joined([NUMBERS, PHOTO], encoders={"photo": choice(Cnn, layers=["conv 2", "conv 2"])})
    inner = choice(Joined, encoders={"photo": choice(Cnn, layers=["conv 2 5x5"])})
    with pytest.raises(SpecError, match=r"model\.encoders\.photo\.encoders\.photo\.layers\.0: "):
        joined([NUMBERS, PHOTO], encoders={"photo": inner})


@pytest.mark.parametrize("inputs", [[0, 1], [1, 0]])
def test_a_column_called_table_cannot_stand_beside_number_columns(inputs: list[int]) -> None:
    both: list[Input] = [NUMBERS, Tokens("table", ("table",), vocabulary_size=20, max_length=8)]
    with pytest.raises(SpecError, match=r"data\.inputs\.table: two inputs are called 'table'"):
        joined([both[index] for index in inputs])
