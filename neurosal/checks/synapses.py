"""How many synapses a circuit in continuous time has, and what memory it needs before anything is drawn."""

from __future__ import annotations

from neurosal.graph import (
    Circuit,
    Constant,
    Dense,
    Dynamical,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    FixedTotal,
    Given,
    Initialiser,
    LogNormal,
    Normal,
    OneToOne,
    OneToOthers,
    Sparse,
    TruncatedNormal,
    Uniform,
)

FLOAT, INDEX = 8, 4  # bytes of a number and of a unit's


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


def longest_delay_ms(delay_ms: float | Initialiser) -> float:
    """About the longest delay of a projection."""
    match delay_ms:
        case float() | int():
            return float(delay_ms)
        case Constant():
            return delay_ms.value
        case Uniform():
            return delay_ms.high
        case Normal():
            return max(0.0, delay_ms.mean + 5 * delay_ms.std)
        case TruncatedNormal():
            most = delay_ms.mean + 5 * delay_ms.std
            return max(0.0, most if delay_ms.high is None else min(most, delay_ms.high))
        case Given():
            return max(delay_ms.values)
        case LogNormal():
            return float(2.718281828459045 ** (delay_ms.log_mean + 5 * delay_ms.log_std))
    return 0.0


def estimate_in_time(circuit: Circuit, replicas: int = 1, dt_ms: float = 0.1) -> dict[str, int]:
    """Bytes that a simulation needs, by part: synapses (ends, weights, delays and what plasticity remembers), units
    (their state), arrivals (what is on its way).

    Args:
        circuit: in continuous time; parts that do not fit count nothing.
        replicas: each with synapses of its own.
        dt_ms: time step.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population
        >>> estimate_in_time(Circuit(populations={"cells": Population(size=1000, model=LIF())}))["units"]
        32000
    """
    synapses = arrivals = 0
    for name, edge in circuit.projections.items():
        programs = [edge.plasticity.program(), None if edge.short_term is None else edge.short_term.program()]
        variables = sum(len(program.variables) + len(program.decays) for program in programs if program is not None)
        each = 2 * INDEX + FLOAT * (1 + variables) + (INDEX if isinstance(edge.delay_ms, Initialiser) else 0)
        synapses += each * synapse_count(circuit, name)
        target = circuit.populations.get(edge.target)
        if target is not None:
            slots = 1 + min(longest_delay_ms(edge.delay_ms) / dt_ms, 1e9)
            arrivals += int(FLOAT * slots) * target.units
    units = 0
    for population in circuit.populations.values():
        if isinstance(population.model, Dynamical):
            units += FLOAT * population.units * (2 + 2 * len(population.model.dynamics().equations))
    return {"synapses": replicas * synapses, "units": replicas * units, "arrivals": replicas * arrivals}
