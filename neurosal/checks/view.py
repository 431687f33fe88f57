"""What the checks look at: the readable parts of a circuit, and what is known about its unreadable parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from neurosal.errors import CircuitError, NeurosalError, Problem
from neurosal.graph.circuit import Circuit
from neurosal.graph.files import misread
from neurosal.graph.models import Model, Relay, Source
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.value import Value

PATHWAYS = ("feedforward", "feedback", "lateral", "modulatory")


@dataclass(frozen=True)
class View:
    """A circuit under check. An unreadable part counts as there: nothing that may follow from it is reported.

    Args:
        circuit: the parts that could be read.
        malformed_populations, malformed_projections: names of those that could not.
        loose: (pathway, source, target) of unreadable projections, as far as they can be told.
        blind: whether the ends of some unreadable projection cannot be told.
    """

    circuit: Circuit
    malformed_populations: frozenset[str] = frozenset()
    malformed_projections: frozenset[str] = frozenset()
    loose: tuple[tuple[str, str, str], ...] = ()
    blind: bool = False

    @property
    def populations(self) -> Mapping[str, Population]:
        return self.circuit.populations

    @property
    def projections(self) -> Mapping[str, Projection]:
        return self.circuit.projections

    @cached_property
    def known_populations(self) -> frozenset[str]:
        return frozenset(self.populations) | self.malformed_populations

    @cached_property
    def known_projections(self) -> frozenset[str]:
        return frozenset(self.projections) | self.malformed_projections

    def model(self, population: str) -> Model | None:
        """The model of a population, None where it is unknown."""
        entry = self.populations.get(population)
        return None if entry is None else entry.model

    @cached_property
    def ends(self) -> tuple[tuple[str, str, str], ...]:
        """(pathway, source, target) of every projection, readable or not."""
        return (*((edge.pathway, edge.source, edge.target) for edge in self.projections.values()), *self.loose)

    @cached_property
    def entered(self) -> frozenset[tuple[str, str]]:
        """(pathway, population) that a projection enters."""
        return frozenset((pathway, target) for pathway, _, target in self.ends)

    @cached_property
    def left(self) -> frozenset[tuple[str, str]]:
        """(pathway, population) that a projection leaves."""
        return frozenset((pathway, source) for pathway, source, _ in self.ends)

    @cached_property
    def dangling(self) -> frozenset[tuple[str, str]]:
        """(pathway, "source" or "target") of projections with an end at no population: they may mean any."""
        return frozenset(
            (pathway, end)
            for pathway, *ends in self.ends
            for end, population in zip(("source", "target"), ends, strict=True)
            if population not in self.known_populations
        )

    def is_entered(self, population: str, pathway: str) -> bool:
        """Whether a projection of this pathway enters, or may be meant to."""
        return self.blind or (pathway, population) in self.entered or (pathway, "target") in self.dangling

    def is_left(self, population: str, pathway: str) -> bool:
        """Whether a projection of this pathway leaves, or may be meant to."""
        return self.blind or (pathway, population) in self.left or (pathway, "source") in self.dangling

    @cached_property
    def output(self) -> str | None:
        """The output, None where there is not exactly one or that cannot be told."""
        unclear = self.blind or self.malformed_populations or ("feedforward", "source") in self.dangling
        return None if unclear or len(self.outputs) != 1 else self.outputs[0]

    def connected(self, pathway: str) -> Iterator[tuple[str, Projection]]:
        """Projections of a pathway between populations that could be read, by name."""
        for name, edge in self.projections.items():
            if edge.pathway == pathway and edge.source in self.populations and edge.target in self.populations:
                yield name, edge

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Where feedforward paths end. What nothing enters is a mistake of its own, and counts only if it is alone."""
        ends = [
            name
            for name, population in self.populations.items()
            if ("feedforward", name) not in self.left and not isinstance(population.model, (Source, Relay))
        ]
        return tuple([name for name in ends if ("feedforward", name) in self.entered] or ends)

    @cached_property
    def with_error(self) -> frozenset[str] | None:
        """Populations where an error can be; None where the output is not clear or something could not be read."""
        if self.output is None:
            return None
        below: dict[str, list[str]] = {}
        for pathway, source, target in self.ends:
            if pathway == "feedback":
                below.setdefault(source, []).append(target)
        # A source that nobody knows is reported under its own name; error is taken to come from there.
        reached = {self.output, *(source for source in below if source not in self.populations)}
        waiting = list(reached)
        while waiting:
            fresh = set(below.get(waiting.pop(), ())) - reached
            reached |= fresh
            waiting += fresh
        return frozenset(reached)


def view_of(data: Any) -> tuple[View | None, list[Problem]]:
    """The readable parts of a circuit's dict (None if it has none), and a problem for each field that is wrong."""
    try:
        circuit = Circuit.from_dict(data)
        problems = list(misread(data, circuit))
        if not problems:
            return View(circuit), []
    except CircuitError as wrong:
        problems = list(wrong.problems)
    if not isinstance(data, Mapping):
        return None, problems
    tables = {field: data.get(field, {}) for field in ("populations", "projections")}
    if not all(isinstance(table, Mapping) for table in tables.values()):
        return None, problems
    populations, bad_populations, slips = readable(tables["populations"], Population, "populations")
    projections, bad_projections, more = readable(tables["projections"], Projection, "projections")
    problems += [problem for problem in (*slips, *more) if problem not in problems]
    loose = [_ends(tables["projections"][name]) for name in bad_projections]
    view = View(
        Circuit(populations=populations, projections=projections),
        malformed_populations=frozenset(bad_populations),
        malformed_projections=frozenset(bad_projections),
        loose=tuple(ends for ends in loose if ends is not None),
        blind=None in loose,
    )
    return view, problems


def readable(table: Mapping[Any, Any], cls: type[Value], place: str) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """The entries of a table that can be read as `cls`, names of the others, and what was misread in them."""
    values: dict[str, Any] = {}
    malformed: list[str] = []
    problems: list[Problem] = []
    for name, entry in table.items():
        try:
            value = cls.from_dict(entry)
        except NeurosalError:
            malformed.append(str(name))
            continue
        slips = list(misread(entry, value, f"{place}.{name}"))
        problems += slips
        if slips:
            malformed.append(str(name))
        else:
            values[str(name)] = value
    return values, malformed, problems


def _ends(entry: Any) -> tuple[str, str, str] | None:
    if not isinstance(entry, Mapping):
        return None
    pathway, source, target = entry.get("pathway", "feedforward"), entry.get("source"), entry.get("target")
    if pathway not in PATHWAYS or not isinstance(source, str) or not isinstance(target, str):
        return None
    return str(pathway), source, target
