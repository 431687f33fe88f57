"""All numbers of a simulation that engines share: edges, first state, constants of single units, spikes of sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Dynamics, Emitter, Initialiser, Program
from neurosal.lower.spiking.assembling import Assembled, assemble
from neurosal.lower.spiking.edges import Array, Edges, drawn, edges_of, random_of
from neurosal.lower.spiking.programs import missing_signals, program_of

BLOCK = 256  # steps of sources that are drawn together


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

    def units(self, population: str) -> int:
        """How many units a population has."""
        return prod(self.circuit.populations[population].extent)

    def spikes(self, population: str, block: int) -> tuple[Array, Array]:
        """What a source sends in the steps from ``block * BLOCK`` on: steps [L] and units [L], sorted by step, then
        unit. The same whenever and by whomever it is asked."""
        model = self.circuit.populations[population].model
        assert isinstance(model, Emitter), population
        random = random_of(self.seed, population, "spikes", block)
        return model.spikes(self.units(population), block * BLOCK, BLOCK, self.dt_ms, random)

    def all_spikes(self, population: str, steps: int) -> tuple[Array, Array]:
        """What a source sends in the first steps."""
        blocks = [self.spikes(population, block) for block in range(-(-steps // BLOCK))]
        step_L, unit_L = (np.concatenate(ends) for ends in zip(*blocks, strict=True))
        return step_L[step_L < steps], unit_L[step_L < steps]


def realise(circuit: Circuit, seed: int, dt_ms: float) -> Realised:
    """Draw all numbers of one replica. Two replicas of the same seed are equal, whatever stands beside them.

    Raises:
        CircuitError: for circuits that do not run in continuous time.

    Example:
        >>> from neurosal.graph import Circuit, LIF, Population, Uniform
        >>> model = LIF(start_mv=Uniform(low=-70, high=-50))
        >>> circuit = Circuit(populations={"cells": Population(size=3, model=model)})
        >>> realise(circuit, seed=0, dt_ms=0.1).state["cells"]["v_mv"].shape
        (3,)
    """
    populations = assemble(circuit)
    state: dict[str, dict[str, Array]] = {}
    constants: dict[str, dict[str, Array]] = {}
    for name, assembled in populations.items():
        if (dynamics := assembled.dynamics) is not None:
            units = prod(circuit.populations[name].extent)
            constants[name] = {
                constant: _values(value, units, seed, name, "constant", constant)
                for constant, value in dynamics.constants.items()
                if isinstance(value, Initialiser)
            }
            state[name] = {
                variable: _first(dynamics, constants[name], variable, units, seed, name)
                for variable in dynamics.equations
            }
    programs = {name: program_of(name, edge) for name, edge in circuit.projections.items()}
    if problems := [
        problem
        for name, edge in circuit.projections.items()
        for problem in missing_signals(
            name, edge, programs[name], state.get(edge.source, {}), state.get(edge.target, {})
        )
    ]:
        raise CircuitError(problems)
    edges = {name: edges_of(circuit, name, seed, dt_ms) for name in circuit.projections}
    variables = {
        name: {
            variable: _values(value, len(edges[name]), seed, name, "variable", variable)
            for variable, value in program.variables.items()
        }
        for name, program in programs.items()
    }
    return Realised(circuit, seed, dt_ms, populations, programs, edges, state, constants, variables)


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
