"""The learning-rate range test: a short training on a copy of the model whose rate grows with every step.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks; the suggestion is the point of steepest
descent of the smoothed loss, as in Howard and Gugger 2020.
"""

from __future__ import annotations

import copy
import math

import numpy as np
from torch import nn

from modelyard.core.errors import ModelyardError
from modelyard.train.memory.settings import make_optimizer
from modelyard.train.records import RateSearch
from modelyard.train.schedules import Constant
from modelyard.train.side_by_side import sharing
from modelyard.train.state import State
from modelyard.train.step import Setup, train_step
from modelyard.train.watch import Watch

__all__ = ["find_rate"]

_SMOOTHING = 0.9


def find_rate(setup: Setup, model: nn.Module, low: float = 1e-6, high: float = 1.0, steps: int = 100) -> RateSearch:
    """Run the range test; `model` is left as it is.

    Args:
        setup: The training's setup; its optimizer and batches are used.
        model: The untrained model.
        low: First rate.
        high: Last rate; the test ends earlier when the loss explodes.
        steps: Steps of the whole test; the rate grows geometrically.

    Raises:
        ModelyardError: The loss was not finite from the start.
    """
    trial = copy.deepcopy(model)
    optimizer = make_optimizer(setup.settings.model_copy(update={"learning_rate": 1.0}), trial)
    state = State(trial, optimizer, Constant(Constant.Settings(), steps, steps), Watch(setup.settings.divergence))
    rates, losses = [], []
    smooth, best, epoch = 0.0, math.inf, 0
    batches = iter(setup.train.epoch(epoch))
    for step in range(steps):
        rate = low * (high / low) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(batches, None)
        if batch is None:
            epoch += 1
            batches = iter(setup.train.epoch(epoch))
            batch = next(batches)
        with sharing(setup.settings):
            loss = train_step(setup, state, batch.to(setup.device)).total
        state.step += 1
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * float(loss)
        corrected = smooth / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(corrected) or corrected > 4 * best:
            break
        best = min(best, corrected)
        rates.append(rate)
        losses.append(corrected)
    if len(rates) < 10:
        raise ModelyardError("the learning-rate test cannot start: the loss is not finite or explodes at once")
    slopes = np.gradient(np.array(losses), np.log(rates))
    # The first steps say more about the smoothing than about the rate.
    steepest = 5 + int(np.argmin(slopes[5:]))
    return RateSearch(rates, losses, rates[steepest])
