"""The list of layers: what it may say, what it means, and how it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from modelyard.core.errors import SpecError
from modelyard.data.kinds import Image
from modelyard.models.blocks.activation import activation
from modelyard.models.blocks.picture_layers import Layer
from modelyard.models.build import build
from modelyard.models.cnn import Cnn
from modelyard.spec.settings import Choice


def picture(height: int, width: int | None = None, channels: int = 3) -> Image:
    return Image("image", ("image",), channels=channels, height=height, width=width or height)


def cnn(layers: list[Any], image: Image, outputs: int = 2) -> Any:
    return build(Choice("family", "cnn", Cnn.Settings(layers=layers), key="family"), [image], outputs, seed=0)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("conv 32", {"conv": 32}),
        ("conv 32 3x3", {"conv": 32, "kernel": 3}),
        ("conv 64 5x5 stride 2 same batch gelu",
         {"conv": 64, "kernel": 5, "stride": 2, "padding": "same", "norm": "batch", "activation": "gelu"}),
        ("conv 8 3x5 padding 1", {"conv": 8, "kernel": [3, 5], "padding": 1}),
        ("conv 8 relu same 3x3", {"conv": 8, "padding": "same"}),
        ("pool", {"pool": "max", "size": 2, "stride": 2}),
        ("pool 3", {"pool": "max", "size": 3, "stride": 3}),
        ("pool average 3x2 stride 1", {"pool": "average", "size": [3, 2], "stride": 1}),
        ("flatten", {"flatten": True}),
        ("global_average", {"global_average": True}),
        ("global_max", {"global_max": True}),
        ("dense 128", {"dense": 128}),
        ("dense 64 layer tanh", {"dense": 64, "norm": "layer", "activation": "tanh"}),
        ("dropout 0.5", {"dropout": 0.5}),
    ],
)  # fmt: skip
def test_short_and_long_form_mean_the_same(short: str, long: dict[str, Any]) -> None:
    read = TypeAdapter[Any](Layer).validate_python
    assert read(short) == read(long)
    assert read(read(short).model_dump(mode="json")) == read(short)


def test_a_pool_given_as_a_number_is_a_max_pool_of_that_size() -> None:
    pool = TypeAdapter[Any](Layer).validate_python({"pool": 3})
    assert (pool.pool, pool.size, pool.stride) == ("max", 3, 3)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("convv 32", ["unknown layer 'convv'", "did you mean 'conv'?", "known: conv, pool"]),
        ("", ["unknown layer ''"]),
        ("conv 3x3", ["lacks its number", "conv 64 3x3"]),
        ("conv 32 purple", ["cannot read 'purple'", "conv 64 3x3"]),
        ("conv 32 stride", ["cannot read 'stride'"]),
        ("conv 32 3x3 5x5", ["gives kernel twice"]),
        ("flatten 3", ["flatten stands alone"]),
        ("dense 0", ["greater than 0"]),
        ("dropout 1.0", ["less than 1"]),
        ("pool median 2", ["'max' or 'average'"]),
        ({"pool": True}, ["'max' or 'average'"]),
        ({"kernel": 3}, ["exactly one of the keys conv, pool"]),
        ({"conv": 3, "pool": "max"}, ["exactly one of the keys"]),
        ({"cov": 3}, ["did you mean 'conv'?"]),
        (
            {"conv": 3, "kernels": 3},
            ["kernels: no such setting (did you mean 'kernel'?)", "conv has: conv, kernel, stride"],
        ),
        ({"conv": 3, "kernel": 4, "padding": "same"}, ["odd kernel", "got 4"]),
        (7, ["a text such as 'conv 32 3x3'", "got 7"]),
    ],
)
def test_what_is_no_layer_is_refused_with_its_place_and_a_way_out(layer: Any, words: list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        Cnn.Settings(layers=["conv 4", layer])
    (error,) = caught.value.errors()
    assert error["loc"] == ("layers",)
    assert "layer 1: " in error["msg"]
    for word in words:
        assert word in str(caught.value)


def test_all_bad_layers_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Cnn.Settings(layers=["conv 0", "pool 2", {"conv": 4, "kernel": 0, "padding": "no", "stride": 2}])
    (error,) = caught.value.errors()
    assert error["msg"].startswith(
        "Value error, layer 0: conv: input should be greater than 0, got '0'; layer 2: kernel: "
    )
    assert "padding: input should be 'valid' or 'same', got 'no', or " in error["msg"]
    with pytest.raises(ValidationError, match=r"expected a list of layers such as .*, got 'conv 4'"):
        Cnn.Settings(layers="conv 4")


def test_nothing_but_dense_and_dropout_follows_a_vector() -> None:
    with pytest.raises(ValidationError, match=r"layer 2 \(conv\) needs maps, but layer 1 \(flatten\) has made"):
        Cnn.Settings(layers=["conv 4", "flatten", "conv 4"])
    with pytest.raises(ValidationError, match=r"layer 1 \(pool\) needs maps, but layer 0 \(dense\)"):
        Cnn.Settings(layers=["dense 4", "pool 2"])
    with pytest.raises(ValidationError, match="at least 1 item"):
        Cnn.Settings(layers=[])


@pytest.mark.parametrize(
    ("layers", "size", "index"),
    [
        (["conv 4", "pool 2", "conv 4", "pool 2", "conv 4"], 8, 3),
        (["conv 4 5x5"], 4, 0),
        (["pool 2", "dropout 0.1", "pool 2", "pool 2"], 7, 3),
    ],
)
def test_a_picture_that_becomes_too_small_names_the_layer(layers: list[str], size: int, index: int) -> None:
    with pytest.raises(SpecError) as caught:
        cnn(layers, picture(size))
    assert [problem.place for problem in caught.value.problems] == [f"model.layers.{index}"]
    assert f"layer {index} gets a picture of" in str(caught.value)


@pytest.mark.parametrize(
    "layers",
    [
        ["conv 4 3x3 stride 2 same"],
        ["conv 4 5x3 stride 3 padding 2", "pool 3 stride 1"],
        ["pool average 2x3", "conv 4 same", "pool 2"],
        ["conv 4", "global_max", "dropout 0.5", "dense 3 batch"],
        ["conv 4 same batch", "dropout 0.2", "dense 3"],
    ],
)
@pytest.mark.parametrize("size", [(12, 12), (13, 17)])
def test_shapes_are_computed_as_torch_computes_them(layers: list[str], size: tuple[int, int]) -> None:
    model = cnn(layers, picture(*size))
    assert model({"image.pixels": torch.randn(2, 3, *size)}).shape == (2, 2)


def test_a_hand_made_network_gives_the_same_answers() -> None:
    model = cnn(["conv 4 3x3", "pool 2", "conv 6 3x3 same tanh", "pool average 2", "dense 5"], picture(14, channels=1))
    by_hand = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(54, 5), nn.ReLU(), nn.Linear(5, 2),
    )  # fmt: skip
    for mine, theirs in zip(by_hand.parameters(), model.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    pixels = torch.randn(3, 1, 14, 14)
    torch.testing.assert_close(model({"image.pixels": pixels}), by_hand(pixels))


def test_channels_last_pictures_stay_channels_last() -> None:
    model = cnn(["conv 8 same batch", "conv 8 same"], picture(8))
    maps: list[bool] = []
    for layer in model.layers[:2]:
        layer.register_forward_hook(
            lambda _, __, output: maps.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    model({"image.pixels": torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)})
    assert maps == [True, True]


@pytest.mark.parametrize("size", ["small", "medium", "large"])
@pytest.mark.parametrize("side", [4, 28, 65])
def test_named_sizes_take_pictures_of_any_size(size: str, side: int) -> None:
    settings = Cnn.Settings(size=size)
    with torch.device("meta"):
        model = build(Choice("family", "cnn", settings, key="family"), [picture(side)], 2, seed=0)
        assert model({"image.pixels": torch.empty(2, 3, side, side)}).shape == (2, 2)


def test_layers_win_over_the_named_size_and_are_stored_in_full() -> None:
    settings = Cnn.Settings(size="large", layers=["conv 4"])
    assert settings.model_dump(mode="json")["layers"] == [
        {"conv": 4, "kernel": 3, "stride": 1, "padding": "valid", "norm": "none", "activation": "relu"}
    ]
    with pytest.raises(ValidationError, match="unknown size 'huge'; known: small, medium, large"):
        Cnn.Settings(size="huge")


def test_editors_learn_both_forms_from_the_schema() -> None:
    schema = Cnn.Settings.model_json_schema()
    forms = schema["properties"]["layers"]["items"]["anyOf"]
    assert {"type": "string"} in forms
    assert {form["$ref"].rpartition("/")[2] for form in forms if "$ref" in form} >= {"Conv", "Pool", "Dense"}


@pytest.mark.parametrize("function", ["relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "silu"])
def test_a_layer_and_its_pool_are_a_pool_of_activations_in_whatever_order_they_are_computed(function):
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = cnn(
        [f"conv 4 same {function}", "pool 2", f"conv 6 same batch {function}", "pool 3 stride 1"],
        picture(8, channels=1),
    )
    features = model.layers(x)
    for index, pool in ((0, nn.MaxPool2d(2)), (2, nn.MaxPool2d(3, 1))):
        layer = model.layers[index]
        x = pool(activation(function)(layer.norm(layer.convolution(x))))
    assert torch.equal(x.flatten(1), features)
