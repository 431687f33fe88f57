"""Schedules against torch.optim.lr_scheduler and the numbers of the recipes that use them."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import pytest
import torch

from neurosal.errors import ExperimentError
from neurosal.settings.schedules import Cosine, Piecewise, Steps, WarmUp

EPOCHS, PER_EPOCH = 10, 7


def rates_of_torch(scheduler: Any, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    stepper = scheduler(optimizer, **options)
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stepper.step()
    return rates


def test_steps_are_those_of_multi_step_lr() -> None:
    schedule = Steps(at=(3, 7), factor_each=0.5)
    found = [schedule.factor(epoch * PER_EPOCH, float(epoch), EPOCHS) for epoch in range(EPOCHS)]
    assert found == pytest.approx(
        rates_of_torch(torch.optim.lr_scheduler.MultiStepLR, milestones=[3, 7], gamma=0.5), abs=1e-12
    )


def test_steps_hold_within_an_epoch() -> None:
    schedule = Steps(at=(3,), factor_each=0.1)
    assert schedule.factor(0, 3 - 1 / PER_EPOCH, EPOCHS) == 1
    assert schedule.factor(0, 3 + 1 / PER_EPOCH, EPOCHS) == 0.1


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_is_that_of_cosine_annealing(floor: float) -> None:
    schedule = Cosine(floor=floor)
    found = [schedule.factor(epoch * PER_EPOCH, float(epoch), EPOCHS) for epoch in range(EPOCHS)]
    assert found == pytest.approx(
        rates_of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=EPOCHS, eta_min=floor), abs=1e-12
    )
    assert schedule.factor(0, 2.0 * EPOCHS, EPOCHS) == pytest.approx(floor)


def test_warm_up_rises_linearly_and_multiplies_what_follows() -> None:
    schedule = WarmUp(steps=4, then=Steps(at=(1,), factor_each=0.5))
    assert [schedule.factor(step, step / PER_EPOCH, EPOCHS) for step in (0, 1, 2, 3, 4, 7)] == [
        0.25,
        0.5,
        0.75,
        1.0,
        1.0,
        0.5,
    ]


def test_piecewise_gives_a_first_epoch_of_its_own() -> None:
    schedule = Piecewise(starts=(0, 1), factors=(3.0, 0.9))
    assert [schedule.factor(0, epoch, EPOCHS) for epoch in (0.0, 0.99, 1.0, 5.0)] == [3.0, 3.0, 0.9, 0.9]
    assert Piecewise(starts=(2,), factors=(3.0,)).factor(0, 1.0, EPOCHS) == 1
    with pytest.raises(ExperimentError):
        Piecewise(starts=(1, 0), factors=(1.0, 2.0))
    with pytest.raises(ExperimentError):
        Piecewise(starts=(1,), factors=(1.0, 2.0))


def test_schedules_have_no_jump_but_where_they_say() -> None:
    cosine = [Cosine().factor(0, epoch / 100, 1.0) for epoch in range(101)]
    assert max(abs(a - b) for a, b in itertools.pairwise(cosine)) < math.pi / 2 / 100 + 1e-12
