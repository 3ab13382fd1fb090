"""Dense families against answers computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from modelyard.data.kinds import Bag, Categories, Image, Numbers
from modelyard.models.build import build
from modelyard.models.linear import Linear
from modelyard.models.mlp import Mlp
from modelyard.spec.settings import Choice


def choice(family: Any, **settings: Any) -> Choice[Any]:
    return Choice("family", family.name, family.Settings(**settings), key="family")


def test_a_linear_model_adds_up_one_weight_a_value() -> None:
    inputs = [
        Numbers("numbers", ("a", "b"), width=2),
        Categories("categories", ("c", "d"), sizes=(2, 3)),
        Bag("text", ("text",), vocabulary_size=4),
    ]
    model = build(choice(Linear), inputs, 1, seed=0)
    weights = {
        "terms.0.linear.weight": [[1.0, 10.0]],
        "terms.1.table.weight": [[1.0], [2.0], [4.0], [8.0], [16.0]],
        "terms.2.table.weight": [[100.0], [200.0], [300.0], [400.0]],
        "bias": [0.5],
    }
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    batch = {
        "numbers": torch.tensor([[3.0, 0.1], [0.0, 0.0]]),
        "categories": torch.tensor([[1, 0], [0, 2]]),
        "text.ids": torch.tensor([0, 3, 3]),
        "text.offsets": torch.tensor([0, 2]),
        "text.weights": torch.tensor([1.0, 0.5, 2.0]),
    }
    # Row 0: 3 + 1, categories 2 + 4, text 100 + 200, bias. Row 1: 0, categories 1 + 16, text 800, bias.
    assert model(batch).flatten().tolist() == pytest.approx([310.5, 817.5])


def test_a_fresh_linear_model_answers_zero() -> None:
    model = build(choice(Linear), [Numbers("numbers", ("a",), width=3)], 2, seed=5)
    assert model({"numbers": torch.randn(4, 3)}).count_nonzero() == 0


def test_logistic_regression_finds_what_scikit_learn_finds() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + generator.normal(size=80) > 0.3).astype(np.int64)
    model = build(choice(Linear), [Numbers("numbers", ("a", "b", "c"), width=3)], 1, seed=0)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    target = torch.tensor(y, dtype=torch.float32)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = model({"numbers": torch.tensor(x)}).flatten()
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        value = value + 0.5 * model.terms[0].linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(x, y)
    found = model.terms[0].linear.weight.detach().numpy()
    np.testing.assert_allclose(found, reference.coef_, atol=2e-3)
    np.testing.assert_allclose(model.bias.detach().numpy(), reference.intercept_, atol=2e-3)


def test_an_mlp_by_hand() -> None:
    model = build(choice(Mlp, hidden_sizes=[2]), [Numbers("numbers", ("a", "b"), width=2)], 1, seed=0)
    weights = {
        "hidden.layers.0.linear.weight": [[1.0, 1.0], [1.0, -1.0]],
        "hidden.layers.0.linear.bias": [0.0, -1.0],
        "output.weight": [[2.0, 3.0]],
        "output.bias": [0.25],
    }
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    # (1, 2): relu(3, −2) = (3, 0) → 6.25.   (3, −1): relu(2, 3) = (2, 3) → 13.25.
    answer = model({"numbers": torch.tensor([[1.0, 2.0], [3.0, -1.0]])})
    assert answer.flatten().tolist() == [6.25, 13.25]


def test_pictures_are_flattened_in_the_order_channel_row_column_whatever_their_memory() -> None:
    picture = Image("photo", ("photo",), channels=2, height=2, width=3)
    pixels = torch.arange(12.0).view(1, 2, 2, 3)
    for family in (Linear, Mlp):
        model = build(choice(family), [picture], 1, seed=0)
        flat = model.vector if family is Mlp else model.terms[0].linear
        seen: list[torch.Tensor] = []
        if family is Mlp:
            flat.register_forward_hook(lambda _, __, output, seen=seen: seen.append(output))
        else:
            flat.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(inputs[0]))
        model.eval()({"photo.pixels": pixels.to(memory_format=torch.channels_last)})
        assert seen[0].tolist() == [list(range(12))]


def test_one_hot_gives_each_id_a_place_of_its_own() -> None:
    inputs = [Categories("categories", ("c", "d"), sizes=(2, 3))]
    model = build(choice(Mlp, category_embedding="one_hot"), inputs, 1, seed=0)
    vectors = model.vector({"categories": torch.tensor([[0, 2], [1, 0]])})
    assert vectors.tolist() == [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]]


def test_residual_adds_the_input_between_equal_hidden_layers_alone() -> None:
    inputs = [Numbers("numbers", ("a",), width=4)]
    model = build(choice(Mlp, hidden_sizes=[4, 4, 2], residual=True), inputs, 1, seed=0)
    assert [layer.residual for layer in model.hidden.layers] == [False, True, False]
    layer = model.hidden.layers[1]
    x = torch.randn(3, 4)
    torch.testing.assert_close(layer(x), x + torch.relu(layer.linear(x)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_sizes": []}, "at least 1 item"),
        ({"hidden_sizes": [10, 0]}, "greater than 0"),
        ({"hidden_sizes": [8, 4], "residual": True}, r"two neighbouring hidden sizes that are equal; got \[8, 4\]"),
        ({"activation": "swish"}, "'relu', 'leaky_relu'"),
        ({"dropout": 1.0}, "less than 1"),
        ({"norm": "group"}, "'none', 'batch' or 'layer'"),
        ({"category_embedding": 0}, "greater than 0"),
        ({"size": "giant"}, "unknown size 'giant'; known: small, medium, large"),
        ({"units": 3}, "Extra inputs"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Mlp.Settings(**settings)


def test_batch_and_layer_norm_stand_before_the_activation() -> None:
    inputs = [Numbers("numbers", ("a",), width=4)]
    x = torch.randn(16, 4) * 5 + 3
    for norm in ("batch", "layer"):
        model = build(choice(Mlp, hidden_sizes=[64], norm=norm, activation="elu"), inputs, 1, seed=0)
        axis = 0 if norm == "batch" else 1
        normed = model.hidden.layers[0].norm(model.hidden.layers[0].linear(x))
        torch.testing.assert_close(normed.mean(axis), torch.zeros_like(normed.mean(axis)), atol=1e-5, rtol=0)
        torch.testing.assert_close(model.hidden(x), torch.nn.functional.elu(normed))
