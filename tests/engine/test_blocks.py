"""Torch modules in populations: their own vector-Jacobian product, replicas, state, and no autograd graph outside."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import circuits, rules
from neurosal.errors import CircuitError, ExperimentError
from neurosal.graph import BatchNorm, Block, Circuit, Constant, LayerNorm, OneToOne, Own, Population, register_block
from neurosal.plasticity import Fixed
from neurosal.settings import Phase
from neurosal.settings.selecting import circuit_in
from tests.reference.batches import batch_for

ATTENTION = {"d_model": 4, "nhead": 2, "dim_feedforward": 5, "dropout": 0.0, "batch_first": True}


class FactorisationMachine(torch.nn.Module):
    """``h_i = x_i + Σ_{j≠i} <v_i, v_j> x_i x_j``, written by somebody."""

    def __init__(self, units: int, rank: int) -> None:
        super().__init__()
        self.factors = torch.nn.Parameter(torch.randn(units, rank) * 0.1)
        self.register_buffer("off", 1.0 - torch.eye(units))

    def forward(self, rows: Tensor) -> Tensor:
        off: Any = self.off
        return rows + rows * (rows @ ((self.factors @ self.factors.T) * off))


register_block("factorisation_machine", lambda extent, rank=3: FactorisationMachine(extent[0], rank))


def blocked(model: Block, *sizes: int, rule: Any = rules.bp) -> Circuit:
    sizes = sizes or (5, 8, 3)
    circuit = circuits.mlp(*sizes)
    hidden = (
        Population(shape=(2, 4), model=model) if "torch" in model.module else Population(size=sizes[1], model=model)
    )
    made: Circuit = rule(circuit.with_populations(hidden1=hidden))
    return made


MODELS = [
    Block(module="factorisation_machine", options={"rank": 2}),
    Block(module="factorisation_machine", activation="relu", gain=0.5, bias=True, norm=BatchNorm()),
    Block(module="torch.nn.TransformerEncoderLayer", options=ATTENTION),
    Block(module="torch.nn.Tanh", activation="gelu", norm=LayerNorm()),
]


def network_of(circuit: Circuit, seeds: Any = (0,), **options: Any) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64", **options)


def expected(network: Any, model: Block, r: int, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Gradients of one replica by autograd through the module itself."""
    own = {
        key: value[r, 0].clone().requires_grad_()
        for key, value in {**network.weights, **network.biases}.items()
        if not key.startswith("output_to")
    }
    a = x @ own["input_to_hidden1"].T
    a = a + own["hidden1.bias"] if "hidden1.bias" in own else a
    extent = network.circuit.populations["hidden1"].extent
    if model.norm is not None and model.norm.kind == "batch":
        a = torch.nn.functional.batch_norm(a, None, None, own["hidden1.scale"], own["hidden1.shift"], training=True)
    elif model.norm is not None:
        a = torch.nn.functional.layer_norm(a, (8,)).unflatten(-1, extent)
        a = a * own["hidden1.scale"].view(-1, 1) + own["hidden1.shift"].view(-1, 1)
    if model.module == "factorisation_machine":
        module: Any = FactorisationMachine(8, int(model.options.get("rank", 3))).double()
    else:
        module = getattr(torch.nn, model.module.removeprefix("torch.nn."))(**model.options).double()
    parameters = {key.removeprefix("hidden1.module."): own[key] for key in own if ".module." in key}
    m = torch.func.functional_call(module, parameters, (a.reshape(len(a), *extent),)).flatten(1)
    value = {"linear": lambda m: m, "relu": torch.relu, "gelu": torch.nn.functional.gelu}[model.activation]
    rows = model.gain * value(m) @ own["hidden1_to_output"].T + own["output.bias"]
    torch.nn.functional.cross_entropy(rows, y).backward()
    return {key: leaf.grad for key, leaf in own.items() if leaf.grad is not None}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.module)
@pytest.mark.parametrize("seeds", [(0,), (0, 5)])
def test_a_module_learns_from_the_error_at_its_output_as_autograd_says(model: Block, seeds: tuple[int, ...]) -> None:
    network = network_of(blocked(model), seeds)
    batch = batch_for(network.circuit, 1, replicas=len(seeds), samples=6)
    found = network.updates(batch.x, batch.y)
    for r in range(len(seeds)):
        gradients = expected(network, model, r, batch.x[r], batch.y[r])
        assert gradients.keys() == found.keys()
        for key, gradient in gradients.items():
            assert (found[key][r, 0] - gradient).abs().max() < 1e-12, key


def test_a_step_moves_a_module_as_proposed_and_leaves_no_graph() -> None:
    network = network_of(blocked(MODELS[2]), (0, 1))
    batch = batch_for(network.circuit, 1)
    before, proposed = {k: v.clone() for k, v in network.biases.items()}, network.updates(batch.x, batch.y)
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.5))
    for name in before:
        assert (network.biases[name] - (before[name] - 0.5 * proposed[name])).abs().max() < 1e-12
    swept = network.forward(batch.x, training=True)
    network.backward(swept, batch.y)
    tensors = [*swept.activity.values(), *swept.error.values(), *swept.own.values(), *network.biases.values()]
    assert not any(tensor.requires_grad or tensor.grad_fn is not None for tensor in tensors)


def test_a_module_starts_as_its_seed_draws_it_and_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    circuit = blocked(MODELS[2])
    together, alone = network_of(circuit, (3, 4)), network_of(circuit, (4,))
    name = "hidden1.module.linear1.weight"
    assert torch.equal(together.biases[name][1], alone.biases[name][0])
    assert not torch.equal(together.biases[name][0], together.biases[name][1])
    assert float(alone.biases["hidden1.module.norm1.weight"].mean()) == 1.0
    assert torch.equal(torch.get_rng_state(), state)
    for step in range(4):
        batch = batch_for(circuit, step)
        together.step(batch.x, batch.y, optimizer=ns.Adam(lr=0.01))
        alone.step(batch.x[1], batch.y[1], optimizer=ns.Adam(lr=0.01))
    assert (together.biases[name][1] - alone.biases[name][0]).abs().max() < 1e-10
    assert (together.predict(batch.x)[1] - alone.predict(batch.x[1])[0]).abs().max() < 1e-10


def test_state_files_and_segments_know_modules(tmp_path: Any) -> None:
    circuit = rules.bp(circuits.mlp(5, 8, 8, 8, 3).with_populations(hidden2=Population(size=8, model=MODELS[0])))
    one, other = network_of(circuit, (0, 1)), network_of(circuit, (0, 1), recompute=3)
    for step in range(3):
        batch = batch_for(circuit, step)
        for network in (one, other):
            network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, momentum=0.9))
    mine, theirs = one.state_dict(), other.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    assert "optimizer/hidden2.module.factors/momentum" in mine
    again = ns.load(one.save(tmp_path / "all"), device="cpu")
    one.save_weights(tmp_path / "weights")
    for network in (again, copy.deepcopy(one), ns.load(tmp_path / "weights", device="cpu")):
        assert torch.equal(network.predict(batch.x), one.predict(batch.x))
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit


def test_a_module_behind_a_constant_skip_learns_unless_a_phase_freezes_it() -> None:
    circuit = circuits.mlp(8, 8, 3)
    skip = {"wiring": OneToOne(), "weights": Own(init=Constant(value=1.0)), "plasticity": Fixed()}
    edge = circuit.projections["input_to_hidden1"].replace(**skip)
    circuit = rules.bp(
        circuit.with_projections(input_to_hidden1=edge).with_populations(hidden1=Population(size=8, model=MODELS[0]))
    )
    batch = batch_for(circuit, 0, replicas=1)
    assert "hidden1.module.factors" in network_of(circuit).updates(batch.x, batch.y)
    for phase in (Phase(name="a", steps=1, frozen=("hidden1",)), Phase(name="b", steps=1, plastic=("output",))):
        found = network_of(circuit_in(circuit, phase)).updates(batch.x, batch.y)
        assert found.keys() == {"hidden1_to_output", "output.bias"}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Block(module="factorisation_machin"), r"factorisation_machine"),
        (Block(module="torch.nn.functional"), r"registered \(register_block\)"),
        (Block(module="factorisation_machine", options={"rang": 2}), r"options that factorisation_machine takes.*rang"),
        (Block(module="torch.nn.Linear", options={"in_features": 4, "out_features": 3}), r"population's own shape"),
        (Block(module="torch.nn.Linear", options={"in_features": 3, "out_features": 4}), r"a module that takes rows"),
        (Block(module="torch.nn.Dropout", options={"p": 0.5}), r"draws no numbers"),
        (Block(module="torch.nn.TransformerEncoderLayer", options={"d_model": 4, "nhead": 2}), r"draws no numbers"),
        (Block(module="torch.nn.BatchNorm1d", options={"num_features": 2}), r"without running statistics"),
    ],
    ids=str,
)
def test_modules_that_do_not_fit_are_refused_with_the_reason(model: Block, said: str) -> None:
    with pytest.raises(CircuitError, match=said):
        ns.check(circuits.mlp(5, 8, 3).with_populations(hidden1=Population(shape=(2, 4), model=model)))


def test_options_are_plain_and_a_step_with_a_module_is_eager() -> None:
    with pytest.raises(CircuitError, match="numbers, text"):
        Block(module="torch.nn.Tanh", options={"made": object()})
    with pytest.raises(ExperimentError, match="a module in hidden1"):
        network_of(blocked(MODELS[0]), step="compiled")


def test_a_module_cannot_be_exported_and_the_message_says_so() -> None:
    with pytest.raises(CircuitError, match=r"hidden1.model.*rate model.*block"):
        network_of(blocked(MODELS[0])).to_module()
