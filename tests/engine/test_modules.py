"""A replica as a plain torch module: the same outputs, the same absences, and back again."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError, ExperimentError
from neurosal.graph import (
    Circuit,
    Constant,
    Dense,
    Normal,
    OneToOne,
    Own,
    Projection,
    Rate,
    SameRoute,
    SignOf,
    Sparse,
    Transpose,
)
from neurosal.plasticity import Fixed
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import TABLE, chain_of, named

CHAIN = chain_of(4, 5, 6, 3)
EXACT = 1e-12


def network_of(circuit: Circuit, seeds: Any = (3, 8), *, steps: int = 2, dtype: str = "float64") -> Any:
    """A network that has learned a little, so that biases and routers are no longer what they were at the start."""
    network = ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)
    for batch in batches_for(circuit, steps, replicas=len(seeds)):
        x = {name: torch.from_numpy(value).to(network.dtype) for name, value in batch.arrays.items()}
        network.step(x, batch.y, optimizer=ns.SGD(lr=0.2))
    return network


def must_say_the_same(network: Any, samples: int = 9) -> None:
    for replica in range(network.replicas):
        arrays = batch_for(network.circuit, 50 + replica, replicas=1, samples=samples).arrays
        x = {name: torch.from_numpy(value[0]).to(network.dtype) for name, value in arrays.items()}
        module = network.to_module(replica)
        found = module(*x.values())
        assert found.shape == (samples, network.circuit.populations[network.circuit.output].units)
        assert (found - network.predict(x)[replica]).abs().max() < EXACT
        assert torch.equal(module.eval()(*x.values()), found)


# The same outputs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_module_says_what_the_network_says_under_every_rule(case: Any) -> None:
    network = network_of(case.make(CHAIN))
    network.fit_routers(batch_for(CHAIN, 5).x)
    must_say_the_same(network)


@pytest.mark.parametrize("name", ["bp", "kp", "sal_kp", "sal_per_population", "sal_shared_readout"])
def test_one_replica_alone_gives_the_very_bits_where_nothing_is_routed(name: str) -> None:
    network = network_of(named(name).make(CHAIN), seeds=(4,), dtype="float32")
    x = torch.from_numpy(batch_for(CHAIN, 7, replicas=1).arrays["input"][0]).float()
    if name.startswith("sal"):
        assert torch.allclose(network.to_module()(x), network.predict(x)[0], atol=1e-6)
    else:
        assert torch.equal(network.to_module()(x), network.predict(x)[0])


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid", "gelu", "elu", "softplus"])
def test_each_activation_is_that_of_the_network(activation: Any) -> None:
    must_say_the_same(network_of(rules.kp(chain_of(4, 5, 6, 3, activation=activation))))


@pytest.mark.parametrize("name", ["foldiak", "mlp"])
def test_built_in_circuits_have_a_module(name: str) -> None:
    must_say_the_same(ns.compile(getattr(ns.circuits, name)(), seeds=(0, 1), device="cpu", dtype="float64"))


@pytest.mark.parametrize("plasticity", ["fixed", "delta"])
@pytest.mark.parametrize("areas", [1, 3])
def test_a_bias_is_added_where_no_linear_layer_comes_first(areas: int, plasticity: str) -> None:
    chain = chain_of(5, 5, 3)
    first = Projection(source="input", target="hidden1", wiring=OneToOne(), plasticity={"kind": plasticity})
    edges = {"skip": first, **chain.projections}
    circuit = rules.kp(chain.replace(projections=edges)) if areas == 1 else rules.sal(
        chain.replace(projections=edges), areas=areas, rank=3, readout="shared")  # fmt: skip
    network = network_of(circuit)
    network.biases["hidden1.bias"].normal_()
    must_say_the_same(network)
    assert "hidden1.bias" in network.to_module().state_dict()


@pytest.mark.parametrize("areas", [1, 3])
@pytest.mark.parametrize("wiring", [Dense(), OneToOne()])
def test_lateral_populations_settle_in_the_module_too(areas: int, wiring: Any) -> None:
    model = Rate(activation="tanh", settle_steps=7, settle_rate=0.3)
    circuit = rules.sal(chain_of(4, 5, 3), areas=areas, rank=3) if areas > 1 else rules.fa(chain_of(4, 5, 3))
    edge = Projection(source="hidden1", target="hidden1", pathway="lateral", weights=Own(init=Normal(std=0.3)),
                      wiring=wiring)  # fmt: skip
    hidden = circuit.populations["hidden1"].replace(model=model)
    circuit = circuit.with_populations(hidden1=hidden).with_projections(around=edge)
    network = network_of(circuit)
    must_say_the_same(network)
    network.silence("hidden1", torch.tensor([True, False, True, True, False]))
    must_say_the_same(network)


def test_ties_stay_ties() -> None:
    circuit = rules.bp(
        chain_of(4, 5, 4).with_projections(
            hidden1_to_output=Projection(source="hidden1", target="output", weights=Transpose(of="input_to_hidden1"))
        )
    )
    network = network_of(circuit)
    must_say_the_same(network)
    module = network.to_module(1)
    assert set(dict(module.named_parameters())) == {"input_to_hidden1.weight", "input_to_hidden1.bias", "output.bias"}
    x = torch.randn(5, 4, dtype=torch.float64)
    module(x).square().sum().backward()
    assert module.input_to_hidden1.weight.grad.shape == (5, 4)


def in_areas(circuit: Circuit) -> Circuit:
    """Routed, with a population of fixed input that takes the same areas as the one before."""
    routed = rules.sal(circuit, areas=3, rank=3, feedback="fa")
    hidden = routed.populations["hidden1_again"].replace(areas=3)
    route = Projection(source="input", target="hidden1_again", pathway="modulatory", plasticity=Fixed(),
                       wiring=SameRoute(of="route_hidden1"))  # fmt: skip
    return routed.with_populations(hidden1_again=hidden).with_projections(route_again=route)


@pytest.mark.parametrize("magnitudes", ["uniform", "fixed", "redrawn"])
@pytest.mark.parametrize("rule", [rules.fa, in_areas])
def test_signs_of_another_projection_are_read_from_it(magnitudes: Any, rule: Any) -> None:
    chain = chain_of(4, 5, 5, 3)
    again = Projection(source="hidden2", target="hidden1_again", weights=SignOf(of="hidden1_to_hidden2",
                       magnitudes=magnitudes), plasticity=Fixed())  # fmt: skip
    circuit = chain.with_populations(hidden1_again=chain.populations["hidden1"]).with_projections(
        again=again,
        hidden2_to_output=Projection(source="hidden1_again", target="output"),
    )
    must_say_the_same(network_of(rule(circuit)))


# What is absent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kp", "fa_half", "sal_kp", "sal_shared_readout"])
def test_lesions_come_along_and_absent_synapses_stay_absent_while_the_module_is_trained(name: str) -> None:
    network = network_of(named(name).make(CHAIN.with_projections(
        input_to_hidden1=CHAIN.projections["input_to_hidden1"].replace(wiring=Sparse(density=0.6))
    )))  # fmt: skip
    network.mask("hidden1_to_hidden2", torch.tensor([True, False, True, True, False]))
    network.silence("hidden2", torch.tensor([True, True, False, True, True, True]))
    network.silence("input", torch.tensor([True, False, True, True]))
    must_say_the_same(network)
    module, x = network.to_module(), torch.randn(20, 4, dtype=torch.float64)
    for _ in range(5):  # gradient descent with weight decay, without the seconds that torch.optim takes to import
        module.zero_grad()
        module(x).square().mean().backward()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= 0.1 * (parameter.grad + 0.01 * parameter)
    network.load_module(module)
    for edge in ("input_to_hidden1", "hidden1_to_hidden2"):
        gone = ~network.masks[edge][0]
        assert gone.any()
        assert (network.weights[edge][0][gone] == 0).all()
        assert (getattr(module, edge).weight.reshape(gone.shape)[gone] == 0).all()
    assert (network.predict(x)[0] - module(x)).abs().max() < EXACT


def test_fixed_synapses_and_routers_do_not_learn_and_areas_without_samples_get_no_gradient() -> None:
    skip = Projection(source="hidden1", target="hidden2", wiring=OneToOne(), weights=Own(init=Constant(value=1.0)),
                      plasticity=Fixed())  # fmt: skip
    module = network_of(rules.sal(chain_of(4, 5, 5, 3).with_projections(skip=skip), areas=3, rank=3)).to_module()
    learns = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert learns == {
        f"{name}.{kind}" for name in ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output")
        for kind in ("weight", "bias")
    }  # fmt: skip
    assert not module.skip.weight.requires_grad
    x = torch.randn(1, 4, dtype=torch.float64)
    module(x).sum().backward()
    touched = (module.hidden1_to_hidden2.weight.grad != 0).flatten(1).any(1)
    assert touched.sum() <= 1
    assert touched[module.route_hidden1(x)] or not touched.any()


# A module like any other ---------------------------------------------------------------------------------------------


def test_a_multi_layer_perceptron_is_a_chain_of_linear_layers_by_the_names_of_its_projections() -> None:
    network = network_of(rules.kp(CHAIN))
    module = network.to_module()
    assert {name: type(part) for name, part in module.named_children()} == dict.fromkeys(
        ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output"), torch.nn.Linear
    )
    for name in ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output"):
        assert torch.equal(module.state_dict()[f"{name}.weight"], network.weights[name][0, 0])


@pytest.mark.parametrize("name", ["kp", "sal_per_population"])
def test_it_is_copied_pickled_and_called_with_any_leading_axes(name: str) -> None:
    module = network_of(named(name).make(CHAIN)).to_module()
    x = torch.randn(7, 4, dtype=torch.float64)
    kept = pickle.loads(pickle.dumps(module))
    for other in (copy.deepcopy(module), kept):
        assert torch.equal(other(x), module(x))
    assert torch.equal(module(input=x), module(x))
    assert torch.equal(module(x.reshape(7, 1, 4))[:, 0], module(x))


def test_names_that_python_or_torch_have_taken_are_changed_and_come_back() -> None:
    chain = chain_of(4, 5, 3)
    circuit = rules.fa(
        Circuit(
            populations={"lambda": chain.populations["input"], "training": chain.populations["hidden1"],
                         "2nd": chain.populations["output"]},
            projections={"forward": Projection(source="lambda", target="training"),
                         "a-b": Projection(source="training", target="2nd"),
                         "a_b": Projection(source="training", target="2nd")},
        )
    )  # fmt: skip
    network = network_of(circuit)
    must_say_the_same(network)
    module = network.to_module()
    assert {name for name, _ in module.named_children()} == {"forward_", "a_b", "a_b_"}
    network.load_module(module.state_dict(), replica=1)
    assert torch.equal(network.weights["a_b"][1], network.weights["a_b"][0])


# Back again ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_module_loads_back_into_another_network(case: Any) -> None:
    circuit = case.make(CHAIN)
    taught, fresh = network_of(circuit), network_of(circuit, steps=0)
    x = batch_for(CHAIN, 9).x
    before = fresh.predict(x)
    fresh.load_module(taught.to_module(1), replica=1)
    assert torch.equal(fresh.predict(x)[0], before[0])
    assert (fresh.predict(x)[1] - taught.predict(x)[1]).abs().max() < EXACT
    for name in ("input_to_hidden1", "hidden1_to_hidden2"):
        assert torch.equal(fresh.weights[name][1], taught.weights[name][1])


def test_a_frozen_replica_holds_what_was_loaded() -> None:
    network, other = network_of(rules.kp(CHAIN)), network_of(rules.kp(CHAIN), steps=0)
    network.freeze_replicas([1])
    network.load_module(other.to_module(1), replica=1)
    loaded = network.weights["input_to_hidden1"].clone()
    batch = batch_for(CHAIN, 3)
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.2))
    assert torch.equal(network.weights["input_to_hidden1"][1], loaded[1])
    assert not torch.equal(network.weights["input_to_hidden1"][0], loaded[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden1_to_hidden2.weight": None}, r"hidden1_to_hidden2.weight: expected a tensor \[6, 5\], found none"),
        ({"hidden1_to_hidden2.weight": torch.zeros(6, 4)}, r"expected a tensor \[6, 5\], found \[6, 4\]"),
        ({"hidden1_to_hidden3.weight": torch.zeros(6, 5)}, "Did you mean 'hidden1_to_hidden2.weight'"),
        ({"input_to_hidden1.mask": torch.ones(5, 4)}, "input_to_hidden1.mask: expected the values of the network"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_taken_over(change: Any, message: str) -> None:
    network = network_of(rules.kp(CHAIN))
    network.mask("input_to_hidden1", torch.tensor([True, False, True, True]))
    given = network.to_module().state_dict()
    given |= {name: torch.zeros_like(tensor) for name, tensor in given.items() if name.endswith("bias")} | change
    before = network.predict(batch_for(CHAIN).x)
    with pytest.raises(CircuitError, match=message):
        network.load_module({name: tensor for name, tensor in given.items() if tensor is not None})
    assert torch.equal(network.predict(batch_for(CHAIN).x), before)


@pytest.mark.parametrize("replica", [2, -3, "first", True, 0.5])
def test_a_replica_that_is_not_there_is_refused(replica: Any) -> None:
    with pytest.raises(ExperimentError, match="expected a whole number below 2"):
        network_of(rules.kp(CHAIN), steps=0).to_module(replica)


def test_wiring_that_torch_has_no_module_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(rules.kp(CHAIN), steps=0)
    monkeypatch.setattr(Dense, "functions", property(lambda self: "somebodys"))
    with pytest.raises(CircuitError, match=r"projections.input_to_hidden1.wiring: .* found 'dense'") as error:
        network.to_module()
    assert len(error.value.problems) == 3
