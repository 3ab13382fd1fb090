"""Dropout by random bits: the right share, the right scale, the same for the same seed, and a gradient to match."""

import pytest
import torch

from modelyard.models.blocks.dropout import Dropout

MANY, FEW = (400, 300), (10, 10)


@pytest.mark.parametrize("shape", [MANY, FEW])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(shape, probability):
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    y = Dropout(probability)(x)
    kept = y != 0
    assert torch.allclose(y[kept], torch.tensor(1 / (1 - probability)), rtol=1e-4)
    if shape == MANY:  # 120,000 draws: five standard deviations
        assert (
            abs(float(kept.float().mean()) - (1 - probability)) < 5 * (probability * (1 - probability) / 120_000) ** 0.5
        )
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # of ones: what was kept, scaled


def test_the_seed_decides():
    dropout = Dropout(0.3)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(torch.ones(MANY)))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(dropout(torch.ones(MANY)), dropout(torch.ones(MANY)))


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(MANY)) != 0).float() - 0.5
    for moved in (kept.roll(1, 0), kept.roll(1, 1)):
        assert abs(float((kept * moved).mean())) < 5 * 0.25 / 120_000**0.5


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_nothing_and_everything_can_be_dropped(probability):
    assert torch.equal(Dropout(probability)(torch.ones(MANY)), torch.full(MANY, 1 - probability))


def test_evaluation_drops_nothing_and_draws_nothing():
    before = torch.random.get_rng_state()
    x = torch.randn(MANY, generator=torch.Generator().manual_seed(0))
    assert Dropout(0.5).eval()(x) is x or torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(before, torch.random.get_rng_state())


def test_bfloat16_stays_bfloat16():
    assert Dropout(0.5)(torch.ones(MANY, dtype=torch.bfloat16)).dtype == torch.bfloat16
