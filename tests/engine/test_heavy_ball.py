"""SGD with momentum in place: the same numbers as the optimiser's own step on the proposed changes."""

from __future__ import annotations

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine import heavy_ball
from neurosal.graph import Circuit
from neurosal.settings.optimizers import SGD

CHAIN = circuits.mlp(6, 5, 4, 3)
CIRCUITS = {
    "bp": rules.bp(CHAIN),
    "shared products": rules.kp(CHAIN),
    "relays": rules.pfa(CHAIN, to_input=True),
    "sums": rules.sal(CHAIN, areas=1, reduction="sum"),
}
RATES = {
    "numbers": SGD(lr=0.1, momentum=0.9, weight_decay=0.03),
    "one a replica": SGD(lr=(0.1, 0.2, 0.3), momentum=(0.5, 0.9, 0.1), weight_decay=(0.0, 0.1, 0.2)),
}


def stepped_by_hand(circuit: Circuit, optimizer: SGD, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Three steps through `updates` and the optimiser's pure `update`."""
    network = ns.compile(circuit, seeds=range(3), dtype="float64")
    states: dict[str, dict[str, torch.Tensor]] = {}
    tensors = dict(network.weights.full) | network.biases
    for _ in range(3):
        for name, change in network.updates(x, y).items():
            weight = tensors[name]
            turned = name in network.plan.reversed
            change = change.mT if turned else change
            state = states.get(name) or optimizer.init(weight)
            moved, states[name] = optimizer.update(weight, change, state)
            weight.copy_(moved)
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("large", [0, 1 << 40], ids=["replica by replica", "all at once"])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_step_in_place_is_the_step_of_the_optimiser(
    name: str, rates: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heavy_ball, "LARGE", large)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (7,), generator=generator)
    expected = stepped_by_hand(CIRCUITS[name], RATES[rates], x, y)
    network = ns.compile(CIRCUITS[name], seeds=range(3), dtype="float64")
    for _ in range(3):
        network.step(x, y, optimizer=RATES[rates])
    for key, tensor in (dict(network.weights.full) | network.biases).items():
        torch.testing.assert_close(tensor, expected[key], rtol=0, atol=1e-13)


def test_other_optimisers_keep_their_own_step() -> None:
    assert heavy_ball.applies(SGD(momentum=0.9))
    for other in (SGD(), SGD(momentum=0.9, nesterov=True), SGD(momentum=0.9, clip=1.0), ns.Adam()):
        assert not heavy_ball.applies(other)
