"""Random circuits with random rules, mixed edge by edge, equal a slow interpreter of their dict over several steps."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, SignOf
from neurosal.plasticity import Fixed, KolenPollack
from tests.properties.graphs import REDUCTIONS, forward_circuits
from tests.reference.batches import LOSSES, Batch, batch_for
from tests.reference.copying import array, distance, interpreter_of, magnitudes
from tests.rules.table import PLAIN, SELECTIVE

# Adam's eps is large: divided by a change of almost nothing, rounding would be all that is left to compare.
OPTIMIZERS = (
    ns.SGD(lr=0.03),
    ns.SGD(lr=0.03, weight_decay=0.1),
    ns.SGD(lr=(0.03, 0.01), weight_decay=(0.0, 0.1)),
    ns.SGD(lr=0.03, momentum=0.9, weight_decay=0.05, nesterov=True),
    ns.SGD(lr=(0.03, 0.01), momentum=(0.9, 0.5)),
    ns.SGD(lr=0.03, clip=0.05),
    ns.Adam(lr=0.01, weight_decay=0.1, eps=1e-3),
    ns.AdamW(lr=(0.01, 0.02), weight_decay=0.1, beta1=(0.9, 0.5), eps=1e-3),
)


@st.composite
def learning_circuits(draw: st.DrawFn) -> Circuit:
    """A random feedforward circuit under a random rule, some of whose feedback edges then change plasticity or
    origin.
    """
    selective = draw(st.booleans())
    circuit = draw(forward_circuits(reductions=("batch",) if selective else REDUCTIONS, ties=not selective, rates=True))
    assume(any(edge.plasticity.plastic and edge.target != "output" for edge in circuit.projections.values()))
    circuit = draw(st.sampled_from(SELECTIVE if selective else PLAIN)).make(circuit)
    changes: dict[str, Any] = {}
    for name, edge in circuit.select(pathway="feedback").items():
        forward = [
            label
            for label, other in circuit.select(pathway="feedforward", source=edge.target, target=edge.source).items()
            if other.wiring.reversed() == edge.wiring
            and other.weights.kind == "own"
            and circuit.areas_of(label) == circuit.areas_of(name)
        ]
        kinds = (
            ["as it is", "as it is", "fixed", "kolen_pollack"] if edge.weights.kind in ("own", "copy") else ["as it is"]
        )
        if forward and edge.plasticity == Fixed():
            kinds.append("sign_of")
        kind = draw(st.sampled_from(kinds))
        relay = circuit.populations[edge.target].model.kind == "relay"
        if kind == "fixed":
            changes[name] = edge.replace(plasticity=Fixed())
        elif kind == "kolen_pollack" and not relay:
            changes[name] = edge.replace(
                plasticity=KolenPollack(
                    rate=draw(st.sampled_from([1.0, 0.5])), reduction=draw(st.sampled_from(REDUCTIONS))
                )
            )
        elif kind == "sign_of":
            kind = draw(st.sampled_from(["uniform", "uniform", "fixed", "redrawn"]))
            magnitude = draw(st.sampled_from([None, 0.3])) if kind == "uniform" else None
            changes[name] = edge.replace(weights=SignOf(of=forward[0], magnitudes=kind, magnitude=magnitude))
    return circuit.with_projections(**changes)


def follow(circuit: Circuit, optimizer: Any, loss: str, seed: int, replicas: int, steps: int = 3) -> None:
    network = ns.compile(circuit, seeds=range(seed, seed + replicas), device="cpu", dtype="float64")
    reference = interpreter_of(network, circuit, loss=loss, optimizer=optimizer)
    for step in range(steps):
        batch: Batch = batch_for(circuit, seed + step, replicas=replicas, samples=5, loss=loss)
        expected_output = reference.predict(batch.arrays)
        if abs(expected_output).max() > 10:
            return  # this circuit diverges: absolute tolerances mean nothing any more
        assert abs(array(network.predict(batch.x)) - expected_output).max() < 1e-9
        reference.magnitudes = magnitudes(network, circuit)
        expected = reference.step(batch.arrays, batch.targets)
        assert abs(array(network.step(batch.x, batch.y, loss=loss, optimizer=optimizer)) - expected).max() < 1e-9
        assert distance(network, reference) < 1e-9


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    circuit=learning_circuits(),
    optimizer=st.sampled_from(OPTIMIZERS),
    loss=st.sampled_from(LOSSES),
    seed=st.integers(0, 1000),
    replicas=st.sampled_from([1, 2]),
)
def test_a_step_on_any_circuit_is_that_of_the_interpreter(
    circuit: Circuit, optimizer: Any, loss: str, seed: int, replicas: int
) -> None:
    try:
        ns.check(circuit)
    except CircuitError:
        assume(False)
    rates = {field: getattr(optimizer, field) for field in optimizer.per_replica}
    alone = {field: value[:replicas] for field, value in rates.items() if isinstance(value, tuple)}
    follow(circuit, optimizer.replace(**alone), loss, seed, replicas)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(circuit=learning_circuits(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 1000))
def test_signals_and_proposed_changes_are_those_of_the_interpreter(circuit: Circuit, loss: str, seed: int) -> None:
    try:
        ns.check(circuit)
    except CircuitError:
        assume(False)
    network = ns.compile(circuit, seeds=[seed, seed + 1], device="cpu", dtype="float64")
    reference = interpreter_of(network, circuit, loss=loss)
    batch = batch_for(circuit, seed, samples=5, loss=loss)
    _, runs = reference.run(batch.arrays, batch.targets)
    signals = network.signals(batch.x, batch.y, loss)
    for r, samples in enumerate(runs):
        for n, sample in enumerate(samples):
            for name, entry in signals.items():
                if "activity" in entry:
                    assert abs(array(entry["activity"][r, n]) - sample.h[name]).max() < 1e-10
                error = sample.error[name]
                assert (error is not None) == ("error" in entry)
                if error is not None:
                    assert abs(array(entry["error"][r, n]) - error).max() < 1e-10
                if "area" in entry:
                    assert int(entry["area"][r, n]) == sample.area[name]
    expected, _ = reference.changes(runs)
    found = network.updates(batch.x, batch.y, loss=loss)
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        assert abs(array(found[name]) - change).max() < 1e-10


def test_updates_change_nothing() -> None:
    from tests.rules.table import chain_of

    circuit = rules.sal(chain_of(4, 5, 3), areas=3, feedback="pfa")
    network = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype="float64")
    network.step(batch_for(circuit).x, batch_for(circuit).y, optimizer=ns.SGD(lr=0.03, momentum=0.9))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.updates(batch_for(circuit, 1).x, batch_for(circuit, 1).y)
    network.signals(batch_for(circuit, 1).x, batch_for(circuit, 1).y)
    network.predict(batch_for(circuit, 1).x)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
