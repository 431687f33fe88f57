"""Signals computed again instead of held: the numbers are the same to the bit, and memory is smaller."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.errors import ExperimentError
from tests.reference.batches import batch_for

PLAIN = circuits.residual_mlp(6, 5, 4, blocks=7)
CHAIN = circuits.mlp(6, 5, 5, 5, 5, 5, 4, activation="gelu")
ARMS = {
    "bp": rules.bp(PLAIN),
    "kp": rules.kp(PLAIN),
    "pfa": rules.pfa(PLAIN, expansion=2),
    "dfa": rules.dfa(PLAIN),
    "dkp": rules.dkp(PLAIN),
    "brsf": rules.brsf(PLAIN),
    "sal": rules.sal(PLAIN, areas=3, rank=2),
    "sal direct": rules.sal(PLAIN, areas=3, rank=2, feedback="dfa", reduction="area"),
    "sal per population": rules.sal(PLAIN, areas=3, rank=2, route="population"),
    "mlp": rules.kp(CHAIN),
}
OPTIMIZERS = {
    "plain": ns.SGD(lr=0.1),
    "momentum": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": ns.Adam(lr=0.01),
}


def trained(circuit: Any, seeds: Any, optimizer: Any, *, recompute: int = 1, light: bool = False) -> Any:
    network = ns.compile(circuit, seeds=seeds, device="cpu", recompute=recompute)
    network._light = lambda _: light  # type: ignore[method-assign]
    for step in range(3):
        batch = batch_for(circuit, step, replicas=len(seeds), samples=9)
        mean = network.step(batch.x.float(), batch.y, optimizer=optimizer)
    return network.state_dict() | {"loss": mean}


@pytest.mark.parametrize("name", ARMS)
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["one", "three"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_numbers_are_those_without(name: str, seeds: Any, optimizer: str) -> None:
    circuit = ARMS[name]
    held = trained(circuit, seeds, OPTIMIZERS[optimizer])
    for options in ({"recompute": 3}, {"recompute": 99}, {"light": True}, {"recompute": 2, "light": True}):
        again = trained(circuit, seeds, OPTIMIZERS[optimizer], **options)  # type: ignore[arg-type]
        assert held.keys() == again.keys()
        for key in held:
            assert torch.equal(held[key], again[key]), (key, options)


def test_lesions_are_minded_when_a_segment_is_computed_again() -> None:
    ends = []
    for recompute in (1, 3):
        network = ns.compile(ARMS["kp"], seeds=(0, 1), device="cpu", recompute=recompute)
        network.silence("hidden2", torch.tensor([True, False, True, True, False]))
        network.mask("hidden1_to_stream1", torch.arange(25).view(5, 5) % 3 > 0)
        network.mask("stream3_to_stream4", torch.tensor([True, True, False, True, True]))
        for step in range(3):
            batch = batch_for(PLAIN, step, samples=9)
            network.step(batch.x.float(), batch.y, optimizer=ns.SGD(lr=0.1))
        ends.append(network.state_dict())
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_a_constant_skip_that_is_written_to_multiplies_from_then_on() -> None:
    network = ns.compile(rules.bp(PLAIN), device="cpu", dtype="float64")
    batch = batch_for(PLAIN, 1, replicas=1)
    before = network.predict(batch.x)
    network.weights["stream0_to_stream1"].fill_(2.0)
    doubled = network.predict(batch.x)
    assert not torch.allclose(before, doubled)
    network.weights["stream0_to_stream1"].fill_(1.0)
    assert torch.equal(network.predict(batch.x), before)


def test_signals_are_all_there_for_those_who_ask() -> None:
    network = ns.compile(ARMS["kp"], device="cpu", dtype="float64", recompute=4)
    other = ns.compile(ARMS["kp"], device="cpu", dtype="float64")
    batch = batch_for(PLAIN, 1, replicas=1)
    mine, theirs = network.signals(batch.x, batch.y), other.signals(batch.x, batch.y)
    assert set(mine["hidden1"]) == {"activity", "error"}
    for name, kinds in theirs.items():
        assert all(torch.equal(mine[name][kind], tensor) for kind, tensor in kinds.items())
    assert network.twin(rules.bp(PLAIN)).recompute == 4


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "two"])
def test_a_number_of_segments_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ExperimentError, match="recompute"):
        ns.compile(ARMS["bp"], device="cpu", recompute=wrong)


def test_clipping_holds_everything_so_the_two_are_refused_together() -> None:
    network = ns.compile(ARMS["bp"], device="cpu", recompute=2)
    batch = batch_for(PLAIN, 1, replicas=1)
    with pytest.raises(ExperimentError, match="clip"):
        network.step(batch.x.float(), batch.y, optimizer=ns.SGD(lr=0.1, clip=1.0))
    with pytest.raises(ExperimentError, match="recompute"):
        ns.Training(recompute=2, optimizer=ns.SGD(lr=0.1, clip=1.0))


def test_training_asks_for_it_and_files_have_it_only_where_it_is_asked_for() -> None:
    assert "recompute" not in ns.Training().to_dict()
    asked = ns.Training(recompute=3)
    assert ns.Training.from_dict(asked.to_dict()) == asked
    with pytest.raises(ExperimentError, match="recompute"):
        ns.Training(recompute=0)


def test_a_run_learns_the_same_whatever_is_computed_again(tmp_path: Any) -> None:
    data = ns.data.load("digits").split(train=0.8, test=0.2)
    circuit = rules.kp(circuits.residual_mlp(64, 8, 10, blocks=4))
    ends = {}
    for recompute in (1, 3):
        network = ns.compile(circuit, device="cpu", recompute=recompute)
        ns.train(network, data, epochs=1, batch_size=128, optimizer=ns.SGD(lr=0.1), store=tmp_path / f"{recompute}")
        ends[recompute] = network.state_dict()
        with pytest.raises(ExperimentError, match="recompute"):
            ns.train(network, data, epochs=1, recompute=7)
    assert all(torch.equal(ends[1][key], ends[3][key]) for key in ends[1])
