"""A circuit: named populations, and projections between them with separate pathways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx
from pydantic import Field, field_validator

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph.driving import driven_at
from neurosal.graph.models import Relay, Source
from neurosal.graph.population import Population
from neurosal.graph.projection import Pathway, Projection
from neurosal.graph.spiking import Dynamical
from neurosal.graph.value import FrozenMap, Value, shown
from neurosal.graph.wiring import Router, SameRoute


class Circuit(Value):
    """What a network is. Making one checks fields only; `neurosal.check` checks whether the parts fit together.

    Example:
        >>> from neurosal.graph import Circuit, Population, Projection, Source
        >>> circuit = Circuit(
        ...     name="pair",
        ...     populations={"input": Population(size=4, model=Source()), "output": Population(size=2)},
        ...     projections={"input_to_output": Projection(source="input", target="output")},
        ... )
        >>> circuit.output
        'output'
    """

    name: str = "circuit"
    populations: Mapping[str, Population] = Field(default_factory=dict)
    projections: Mapping[str, Projection] = Field(default_factory=dict)

    @field_validator("populations", "projections", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    def __repr__(self) -> str:
        return f"Circuit({self.name!r}, {len(self.populations)} populations, {len(self.projections)} projections)"

    __str__ = __repr__

    # Reading ---------------------------------------------------------------------------------------------------------

    def select(
        self, *, pathway: Pathway | None = None, source: str | None = None, target: str | None = None
    ) -> dict[str, Projection]:
        """The projections that fit all that is given, by name, in the circuit's order."""
        return {
            name: projection
            for name, projection in self.projections.items()
            if (pathway is None or projection.pathway == pathway)
            and (source is None or projection.source == source)
            and (target is None or projection.target == target)
        }

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the source populations."""
        return tuple(name for name, population in self.populations.items() if isinstance(population.model, Source))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the populations where feedforward paths end (relays and inputs left out)."""
        leaving = {projection.source for projection in self.select(pathway="feedforward").values()}
        return tuple(
            name
            for name, population in self.populations.items()
            if name not in leaving and not isinstance(population.model, (Source, Relay))
        )

    @property
    def output(self) -> str:
        """The population that the loss reads.

        Raises:
            CircuitError: when there is none or more than one.
        """
        ends = self.outputs
        if len(ends) != 1:
            raise CircuitError(
                Problem(
                    place="populations",
                    expected="one output (a population that no feedforward projection leaves)",
                    found=", ".join(ends) or "none",
                    remedy="Connect or remove the others.",
                )
            )
        return ends[0]

    def layers(self) -> list[str]:
        """Populations with activity, each after those that it hears from.

        Raises:
            CircuitError: when feedforward projections form a cycle; the message names it.
        """
        return self._ordered("feedforward", [n for n, p in self.populations.items() if not isinstance(p.model, Relay)])

    def error_order(self) -> list[str]:
        """Populations in an order in which error can travel: each after those that it hears error from."""
        return self._ordered("feedback", list(self.populations)[::-1])

    def _ordered(self, pathway: Pathway, names: list[str]) -> list[str]:
        graph = networkx.DiGraph()
        graph.add_nodes_from(names)
        # Feedback of spiking units to themselves reaches their past: no cycle within a step.
        edges = [(p.source, p.target) for p in self.select(pathway=pathway).values()]
        graph.add_edges_from((start, end) for start, end in edges if start != end or not self.remembers(start))
        try:
            return list(
                networkx.lexicographical_topological_sort(
                    graph, key={name: i for i, name in enumerate(graph)}.__getitem__
                )
            )
        except networkx.NetworkXUnfeasible:
            cycle = [edge[0] for edge in networkx.find_cycle(graph)]
            raise CircuitError(
                Problem(
                    place="projections",
                    expected=f"no {pathway} cycle",
                    found=" -> ".join([*cycle, cycle[0]]),
                    remedy="Turn one of these projections round or remove it.",
                )
            ) from None

    def remembers(self, population: str) -> bool:
        """Whether the units of a population have a state that goes on from step to step."""
        entry = self.populations.get(population)
        return entry is not None and isinstance(entry.model, Dynamical)

    def router_of(self, population: str) -> str | None:
        """Name of the modulatory projection that chooses the areas of `population`, followed through `SameRoute`; None
        without areas."""
        for name, projection in self.select(pathway="modulatory", target=population).items():
            seen = {name}
            while isinstance(projection.wiring, SameRoute):
                name = projection.wiring.of
                if name in seen or name not in self.projections:
                    return None
                seen.add(name)
                projection = self.projections[name]
            return name if isinstance(projection.wiring, Router) else None
        return None

    def areas_of(self, projection: str) -> int:
        """K of a projection's weights: areas of the target for feedforward, of the source for feedback; 1 for fixed
        one-to-one wiring."""
        edge = self.projections[projection]
        if (
            edge.pathway == "modulatory"
            or edge.wiring.weightless
            or (edge.wiring.kind == "one_to_one" and not edge.plasticity.plastic and edge.tied_to is None)
        ):
            return 1
        return self.populations[edge.source if edge.pathway == "feedback" else edge.target].areas

    def learns(self, projection: str) -> bool:
        """Whether the synapses of a projection can change as the circuit stands: they are plastic, no router's, and
        noise drives their target if their plasticity waits for that."""
        edge = self.projections[projection]
        if edge.pathway == "modulatory" or not edge.plasticity.plastic:
            return False
        model = self.populations[edge.target].model
        return not edge.plasticity.while_driven or (isinstance(model, Source) and model.driven)

    # Changing (each returns a new circuit) ---------------------------------------------------------------------------

    def with_populations(self, **populations: Population) -> Circuit:
        """A copy with these populations added or replaced."""
        return self.replace(populations={**self.populations, **populations})

    def with_projections(self, **projections: Projection) -> Circuit:
        """A copy with these projections added or replaced."""
        return self.replace(projections={**self.projections, **projections})

    def without(self, names: str | Iterable[str]) -> Circuit:
        """A copy without these populations (their projections go too) and projections.

        Raises:
            CircuitError: for a name that is not there, with near names.
        """
        names = {names} if isinstance(names, str) else set(names)
        unknown = names - set(self.populations) - set(self.projections)
        if unknown:
            known = [*self.populations, *self.projections]
            raise CircuitError(
                [
                    Problem(
                        place="without",
                        expected="a population or projection",
                        found=shown(name),
                        remedy=near(name, known),
                    )
                    for name in sorted(unknown)
                ]
            )
        return self.replace(
            populations={name: entry for name, entry in self.populations.items() if name not in names},
            projections={
                name: entry
                for name, entry in self.projections.items()
                if not {name, entry.source, entry.target} & names
            },
        )

    def driven_at(self, population: str) -> Circuit:
        """The circuit in which noise drives this population: it becomes a ``Source(driven=True)``.

        Its incoming feedforward projections go, and so does every population that does not hear from it; feedback into
        it stays. Populations that hear the noise respond without their norms, whose statistics are those of data. A
        network's `twin` of this circuit shares weights by name with the whole, so that a step of the twin on noise,
        with the loss "none", is the mirror phase of a weight mirror.

        Raises:
            CircuitError: for a population that is not there, that has no activity, or that nothing hears from; and
                where a router reads a population that goes.

        Example:
            >>> from neurosal import circuits, rules
            >>> driven = rules.fa(circuits.mlp(4, 3, 2)).driven_at("hidden1")
            >>> list(driven.projections), driven.populations["hidden1"].model
            (['hidden1_to_output', 'output_to_hidden1'], Source(driven=True))

        Reference:
            Akrout et al. (2019), arXiv 1904.05391.
        """
        return driven_at(self, population)

    def free_name(self, name: str) -> str:
        """`name`, or `name_2`, `name_3`, ... when a projection or population is called so already."""
        taken, candidate, count = {*self.populations, *self.projections}, name, 2
        while candidate in taken:
            candidate, count = f"{name}_{count}", count + 1
        return candidate

    # Doors -----------------------------------------------------------------------------------------------------------

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The circuit as a `networkx.MultiDiGraph`: nodes carry the fields of populations, edges (keyed by name) those
        of projections."""
        graph = networkx.MultiDiGraph(name=self.name)
        for name, population in self.populations.items():
            graph.add_node(name, **population.to_dict())
        for name, projection in self.projections.items():
            fields = projection.to_dict()
            graph.add_edge(fields.pop("source"), fields.pop("target"), key=name, **fields)
        return graph

    @classmethod
    def from_networkx(cls, graph: networkx.MultiDiGraph) -> Circuit:
        """The circuit that `to_networkx` wrote."""
        return cls.from_dict(
            {
                "name": graph.graph.get("name", "circuit"),
                "populations": {name: dict(fields) for name, fields in graph.nodes(data=True)},
                "projections": {
                    name: {"source": source, "target": target, **fields}
                    for source, target, name, fields in graph.edges(keys=True, data=True)
                },
            }
        )
