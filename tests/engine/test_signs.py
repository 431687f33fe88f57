"""Sign-symmetric feedback: what is reported is what is used, and magnitudes follow from seed, name and step."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import (
    Circuit,
    KaimingNormal,
    Normal,
    Orthogonal,
    Projection,
    SignOf,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.magnitudes import redrawn
from neurosal.stats import base
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="tanh")
WIDE = chain_of(20, 300, 200, 100)
BACK = ("hidden2_to_hidden1", "output_to_hidden2")
MOMENTUM = ns.SGD(lr=0.1, momentum=0.9)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def angle(network: Any) -> np.ndarray[Any, Any]:
    forward, back = network.weights["hidden1_to_hidden2"], network.weights["hidden2_to_hidden1"]
    return np.asarray(base.angle(forward.flatten(1), back.mT.flatten(1), axis=1))


@pytest.mark.parametrize(
    ("rule", "cosine"),
    [(rules.usf, math.sqrt(3) / 2), (rules.frsf, 3 / 4), (rules.brsf, 3 / 4)],
    ids=["usf", "frsf", "brsf"],
)
def test_uniform_weights_start_at_the_angle_of_their_magnitudes(rule: Any, cosine: float) -> None:
    network = network_of(rule(WIDE), seeds=range(4))
    # E|W||M| / √(E W² E M²), here of uniform distributions; 60 000 weights leave about a tenth of a degree.
    assert np.abs(angle(network) - math.degrees(math.acos(cosine))).max() < 0.3


def test_usf_starts_at_thirty_degrees_and_its_magnitude_is_the_deviation_of_the_weights() -> None:
    network = network_of(rules.usf(WIDE))
    assert np.abs(angle(network) - 30.0).max() < 0.2
    forward, back = network.weights["hidden1_to_hidden2"], network.weights["hidden2_to_hidden1"]
    assert (base.norm_ratio(forward.flatten(1), back.flatten(1), axis=1) - 1).abs().max() < 0.01


@pytest.mark.parametrize("rule", [rules.usf, rules.frsf, rules.brsf])
def test_the_angle_that_is_reported_is_that_of_the_feedback_that_is_used(rule: Any) -> None:
    network = network_of(rule(CHAIN))
    for batch in batches_for(CHAIN, 3):
        network.step(batch.x, batch.y, optimizer=MOMENTUM)
    run = ns.train(
        network, ns.data.from_arrays(batch.arrays["input"][0], batch.targets[0]), epochs=2, batch_size=3,
        optimizer=MOMENTUM, record=[ns.probe("angle", every=1), ns.probe("error", every=1)],
    )  # fmt: skip
    batch = batch_for(CHAIN, 9)
    swept = network.forward(batch.x)
    network.backward(swept, batch.y)
    signals = network.signals_of(swept)
    for back in BACK:
        source, target = back.split("_to_")
        used = network.weights[back][:, 0]
        e = signals[source]["error"] @ used.mT * (1 - signals[target]["activity"] ** 2)
        assert (e - signals[target]["error"]).abs().max() < 1e-12
    last = run.tree["stats/symmetry/every_1"].angle.isel(sample=-1).sel(pair="hidden1_to_hidden2")
    assert np.abs(last.to_numpy() - angle(network)).max() < 1e-9


def test_fixed_magnitudes_stay_and_only_signs_follow() -> None:
    network = network_of(rules.frsf(CHAIN))
    before = {name: network.weights[name].abs().clone() for name in BACK}
    for batch in batches_for(CHAIN, 3):
        network.step(batch.x, batch.y, optimizer=MOMENTUM)
    for name in BACK:
        source, target = name.split("_to_")
        forward = network.weights[f"{target}_to_{source}"]
        assert (network.weights[name].abs() - before[name]).abs().max() < 1e-15
        assert torch.equal(network.weights[name].sign(), forward.sign().mT)


def test_redrawn_magnitudes_are_new_in_every_step_and_follow_from_seed_name_and_step() -> None:
    network = network_of(rules.brsf(CHAIN), seeds=(0, 1, 0))
    seen = []
    for step, batch in enumerate(batches_for(CHAIN, 4, replicas=3)):
        magnitude = network.weights["output_to_hidden2"].abs()
        assert torch.equal(magnitude[0], magnitude[2])
        assert not torch.equal(magnitude[0], magnitude[1])
        expected = redrawn(XavierUniform(), "output_to_hidden2", 1, step, (1, 3, 5), 3, 5)
        assert (magnitude[1].mT - torch.from_numpy(expected)).abs().max() < 1e-12
        seen.append(magnitude.clone())
        network.step(batch.x, batch.y, optimizer=MOMENTUM)
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    network.restart()
    assert torch.equal(network.weights["output_to_hidden2"].abs(), seen[0])


def test_a_loaded_network_and_a_copy_meet_the_same_magnitudes(tmp_path: Any) -> None:
    for rule in (rules.frsf, rules.brsf):
        network = network_of(rule(CHAIN))
        for batch in batches_for(CHAIN, 3):
            network.step(batch.x, batch.y, optimizer=MOMENTUM)
        others = [ns.load(network.save(tmp_path / "network"), device="cpu"), copy.deepcopy(network)]
        batch = batch_for(CHAIN, 7)
        for each in (network, *others):
            each.step(batch.x, batch.y, optimizer=MOMENTUM)
        for each in others:
            assert all(torch.equal(each.weights[name], weight) for name, weight in network.weights.items())


def test_a_twin_has_the_same_magnitudes_and_leaves_them_alone() -> None:
    network = network_of(rules.brsf(CHAIN))
    batch = batch_for(CHAIN)
    network.step(batch.x, batch.y, optimizer=MOMENTUM)
    before = network.weights["output_to_hidden2"].clone()
    twin = network.twin(rules.brsf(CHAIN))
    assert torch.equal(network.weights["output_to_hidden2"], before)
    assert torch.equal(twin.weights["output_to_hidden2"], before)
    network.step(batch.x, batch.y, optimizer=MOMENTUM)
    assert torch.equal(twin.weights["output_to_hidden2"], network.weights["output_to_hidden2"])


@pytest.mark.parametrize("rule", [rules.usf, rules.frsf, rules.brsf])
def test_where_a_weight_is_exactly_zero_there_is_no_feedback(rule: Any) -> None:
    network = network_of(rule(CHAIN))
    network.weights["hidden2_to_output"][:, :, 1, 2] = 0.0
    assert not network.weights["output_to_hidden2"][:, :, 2, 1].any()


@pytest.mark.parametrize("rule", [rules.frsf, rules.brsf])
def test_masked_feedback_stays_masked_while_magnitudes_are_drawn(rule: Any) -> None:
    network = network_of(rule(CHAIN))
    keep = torch.tensor([1, 0, 1])
    network.mask("output_to_hidden2", keep)
    for batch in batches_for(CHAIN, 3):
        weight = network.weights["output_to_hidden2"].clone()
        assert not weight[..., 1].any()
        assert weight[..., [0, 2]].all()
        network.step(batch.x, batch.y, optimizer=MOMENTUM)
    network.restore("output_to_hidden2")
    assert network.weights["output_to_hidden2"].all()


@pytest.mark.parametrize("init", ["same", "independent"])
def test_areas_share_magnitudes_where_they_share_a_start(init: str) -> None:
    for feedback in ("frsf", "brsf"):
        network = network_of(rules.sal(CHAIN, areas=3, feedback=feedback, init=init))
        magnitude = network.weights["output_to_hidden2"].abs()
        assert torch.equal(magnitude[:, 0], magnitude[:, 2]) == (init == "same")


@pytest.mark.parametrize(
    ("init", "mean"),
    [
        (XavierNormal(), math.sqrt(2 / math.pi) * math.sqrt(2 / 700)),
        (KaimingNormal(), math.sqrt(2 / math.pi) * math.sqrt(2 / 300)),
        (XavierUniform(), math.sqrt(6 / 700) / 2),
        (Uniform(low=-1, high=3), 1.25),
        (Normal(mean=2, std=0.1), 2.0),
        (Orthogonal(), math.sqrt(2 / math.pi / 400)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_magnitudes_have_the_distribution_that_is_asked_for(init: Any, mean: float) -> None:
    drawn = redrawn(init, "back", 0, 3, (400, 300), 300, 400)
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(mean, rel=0.02)


@pytest.mark.parametrize("dimensions", [{"magnitudes": "drawn"}, {"magnitudes": "fixed", "magnitude": 0.1}])
def test_what_has_no_meaning_is_refused(dimensions: dict[str, Any]) -> None:
    with pytest.raises(CircuitError, match="magnitude"):
        SignOf(of="hidden1_to_output", **dimensions)


def test_magnitudes_come_back_from_a_file_and_are_counted() -> None:
    circuit = rules.frsf(CHAIN)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit
    from neurosal.checks.memory import parameters

    assert parameters(circuit, "output_to_hidden2") == 15
    assert parameters(rules.usf(CHAIN), "output_to_hidden2") == 0


def test_the_signs_of_a_tied_projection_are_those_of_its_owner() -> None:
    tied = CHAIN.with_projections(
        hidden2_to_output=Projection(source="hidden2", target="output", weights={"kind": "transpose", "of": "again"}),
        again=Projection(source="output", target="hidden2", pathway="feedback"),
        back=Projection(
            source="output", target="hidden2", pathway="feedback",
            weights=SignOf(of="hidden2_to_output", magnitudes="fixed"),
        ),
    )  # fmt: skip
    network = network_of(tied)
    assert torch.equal(network.weights["back"].sign(), network.weights["hidden2_to_output"].sign().mT)
