"""Saved networks: all of a network comes back, and files that are no network are refused in words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file, save_file

import neurosal as ns
from neurosal import rules
from neurosal.engine.storing import FORMAT, WEIGHTS
from neurosal.errors import ExperimentError, StoreError
from neurosal.graph import Circuit
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import TABLE, chain_of

CHAIN = chain_of(4, 5, 6, 3)
WIDER = rules.sal(chain_of(4, 5, 7, 3), areas=3)
OPTIMIZERS = {
    "plain": ns.SGD(lr=0.1),
    "momentum": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": ns.Adam(lr=0.01),
    "per replica": ns.SGD(lr=(0.1, 0.2), momentum=0.5),
}


def network_of(circuit: Any, dtype: str = "float64", seeds: Any = (3, 8)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def stepped(circuit: Any, optimizer: Any, dtype: str = "float64") -> Any:
    network = network_of(circuit, dtype)
    for batch in batches_for(circuit, 3):
        network.step(batch.x.to(network.dtype), batch.y, optimizer=optimizer)
    return network


def must_be_equal(one: Any, two: Any) -> None:
    assert one.state_dict().keys() == two.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert tensor.dtype == two.state_dict()[name].dtype, name
        assert torch.equal(tensor, two.state_dict()[name]), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    "case", [case for case in TABLE if case.name in ("kp", "pfa", "sal_kp", "sal_k_means", "bp")], ids=lambda c: c.name
)
def test_a_network_comes_back_and_goes_on_to_the_same_bits(case: Any, optimizer: Any, tmp_path: Path) -> None:
    network = stepped(case.make(CHAIN), optimizer)
    path = network.save(tmp_path / "network")
    loaded = ns.load(path, device="cpu")
    assert loaded.circuit == network.circuit
    assert (loaded.seeds, loaded.dtype, loaded.steps) == ((3, 8), torch.float64, 3)
    must_be_equal(loaded, network)
    batch = batch_for(CHAIN, 9)
    assert torch.equal(loaded.predict(batch.x), network.predict(batch.x))
    for each in (loaded, network):
        each.step(batch.x, batch.y, optimizer=optimizer)
    must_be_equal(loaded, network)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_type_is_kept(dtype: str, tmp_path: Path) -> None:
    network = stepped(rules.sal(CHAIN, areas=3), OPTIMIZERS["momentum"], dtype)
    must_be_equal(ns.load(network.save(tmp_path / "network"), device="cpu"), network)


def test_frozen_replicas_stay_frozen(tmp_path: Path) -> None:
    network = stepped(rules.kp(CHAIN), OPTIMIZERS["momentum"])
    network.freeze_replicas([1])
    loaded = ns.load(network.save(tmp_path / "network"), device="cpu")
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}
    batch = batch_for(CHAIN, 9)
    loaded.step(batch.x, batch.y, optimizer=OPTIMIZERS["momentum"])
    for name, tensor in loaded.state_dict().items():
        if name.startswith(("weights", "optimizer")):
            assert torch.equal(tensor[1], before[name][1]), name
            assert not torch.equal(tensor[0], before[name][0]), name


@pytest.mark.parametrize("then", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("first", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_any_optimiser_may_follow_a_network_that_was_loaded(first: Any, then: Any, tmp_path: Path) -> None:
    network = stepped(rules.kp(CHAIN), first)
    loaded = ns.load(network.save(tmp_path / "network"), device="cpu")
    batch = batch_for(CHAIN, 9)
    for each in (network, loaded):
        each.step(batch.x, batch.y, optimizer=then)
    if set(then.init(torch.zeros(1, 1, 1))) != set(first.init(torch.zeros(1, 1, 1))) or first == then:
        must_be_equal(network, loaded)
    assert all(torch.isfinite(tensor.double()).all() for tensor in loaded.state_dict().values())


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    first, second = network_of(rules.kp(CHAIN)), stepped(rules.kp(CHAIN), OPTIMIZERS["adam"])
    first.save(tmp_path / "network")
    second.save(tmp_path / "network")
    must_be_equal(ns.load(tmp_path / "network", device="cpu"), second)
    assert list(tmp_path.iterdir()) == [tmp_path / "network"]


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    network = network_of(rules.kp(CHAIN))
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "none" / "network", tmp_path / "folder"):
        with pytest.raises(StoreError, match=f"{place}: expected a file that can be written"):
            network.save(place)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "folder"]


# Files that are no network -------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return Path(stepped(rules.sal(CHAIN, areas=3), OPTIMIZERS["momentum"]).save(tmp_path / "network"))


def refused(path: Path, message: str) -> None:
    with pytest.raises(StoreError, match=message) as error:
        ns.load(path, device="cpu")
    assert str(path) in str(error.value)
    assert error.value.exit_code == 4


def rewritten(path: Path, drop: str = "", **changes: Any) -> Path:
    """The file with another header, or without a tensor."""
    with safe_open(path, framework="pt") as file:
        header = dict(file.metadata())
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != drop}
    save_file(tensors, path, {**header, **changes})
    return path


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none", "a saved network, found no such file")
    refused(tmp_path, "no such file")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_damaged(saved: Path, share: float) -> None:
    os.truncate(saved, int(saved.stat().st_size * share))
    refused(saved, "a damaged file")


def test_any_file_is_not_a_network(tmp_path: Path) -> None:
    for content in (b"text", b"\x00" * 100, b"\xff" * 100, json.dumps({"a": 1}).encode()):
        (tmp_path / "file").write_bytes(content)
        refused(tmp_path / "file", "a damaged file")


def test_a_safetensors_file_of_others_is_named_as_such(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "file")
    refused(tmp_path / "file", f"expected format '{FORMAT}' or '{WEIGHTS}', found None")
    save_file({"weight": torch.zeros(2)}, tmp_path / "file", {"format": "neurosal network 9"})
    refused(tmp_path / "file", "found 'neurosal network 9'")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"circuit": "{"}, "a damaged file"),
        ({"circuit": "[]"}, "expected"),
        ({"circuit": json.dumps({"name": "x", "populations": {}, "projections": {}})}, "populations"),
        ({"circuit": json.dumps(WIDER.to_dict())}, r"expected a tensor \[2, 3, 7, 5\]"),
        ({"circuit": json.dumps(CHAIN.without("hidden1").to_dict())}, "populations.input"),
        ({"seeds": "null"}, "seeds: expected at least one seed"),
        ({"seeds": "[]"}, "seeds: expected at least one seed"),
        ({"seeds": "[1, 2, 3]"}, r"expected a tensor \[3, "),
        ({"dtype": "complex"}, "dtype: expected float32 or float64, found 'complex'"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_refused_by_its_problem(
    saved: Path, changes: dict[str, str], message: str
) -> None:
    refused(rewritten(saved, **changes), message)


@pytest.mark.parametrize(
    "name", ["weights/input_to_hidden1", "biases/output.bias", "routers/route_hidden1/prototypes", "steps"]
)
def test_a_tensor_that_is_missing_is_named(saved: Path, name: str) -> None:
    refused(rewritten(saved, drop=name), name)


def test_a_device_that_is_not_there_is_no_fault_of_the_file(saved: Path) -> None:
    with pytest.raises(ExperimentError, match="device: expected auto, cpu or a GPU"):
        ns.load(saved, device="cuda:7")


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    network, other = stepped(rules.kp(CHAIN), OPTIMIZERS["momentum"]), network_of(rules.kp(CHAIN))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    state = dict(network.state_dict())
    state["weights/output_to_hidden2"] = state["weights/output_to_hidden2"][:1]
    with pytest.raises(ns.CircuitError, match=r"weights/output_to_hidden2: expected a tensor \[2, 1, 3, 6\], found"):
        other.load_state_dict(state)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("dtype", ["float16", "flot32", "complex"])
def test_a_type_that_is_not_there_is_refused_in_words(dtype: str) -> None:
    with pytest.raises(ExperimentError, match=f"dtype: expected float32 or float64, found '{dtype}'"):
        network_of(rules.kp(CHAIN), dtype)


# Weights alone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_file_of_weights_says_the_same_and_learns_the_same_from_there(case: Any, tmp_path: Path) -> None:
    network = stepped(case.make(CHAIN), OPTIMIZERS["plain"])
    network.mask("hidden1_to_hidden2", torch.tensor([True, False, True, True, True]))
    network.silence("hidden1", torch.tensor([True, True, True, False, True]))
    loaded = ns.load(network.save_weights(tmp_path / "weights"), device="cpu")
    assert (loaded.circuit, loaded.seeds, loaded.dtype, loaded.steps) == (network.circuit, (3, 8), torch.float64, 3)
    batch = batch_for(CHAIN, 9)
    assert torch.equal(loaded.predict(batch.x), network.predict(batch.x))
    for each in (loaded, network):
        each.step(batch.x, batch.y, optimizer=OPTIMIZERS["plain"])  # without memory, so there is none to miss
    for name in network.weights:
        assert torch.equal(loaded.weights[name], network.weights[name]), name


def test_a_file_of_weights_has_the_names_and_the_axes_that_users_know(tmp_path: Path) -> None:
    network = stepped(rules.sal(CHAIN, areas=3, feedback="kp"), OPTIMIZERS["adam"])
    path = network.save_weights(tmp_path / "weights")
    arrays = load_numpy(path)
    assert arrays.keys() == {
        *network.weights, *network.biases, *(f"route_hidden1.{key}" for key in network.routers["route_hidden1"]),
    }  # fmt: skip
    for name in network.weights:
        assert np.array_equal(arrays[name], network.weights[name].numpy())
    with safe_open(path, framework="np") as file:
        header = file.metadata()
    dims = json.loads(header["dims"])
    assert dims["hidden1_to_hidden2"] == ["replica", "area", "hidden2", "hidden1"]
    assert dims["output_to_hidden2"] == ["replica", "area", "hidden2", "output"]
    assert dims["hidden1.bias"] == ["replica", "area", "hidden1"]
    for name, array in arrays.items():
        assert len(dims[name]) == array.ndim, name
    assert json.loads(header["ties"]) == {}
    assert Circuit.from_dict(json.loads(header["circuit"])) == network.circuit


def test_ties_are_named_and_not_stored_twice(tmp_path: Path) -> None:
    path = stepped(rules.bp(CHAIN), OPTIMIZERS["plain"]).save_weights(tmp_path / "weights")
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["ties"])["hidden2_to_hidden1"] == "hidden1_to_hidden2"
        assert "hidden2_to_hidden1" not in file.keys()  # noqa: SIM118 - it is no mapping


def test_weights_are_taken_over_by_a_network_that_is_there(tmp_path: Path) -> None:
    one, two = stepped(rules.kp(CHAIN), OPTIMIZERS["momentum"]), network_of(rules.kp(CHAIN))
    two.load_weights(one.save_weights(tmp_path / "weights"))
    for name in one.weights:
        assert torch.equal(one.weights[name], two.weights[name])
    assert two.steps == 3
    assert not any(name.startswith("optimizer") for name in two.state_dict())


def test_weights_of_another_circuit_are_refused_and_nothing_is_taken_over(tmp_path: Path) -> None:
    two = network_of(rules.kp(CHAIN))
    before = {name: tensor.clone() for name, tensor in two.state_dict().items()}
    for circuit, message in ((WIDER, "route_hidden1.weight: expected a tensor of the circuit"),
                             (rules.kp(chain_of(4, 5, 7, 3)), r"a tensor \[2, 1, 6, 5\], found \[2, 1, 7, 5\]"),
                             (rules.bp(CHAIN), "weights/output_to_hidden2: expected a tensor")):  # fmt: skip
        with pytest.raises(StoreError, match=message):
            two.load_weights(stepped(circuit, OPTIMIZERS["plain"]).save_weights(tmp_path / "weights"))
    masked = stepped(rules.kp(CHAIN), OPTIMIZERS["plain"])
    masked.mask("input_to_hidden1", torch.tensor([True, False, True, True]))
    path = masked.save_weights(tmp_path / "masked")
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        save_file(tensors | {"input_to_hidden1.mask": torch.ones(3, dtype=torch.bool)}, path, file.metadata())
    with pytest.raises(StoreError, match=r"input_to_hidden1.mask: expected a tensor \[2, 1, 5, 4\], found \[3\]"):
        two.load_weights(path)
    for path in (masked.save(tmp_path / "network"), tmp_path / "none"):
        with pytest.raises(StoreError, match=str(path)):
            two.load_weights(path)
    must_be_equal_to(before, two)


def must_be_equal_to(state: dict[str, torch.Tensor], network: Any) -> None:
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
