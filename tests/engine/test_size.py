"""What a network takes beside its weights: nothing of their size, neither when they are drawn nor in a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import neurosal as ns
from neurosal import circuits, rules
from neurosal.checks.memory import estimate
from neurosal.engine import feeding
from neurosal.graph import KaimingNormal, Own
from neurosal.lower.initial import draw, draw_areas
from neurosal.lower.streams import stream

AREAS, WIDTH = 8, 96


class Largest(TorchDispatchMode):
    """The largest storage that comes into being, in bytes."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.size = known, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        for tensor in found if isinstance(found, (tuple, list)) else (found,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.size = max(self.size, tensor.untyped_storage().nbytes())
        return found


def network_of(feedback: str = "kp", **options: Any) -> Any:
    circuit = rules.sal(circuits.mlp(32, WIDTH, WIDTH, 10), areas=AREAS, feedback=feedback, **options)
    return ns.compile(circuit, seeds=(3,), device="cpu")


def stepped(network: Any, optimizer: Any, samples: int = 24, steps: int = 2) -> int:
    """The largest storage that steps make; the first one is not looked at, for optimisers begin in it."""
    random = torch.Generator().manual_seed(0)
    largest = 0
    for step in range(steps):
        x = torch.randn(samples, 32, generator=random)
        y = torch.randint(10, (samples,), generator=random)
        known = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
        with Largest(known) as seen:
            network.step(x, y, optimizer=optimizer)
        largest = max(largest, seen.size if step else 0)
    return largest


@pytest.mark.parametrize("feedback", ["kp", "fa", "dfa", "bp", "shallow", "kp_tied"])
@pytest.mark.parametrize("samples", [8, 64])
def test_a_plain_step_makes_nothing_larger_than_one_area_or_a_batch(
    feedback: str, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is with large weights; small ones are laid out together, because launches count there.
    monkeypatch.setattr("neurosal.engine.grouped.pads", lambda *_: False)
    area, signal = 4 * WIDTH * WIDTH, 4 * samples * WIDTH
    assert stepped(network_of(feedback), ns.SGD(lr=0.1, weight_decay=0.01), samples) <= max(area, signal)


def test_the_test_sees_what_is_as_large_as_all_areas() -> None:
    network = network_of()
    with Largest(set()) as seen:
        network.weights["hidden1_to_hidden2"].clone()
    assert seen.size == 4 * AREAS * WIDTH * WIDTH


@pytest.mark.parametrize("init", ["same", "independent"])
@pytest.mark.parametrize("turned", [False, True])
def test_areas_are_drawn_into_storage_one_by_one(init: str, turned: bool) -> None:
    from neurosal.lower.initial import draw_areas_into

    weights = Own(init=KaimingNormal(), across_areas=init)  # type: ignore[arg-type]
    stored = torch.empty(AREAS, *((64, 48) if turned else (48, 64)))
    with Largest({stored.untyped_storage().data_ptr()}) as seen:
        draw_areas_into(stored, weights, "name", 5, 64, 48, turns=(0, 1) if turned else None)
    assert seen.size <= 4 * 48 * 64 * turned
    generator = stream(5, "name")
    first = [draw(weights.init, (48, 64), 64, 48, generator) for _ in range(AREAS)]
    expected = torch.stack([first[0]] * AREAS if init == "same" else first)
    assert torch.equal(stored.mT if turned else stored, expected)
    assert torch.equal(draw_areas(weights, "name", 5, AREAS, (48, 64), 64, 48), expected)


def test_a_network_is_made_with_little_beside_its_weights() -> None:
    circuit = rules.sal(circuits.mlp(32, WIDTH, WIDTH, 10), areas=AREAS)
    with Largest(set()) as seen:
        network = ns.compile(circuit, device="cpu")
    most = max(tensor.numel() for tensor in network.weights.full.values())
    assert seen.size == 4 * most  # the storage of the largest projection itself


@pytest.mark.parametrize("feedback", ["kp", "kp_tied", "dfa"])
def test_weights_begin_anew_as_they_were_drawn(feedback: str) -> None:
    network = network_of(feedback, init="independent")
    first = {name: tensor.clone() for name, tensor in network.weights.full.items()}
    assert network.as_drawn
    stepped(network, ns.SGD(lr=0.1))
    assert not network.as_drawn
    network.begin_anew([0])
    for name, tensor in network.weights.full.items():
        assert torch.equal(tensor, first[name]), name


def test_weights_that_were_set_by_hand_are_not_as_drawn() -> None:
    network = network_of()
    network.weights["hidden1_to_hidden2"][0, 0, 0, 0] = 1.0
    assert not network.as_drawn


def test_wide_networks_are_judged_in_pieces_to_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = (
        network_of(),
        ns.data.from_arrays(torch.randn(90, 32).numpy(), torch.arange(90).numpy() % 10, test=range(60, 90)),
    )
    whole = network.evaluate(data)
    assert feeding.rows_at_once(network) == feeding.EVALUATED_ROWS
    monkeypatch.setattr(feeding, "EVALUATED_BYTES", 7 * 8 * (32 + 2 * WIDTH + 10))
    assert feeding.rows_at_once(network) == 7
    for name, value in network.evaluate(data).items():
        torch.testing.assert_close(value, whole[name], rtol=1e-6, atol=1e-7)


def test_state_is_estimated_to_the_byte() -> None:
    for optimizer in (ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.9), ns.Adam(lr=0.01)):
        network = network_of()
        stepped(network, optimizer)
        needs = estimate(network.circuit, optimizer=optimizer)
        tensors = network.state_dict()

        def size(prefix: str, tensors: Any = tensors) -> int:
            return sum(t.numel() * 4 for name, t in tensors.items() if name.startswith(prefix) and t.dim() > 2)

        assert size("weights/") == needs["weights"] + needs["feedback"]
        assert size("biases/") == needs["biases"]
        assert size("optimizer/") == needs["optimizer"]
