"""How many synapses a circuit in continuous time has, and what memory it needs before anything is drawn."""

from __future__ import annotations

from neurosal.checks.memory import BYTES, available_memory, memory_problem
from neurosal.errors import ExperimentError
from neurosal.graph import (
    Circuit,
    Dense,
    Dynamical,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    FixedTotal,
    Initialiser,
    OneToOne,
    OneToOthers,
    PoissonSource,
    Sparse,
)

FLOAT, INDEX = 8, 4  # bytes of a number and of a unit's
BLOCK, SENT = 256, 60  # steps of sources that are drawn together, and bytes for each unit that spikes in one of them


def synapse_count(circuit: Circuit, name: str) -> int:
    """How many synapses a projection has; where they are drawn by chance, how many are expected.

    Example:
        >>> from neurosal.graph import LIF, Circuit, ExponentialDrive, Population, Projection, Sparse
        >>> edge = Projection(source="cells", target="cells", wiring=Sparse(density=0.02), synapse=ExponentialDrive())
        >>> synapse_count(Circuit(populations={"cells": Population(size=4000, model=LIF())},
        ...                       projections={"recurrent": edge}), "recurrent")
        319920
    """
    edge = circuit.projections[name]
    source, target = circuit.populations.get(edge.source), circuit.populations.get(edge.target)
    if source is None or target is None:
        return 0
    wiring = edge.wiring
    alone = isinstance(wiring, Dense) and edge.source == edge.target and not wiring.allow_autapses
    pairs = source.units * (target.units - alone)
    match wiring:
        case EdgeList():
            return len(wiring.edges)
        case OneToOne():
            return source.units
        case OneToOthers():
            return source.units * (target.units - 1)
        case Sparse():
            return round(pairs * wiring.density)
        case FixedInDegree():
            return target.units * wiring.inputs
        case FixedTotal():
            return wiring.synapses
        case FixedOutDegree():
            return source.units * wiring.outputs
    return pairs


def estimate_in_time(
    circuit: Circuit, replicas: int = 1, dt_ms: float = 0.1, dtype: str = "float64", one_graph: bool = False
) -> dict[str, int]:
    """Bytes that a simulation on torch needs, by part: edges (drawn: ends, weights, delays and what plasticity
    remembers), synapses (the same as the engine has them, in its order), units (their state), spikes (of sources whose
    units stand for many trains).

    Args:
        circuit: in continuous time; parts that do not fit count nothing.
        replicas: R.
        dt_ms: time step.
        dtype: of the engine; edges are drawn in float64.
        one_graph: whether replicas share synapses.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population
        >>> estimate_in_time(Circuit(populations={"cells": Population(size=1000, model=LIF())}))["units"]
        32000
    """
    number, graphs = BYTES[dtype], 1 if one_graph else replicas
    edges = synapses = spikes = units = 0
    for name, edge in circuit.projections.items():
        count = synapse_count(circuit, name)
        programs = [edge.plasticity.program(), None if edge.short_term is None else edge.short_term.program()]
        variables = sum(len(program.variables) + len(program.decays) for program in programs if program is not None)
        given = isinstance(edge.wiring, (Dense, OneToOne, OneToOthers, EdgeList))  # the same for every seed
        lists = 1 if given else graphs
        delays = INDEX if isinstance(edge.delay_ms, Initialiser) else 0
        changes = edge.plasticity.plastic or edge.short_term is not None
        edges += count * (2 * INDEX * lists + FLOAT * graphs + delays * graphs + FLOAT * variables * replicas)
        if not changes:
            synapses += count * (INDEX + number + delays) * graphs
        else:
            synapses += count * ((3 * INDEX + delays) * graphs + number * (1 + variables) * replicas)
    for population in circuit.populations.values():
        if isinstance(population.model, Dynamical):
            units += FLOAT * population.units * (2 + 2 * len(population.model.dynamics().equations))
        elif isinstance(population.model, PoissonSource) and population.model.merged > 1:
            rate_hz = population.model.rate_hz
            rate_hz = sum(rate_hz) / max(len(rate_hz), 1) if isinstance(rate_hz, tuple) else rate_hz
            sent = min(rate_hz * population.model.merged * dt_ms * 1e-3, 1.0)  # of the units in a step
            spikes += int(SENT * BLOCK * population.units * sent)
    return {"edges": edges, "synapses": synapses, "units": replicas * units, "spikes": replicas * spikes}


def refuse_oversized_in_time(
    circuit: Circuit, replicas: int, dt_ms: float, dtype: str, one_graph: bool, limit: int | None = None
) -> None:
    """Refuses what `estimate_in_time` says will not fit.

    Args:
        limit: bytes; None takes what is free on this machine.

    Raises:
        ExperimentError: with the largest parts.
    """
    problem = memory_problem(
        estimate_in_time(circuit, replicas, dt_ms, dtype, one_graph), available_memory() if limit is None else limit,
        place=f"circuit {circuit.name!r}, {replicas} replica{'s' * (replicas != 1)}",
        remedy="Take fewer synapses"
        + ("." if replicas == 1 else ", fewer seeds at a time, or one graph for all of them (`graph_seed`)."),
    )  # fmt: skip
    if problem is not None:
        raise ExperimentError(problem)
