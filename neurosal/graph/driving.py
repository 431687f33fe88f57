"""The part of a circuit that hears from one population, with noise in place of what that population would compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph.models import Rate, Relay, Source
from neurosal.graph.population import Population
from neurosal.graph.wiring import SameRoute

if TYPE_CHECKING:
    from neurosal.graph.circuit import Circuit


def driven_at(circuit: Circuit, population: str) -> Circuit:
    """`Circuit.driven_at`."""
    _refuse(circuit, population)
    kept = _kept(circuit, population)
    lost = [name for name in circuit.populations if name not in kept]
    inward = [
        name for name, edge in circuit.projections.items() if edge.target == population and edge.pathway != "feedback"
    ]
    _refuse_lost_routes(circuit, population, kept)
    driven = circuit.without([*lost, *inward])
    _refuse_lost_ties(circuit, population, driven)
    source = circuit.populations[population].replace(model=Source(driven=True), areas=1)
    return driven.with_populations(**{**_without_norms(driven), population: source})


def _without_norms(circuit: Circuit) -> dict[str, Population]:
    """The populations that have a norm, without it. A norm of the response to noise would divide each channel by how
    strongly it responds, which is what a mirror wants to see; and running statistics are those of data, not of noise.
    """
    return {
        name: entry.replace(model=entry.model.replace(norm=None))
        for name, entry in circuit.populations.items()
        if isinstance(entry.model, Rate) and entry.model.norm is not None
    }


def _refuse(circuit: Circuit, population: str) -> None:
    place = f"driven_at({population!r})"
    entry = circuit.populations.get(population)
    if entry is None:
        known = list(circuit.populations)
        raise CircuitError(
            Problem(place=place, expected="the name of a population", found="none", remedy=near(population, known))
        )
    if isinstance(entry.model, Relay):
        raise CircuitError(
            Problem(place=place, expected="a population with activity", found="an error relay, which has none")
        )
    if not circuit.select(pathway="feedforward", source=population):
        raise CircuitError(
            Problem(
                place=place,
                expected="a population that another one hears from",
                found="none that does",
                remedy="Drive a population below it.",
            )
        )


def _kept(circuit: Circuit, population: str) -> set[str]:
    """The population and all that hear from it, with the relays among them."""
    kept, waiting = {population}, [population]
    while waiting:
        heard = {edge.target for edge in circuit.select(pathway="feedforward", source=waiting.pop()).values()}
        waiting += heard - kept
        kept |= heard
    relays = {name for name, entry in circuit.populations.items() if isinstance(entry.model, Relay)}
    kept |= relays
    while True:  # a relay that nothing enters, or that leads nowhere, goes; others may then hang in the air
        joining = [e for e in circuit.select(pathway="feedback").values() if {e.source, e.target} <= kept]
        loose = kept & relays - ({edge.source for edge in joining} & {edge.target for edge in joining})
        if not loose:
            return kept
        kept -= loose


def _refuse_lost_routes(circuit: Circuit, population: str, kept: set[str]) -> None:
    """Areas need their router: one that reads what goes would leave them without a choice."""
    problems = []
    for name, edge in circuit.select(pathway="modulatory").items():
        if edge.target not in kept or edge.target == population:
            continue
        router = circuit.router_of(edge.target) if isinstance(edge.wiring, SameRoute) else name
        if router is None:
            continue
        read = circuit.projections[router]
        if read.source not in kept or (router != name and read.target == population):
            problems.append(
                Problem(
                    place=f"driven_at({population!r}): projections.{name}",
                    expected=f"areas of {edge.target!r} chosen from {population!r} or a population that hears from it",
                    found=f"the router {router!r} from {read.source!r} to {read.target!r}",
                    remedy="Give each population with areas a router that reads the population below it.",
                )
            )
    if problems:
        raise CircuitError(problems)


def _refuse_lost_ties(circuit: Circuit, population: str, driven: Circuit) -> None:
    """Weights that come from a projection that goes would have no origin."""
    problems = [
        Problem(
            place=f"driven_at({population!r}): projections.{name}.weights.of",
            expected=f"a projection between populations that hear from {population!r}",
            found=repr(of),
            remedy="Give the projection weights of its own.",
        )
        for name, edge in driven.projections.items()
        if (of := getattr(edge.weights, "of", None)) in circuit.projections and of not in driven.projections
    ]
    if problems:
        raise CircuitError(problems)
