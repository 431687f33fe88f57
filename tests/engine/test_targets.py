"""Feedback that carries the target: what arrives, in every order of samples, and where it may start."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Projection
from neurosal.lower.paths import pairs
from neurosal.lower.plan import plan
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="tanh")
CIRCUITS = {
    "drtp": rules.drtp(CHAIN),
    "areas": rules.sal(CHAIN, areas=3, feedback="drtp"),
    "own routes": rules.sal(CHAIN, areas=3, feedback="drtp", route="population"),
}
EVERY = pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


@EVERY
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce"])
@pytest.mark.parametrize("replicas", [1, 2])
def test_hidden_populations_hear_the_target_and_not_the_error(circuit: Circuit, loss: str, replicas: int) -> None:
    network = network_of(circuit, range(replicas))
    batch = batch_for(CHAIN, replicas=replicas, loss=loss)
    target = torch.eye(3, dtype=torch.float64)[batch.y] if loss == "cross_entropy" else batch.y
    signals = network.signals(batch.x, batch.y, loss)
    area = signals["output"].get("area", torch.zeros(replicas, 6, dtype=torch.int64))
    for name in ("hidden1", "hidden2"):
        weight = network.weights[f"output_to_{name}"]
        for r in range(replicas):
            for n in range(6):
                e = weight[r, area[r, n]] @ target[r, n]
                expected = e * (1 - signals[name]["activity"][r, n] ** 2)
                assert (signals[name]["error"][r, n] - expected).abs().max() < 1e-12


def test_the_error_of_the_output_does_not_reach_below_it() -> None:
    one, two = network_of(rules.drtp(CHAIN)), network_of(rules.drtp(CHAIN))
    two.weights["hidden2_to_output"].mul_(-3.0)  # another error, the same labels
    batch = batch_for(CHAIN)
    mine, other = (each.updates(batch.x, batch.y) for each in (one, two))
    assert torch.equal(mine["input_to_hidden1"], other["input_to_hidden1"])
    assert torch.equal(mine["hidden1_to_hidden2"], other["hidden1_to_hidden2"])
    assert not torch.equal(mine["hidden2_to_output"], other["hidden2_to_output"])


def test_target_and_error_add_where_both_arrive() -> None:
    both = rules.fa(CHAIN).with_projections(
        label=Projection(source="output", target="hidden2", pathway="feedback", carries="target")
    )
    network = network_of(both)
    batch = batch_for(CHAIN)
    signals = network.signals(batch.x, batch.y)
    error = signals["output"]["error"] @ network.weights["output_to_hidden2"][:, 0].mT
    target = torch.eye(3, dtype=torch.float64)[batch.y] @ network.weights["label"][:, 0].mT
    expected = (error + target) * (1 - signals["hidden2"]["activity"] ** 2)
    assert (signals["hidden2"]["error"] - expected).abs().max() < 1e-12


def test_a_silenced_output_unit_has_no_target_either() -> None:
    network = network_of(rules.drtp(CHAIN))
    network.silence("output", [1, 1, 0])
    batch = batch_for(CHAIN)
    error = network.signals(batch.x, batch.y)["hidden1"]["error"]
    assert not error[batch.y == 2].any()
    assert error[batch.y == 0].all()


def test_what_carries_the_target_has_no_angle() -> None:
    assert pairs(rules.drtp(CHAIN)) == ()
    both = rules.drtp(rules.fa(CHAIN, only=["hidden2_to_output"]), keep_feedback=True)
    assert [pair.name for pair in pairs(both)] == ["hidden2_to_output"]


def test_it_is_printed_and_written_only_where_it_is_the_target() -> None:
    circuit = rules.drtp(CHAIN)
    assert "error    hidden1 from output_to_hidden1 (target)" in str(plan(circuit))
    assert "carries: target" in circuit.to_yaml()
    assert "carries" not in rules.dfa(CHAIN).to_yaml()
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit
    assert circuit != rules.dfa(CHAIN)


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"source": "hidden2", "target": "hidden1", "pathway": "feedback"}, "feedback that starts at the output"),
        ({"source": "input", "target": "hidden2"}, r"'error' \(the pathway is feedforward\)"),
    ],
)
def test_only_the_output_has_a_target_to_send(edge: dict[str, str], message: str) -> None:
    circuit = rules.fa(CHAIN).with_projections(label=Projection(**edge, carries="target"))
    with pytest.raises(CircuitError, match=f"projections.label.carries: expected {message}"):
        ns.check(circuit)


def test_a_word_that_is_neither_is_refused() -> None:
    with pytest.raises(CircuitError, match="carries"):
        Projection(source="output", target="hidden1", pathway="feedback", carries="label")


def test_dkp_shrinks_the_difference_to_the_read_out_by_its_decay() -> None:
    network = network_of(rules.dkp(CHAIN))

    def gap() -> torch.Tensor:
        return (network.weights["hidden2_to_output"] - network.weights["output_to_hidden2"].mT).clone()

    optimizer = ns.SGD(lr=0.1, weight_decay=0.2)
    for batch in batches_for(CHAIN, 10):
        before = gap()
        network.step(batch.x, batch.y, optimizer=optimizer)
        assert (gap() - (1 - 0.1 * 0.2) * before).abs().max() < 1e-13


def test_dkp_changes_by_the_activity_of_its_target_and_the_error_of_the_output() -> None:
    network = network_of(rules.dkp(CHAIN))
    batch = batch_for(CHAIN)
    signals, updates = network.signals(batch.x, batch.y), network.updates(batch.x, batch.y)
    expected = signals["hidden1"]["activity"].mT @ signals["output"]["error"] / 6
    assert (updates["output_to_hidden1"][:, 0] - expected).abs().max() < 1e-13
