from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from modelyard.core.errors import DataError, SpecError
from modelyard.data.batch import Batch, Mix
from modelyard.tasks.regression import Regression, RegressionSettings

NAN = float("nan")


def number(column, mean, deviation):
    decode = lambda values: pa.array(values.astype(np.float64) * deviation + mean)  # noqa: E731
    return SimpleNamespace(name="number", column=column, decode_target=decode)


def task(columns=("price",), **settings):
    return Regression(RegressionSettings(**settings), [number(column, 100.0, 20.0) for column in columns])


def batch(mix=None, **targets):
    tensors = {column: torch.tensor(values, dtype=torch.float32) for column, values in targets.items()}
    return Batch({}, tensors, np.arange(len(next(iter(tensors.values())))), mix)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, F.mse_loss),
        ({"loss": "mae"}, F.l1_loss),
        ({"loss": "huber", "huber_delta": 0.7}, lambda output, target: F.huber_loss(output, target, delta=0.7)),
    ],
)
def test_the_loss_is_torchs_in_float32(settings, reference):
    output, target = torch.tensor([[0.5], [2.0], [-1.0]]), [0.0, -1.0, -1.25]
    loss, weight = task(**settings).loss(output.bfloat16(), batch(price=target))
    torch.testing.assert_close(loss, reference(output[:, 0], torch.tensor(target)))
    assert (weight.item(), loss.dtype) == (3, torch.float32)


def test_missing_values_take_no_part_in_loss_or_slope():
    output = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss, weight = task(("price", "area")).loss(output, batch(price=[0.0, NAN], area=[0.0, 1.0]))
    assert weight.item() == 3
    assert loss.item() == pytest.approx((1 + 4 + 9) / 3)
    loss.backward()
    torch.testing.assert_close(output.grad, torch.tensor([[2.0, 4.0], [0.0, 6.0]]) / 3)
    with pytest.raises(DataError, match="no targets"):
        task().loss(torch.zeros(2, 1), batch(price=[NAN, NAN]))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_micro_batches_add_up_to_the_loss_in_one_piece(loss, mixed):
    regression = task(("price", "area"), loss=loss)
    output = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    price, area = [0.1, NAN, 2.0, -1.0, NAN, 0.3, 0.0], [NAN, NAN, 1.0, 0.5, 0.25, NAN, -2.0]
    partners, share = batch(price=price[1:] + price[:1], area=area[2:] + area[:2]).targets, torch.linspace(0.1, 0.9, 7)

    def piece(start, stop):
        part = {column: values[start:stop] for column, values in partners.items()}
        mix = Mix(part, share[start:stop]) if mixed else None
        return regression.loss(output[start:stop], batch(mix, price=price[start:stop], area=area[start:stop]))

    whole, total = piece(0, 7)
    pieces = [piece(0, 3), piece(3, 7)]
    assert sum(weight for _, weight in pieces).item() == pytest.approx(total.item(), rel=1e-6)
    assert (sum(part * weight for part, weight in pieces) / total).item() == pytest.approx(whole.item(), rel=1e-6)


def test_mixed_rows_blend_both_losses():
    mix = Mix({"price": torch.tensor([4.0, 2.0])}, torch.tensor([0.75, 1.0]))
    loss, weight = task().loss(torch.tensor([[0.0], [0.0]]), batch(mix, price=[2.0, 4.0]))
    assert weight.item() == 2
    assert loss.item() == pytest.approx((0.75 * 4 + 0.25 * 16 + 16) / 2)


def test_answers_are_in_the_users_units():
    several = Regression(RegressionSettings(), [number("price", 100.0, 20.0), number("area", 5.0, 2.0)])
    output = np.array([[0.5, -1.0], [0.0, 0.0]], np.float32)
    assert several.output_size == 2
    assert several.decode(output) == {"price": [110.0, 100.0], "area": [3.0, 5.0]}
    outcome = several.outcome(output, {"price": np.array([1, 0], np.float32), "area": np.array([0, 1], np.float32)})
    assert outcome.target.tolist() == [[120.0, 5.0], [100.0, 7.0]]
    assert outcome.score is outcome.answer
    assert outcome.labels == ("price", "area")
    # each target's squared error in units of its variance: 100 (price) and 1 (area)
    np.testing.assert_allclose(several.row_losses(outcome), [(100 / 100 + 4 / 1) / 2, (0 + 4 / 1) / 2])


def test_the_row_loss_of_one_target_is_the_squared_error():
    outcome = task().outcome(np.array([[0.5]], np.float32), {"price": np.array([0], np.float32)})
    assert task().row_losses(outcome).tolist() == [100.0]


def test_what_is_refused():
    with pytest.raises(ValidationError, match="set loss: huber"):
        RegressionSettings(huber_delta=2.0)
    with pytest.raises(SpecError, match="one or more targets, and the spec names none"):
        Regression(RegressionSettings(), [])
    with pytest.raises(SpecError, match="this one is category"):
        Regression(RegressionSettings(), [SimpleNamespace(name="category", column="x")])
    with pytest.raises(DataError, match="1 rows lack a target among price"):
        task().outcome(np.zeros((2, 1), np.float32), {"price": np.array([0, NAN], np.float32)})
    with pytest.raises(DataError, match="not a finite number"):
        task().decode(np.array([[np.inf]], np.float32))
