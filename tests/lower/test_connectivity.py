"""Wiring that leaves synapses out: how many there are, where, and that none ever comes back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.errors import CircuitError
from neurosal.graph import (
    Circuit,
    Dense,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    Own,
    Projection,
    Sparse,
    Wiring,
)
from neurosal.lower.connectivity import connect
from neurosal.lower.streams import stream
from tests.reference.batches import batches_for
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="tanh")
SQUARE = circuits.mlp(4, 6, 6, 3, activation="tanh")
WIRINGS = {
    "sparse": Sparse(density=0.5),
    "in": FixedInDegree(inputs=2),
    "out": FixedOutDegree(outputs=2),
    "list": EdgeList(edges=((0, 1), (1, 0), (2, 2), (0, 2), (3, 0))),
}
EVERY = pytest.mark.parametrize("wiring", WIRINGS.values(), ids=WIRINGS)
OPTIMIZERS = {
    "sgd": ns.SGD(lr=0.1, weight_decay=0.1),
    "momentum": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.1),
    "clip": ns.SGD(lr=0.1, clip=0.1),
    "adam": ns.Adam(lr=0.01, weight_decay=0.1),
    "adamw": ns.AdamW(lr=0.01, weight_decay=0.1),
}


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def drawn(wiring: Wiring, post: int, pre: int, recurrent: bool = False) -> torch.Tensor:
    return connect(wiring, (post, pre), recurrent, stream(0, "back", "wiring"))


def test_a_density_is_the_share_of_synapses() -> None:
    present = drawn(Sparse(density=0.3), 300, 400).double()
    assert float(present.mean()) == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 120_000))
    assert present.sum(0).std() > 1  # degrees vary


def test_fixed_degrees_are_exact_and_all_units_are_drawn() -> None:
    inward, outward = drawn(FixedInDegree(inputs=7), 300, 40), drawn(FixedOutDegree(outputs=7), 300, 40)
    assert bool((inward.sum(1) == 7).all())
    assert bool((outward.sum(0) == 7).all())
    assert inward.any(0).all()
    assert torch.unique(inward, dim=0).shape[0] > 290


def test_an_edge_list_is_pre_then_post() -> None:
    present = drawn(EdgeList(edges=((0, 1), (3, 0))), 2, 4)
    assert present.nonzero().tolist() == [[0, 3], [1, 0]]


@pytest.mark.parametrize("wiring", [Dense(), Sparse(density=0.9), FixedInDegree(inputs=4), FixedOutDegree(outputs=4)])
def test_a_population_that_projects_to_itself_has_autapses_only_if_they_are_allowed(wiring: Any) -> None:
    assert not drawn(wiring, 5, 5, recurrent=True).diagonal().any()
    assert drawn(wiring.replace(allow_autapses=True), 5, 5, recurrent=True).diagonal().any()
    assert drawn(wiring, 5, 5).diagonal().any()
    if isinstance(wiring, FixedInDegree):
        assert bool((drawn(wiring, 5, 5, recurrent=True).sum(1) == 4).all())


@EVERY
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    "rule", [rules.bp, rules.kp, rules.kp_tied, rules.fa, rules.pfa, rules.usf], ids=lambda r: r.__name__
)
def test_absent_synapses_are_zero_for_good(wiring: Wiring, optimizer: Any, rule: Any) -> None:
    circuit = rule(
        SQUARE.with_projections(
            hidden1_to_hidden2=Projection(source="hidden1", target="hidden2", wiring=wiring),
        )
    )
    network = network_of(circuit)
    present = network.masks["hidden1_to_hidden2"]
    assert present.any()
    assert not present.all()
    for batch in batches_for(SQUARE, 4):
        updates = network.updates(batch.x, batch.y)
        network.step(batch.x, batch.y, optimizer=optimizer)
        for name, mask in network.masks.items():
            assert not network.weights[name][~mask].any(), name
            assert name not in updates or not updates[name][~mask].any(), name
        assert network.weights["hidden1_to_hidden2"][present].all()
    if rule in (rules.bp, rules.kp_tied):  # the transpose has the transposed synapses
        assert torch.equal(network.masks["hidden2_to_hidden1"], present.mT)
    if rule is rules.usf:
        assert torch.equal(network.weights["hidden2_to_hidden1"] != 0, present.mT)


@EVERY
def test_wiring_is_that_of_the_replica_alone_and_does_not_change_the_weights_that_are_there(wiring: Wiring) -> None:
    edge = Projection(source="hidden1", target="hidden2", wiring=wiring)
    circuit = rules.fa(SQUARE.with_projections(hidden1_to_hidden2=edge))
    together, alone, dense = network_of(circuit, (0, 1, 2)), network_of(circuit, [1]), network_of(rules.fa(SQUARE), [1])
    for name, weight in together.weights.items():
        assert torch.equal(weight[1:2], alone.weights[name])
    present = alone.masks["hidden1_to_hidden2"]
    name = "hidden1_to_hidden2"
    assert torch.equal(alone.weights[name], dense.weights[name] * present)
    if not isinstance(wiring, EdgeList):
        assert not torch.equal(together.masks[name][0], together.masks[name][1])


@pytest.mark.parametrize("init", ["same", "independent"])
def test_areas_are_wired_alike_where_they_start_alike(init: str) -> None:
    circuit = rules.sal(circuits.mlp(4, 6, 3, wiring=Sparse(density=0.5)), areas=3, init=init)
    mask = network_of(circuit).masks["input_to_hidden1"]
    assert torch.equal(mask[:, 0], mask[:, 2]) == (init == "same")


@EVERY
def test_wiring_travels_and_reverses(wiring: Any, tmp_path: Any) -> None:
    edge = Projection(source="hidden1", target="hidden2", wiring=wiring)
    circuit = rules.bp(SQUARE.with_projections(hidden1_to_hidden2=edge))
    ns.check(circuit)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit
    assert wiring.reversed().reversed() == wiring
    network = network_of(circuit)
    loaded = ns.load(network.save(tmp_path / "network"), device="cpu")
    assert torch.equal(loaded.masks["hidden1_to_hidden2"], network.masks["hidden1_to_hidden2"])


def test_lesions_add_to_wiring_and_lifting_them_leaves_it() -> None:
    network = network_of(rules.fa(CHAIN, density=0.5))
    wired = network.masks["output_to_hidden2"]
    network.mask("output_to_hidden2", torch.tensor([1, 0, 1]))
    assert torch.equal(network.masks["output_to_hidden2"], wired & torch.tensor([True, False, True]))
    network.restore("output_to_hidden2")
    assert torch.equal(network.masks["output_to_hidden2"], wired)


# Density of feedback -------------------------------------------------------------------------------------------------


def test_sparse_kp_comes_to_equal_the_transpose_where_it_has_synapses() -> None:
    network = network_of(rules.kp(CHAIN, density=0.5))
    present = network.masks["output_to_hidden2"]

    def gap() -> Any:
        return (network.weights["output_to_hidden2"] - network.weights["hidden2_to_output"].mT * present).clone()

    for batch in batches_for(CHAIN, 5):
        before = gap()
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, weight_decay=0.2))
        assert (gap() - 0.98 * before).abs().max() < 1e-13


def test_both_hops_of_sparse_pfa_are_sparse_and_the_difference_only_decays() -> None:
    network = network_of(rules.pfa(CHAIN, expansion=3, density=0.5))
    first, second = "output_to_relay_hidden2_to_output", "relay_hidden2_to_output_to_hidden2"
    present = network.masks[second]
    assert 0.2 < float(network.masks[first].double().mean()) < 0.8

    def gap() -> Any:
        path = network.weights["hidden2_to_output"].mT @ network.weights[first].mT
        return (network.weights[second] - path * present).clone()

    for batch in batches_for(CHAIN, 5):
        before = gap()
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, weight_decay=0.2))
        assert (gap() - 0.98 * before).abs().max() < 1e-13


@pytest.mark.parametrize("density", [1.0, 0.5, 0.25])
def test_the_converged_path_angle_of_sparse_pfa_is_as_the_paper_says(density: float) -> None:
    network = network_of(rules.pfa(chain_of(5, 100, 80, activation="relu"), density=density), [0])
    first = network.weights["output_to_relay_hidden1_to_output"][0, 0]
    second = network.weights["relay_hidden1_to_output_to_hidden1"][0, 0]
    w = network.weights["hidden1_to_output"][0, 0]
    identity = first.mT @ first
    assert float(identity.diagonal().mean()) == pytest.approx(1.0, abs=0.05)  # what the gain is for
    converged = (w.mT @ first.mT) * (second != 0)
    angle = ns.stats.base.angle((converged @ first).flatten(), w.mT.flatten(), axis=0)
    assert float(angle) == pytest.approx(math.degrees(math.atan(1 / math.sqrt(10 * density))), abs=2.0)


@pytest.mark.parametrize(
    "name", ["fa", "dfa", "dkp", "drtp", "kp", "kp_tied", "pfa", "pfa_o", "usf", "frsf", "brsf", "wm"]
)
def test_every_rule_that_makes_feedback_takes_a_density(name: str) -> None:
    circuit = getattr(rules, name)(CHAIN, density=0.4)
    ns.check(circuit)
    assert {edge.wiring for edge in circuit.select(pathway="feedback").values()} == {Sparse(density=0.4)}
    assert getattr(rules, name)(CHAIN, density=1).select(pathway="feedback") == getattr(rules, name)(CHAIN).select(
        pathway="feedback"
    )
    for wrong in (0, 1.5, float("nan"), "all", True):
        with pytest.raises(CircuitError, match=f"rules.{name}.density: expected a number above 0, at most 1"):
            getattr(rules, name)(CHAIN, density=wrong)


def test_sal_passes_its_density_on_and_refuses_it_where_it_has_no_meaning() -> None:
    back = rules.sal(CHAIN, areas=2, feedback="dfa", density=0.5).select(pathway="feedback")
    assert {edge.wiring for edge in back.values()} == {Sparse(density=0.5)}
    for feedback in ("bp", "shallow"):
        with pytest.raises(CircuitError, match=f"rules.sal.density: expected 1 with feedback='{feedback}'"):
            rules.sal(CHAIN, areas=2, feedback=feedback, density=0.5)


# Mixed rules ---------------------------------------------------------------------------------------------------------


def test_rules_mix_over_parallel_and_skip_edges() -> None:
    circuit = chain_of(4, 6, 5, 5, 3, activation="tanh").with_projections(
        skip=Projection(source="hidden1", target="hidden3"),
        parallel=Projection(source="hidden2", target="hidden3", wiring=FixedInDegree(inputs=2)),
    )
    keep = {"keep_feedback": True}
    circuit = rules.usf(circuit, only=["hidden1_to_hidden2"])
    circuit = rules.pfa(circuit, only=["hidden2_to_hidden3", "parallel"], expansion=2, density=0.5, **keep)
    circuit = rules.kp(circuit, only=["skip"], density=0.5, **keep)
    circuit = rules.drtp(circuit, only=["hidden3"], **keep)
    circuit = rules.brsf(circuit, **keep)
    ns.check(circuit)
    kinds = {name: (edge.weights.kind, edge.wiring.kind) for name, edge in circuit.select(pathway="feedback").items()}
    assert kinds["hidden2_to_hidden1"] == ("sign_of", "dense")
    assert kinds["hidden3_to_hidden1"] == ("own", "sparse")
    assert circuit.projections["output_to_hidden3"].carries == "target"
    from tests.properties.test_interpreter import follow

    follow(circuit, OPTIMIZERS["momentum"], "cross_entropy", seed=0, replicas=2)


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        (FixedInDegree(inputs=7), "expected at least 7 pre-synaptic units, found 6"),
        (FixedOutDegree(outputs=6), "expected at least 6 post-synaptic units, found 5"),
        (EdgeList(edges=((0, 5),)), "expected at least 1 pre- and 6 post-synaptic units"),
    ],
)
def test_wiring_that_does_not_fit_is_refused_with_its_place(wiring: Any, message: str) -> None:
    edge = Projection(source="hidden1", target="hidden2", wiring=wiring)
    with pytest.raises(CircuitError, match=f"projections.hidden1_to_hidden2.wiring: {message}"):
        ns.check(rules.fa(CHAIN, only=[]).with_projections(hidden1_to_hidden2=edge))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sparse(density=0), "greater than 0"),
        (lambda: Sparse(density=1.1), "less than or equal to 1"),
        (lambda: EdgeList(edges=((0, 0), (0, 0))), "each synapse once"),
        (lambda: EdgeList(edges=((-1, 0),)), "units counted from 0"),
        (lambda: EdgeList(edges=()), "at least 1"),
    ],
)
def test_wiring_without_meaning_is_refused(make: Any, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        make()


class Diagonal(Wiring):
    kind = "diagonal_of_a_test"

    @property
    def functions(self) -> str:
        return "dense"

    def weight_shape(self, post: tuple[int, ...], pre: tuple[int, ...]) -> tuple[int, ...]:
        return (*post, *pre)

    def connect(self, post: int, pre: int, generator: Any) -> Any:
        return torch.eye(post, pre, dtype=torch.bool)


def test_wiring_of_others_says_itself_which_synapses_there_are() -> None:
    edge = Projection(source="hidden1", target="hidden2", wiring=Diagonal(), weights=Own())
    network = network_of(rules.fa(CHAIN, only=[]).with_projections(hidden1_to_hidden2=edge))
    assert torch.equal(network.weights["hidden1_to_hidden2"][0, 0] != 0, torch.eye(5, 6, dtype=torch.bool))
