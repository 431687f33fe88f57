"""Which projections a phase means by its names and patterns, and the circuit as it is while the phase lasts."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import get_args

from neurosal.graph.circuit import Circuit
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.projection import Pathway
from neurosal.settings.phases import Phase

PATHWAYS: tuple[str, ...] = get_args(Pathway)


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a name or pattern (``*``, ``?``) means."""
    return [name for name in names if name == pattern or fnmatchcase(name, pattern)]


def meant(circuit: Circuit, pattern: str) -> set[str]:
    """The projections that one name or pattern means: of projections, of populations (all feedforward projections into
    them), or of a pathway."""
    if pattern in PATHWAYS:
        return {name for name, edge in circuit.projections.items() if edge.pathway == pattern}
    found = set(matching(pattern, circuit.projections))
    for population in matching(pattern, circuit.populations):
        found |= circuit.select(pathway="feedforward", target=population).keys()
    return found


def selected(circuit: Circuit, patterns: Iterable[str]) -> set[str]:
    """The projections that names and patterns mean."""
    found: set[str] = set()
    for pattern in patterns:
        found |= meant(circuit, pattern)
    return found


def frozen_in(circuit: Circuit, phase: Phase) -> frozenset[str]:
    """The projections that must not change while a phase lasts; ties go with the weights that they read."""
    frozen = selected(circuit, phase.frozen)
    if phase.plastic is not None:
        frozen |= circuit.projections.keys() - selected(circuit, phase.plastic)
    return frozenset(name for name in circuit.projections if name in frozen or _root(circuit, name) in frozen)


def _root(circuit: Circuit, name: str) -> str:
    seen = {name}
    while (tie := circuit.projections[name].tied_to) is not None and tie not in seen:
        name = tie
        seen.add(name)
    return name


def circuit_in(circuit: Circuit, phase: Phase) -> Circuit:
    """The circuit as it learns while a phase lasts: with the phase's plasticity, and what is frozen fixed."""
    changed = {
        name: edge.replace(plasticity=plasticity)
        for pattern, plasticity in phase.plasticity.items()
        for name in meant(circuit, pattern)
        for edge in [circuit.projections[name]]
        if edge.plasticity != plasticity
    }
    fixed, frozen = Plasticity.members["fixed"](), frozen_in(circuit, phase)
    for name in frozen:
        edge = circuit.projections[name]
        if edge.plasticity.kind != "fixed":
            changed[name] = edge.replace(plasticity=fixed)
    circuit = circuit.with_projections(**changed) if changed else circuit
    still = {
        name: population.replace(model=population.model.replace(plastic=False))
        for name, population in circuit.populations.items()
        if getattr(population.model, "plastic", False)
        and population.parameters.keys() - {"bias"}
        and circuit.select(pathway="feedforward", target=name).keys() <= frozen
    }
    return circuit.with_populations(**still) if still else circuit


def without_error(circuit: Circuit) -> Circuit:
    """The circuit with all synapses fixed that learn from an error: noise brings none."""
    fixed = Plasticity.members["fixed"]()
    errs = {
        name: edge.replace(plasticity=fixed)
        for name, edge in circuit.projections.items()
        if any(need.endswith("error") for need in edge.plasticity.needs)
    }
    return circuit.with_projections(**errs)


def driven_in(circuit: Circuit, phase: Phase) -> tuple[str, ...]:
    """The populations that a phase drives with noise, in turn."""
    assert phase.drive is not None
    if phase.drive.populations is not None:
        return phase.drive.populations
    ends = {
        edge.target
        for edge in circuit_in(circuit, phase).select(pathway="feedback").values()
        if edge.plasticity.plastic and not any(need.endswith("error") for need in edge.plasticity.needs)
    }
    return tuple(name for name in circuit.populations if name in ends)
