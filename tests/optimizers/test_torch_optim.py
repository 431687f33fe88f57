"""Our optimisers equal torch.optim at one replica and one area, and treat each replica by its own rates."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from neurosal.settings.optimizers import SGD, Adam, AdamW, Optimizer

STEPS = 30


def weight_and_changes(replicas: int = 1, areas: int = 1, seed: int = 0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shape = (replicas, areas, 3, 4)
    draw = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(STEPS + 1)]
    return draw[0], draw[1:]


def run(
    optimizer: Optimizer, weight: torch.Tensor, changes: list[torch.Tensor], masks: Any = None
) -> list[torch.Tensor]:
    state, path = optimizer.init(weight), []
    for change, mask in zip(changes, masks or itertools.repeat(None), strict=False):
        weight, state = optimizer.update(weight, change, state, mask=mask)
        path.append(weight)
    return path


PAIRS = [
    (SGD(lr=0.1), torch.optim.SGD, {"lr": 0.1}),
    (SGD(lr=0.1, weight_decay=0.03), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.03}),
    (SGD(lr=0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (
        SGD(lr=0.1, momentum=0.9, weight_decay=0.03, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.03, "nesterov": True},
    ),
    (Adam(lr=0.1), torch.optim.Adam, {"lr": 0.1}),
    (
        Adam(lr=0.1, weight_decay=0.03, beta1=0.8, beta2=0.9, eps=1e-3),
        torch.optim.Adam,
        {"lr": 0.1, "weight_decay": 0.03, "betas": (0.8, 0.9), "eps": 1e-3},
    ),
    (AdamW(lr=0.1), torch.optim.AdamW, {"lr": 0.1}),
    (
        AdamW(lr=0.1, weight_decay=0.3, beta1=0.8),
        torch.optim.AdamW,
        {"lr": 0.1, "weight_decay": 0.3, "betas": (0.8, 0.999)},
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS, ids=lambda entry: repr(entry)[:60])
def test_a_step_is_that_of_torch_optim(ours: Optimizer, theirs: Any, options: dict[str, Any]) -> None:
    weight, changes = weight_and_changes()
    parameter = torch.nn.Parameter(weight[0, 0].clone())
    reference = theirs([parameter], **options)
    for change, found in zip(changes, run(ours, weight, changes), strict=True):
        parameter.grad = change[0, 0].clone()
        reference.step()
        assert torch.allclose(found[0, 0], parameter.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "options"),
    [
        (
            SGD(lr=(0.1, 0.01, 0.0), weight_decay=(0.0, 0.1, 0.2), momentum=(0.9, 0.0, 0.5)),
            {"momentum": (0.9, 0.0, 0.5)},
        ),
        (
            Adam(lr=(0.1, 0.01, 0.0), weight_decay=(0.0, 0.1, 0.2), beta1=(0.9, 0.5, 0.1), eps=(1e-8, 1e-2, 1e-8)),
            {"beta1": (0.9, 0.5, 0.1), "eps": (1e-8, 1e-2, 1e-8)},
        ),
        (AdamW(lr=(0.1, 0.01, 0.0), weight_decay=(0.0, 0.1, 0.2), beta2=(0.9, 0.5, 0.99)), {"beta2": (0.9, 0.5, 0.99)}),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_each_replica_moves_by_its_own_rates(ours: Any, options: dict[str, tuple[float, ...]]) -> None:
    weight, changes = weight_and_changes(replicas=3, areas=2)
    together = run(ours, weight, changes)[-1]
    for r in range(3):
        alone = ours.replace(
            lr=ours.lr[r], weight_decay=ours.weight_decay[r], **{name: value[r] for name, value in options.items()}
        )
        mine = run(alone, weight[r : r + 1], [change[r : r + 1] for change in changes])[-1]
        assert torch.allclose(together[r], mine[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "ours",
    [
        SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        Adam(lr=0.1, weight_decay=0.1),
        AdamW(lr=0.1),
        SGD(lr=(0.1, 0.2, 0.3), momentum=(0.5, 0.9, 0.1)),
        Adam(beta1=(0.5, 0.9, 0.1), eps=(1e-8, 1e-3, 1e-2)),
    ],
    ids=lambda entry: repr(entry)[:30],
)
def test_areas_outside_the_mask_keep_weight_and_state_bit_for_bit(ours: Optimizer) -> None:
    weight, changes = weight_and_changes(replicas=3, areas=4)
    generator = torch.Generator().manual_seed(5)
    state = ours.init(weight)
    for change in changes:
        mask = torch.rand((3, 4), generator=generator) < 0.5
        moved, new_state = ours.update(weight, change, state, mask=mask)
        assert torch.equal(moved[~mask], weight[~mask])
        assert bool((moved[mask] != weight[mask]).flatten(1).all(1).all())
        for name, entry in new_state.items():
            assert torch.equal(entry[~mask], state[name][~mask])
            assert not torch.equal(entry[mask], state[name][mask])
        weight, state = moved, new_state


@pytest.mark.parametrize(
    "ours",
    [
        SGD(lr=(0.1, 0.2), momentum=(0.5, 0.9), weight_decay=(0.1, 0.0)),
        AdamW(lr=(0.1, 0.2), beta1=(0.5, 0.9), weight_decay=(0.1, 0.0)),
    ],
    ids=["sgd", "adamw"],
)
def test_a_masked_step_takes_the_rates_of_the_right_replica(ours: Optimizer) -> None:
    weight, changes = weight_and_changes(replicas=2, areas=3)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    whole, masked = run(ours, weight, changes)[-1], run(ours, weight, changes, [mask] * STEPS)[-1]
    assert torch.allclose(masked[mask], whole[mask], rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "ours",
    [SGD(lr=0.1, momentum=0.9), Adam(lr=0.1, weight_decay=0.1), AdamW(lr=0.1)],
    ids=lambda entry: repr(entry)[:30],
)
def test_an_area_that_rests_goes_on_as_if_no_time_had_passed(ours: Optimizer) -> None:
    weight, changes = weight_and_changes(replicas=1, areas=2)
    masks = [torch.tensor([[True, step % 3 == 0]]) for step in range(STEPS)]
    rested = run(ours, weight, changes, masks)[-1][:, 1]
    awake = run(ours, weight[:, 1:], [change[:, 1:] for step, change in enumerate(changes) if step % 3 == 0])[-1][:, 0]
    assert torch.allclose(rested, awake, rtol=0, atol=1e-14)


def test_the_pure_form_leaves_its_arguments_alone() -> None:
    weight, changes = weight_and_changes()
    for optimizer in (SGD(lr=0.1, momentum=0.9), Adam(lr=0.1), AdamW(lr=0.1)):
        state = optimizer.init(weight)
        before = (weight.clone(), {name: entry.clone() for name, entry in state.items()})
        optimizer.update(weight, changes[0], state)
        assert torch.equal(weight, before[0])
        assert all(torch.equal(entry, before[1][name]) for name, entry in state.items())
