"""Replicas that share a graph: what is there once, and that nothing else than memory changes by it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    Continuous,
    Dense,
    EdgeList,
    ExponentialDrive,
    FixedInDegree,
    Given,
    LeakyRate,
    OneToOne,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    TsodyksMarkram,
    Uniform,
)
from neurosal.lower.spiking import Realised, realise, realise_all
from neurosal.plasticity import STDP, Combined, Hebbian, Normalised
from tests.spiking import members

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch

DT = 0.1
SEEDS = (0, 4, 2)
GRAPH = 7


def mixed() -> Circuit:
    """Two populations in one block, of different sizes; sources that spike twice in a step; static synapses with one
    delay, with few, with many; a matrix; and synapses that change when spikes come or go, and in intervals."""
    cells = LIF(bias_mv=14.0, start_mv=Uniform(low=-70, high=-50), refractory_ms=1.0)
    drive, learning = ExponentialDrive(tau_ms=4.0), STDP(a_plus=0.1, a_minus=0.08)
    both = Combined(parts=(learning, Normalised(total=1.5, every_ms=3.0)))

    def edge(source: str, target: str, low: float, high: float, **fields: Any) -> Projection:
        options = {"wiring": Sparse(density=0.4), "synapse": drive, "delay_ms": 0.3, **fields}
        return Projection(source=source, target=target, weights=Own(init=Uniform(low=low, high=high)), **options)

    return Circuit(
        populations={
            "noise": Population(size=9, model=PoissonSource(rate_hz=300.0, merged=3)),
            "few": Population(size=3, model=PoissonSource(rate_hz=200.0)),
            "left": Population(size=11, model=cells),
            "right": Population(size=7, model=cells.replace(bias_mv=16.0)),
        },
        projections={
            "noise_to_left": edge("noise", "left", 1.0, 4.0),
            "noise_to_right": edge("noise", "right", 1.0, 4.0, delay_ms=Uniform(low=0.0, high=3.0)),
            "noise_learns": edge("noise", "left", 0.1, 1.0, plasticity=learning,
                                 delay_ms=Uniform(low=0.0, high=1.0)),
            "few_to_right": edge("few", "right", 0.5, 2.0, short_term=TsodyksMarkram()),
            "left_to_right": edge("left", "right", -2.0, 3.0, delay_ms=Uniform(low=0.1, high=0.3)),
            "left_to_left": edge("left", "left", -1.0, 1.0, wiring=FixedInDegree(inputs=4)),
            "right_to_left": edge("right", "left", -2.0, 2.0, wiring=Dense(), delay_ms=1.0),
            "right_learns": edge("right", "left", 0.1, 0.6, plasticity=both),
        },
    )  # fmt: skip


def rates() -> Circuit:
    """Rates that hear each other all the time: sparse and dense, fixed and learning."""
    units = Population(size=6, model=LeakyRate(activation="tanh", start=Uniform(low=-0.5, high=0.5)))
    synapse = Continuous(variable="r", port=LeakyRate().dynamics().ports[0])
    weights = Own(init=Uniform(low=-0.5, high=0.9))

    def edge(source: str, target: str, **fields: Any) -> Projection:
        return Projection(source=source, target=target, weights=weights, synapse=synapse, **fields)

    return Circuit(
        populations={"one": units, "two": units.replace(size=5)},
        projections={
            "sparse": edge("one", "two", wiring=Sparse(density=0.5)),
            "dense": edge("one", "two"),
            "learns": edge("two", "one", wiring=Sparse(density=0.7), plasticity=Hebbian()),
        },
    )


CIRCUITS: Mapping[str, Any] = {
    "mixed": mixed, "rates": rates, "models": members.of_models, "synapses": members.of_synapses,
    "short_term": members.of_short_term, "plasticity": lambda: members.of_plasticity(tuple(members.PROGRAMS)),
}  # fmt: skip
STEPS = {"models": 200, "synapses": 200, "short_term": 300, "plasticity": 200}


def same(one: Clock, other: Clock, replicas: Mapping[int, int], found: Any, expected: Any) -> None:
    """Whether replicas of one clock are those of another, to the last bit, in all that can be asked."""
    for name, events in expected.items():
        for here, there in replicas.items():
            mine, theirs = found[name][1] == here, events[1] == there
            for column in (0, 2):
                assert torch.equal(found[name][column][mine], events[column][theirs]), name
    for name, state in one.state.items():
        for variable, values in state.items():
            for here, there in replicas.items():
                assert torch.equal(values[here], other.state[name][variable][there]), (name, variable)
    for name, projecting in one.projections.items():
        for variable in projecting.values:
            for here, there in replicas.items():
                mine = projecting.of_replica(variable, here, one.step_number)
                theirs = other.projections[name].of_replica(variable, there, other.step_number)
                assert torch.equal(mine, theirs), (name, variable)


@cache
def together(kind: str) -> tuple[Clock, Any]:
    clock = Clock(realise_all(CIRCUITS[kind](), SEEDS, DT, GRAPH))
    return clock, clock.run(STEPS.get(kind, 400))


@pytest.mark.parametrize("kind", CIRCUITS)
def test_replicas_of_one_graph_are_to_the_bit_what_lists_of_their_own_make_of_them(kind: str) -> None:
    clock, found = together(kind)
    assert all(projecting.shared for projecting in clock.projections.values())
    # Each drawn by itself: equal numbers in arrays of their own, which nobody shares.
    other = Clock([realise(CIRCUITS[kind](), seed, DT, GRAPH) for seed in SEEDS])
    assert not any(projecting.shared for projecting in other.projections.values())
    same(clock, other, {r: r for r in range(len(SEEDS))}, found, other.run(STEPS.get(kind, 400)))


@pytest.mark.parametrize("kind", ["mixed", "rates"])
def test_a_replica_of_a_shared_graph_is_to_the_bit_its_seed_alone_on_that_graph(kind: str) -> None:
    clock, found = together(kind)
    for replica, seed in enumerate(SEEDS):
        alone = Clock([realise(CIRCUITS[kind](), seed, DT, GRAPH)])
        same(clock, alone, {replica: 0}, found, alone.run(400))
    spikes = found.get("left")
    if spikes is not None:
        assert len(spikes[0]) > 100
        first, second = (spikes[0][spikes[1] == replica] for replica in (0, 1))
        assert not torch.equal(first, second)  # one graph, and still trials of their own
        assert clock._sources[0].repeats


def test_weights_that_change_are_each_replicas_own_and_others_are_there_once() -> None:
    clock, _ = together("mixed")
    for name, projecting in clock.projections.items():
        edges = projecting.counts[0]
        learns = "learns" in name
        assert len(projecting.values["w"]) == edges * (len(SEEDS) if learns else 1), name
        assert len(projecting.post) == edges
        first = torch.from_numpy(clock.realised[0].edges[name].weight)
        weights = [projecting.of_replica("w", replica) for replica in range(len(SEEDS))]
        assert all(torch.equal(weight, first) for weight in weights) != learns, name
        assert torch.equal(weights[0], weights[1]) != learns, name
    used = [clock.projections["few_to_right"].of_replica("x", replica) for replica in (0, 1)]
    assert not torch.equal(*used)  # what a synapse remembers is its replica's own


def test_a_simulation_on_a_shared_graph_goes_on_from_what_it_kept_to_the_same_bits() -> None:
    realised = realise_all(mixed(), SEEDS, DT, GRAPH)
    whole, expected = together("mixed")
    first, second = Clock(realised), Clock(realised)
    before = first.run(137)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    after = second.run(263)
    for name, parts in expected.items():
        for place, part in enumerate(parts):
            assert torch.equal(part, torch.cat([before[name][place], after[name][place]])), name
    mine, theirs = second.state_dict(), whole.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], tensor) for name, tensor in theirs.items())


def test_what_torch_compiles_shares_a_graph_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "_on_processor", False)  # as on a GPU
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # the graph, without the compiler
    monkeypatch.setattr("neurosal.engine.clock.clock.missing_compiler", lambda device: "")
    _, expected = together("mixed")
    found = Clock(realise_all(mixed(), SEEDS, DT, GRAPH), compiled=True).run(400)
    for name, parts in expected.items():
        assert all(torch.equal(one, other) for one, other in zip(found[name], parts, strict=True)), name


# Memory --------------------------------------------------------------------------------------------------------------


def static(wiring: Any = Sparse(density=0.3), **fields: Any) -> Circuit:  # noqa: B008 - a frozen value
    cells = LIF(bias_mv=14.0, start_mv=Uniform(low=-70, high=-50))
    options = {"wiring": wiring, "synapse": ExponentialDrive(tau_ms=4.0), "delay_ms": 0.3,
               "weights": Own(init=Uniform(low=-1, high=1)), **fields}  # fmt: skip
    return Circuit(
        populations={"left": Population(size=60, model=cells), "right": Population(size=40, model=cells)},
        projections={
            "left_to_right": Projection(source="left", target="right", **options),
            "left_to_left": Projection(source="left", target="left", pathway="lateral", **options),
            "right_to_left": Projection(source="right", target="left", pathway="feedback", **options),
        },
    )


def bytes_with(circuit: Circuit, replicas: int, graph_seed: int | None) -> int:
    return Clock(realise_all(circuit, range(replicas), DT, graph_seed)).synapse_bytes


@pytest.mark.parametrize("delay_ms", [0.3, Uniform(low=0.1, high=2.0)])
@pytest.mark.parametrize("wiring", [Sparse(density=0.3), Dense(allow_autapses=True)])
def test_bytes_of_synapses_that_never_change_do_not_grow_with_replicas_of_one_graph(wiring: Any, delay_ms: Any) -> None:
    circuit = static(wiring, delay_ms=delay_ms)
    edges = sum(len(entry) for entry in realise(circuit, 0, DT, GRAPH).edges.values())
    two, nine = (bytes_with(circuit, replicas, GRAPH) for replicas in (2, 9))
    assert two == nine
    assert two >= edges * 8
    clock = Clock(realise_all(circuit, range(9), DT, GRAPH))
    assert [one.by_replica.nbytes for one in clock._numbers.values()] == [9 * 100 * 4]  # of units, not of synapses
    assert bytes_with(circuit, 9, None) > 7 * two  # each its own: nine times the edges


def test_bytes_of_synapses_that_learn_grow_by_what_they_remember_and_not_by_their_ends() -> None:
    circuit = static(plasticity=STDP())
    edges = sum(len(entry) for entry in realise(circuit, 0, DT, GRAPH).edges.values())
    two, nine = (bytes_with(circuit, replicas, GRAPH) for replicas in (2, 9))
    assert nine - two == 7 * edges * (3 * 8 + 4)  # weight, two traces, and when they were last looked at


def test_numbers_of_one_graph_are_drawn_and_kept_once_for_all_replicas() -> None:
    realised = realise_all(mixed(), SEEDS, DT, GRAPH)
    for name in mixed().projections:
        for field in ("pre", "post", "weight"):
            arrays = {id(getattr(one.edges[name], field)) for one in realised}
            assert len(arrays) == 1, (name, field)


# Graphs that are equal without having been asked to be ---------------------------------------------------------------


def lists(**fields: Any) -> Circuit:
    ends = [place for place in np.random.default_rng(0).permutation(1600) if place // 40 != place % 40][:300]
    edges = tuple((int(place // 40), int(place % 40)) for place in ends)
    return static(EdgeList(edges=edges), **fields)


@pytest.mark.parametrize(
    ("circuit", "shares"),
    [
        (lists(weights=Own(init=Constant(value=0.7))), (True, True)),
        (lists(weights=Own(init=Given(values=tuple(np.linspace(-1, 1, 300).tolist())))), (True, True)),
        (lists(weights=Own(init=Uniform(low=0, high=1))), (True, False)),
        (lists(weights=Own(init=Constant(value=0.7)), delay_ms=Uniform(low=0.1, high=2.0)), (False, False)),
        (static(Dense(), weights=Own(init=Constant(value=0.2))), (True, True)),
        (static(weights=Own(init=Constant(value=0.2))), (False, False)),
    ],
    ids=["one weight", "given weights", "drawn weights", "drawn delays", "dense", "sparse"],
)
def test_graphs_in_which_no_seed_draws_anything_are_shared_without_being_asked(
    circuit: Circuit, shares: tuple[bool, bool]
) -> None:
    realised = realise_all(circuit, SEEDS, DT)
    clock = Clock(realised)
    for projecting in clock.projections.values():
        once = len(projecting.values["w"]) == projecting.counts[0]
        assert (projecting.shared, projecting.shared and once) == shares
    separate: list[Realised] = [realise(circuit, seed, DT) for seed in SEEDS]
    for one, other in zip(realised, separate, strict=True):
        for name, edges in one.edges.items():
            for field in ("pre", "post", "weight", "delay"):
                assert np.array_equal(getattr(edges, field), getattr(other.edges[name], field))
    other = Clock(separate)
    same(clock, other, {r: r for r in range(len(SEEDS))}, clock.run(200), other.run(200))


def test_where_only_some_of_a_blocks_projections_could_share_the_order_of_sums_stays() -> None:
    circuit = static()
    wiring = OneToOne()
    circuit = circuit.replace(projections={
        **circuit.projections,
        "same": circuit.projections["left_to_left"].replace(wiring=wiring, weights=Own(init=Constant(value=0.3)),
                                                            delay_ms=0.1),
    })  # fmt: skip
    clock, other = Clock(realise_all(circuit, SEEDS, DT)), Clock([realise(circuit, seed, DT) for seed in SEEDS])
    same(clock, other, {r: r for r in range(len(SEEDS))}, clock.run(800), other.run(800))
    assert len(clock.projections["same"].of_replica("w", 2)) == 60
    assert bool((clock.projections["same"].of_replica("w", 2) == 0.3).all())
