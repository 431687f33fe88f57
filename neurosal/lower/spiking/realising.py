"""All numbers of a simulation that engines share: edges, first state, constants of single units, spikes of sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Dynamics, Emitter, Initialiser, Program
from neurosal.graph.programs import changed_by
from neurosal.lower.spiking.assembling import Assembled, assemble
from neurosal.lower.spiking.edges import Array, Edges, drawn, edges_of, random_of, refuse_long
from neurosal.lower.spiking.programs import missing_signals, program_of

BLOCK = 256  # steps of sources that are drawn together
LONGEST_REFRACTORY = 2**31 - 1  # steps


@dataclass(frozen=True)
class Realised:
    """A circuit in continuous time with all its numbers, for one replica.

    Attributes:
        circuit: described.
        seed: of the replica.
        dt_ms: time step.
        populations: equations with those of synapses put in, by name.
        programs: what happens at synapses, by projection.
        edges: synapses, by projection.
        state: first values, population → variable → float64 [units].
        constants: of single units, population → constant → float64 [units].
        variables: first values of synapses beside weights, projection → variable → float64 [S].
        graph_seed: of the graph, where that is not the replica's own: of edges, delays and first weights, of constants
            of single units, and of what synapses have that nothing ever changes.
    """

    circuit: Circuit
    seed: int
    dt_ms: float
    populations: Mapping[str, Assembled]
    programs: Mapping[str, Program]
    edges: Mapping[str, Edges]
    state: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    constants: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    graph_seed: int | None = None

    def units(self, population: str) -> int:
        """How many units a population has."""
        return prod(self.circuit.populations[population].extent)

    def spikes(self, population: str, block: int) -> tuple[Array, Array]:
        """What a source sends in the steps from ``block * BLOCK`` on: steps [L] and units [L], sorted by step, then
        unit. The same whenever and by whomever it is asked."""
        return self._emitter(population).spikes(*self._asked(population, block))

    def counted(self, population: str, block: int) -> tuple[Array, Array, Array | None]:
        """The same spikes, those of one unit in one step together: steps [K], units [K], and how many spikes each of
        these is, [K], or None where each is one."""
        return self._emitter(population).counted(*self._asked(population, block))

    def _emitter(self, population: str) -> Emitter:
        model = self.circuit.populations[population].model
        assert isinstance(model, Emitter), population
        return model

    def _asked(self, population: str, block: int) -> tuple[int, int, int, float, np.random.Generator]:
        random = random_of(self.seed, population, "spikes", block)
        return self.units(population), block * BLOCK, BLOCK, self.dt_ms, random

    def all_spikes(self, population: str, steps: int) -> tuple[Array, Array]:
        """What a source sends in the first steps."""
        blocks = [self.spikes(population, block) for block in range(-(-steps // BLOCK))]
        step_L, unit_L = (np.concatenate(ends) for ends in zip(*blocks, strict=True))
        return step_L[step_L < steps], unit_L[step_L < steps]


def realise(circuit: Circuit, seed: int, dt_ms: float, graph_seed: int | None = None) -> Realised:
    """Draw all numbers of one replica. Two replicas of the same seed are equal, whatever stands beside them.

    Args:
        graph_seed: draws the graph in place of `seed`: edges, delays, first weights, and constants of single units.
            What differs between two trials of one network is left to `seed`: first state and spikes of sources.

    Raises:
        CircuitError: for circuits that do not run in continuous time, and for times of too many steps.

    Example:
        >>> from neurosal.graph import Circuit, LIF, Population, Uniform
        >>> model = LIF(start_mv=Uniform(low=-70, high=-50))
        >>> circuit = Circuit(populations={"cells": Population(size=3, model=model)})
        >>> realise(circuit, seed=0, dt_ms=0.1).state["cells"]["v_mv"].shape
        (3,)
    """
    return realise_all(circuit, [seed], dt_ms, graph_seed)[0]


def realise_all(circuit: Circuit, seeds: Iterable[int], dt_ms: float, graph_seed: int | None = None) -> list[Realised]:
    """What `realise` draws for each seed, where arrays that no seed changes are there once for all: those of the graph
    if it has a seed of its own, else those in which nothing is drawn, such as a list of edges, or one weight for all.

    Raises:
        CircuitError: for circuits that do not run in continuous time.

    Example:
        >>> from neurosal import circuits
        >>> one, other = realise_all(circuits.cuba(excitatory=80, inhibitory=20), range(2), 0.1, graph_seed=7)
        >>> one.edges is other.edges, (one.state["excitatory"]["v_mv"] == other.state["excitatory"]["v_mv"]).any()
        (True, np.False_)
    """
    populations = assemble(circuit)
    for name, assembled in populations.items():
        if (dynamics := assembled.dynamics) is not None:
            refuse_long(dynamics.refractory_ms, dt_ms, LONGEST_REFRACTORY, f"populations.{name}.model.refractory_ms")
    programs = {name: program_of(name, edge) for name, edge in circuit.projections.items()}
    _refuse_missing(circuit, populations, programs)
    moving = {name: changed_by(program) for name, program in programs.items()}
    found: list[Realised] = []
    for seed in seeds:
        first = found[0] if found else None
        of_graph = seed if graph_seed is None else graph_seed
        if first is not None and graph_seed is not None:
            constants, edges = first.constants, first.edges
        else:
            constants = _constants(circuit, populations, of_graph)
            edges = {
                name: edges_of(circuit, name, of_graph, dt_ms, None if first is None else first.edges[name])
                for name in circuit.projections
            }
        state = {
            name: {
                variable: _first(assembled.dynamics, constants[name], variable, _units(circuit, name), seed, name)
                for variable in assembled.dynamics.equations
            }
            for name, assembled in populations.items()
            if assembled.dynamics is not None
        }
        variables = {
            name: {
                variable: _values(value, len(edges[name]), seed if variable in moving[name] else of_graph, name,
                                  "variable", variable)
                for variable, value in program.variables.items()
            }
            for name, program in programs.items()
        }  # fmt: skip
        found.append(
            Realised(circuit, seed, dt_ms, populations, programs, edges, state, constants, variables, graph_seed)
        )
    return found


def _units(circuit: Circuit, population: str) -> int:
    return prod(circuit.populations[population].extent)


def _refuse_missing(circuit: Circuit, populations: Mapping[str, Assembled], programs: Mapping[str, Program]) -> None:
    state = {name: entry.dynamics.equations for name, entry in populations.items() if entry.dynamics is not None}
    if problems := [
        problem
        for name, edge in circuit.projections.items()
        for problem in missing_signals(
            name, edge, programs[name], state.get(edge.source, {}), state.get(edge.target, {})
        )
    ]:
        raise CircuitError(problems)


def _constants(circuit: Circuit, populations: Mapping[str, Assembled], seed: int) -> dict[str, dict[str, Array]]:
    """Those that units have of their own."""
    return {
        name: {
            constant: _values(value, _units(circuit, name), seed, name, "constant", constant)
            for constant, value in assembled.dynamics.constants.items()
            if isinstance(value, Initialiser)
        }
        for name, assembled in populations.items()
        if assembled.dynamics is not None
    }


def _first(
    dynamics: Dynamics, constants: Mapping[str, Array], variable: str, units: int, seed: int, name: str
) -> Array:
    """The first values of a variable; where it starts at a constant, at that of each unit."""
    value = dynamics.start.get(variable, 0.0)
    if not isinstance(value, str):
        return _values(value, units, seed, name, "start", variable)
    return constants[value].copy() if value in constants else np.full(units, float(dynamics.constants[value]))  # type: ignore[arg-type]


def _values(value: Any, count: int, seed: int, *name: str) -> Array:
    return drawn(value, count, random_of(seed, *name), 1.0, 1.0)
