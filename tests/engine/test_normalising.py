"""Normalisation: values, errors and changes against autograd in every layout of rows; training, judging, state."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.checks import estimate
from neurosal.engine.transfer import bound
from neurosal.errors import CircuitError, DataError
from neurosal.graph import (
    BatchNorm,
    Circuit,
    Constant,
    GroupNorm,
    LayerNorm,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    RMSNorm,
    Source,
)
from neurosal.plasticity import Fixed
from tests.reference.batches import batch_for
from tests.reference.norms import LAYOUTS, VALUES, batch_like, drawn, normalised, place_of, rows_in

FLAT, SPACE, LINE = (6,), (6, 3, 2), (6, 4)
ACTIVATIONS = ("relu", "linear", "gelu", "tanh")


def compare(model: Rate, layout: str, replicas: int, extent: tuple[int, ...], *, training: bool, **more: Any) -> None:
    """Value, error and proposed changes of a population against autograd of the norm written out."""
    place = place_of(model, extent, replicas, **more)
    function, batch = bound(model, place), batch_like(5, training)
    a, e = (rows_in(layout, replicas, 5, extent, seed) for seed in (1, 2))
    for borrowed in (True, False):
        seen, sent = a.clone(), e.clone()
        h, kept = function.value(seen, borrowed, batch)
        h = h.clone()
        delta = function.gate(sent, kept, borrowed, batch)
        if borrowed:
            assert torch.equal(seen, a)
            assert torch.equal(sent, e)
        assert delta.stride() == a.stride() == h.stride()
        for r in range(replicas):
            own = {key: value[r, 0].clone().requires_grad_() for key, value in place.parameters.items()}
            running = {} if training else {key: value[r] for key, value in place.statistics.items()}
            free = (a if replicas == 1 else a[r]).clone().requires_grad_()
            value = model.gain * VALUES[model.activation](normalised(model.norm, free, own, running))
            value.backward(e if replicas == 1 else e[r])
            assert free.grad is not None
            assert ((h if replicas == 1 else h[r]) - value).abs().max() < 1e-12
            assert ((delta if replicas == 1 else delta[r]) - free.grad).abs().max() < 1e-12
            for key, leaf in own.items():
                assert leaf.grad is not None
                assert (batch.own[f"here.{key}"][r, 0] - leaf.grad).abs().max() < 1e-12


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extent", [FLAT, LINE, SPACE], ids=str)
@pytest.mark.parametrize("plainly", [False, True])
def test_batch_norm_and_its_error_are_those_of_autograd(
    training: bool, replicas: int, layout: str, extent: tuple[int, ...], plainly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosal.engine.normalising.LARGE", 1)
    for index, activation in enumerate(ACTIVATIONS):
        norm = BatchNorm(eps=0.01, affine=index != 1)
        model = Rate(activation=activation, norm=norm, gain=0.5 if index % 2 else 1.0)  # type: ignore[arg-type]
        compare(model, layout, replicas, extent, training=training, plainly=plainly)


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extent", [FLAT, LINE, SPACE], ids=str)
@pytest.mark.parametrize("affine", [False, True])
def test_norms_of_single_samples_and_their_error_are_those_of_autograd(
    replicas: int, layout: str, extent: tuple[int, ...], affine: bool
) -> None:
    norms = (
        LayerNorm(eps=0.01, affine=affine),
        GroupNorm(groups=3, eps=0.01, affine=affine),
        RMSNorm(eps=0.01, affine=affine),
    )
    for index, norm in enumerate(norms):
        for activation in ACTIVATIONS[: 2 + index]:
            model = Rate(activation=activation, norm=norm, gain=0.5 if index == 1 else 1.0)  # type: ignore[arg-type]
            compare(model, layout, replicas, extent, training=True)


def test_small_replicas_without_space_are_written_out_to_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = Rate(activation="tanh", norm=BatchNorm()), []
    for large in (1, 1 << 30):
        monkeypatch.setattr("neurosal.engine.normalising.LARGE", large)
        for training in (True, False):
            compare(model, "in order", 3, FLAT, training=training)
        function, batch = bound(model, place_of(model, FLAT, 3)), batch_like(5, True)
        found.append(function.value(rows_in("in order", 3, 5, FLAT, 1), True, batch)[0])
    assert (found[0] - found[1]).abs().max() < 1e-14


# Networks -------------------------------------------------------------------------------------------------------------


def normed(*sizes: int, **options: Any) -> Circuit:
    """A chain whose hidden populations have batch normalisation."""
    circuit = circuits.mlp(*sizes)
    model = Rate(norm=BatchNorm(**options), bias=False)
    hidden = {name: p.replace(model=model) for name, p in circuit.populations.items() if name.startswith("hidden")}
    return circuit.with_populations(**hidden)


CHAIN = rules.bp(normed(5, 6, 7, 3))


def network_of(circuit: Circuit = CHAIN, seeds: Any = (0,), **options: Any) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64", **options)


def batch_of(replicas: int = 1, samples: int = 8, seed: int = 0) -> Any:
    return batch_for(CHAIN, seed, replicas=replicas, samples=samples)


def in_torch(network: Any, replica: int) -> torch.nn.Sequential:
    """The chain with the replica's numbers in torch's own modules."""
    sizes = [network.circuit.populations[name].units for name in ("input", "hidden1", "hidden2", "output")]
    layers: list[torch.nn.Module] = []
    for index, name in enumerate(("hidden1", "hidden2")):
        layers.append(torch.nn.Linear(sizes[index], sizes[index + 1], bias=False, dtype=torch.float64))
        norm = torch.nn.BatchNorm1d(sizes[index + 1], dtype=torch.float64)
        with torch.no_grad():
            norm.weight.copy_(network.biases[f"{name}.scale"][replica, 0])
            norm.bias.copy_(network.biases[f"{name}.shift"][replica, 0])
        layers += [norm, torch.nn.ReLU()]
    layers.append(torch.nn.Linear(sizes[2], sizes[3], dtype=torch.float64))
    edges = ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output")
    with torch.no_grad():
        for layer, edge in zip((layers[0], layers[3], layers[6]), edges, strict=True):
            layer.weight.copy_(network.weights[edge][replica, 0])  # type: ignore[operator,union-attr]
        layers[6].bias.copy_(network.biases["output.bias"][replica, 0])  # type: ignore[operator,union-attr]
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("seeds", [(0,), (0, 4)])
@pytest.mark.parametrize(
    "optimizer",
    [
        ns.SGD(lr=0.1),
        ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01),
        ns.Adam(lr=0.01, weight_decay=0.01),
    ],
    ids=repr,
)
def test_training_and_judging_are_those_of_torch_modules(seeds: tuple[int, ...], optimizer: Any) -> None:
    network = network_of(seeds=seeds)
    modules = [in_torch(network, replica) for replica in range(len(seeds))]
    kind = torch.optim.Adam if isinstance(optimizer, ns.Adam) else torch.optim.SGD
    settings = {"lr": optimizer.lr, "weight_decay": optimizer.weight_decay}
    settings |= {"momentum": optimizer.momentum} if isinstance(optimizer, ns.SGD) else {}
    theirs = [kind(module.parameters(), **settings) for module in modules]
    for step in range(6):
        batch = batch_of(len(seeds), samples=8 - step, seed=step)
        losses = network.step(batch.x, batch.y, optimizer=optimizer)
        for replica, (module, other) in enumerate(zip(modules, theirs, strict=True)):
            other.zero_grad()
            loss = torch.nn.functional.cross_entropy(module(batch.x[replica]), batch.y[replica])
            loss.backward()
            other.step()
            assert abs(float(losses[replica]) - float(loss.detach())) < 1e-10
    x = batch_of(samples=20, seed=9).x[0]
    for replica, module in enumerate(modules):
        module.eval()
        assert (network.predict(x)[replica] - module(x)).abs().max() < 1e-10
        for name, norm in (("hidden1", module[1]), ("hidden2", module[4])):
            assert (network.statistics[f"{name}.mean"][replica] - norm.running_mean).abs().max() < 1e-12  # type: ignore[operator]
            assert (network.statistics[f"{name}.variance"][replica] - norm.running_var).abs().max() < 1e-10  # type: ignore[operator]
            assert (network.biases[f"{name}.scale"][replica, 0] - norm.weight).abs().max() < 1e-10  # type: ignore[operator]


def test_judging_does_not_depend_on_what_else_is_in_the_batch() -> None:
    network, batch = network_of(), batch_of()
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    alone = torch.cat([network.predict(row[None]) for row in batch.x[0]], dim=1)
    assert (network.predict(batch.x) - alone).abs().max() < 1e-13


def test_looking_changes_no_running_statistics_and_a_step_does() -> None:
    network, batch = network_of(seeds=(0, 1)), batch_of(2)
    before = {name: tensor.clone() for name, tensor in network.statistics.items()}
    network.updates(batch.x, batch.y)
    network.signals(batch.x, batch.y)
    network.signals(batch.x)
    network.predict(batch.x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.statistics.items())
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.0))
    assert not any(torch.equal(tensor, before[name]) for name, tensor in network.statistics.items())


def test_what_is_proposed_is_what_a_step_does() -> None:
    network, batch = network_of(seeds=(0, 1)), batch_of(2)
    before = {name: tensor.clone() for name, tensor in network.biases.items()}
    proposed = network.updates(batch.x, batch.y)
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.5))
    for name in ("hidden1.scale", "hidden2.shift", "output.bias"):
        assert (network.biases[name] - (before[name] - 0.5 * proposed[name])).abs().max() < 1e-12


def test_a_replica_alone_is_the_same_as_in_a_batch() -> None:
    together, alone = network_of(seeds=(3, 4, 5)), network_of(seeds=(4,))
    for step in range(5):
        batch = batch_of(3, seed=step)
        together.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, momentum=0.9))
        alone.step(batch.x[1], batch.y[1], optimizer=ns.SGD(lr=0.1, momentum=0.9))
    mine, theirs = alone.state_dict(), together.state_dict()
    compared = [name for name in mine if mine[name].dim() > 1]
    assert {"statistics/hidden1.mean", "optimizer/hidden1.scale/momentum"} <= {*compared}
    for name in compared:
        assert (mine[name][0] - theirs[name][1]).abs().max() < 1e-10, name


@pytest.mark.parametrize("segments", [2, 3])
def test_computing_again_gives_the_same_bits_and_moves_running_statistics_once(segments: int) -> None:
    circuit = rules.bp(normed(5, 6, 7, 6, 5, 3))
    networks = [network_of(circuit, seeds=(0, 1), recompute=n) for n in (1, segments)]
    for step in range(3):
        batch = batch_for(circuit, step, replicas=2, samples=8)
        for network in networks:
            network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, momentum=0.9))
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_state_and_files_hold_running_statistics(tmp_path: Any) -> None:
    network = network_of(seeds=(0, 1))
    for step in range(3):
        batch = batch_of(2, seed=step)
        network.step(batch.x, batch.y, optimizer=ns.Adam(lr=0.01))
    x = batch.x
    again = ns.load(network.save(tmp_path / "whole.safetensors"), device="cpu")
    assert torch.equal(again.predict(x), network.predict(x))
    assert torch.equal(copy.deepcopy(network).predict(x), network.predict(x))
    network.save_weights(tmp_path / "weights.safetensors")
    assert torch.equal(ns.load(tmp_path / "weights.safetensors", device="cpu").predict(x), network.predict(x))
    for one in (network, again):
        one.step(batch.x, batch.y, optimizer=ns.Adam(lr=0.01))
    mine = again.state_dict()
    assert all(torch.equal(tensor, mine[name]) for name, tensor in network.state_dict().items())


def test_a_frozen_replica_keeps_scale_shift_and_statistics() -> None:
    network = network_of(seeds=(0, 1))
    network.freeze_replicas([1])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batch = batch_of(2)
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    after = network.state_dict()
    for name in (
        "biases/hidden1.scale",
        "biases/hidden1.shift",
        "statistics/hidden1.mean",
        "statistics/hidden2.variance",
    ):
        assert torch.equal(after[name][1], before[name][1])
        assert not torch.equal(after[name][0], before[name][0])


def test_where_no_error_arrives_scale_and_shift_stay_and_statistics_move() -> None:
    network, batch = network_of(rules.shallow(normed(5, 6, 7, 3))), batch_of()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in ("biases/hidden1.scale", "biases/hidden2.shift"))
    assert not torch.equal(after["statistics/hidden1.mean"], before["statistics/hidden1.mean"])


def test_noise_in_place_of_data_moves_no_running_statistics() -> None:
    network = network_of(rules.wm(normed(5, 6, 7, 3)))
    mirror = network.twin(network.circuit.driven_at("hidden1"))
    before = {name: tensor.clone() for name, tensor in network.statistics.items()}
    mirror.step({"hidden1": drawn(16, 6)}, loss="none", optimizer=ns.SGD(lr=0.1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.statistics.items())
    noisy = CHAIN.with_populations(input=Population(size=5, model=Source(driven=True)))
    network, batch = network_of(noisy), batch_of()
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    assert not any(bool(network.statistics[f"{name}.mean"].any()) for name in ("hidden1", "hidden2"))


def test_parameters_of_norms_are_feedforward_and_are_counted() -> None:
    network = network_of()
    found = network.parameters("feedforward")
    assert {"hidden1.scale", "hidden1.shift", "hidden2.scale", "output.bias"} <= found.keys()
    assert found["hidden1.scale"].shape == (1, 1, 6)
    assert bool((found["hidden1.scale"] == 1).all())
    assert not found["hidden1.shift"].any()
    held = [*network.biases.values(), *network.statistics.values()]
    assert network.memory().fixed["biases"] == sum(tensor.nbytes for tensor in held)
    assert estimate(network.circuit, dtype="float64")["biases"] == network.memory().fixed["biases"]


def test_one_sample_is_refused_in_training_and_judged_after_it() -> None:
    network, batch = network_of(), batch_of(samples=1)
    with pytest.raises(DataError, match=r"hidden1.*more than one value"):
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    assert network.predict(batch.x).shape == (1, 1, 3)


def test_data_whose_last_batch_has_one_sample_is_refused_before_the_first_step() -> None:
    network, random = network_of(), np.random.default_rng(0)
    data = ns.data.from_arrays(random.normal(size=(21, 5)), random.integers(3, size=21))
    with pytest.raises(DataError, match=r"batch_size: 5 of 21"):
        ns.train(network, data, epochs=1, batch_size=5, optimizer=ns.SGD(lr=0.1))
    assert network.steps == 0
    ns.train(network, data, epochs=1, batch_size=7, optimizer=ns.SGD(lr=0.1))
    assert network.steps == 3


def test_a_norm_of_the_batch_is_refused_with_areas_and_with_lateral_projections() -> None:
    routed = rules.sal(circuits.mlp(5, 6, 3), areas=2)
    hidden = routed.populations["hidden1"]
    with pytest.raises(CircuitError, match="2 areas"):
        ns.check(routed.with_populations(hidden1=hidden.replace(model=Rate(norm=BatchNorm()))))
    settling = circuits.mlp(5, 6, 3)
    settling = settling.with_projections(
        around=Projection(source="hidden1", target="hidden1", pathway="lateral", plasticity=Fixed())
    )
    hidden = settling.populations["hidden1"]
    with pytest.raises(CircuitError, match="lateral"):
        ns.check(settling.with_populations(hidden1=hidden.replace(model=Rate(norm=BatchNorm()))))


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_a_compiled_step_is_the_same_step() -> None:
    networks = [network_of(seeds=(0, 1), step=way) for way in ("eager", "compiled")]
    for step in range(3):
        batch = batch_of(2, seed=step)
        for network in networks:
            network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, momentum=0.9))
    one, other = (network.state_dict() for network in networks)
    for name, tensor in one.items():
        assert (tensor.double() - other[name].double()).abs().max() < 1e-9, name


@pytest.mark.parametrize(
    "norm", [LayerNorm(), GroupNorm(groups=2), RMSNorm(affine=True), BatchNorm(affine=False)], ids=repr
)
def test_every_norm_learns_in_a_network_as_autograd_says(norm: Any) -> None:
    circuit = circuits.mlp(5, 6, 3).with_populations(
        hidden1=Population(size=6, model=Rate(activation="tanh", norm=norm, dropout=0.0))
    )
    network, batch = network_of(rules.bp(circuit), seeds=(0, 1)), batch_of(2)
    for name in ("hidden1.scale", "hidden1.shift"):
        if name in network.biases:
            network.biases[name].copy_(drawn(2, 1, 6, seed=len(name)))
    found = network.updates(batch.x, batch.y)
    for r in range(2):
        own = {
            key: value[r, 0].clone().requires_grad_()
            for key, value in {**network.weights, **network.biases}.items()
            if not key.startswith("output_to")
        }
        a = batch.x[r] @ own["input_to_hidden1"].T + own["hidden1.bias"]
        parts = {key: own[f"hidden1.{key}"] for key in ("scale", "shift") if f"hidden1.{key}" in own}
        rows = torch.tanh(normalised(norm, a, parts, {})) @ own["hidden1_to_output"].T + own["output.bias"]
        torch.nn.functional.cross_entropy(rows, batch.y[r]).backward()
        for key, leaf in own.items():
            assert leaf.grad is not None
            assert (found[key][r, 0] - leaf.grad).abs().max() < 1e-12, key
    assert found.keys() == own.keys()


def test_a_norm_without_input_that_learns_changes_where_an_error_arrives() -> None:
    circuit = circuits.mlp(5, 5, 3)
    skip = {"wiring": OneToOne(), "weights": Own(init=Constant(value=1.0)), "plasticity": Fixed()}
    edge = circuit.projections["input_to_hidden1"].replace(**skip)
    circuit = circuit.with_projections(input_to_hidden1=edge).with_populations(
        hidden1=Population(size=5, model=Rate(norm=LayerNorm(), bias=False))
    )
    batch = batch_for(circuit, 0, replicas=1)
    found = network_of(rules.bp(circuit)).updates(batch.x, batch.y)
    assert found.keys() == {"hidden1_to_output", "output.bias", "hidden1.scale", "hidden1.shift"}
    plain = circuit.with_projections(
        input_to_hidden1=circuits.mlp(5, 5, 3).projections["input_to_hidden1"].replace(plasticity=Fixed())
    )
    assert network_of(rules.bp(plain)).updates(batch.x, batch.y).keys() == {"hidden1_to_output", "output.bias"}


def test_groups_that_do_not_part_the_channels_are_refused() -> None:
    hidden = Population(size=6, model=Rate(norm=GroupNorm(groups=4)))
    with pytest.raises(CircuitError, match="4 groups"):
        ns.check(circuits.mlp(5, 6, 3).with_populations(hidden1=hidden))


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize(
    "norm", [BatchNorm(), LayerNorm(), GroupNorm(groups=2), RMSNorm(), RMSNorm(affine=True)], ids=repr
)
def test_narrow_rows_stay_narrow_and_their_sums_are_wide(norm: Any, layout: str, replicas: int) -> None:
    model, narrow = Rate(activation="tanh", norm=norm), torch.bfloat16
    wide, place = (place_of(model, SPACE, replicas) for _ in range(2))
    own = {key: value.float() for key, value in place.parameters.items()}
    running = {key: value.float() for key, value in place.statistics.items()}
    place = replace(place, parameters=own, statistics=running, dtype=torch.float32)
    for training in (True, False):
        batches = [batch_like(50, training) for _ in range(2)]
        a, e = (rows_in(layout, replicas, 50, SPACE, seed).to(narrow) for seed in (1, 2))
        exact = bound(model, wide).value(a.double(), True, batches[0])
        found = bound(model, place).value(a, True, batches[1])
        deltas = [
            bound(model, wide).gate(e.double(), exact[1], True, batches[0]),
            bound(model, place).gate(e, found[1], True, batches[1]),
        ]
        for one, other in ((exact[0], found[0]), deltas):
            assert other.dtype == narrow
            assert (one - other).norm() < 2.0**-7 * one.norm()
        for key, change in batches[1].own.items():
            assert change.dtype == torch.float32
            assert (batches[0].own[key] - change).norm() < 2.0**-8 * batches[0].own[key].norm() * 3
