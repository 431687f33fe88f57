"""Steps area by area: the numbers of all areas at once, and areas without samples keep every bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine import by_area
from neurosal.settings import optimizers
from neurosal.settings.optimizers import SGD, Adam, AdamW, Optimizer

AREAS, REPLICAS = 7, 3
CHAIN = circuits.mlp(6, 5, 4, 3)
CIRCUITS = {
    "shared products": rules.sal(CHAIN, areas=AREAS, init="independent"),
    "ties": rules.sal(CHAIN, areas=AREAS, feedback="bp", init="independent"),
    "relays": rules.sal(CHAIN, areas=AREAS, feedback="pfa", reduction="area"),
    "absent synapses": rules.sal(CHAIN, areas=AREAS, feedback="kp", density=0.6, reduction="sum"),
}
OPTIMIZERS: dict[str, Optimizer] = {
    "plain": SGD(lr=0.1, weight_decay=0.03),
    "momentum": SGD(lr=0.1, momentum=0.9, weight_decay=0.03),
    "momenta of replicas": SGD(lr=(0.1, 0.2, 0.3), momentum=(0.5, 0.9, 0.1), weight_decay=(0.0, 0.1, 0.2)),
    "nesterov": SGD(lr=0.1, momentum=0.9, nesterov=True),
    "Adam": Adam(lr=0.02, weight_decay=0.1),
    "AdamW": AdamW(lr=(0.02, 0.01, 0.03), beta1=(0.9, 0.8, 0.7)),
    "clipped": SGD(lr=0.1, momentum=0.9, clip=0.01),
}
EVERY = pytest.mark.parametrize("name", CIRCUITS)
BY = pytest.mark.parametrize("optimizer", OPTIMIZERS)


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Few samples, so that most areas have none."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(3, 6, generator=generator, dtype=torch.float64), torch.randint(0, 3, (3,), generator=generator))
        for _ in range(count)
    ]


def compiled(name: str) -> Any:
    return ns.compile(CIRCUITS[name], seeds=range(REPLICAS), device="cpu", dtype="float64")


def area_by_area(monkeypatch: pytest.MonkeyPatch, chosen: bool) -> None:
    for module in (optimizers, by_area):
        monkeypatch.setattr(module, "LARGE", 0 if chosen else 1 << 62)


def after_steps(network: Any, optimizer: Optimizer) -> dict[str, torch.Tensor]:
    for x, y in batches(4):
        network.step(x, y, optimizer=optimizer)
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


@EVERY
@BY
def test_area_by_area_gives_the_numbers_of_all_at_once(
    name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for chosen in (True, False):
        area_by_area(monkeypatch, chosen)
        found.append(after_steps(compiled(name), OPTIMIZERS[optimizer]))
    assert found[0].keys() == found[1].keys()
    for key, one in found[0].items():
        torch.testing.assert_close(one, found[1][key], rtol=0, atol=1e-13)


@EVERY
@BY
@pytest.mark.parametrize("chosen", [True, False], ids=["area by area", "all at once"])
def test_areas_without_samples_keep_every_bit_of_weights_and_state(
    name: str, optimizer: str, chosen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    area_by_area(monkeypatch, chosen)
    network, steps = compiled(name), batches(3)
    for x, y in steps[:2]:
        network.step(x, y, optimizer=OPTIMIZERS[optimizer])
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    x, y = steps[2]
    idle = ~next(iter(network.forward(x).groups.values())).active_RK
    assert idle.any()
    assert not idle.all()
    network.step(x, y, optimizer=OPTIMIZERS[optimizer])
    moved = 0
    for key, tensor in network.state_dict().items():
        if key.startswith(("weights/", "biases/", "optimizer/")) and tensor.shape[:2] == (REPLICAS, AREAS):
            assert torch.equal(tensor[idle].view(torch.int64), before[key][idle].view(torch.int64)), key
            moved += not torch.equal(tensor[~idle], before[key][~idle])
    assert moved >= 3


@pytest.mark.parametrize("optimizer", ["momentum", "Adam"])
def test_no_change_of_all_areas_is_made(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    area_by_area(monkeypatch, True)
    network = compiled("shared products")
    monkeypatch.setattr(network._learner, "proposed", lambda *_: pytest.fail("a change of all areas"))
    after_steps(network, OPTIMIZERS[optimizer])
