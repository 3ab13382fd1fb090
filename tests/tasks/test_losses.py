import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from modelyard.tasks import losses

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [30.0, -30.0, 0.0]])
TARGET = torch.tensor([0, 2, 1, 1])


def gradient(function, logits):
    leaf = logits.clone().requires_grad_()
    function(leaf).sum().backward()
    return leaf.grad


def same_value_and_slope(ours, reference, logits):
    torch.testing.assert_close(ours(logits), reference(logits), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient(ours, logits), gradient(reference, logits), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(smoothing):
    same_value_and_slope(
        lambda x: losses.cross_entropy(losses.log_probabilities(x), TARGET, smoothing),
        lambda x: F.cross_entropy(x, TARGET, reduction="none", label_smoothing=smoothing),
        LOGITS,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_one_logit_is_torchs_binary_cross_entropy(smoothing):
    logits, target = torch.tensor([[0.3], [-2.0], [40.0], [-90.0]]), torch.tensor([1, 1, 0, 1])
    soft = (target * (1 - smoothing) + smoothing / 2)[:, None].float()
    same_value_and_slope(
        lambda x: losses.cross_entropy(losses.log_probabilities(x), target, smoothing),
        lambda x: F.binary_cross_entropy_with_logits(x, soft, reduction="none")[:, 0],
        logits,
    )


def test_focal_by_hand_and_with_gamma_0_cross_entropy():
    log_p = torch.log(torch.tensor([[0.25, 0.75], [0.1, 0.9]]))
    expected = [0.25**2 * -math.log(0.75), 0.9**2 * -math.log(0.1)]
    torch.testing.assert_close(losses.focal(log_p, torch.tensor([1, 0]), 2.0), torch.tensor(expected))
    log_p = losses.log_probabilities(LOGITS)
    torch.testing.assert_close(losses.focal(log_p, TARGET, 0.0, 0.1), losses.cross_entropy(log_p, TARGET, 0.1))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_has_a_finite_slope_where_the_model_is_certain(gamma):
    certain = torch.tensor([[80.0, -80.0], [-80.0, 80.0], [0.0, 0.0]])
    slope = gradient(lambda x: losses.focal(losses.log_probabilities(x), torch.tensor([0, 0, 1]), gamma), certain)
    assert torch.isfinite(slope).all()


def test_hinge_takes_the_best_other_margin():
    # row 0: 1 + 0.5 - 2 < 0; row 1: 1 + 0 - 0; row 2: 1 + 1 - 4 < 0; row 3: 1 + 30 + 30
    assert losses.hinge(LOGITS, TARGET).tolist() == [0.0, 1.0, 0.0, 61.0]
    assert losses.hinge(torch.tensor([[0.25], [0.25], [3.0]]), torch.tensor([1, 0, 1])).tolist() == [0.75, 1.25, 0.0]


def test_squared_hinge_sums_each_label_against_the_rest():
    margins = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    # row 0, target 0: 0, 0, 1.5²; row 1: 1 + 1 + 1
    assert losses.squared_hinge(margins, torch.tensor([0, 2])).tolist() == [2.25, 3.0]
    assert losses.squared_hinge(torch.tensor([[0.5], [0.5]]), torch.tensor([1, 0])).tolist() == [0.25, 2.25]


@pytest.mark.parametrize("name", ["hinge", "squared_hinge"])
def test_hinges_agree_with_scikit_learn_on_two_labels(name):
    metrics = pytest.importorskip("sklearn.metrics")
    margins, target = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    ours = getattr(losses, name)(margins, target)
    if name == "hinge":
        assert ours.mean().item() == pytest.approx(metrics.hinge_loss(target.numpy(), margins[:, 0].numpy()), abs=1e-6)
    else:
        torch.testing.assert_close(ours, losses.hinge(margins, target).square())


def test_hinge_is_scikit_learns_crammer_singer_for_three_labels():
    metrics = pytest.importorskip("sklearn.metrics")
    expected = metrics.hinge_loss(TARGET.numpy(), LOGITS.numpy(), labels=np.arange(3))
    assert losses.hinge(LOGITS, TARGET).mean().item() == pytest.approx(expected, abs=1e-6)


def test_binary_cross_entropy_weighs_what_is_present():
    logits, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    expected = (3 * math.log(2) + math.log(1 + math.e)) / 2
    assert losses.binary_cross_entropy(logits, target, torch.tensor([3.0, 5.0])).item() == pytest.approx(expected)


def test_errors_of_numbers_by_hand():
    output, target = torch.tensor([[1.0, 5.0]]), torch.tensor([[0.5, 2.0]])
    assert losses.squared_error(output, target).tolist() == [[0.25, 9.0]]
    assert losses.absolute_error(output, target).tolist() == [[0.5, 3.0]]
    assert losses.huber(output, target, 2.0).tolist() == [[0.125, 2 * (3 - 1)]]
