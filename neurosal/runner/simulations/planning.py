"""What is recorded of a circuit, in steps, after all that does not fit was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod

from neurosal.errors import CircuitError, ExperimentError, Problem, near
from neurosal.graph import Circuit, PoissonSource, Program
from neurosal.lower.spiking import Assembled, assemble
from neurosal.lower.spiking.programs import program_of
from neurosal.settings import RecordedSpikes, RecordedState, RecordedWeights, Simulation
from neurosal.settings.simulation import whole


@dataclass(frozen=True)
class Watched:
    """State of a population: variables of some units at steps 0, every, 2 every, …"""

    population: str
    variables: tuple[str, ...]
    every: int
    units: tuple[int, ...]


@dataclass(frozen=True)
class Snapshots:
    """Weights and variables of synapses of a projection, at steps 0, every, 2 every, … and at the end."""

    projection: str
    variables: tuple[str, ...]
    every: int

    def due(self, step: int) -> bool:
        """Whether a snapshot is, before that step."""
        return step % self.every == 0


@dataclass(frozen=True)
class Plan:
    """What is recorded of a simulation.

    Attributes:
        steps: in all.
        window: steps after which spikes are handed over.
        populations: with their numbers of units, all.
        spiking: populations whose spikes are summed up.
        recorded: those whose spikes are recorded.
        states, snapshots: what else is.
    """

    steps: int
    window: int
    populations: Mapping[str, int]
    spiking: tuple[str, ...]
    recorded: tuple[str, ...]
    states: tuple[Watched, ...]
    snapshots: tuple[Snapshots, ...]


def planned(circuit: Circuit, simulation: Simulation) -> Plan:
    """What is recorded.

    Raises:
        ExperimentError: for what cannot be recorded of this circuit. CircuitError: for one that does not run in time.

    Example:
        >>> from neurosal.graph import LIF, Population
        >>> circuit = Circuit(populations={"cells": Population(size=3, model=LIF())})
        >>> planned(circuit, Simulation(duration_ms=10, record="state:cells.v_mv@1")).states
        (Watched(population='cells', variables=('v_mv',), every=10, units=(0, 1, 2)),)
    """
    assembled = assemble(circuit)
    programs = {name: program_of(name, edge) for name, edge in circuit.projections.items()}
    problems = [
        problem
        for index, entry in enumerate(simulation.record)
        for problem in _problems(f"record.{index}", entry, circuit, assembled, programs, simulation.dt_ms)
    ]
    if problems:
        raise ExperimentError(problems)
    units = {name: prod(population.extent) for name, population in circuit.populations.items()}
    asked = [entry for entry in simulation.record if isinstance(entry, RecordedSpikes)]
    usual = {name for name, entry in assembled.items() if _spikes(entry) and not _merges(circuit, name)}
    named = {entry.population for entry in asked if entry.population is not None}
    recorded = named | (usual if any(entry.population is None for entry in asked) else set())
    return Plan(
        steps=simulation.steps,
        window=max(1, round(simulation.window_ms / simulation.dt_ms)),
        populations=units,
        spiking=tuple(name for name in circuit.populations if name in usual | named),
        recorded=tuple(name for name in circuit.populations if name in recorded),
        states=tuple(_states(simulation, units)),
        snapshots=tuple(_snapshots(simulation)),
    )


def _spikes(assembled: Assembled) -> bool:
    return assembled.dynamics is None or bool(assembled.dynamics.threshold)


def _merges(circuit: Circuit, population: str) -> bool:
    """Whether units of a source stand for many trains each: there are too many spikes, and none is of a unit."""
    model = circuit.populations[population].model
    return isinstance(model, PoissonSource) and model.merged > 1


def _states(simulation: Simulation, units: Mapping[str, int]) -> Iterator[Watched]:
    found: dict[tuple[str, int], Watched] = {}
    for index, entry in enumerate(simulation.record):
        if not isinstance(entry, RecordedState):
            continue
        every = round(entry.every_ms / simulation.dt_ms)
        chosen = tuple(range(units[entry.population])) if entry.units is None else entry.units
        key = (entry.population, every)
        known = found.setdefault(key, Watched(entry.population, (), every, chosen))
        if known.units != chosen:
            raise ExperimentError(
                Problem(place=f"record.{index}", expected=f"the units of the other record of {entry.population!r} "
                        f"every {entry.every_ms:g} ms", found="others", remedy="Give both the same units, or another "
                        "interval.")
            )  # fmt: skip
        found[key] = replace(known, variables=tuple(dict.fromkeys((*known.variables, *entry.variables))))
    yield from found.values()


def _snapshots(simulation: Simulation) -> Iterator[Snapshots]:
    found: dict[tuple[str, int], Snapshots] = {}
    for entry in simulation.record:
        if isinstance(entry, RecordedWeights):
            every = round(entry.every_ms / simulation.dt_ms)
            known = found.setdefault((entry.projection, every), Snapshots(entry.projection, (), every))
            variables = tuple(dict.fromkeys((*known.variables, *entry.variables)))
            found[entry.projection, every] = replace(known, variables=variables)
    yield from found.values()


def _problems(place: str, entry: object, circuit: Circuit, assembled: Mapping[str, Assembled],
              programs: Mapping[str, Program], dt_ms: float) -> Iterator[Problem]:  # fmt: skip
    every_ms = getattr(entry, "every_ms", dt_ms)
    if not whole(every_ms, dt_ms):
        yield Problem(place=f"{place}.every_ms", expected=f"whole steps of {dt_ms:g} ms", found=f"{every_ms:g}")
    if isinstance(entry, RecordedSpikes) and entry.population is not None:
        spiking = [name for name, one in assembled.items() if _spikes(one)]
        if entry.population not in spiking:
            yield Problem(place=f"{place}.population", expected="a population that spikes",
                          found=repr(entry.population), remedy=near(entry.population, spiking))  # fmt: skip
    elif isinstance(entry, RecordedState):
        known = {name: one.dynamics for name, one in assembled.items() if one.dynamics is not None}
        if (dynamics := known.get(entry.population)) is None:
            yield Problem(place=f"{place}.population", expected="a population with state",
                          found=repr(entry.population), remedy=near(entry.population, known))  # fmt: skip
            return
        for name in entry.variables:
            if name not in dynamics.equations:
                yield Problem(place=f"{place}.variables", expected=f"state of {entry.population!r}", found=repr(name),
                              remedy=near(name, dynamics.equations))  # fmt: skip
        units = prod(circuit.populations[entry.population].extent)
        if entry.units is not None and not (entry.units[0] >= 0 and entry.units[-1] < units):
            yield Problem(place=f"{place}.units", expected=f"units from 0 to {units - 1}",
                          found=f"{entry.units[0]} to {entry.units[-1]}")  # fmt: skip
    elif isinstance(entry, RecordedWeights):
        if entry.projection not in programs:
            yield Problem(place=f"{place}.projection", expected="a projection of the circuit",
                          found=repr(entry.projection), remedy=near(entry.projection, programs))  # fmt: skip
            return
        variables = programs[entry.projection].variables
        for name in entry.variables:
            if name not in variables:
                yield Problem(place=f"{place}.variables", expected=f"a variable of synapses of {entry.projection!r}",
                              found=repr(name), remedy=near(name, variables))  # fmt: skip


def refuse_no_time(circuit: Circuit) -> None:
    """Refuse what is no circuit in continuous time.

    Raises:
        CircuitError: saying what else to do with it.
    """
    from neurosal.checks.spiking import refuse_no_time as refuse

    if not isinstance(circuit, Circuit):
        remedy = "neurosal.circuits makes them, and ns.Circuit.from_dict and from_yaml read them."
        raise CircuitError(
            Problem(place="circuit", expected="a Circuit", found=type(circuit).__name__, remedy=remedy)
        )  # fmt: skip
    refuse(circuit)
