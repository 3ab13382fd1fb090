"""Networks as textbooks and papers have them, with their parameters counted by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from modelyard.data.kinds import Bag, Categories, Image, Input, Numbers, Tokens
from modelyard.models.build import build, count_parameters
from modelyard.models.cnn import Cnn
from modelyard.models.embedding import Embedding
from modelyard.models.encoder import Encoder
from modelyard.models.joined import Joined
from modelyard.models.linear import Linear
from modelyard.models.mlp import Mlp
from modelyard.models.resnet import ResNet
from modelyard.models.rnn import Rnn
from modelyard.spec.settings import Choice

DIGITS = Image("image", ("image",), channels=1, height=28, width=28)
SMALL_COLOUR = Image("image", ("image",), channels=3, height=32, width=32)
PHOTO = Image("image", ("image",), channels=3, height=224, width=224)
REVIEW = Tokens("review", ("review",), vocabulary_size=10_000, max_length=256)


def parameters(family: Any, one: Input | list[Input], outputs: int, **settings: Any) -> int:
    chosen = Choice("family", family.name, family.Settings(**settings), key="family")
    with torch.device("meta"):
        return count_parameters(build(chosen, one if isinstance(one, list) else [one], outputs, seed=0))


def test_logistic_regression_on_digits() -> None:
    assert parameters(Linear, DIGITS, 10) == 784 * 10 + 10


def test_logistic_regression_on_a_table_and_a_text() -> None:
    inputs = [Numbers("numbers", ("a",), width=3), Categories("categories", ("b", "c"), sizes=(4, 6))]
    assert parameters(Linear, [*inputs, Bag("text", ("text",), vocabulary_size=100)], 2) == (3 + 4 + 6 + 100) * 2 + 2


def test_mlp_784_100_50_10() -> None:
    count = parameters(Mlp, DIGITS, 10, hidden_sizes=[100, 50])
    assert count == (784 * 100 + 100) + (100 * 50 + 50) + (50 * 10 + 10) == 84_060


def test_mlp_on_a_table_embeds_each_category_by_its_size() -> None:
    inputs = [Numbers("numbers", ("a",), width=3), Categories("categories", ("b", "c"), sizes=(4, 1000))]
    # 1.6 · 4^0.56 = 3.48 → 3;  1.6 · 1000^0.56 = 76.6 → 50
    vector = 3 + 3 + 50
    tables = 4 * 3 + 1000 * 50
    assert parameters(Mlp, inputs, 1, hidden_sizes=[8]) == tables + vector * 8 + 8 + 8 * 1 + 1
    one_hot = 3 + 4 + 1000
    assert parameters(Mlp, inputs, 1, hidden_sizes=[8], category_embedding="one_hot") == one_hot * 8 + 8 + 8 + 1
    fixed = 3 + 5 + 5
    count = parameters(Mlp, inputs, 1, hidden_sizes=[8], category_embedding=5)
    assert count == (4 + 1000) * 5 + fixed * 8 + 8 + 8 + 1


def test_conv_32_flatten_dense_64() -> None:
    count = parameters(Cnn, DIGITS, 10, layers=["conv 32 3x3", "flatten", "dense 64"])
    assert count == (9 * 32 + 32) + (26 * 26 * 32 * 64 + 64) + (64 * 10 + 10) == 1_385_482


@pytest.mark.parametrize("flatten", [["flatten"], []], ids=["said", "unsaid"])
def test_conv_32_pool_conv_64_pool_dense_128(flatten: list[str]) -> None:
    layers = [{"conv": 32, "kernel": 3}, {"pool": "max"}, {"conv": 64}, {"pool": "max"}, *flatten, {"dense": 128}]
    count = parameters(Cnn, DIGITS, 10, layers=layers)
    assert count == (9 * 32 + 32) + (9 * 32 * 64 + 64) + (5 * 5 * 64 * 128 + 128) + (128 * 10 + 10) == 225_034


def test_lenet_5_with_full_connections() -> None:
    layers = ["conv 6 5x5 same tanh", "pool average 2", "conv 16 5x5 tanh", "pool average 2", "dense 120 tanh"]
    assert parameters(Cnn, DIGITS, 10, layers=[*layers, "dense 84 tanh"]) == 61_706


def test_batch_norm_replaces_the_bias_of_a_convolution() -> None:
    count = parameters(Cnn, SMALL_COLOUR, 10, layers=["conv 8 same batch", "global_average"])
    assert count == 27 * 8 + (8 + 8) + (8 * 10 + 10)


@pytest.mark.parametrize(
    ("picture", "depth", "outputs", "expected"),
    [
        (SMALL_COLOUR, 18, 10, 11_173_962),
        (PHOTO, 18, 1000, 11_689_512),
        (PHOTO, 34, 1000, 21_797_672),
        (PHOTO, 50, 1000, 25_557_032),
    ],
)
def test_resnets_have_the_parameters_of_the_paper(picture: Image, depth: int, outputs: int, expected: int) -> None:
    assert parameters(ResNet, picture, outputs, depth=depth) == expected


def test_average_of_16_numbers_a_word_then_24_units() -> None:
    count = parameters(Embedding, REVIEW, 2, embedding_size=16, hidden_sizes=[24])
    assert count == 10_000 * 16 + (16 * 24 + 24) + (24 * 2 + 2)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_recurrent_cells(cell: str, gates: int) -> None:
    count = parameters(Rnn, REVIEW, 2, cell=cell, embedding_size=32, hidden_size=64)
    assert count == 10_000 * 32 + gates * (32 * 64 + 64 * 64 + 64 + 64) + (64 * 2 + 2)


def test_two_bidirectional_layers() -> None:
    count = parameters(Rnn, REVIEW, 2, embedding_size=32, hidden_size=64, layers=2, bidirectional=True)
    first, second = 2 * 4 * (32 * 64 + 64 * 64 + 128), 2 * 4 * (128 * 64 + 64 * 64 + 128)
    assert count == 10_000 * 32 + first + second + (128 * 2 + 2)


def test_transformer_encoder() -> None:
    count = parameters(Encoder, REVIEW, 2, width=64, heads=4, layers=3, feed_forward_size=256)
    attention = (64 * 192 + 192) + (64 * 64 + 64)
    feed_forward = (64 * 256 + 256) + (256 * 64 + 64)
    norms = 2 * 128
    assert count == 10_256 * 64 + 3 * (attention + feed_forward + norms) + 128 + (64 * 2 + 2)


def test_modern_encoder_with_grouped_heads_gates_and_rotary_positions() -> None:
    count = parameters(
        Encoder,
        REVIEW,
        2,
        width=64,
        heads=4,
        key_value_heads=1,
        layers=1,
        feed_forward=("swiglu"),
        feed_forward_size=160,
        norm="rms",
        position="rotary",
    )
    attention = (64 * (64 + 2 * 16) + 96) + (64 * 64 + 64)
    feed_forward = (64 * 320 + 320) + (160 * 64 + 64)
    assert count == 10_000 * 64 + attention + feed_forward + 3 * 64 + (64 * 2 + 2)


def test_joined_counts_its_encoders_and_what_joins_them() -> None:
    inputs = [Numbers("numbers", ("a",), width=3), REVIEW]
    encoders = {
        "table": Choice("family", "linear", Linear.Settings(), key="family"),
        "review": Choice("family", "embedding", Embedding.Settings(embedding_size=4, hidden_sizes=[]), key="family"),
    }
    count = parameters(Joined, inputs, 2, encoders=encoders, width=6, hidden_sizes=[5])
    assert count == (3 * 6 + 6) + (10_000 * 4 + 4 * 6 + 6) + (12 * 5 + 5) + (5 * 2 + 2)
