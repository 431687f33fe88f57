"""Signals: where activity and error come from and go to, and that no pathway runs in a circle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import networkx

from neurosal.checks.view import View
from neurosal.errors import Problem
from neurosal.graph.convolution import shares_weights
from neurosal.graph.models import Rate, Relay, Source
from neurosal.graph.projection import Projection
from neurosal.graph.spiking import Dynamical
from neurosal.graph.wiring import SameRoute


def check_pathways(view: View) -> Iterator[Problem]:
    """Each pathway joins populations that have the signal it carries."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        source, target = view.model(edge.source), view.model(edge.target)
        if edge.pathway == "lateral":
            yield from _lateral(view, name, edge)
        if edge.pathway in ("feedforward", "modulatory"):
            for end, model in (("source", source), ("target", target)):
                if isinstance(model, Relay) and (edge.pathway == "feedforward" or end == "source"):
                    yield Problem(
                        place=f"{place}.{end}",
                        expected=f"a population with activity (the pathway is {edge.pathway})",
                        found=f"the error relay {getattr(edge, end)!r}",
                        remedy="Make the pathway feedback, or the population's model rate.",
                    )
        if edge.pathway == "feedforward" and isinstance(target, Source):
            yield Problem(
                place=f"{place}.target",
                expected="a population that computes its activity",
                found=f"the input {edge.target!r}",
                remedy="An input's activity is the data; make its model rate, or turn the projection round.",
            )
        if edge.pathway == "feedback" and edge.target == view.output:
            yield Problem(
                place=f"{place}.target",
                expected="a population below the output",
                found=f"the output {edge.target!r}",
                remedy="The output's error comes from the loss; remove the projection or turn it round.",
            )


def _lateral(view: View, name: str, edge: Projection) -> Iterator[Problem]:
    """Lateral projections join a population that computes its activity to itself."""
    if edge.source != edge.target:
        yield Problem(
            place=f"projections.{name}.target",
            expected=f"its source, {edge.source!r} (activity settles within one population after the other)",
            found=repr(edge.target),
            remedy="Make it feedforward, or the two populations one.",
        )
    elif (model := view.model(edge.source)) is not None and not isinstance(model, (Rate, Dynamical)):
        yield Problem(
            place=f"projections.{name}.source",
            expected="a population that computes its activity (the pathway is lateral)",
            found=f"the input {edge.source!r}" if isinstance(model, Source) else f"the error relay {edge.source!r}",
            remedy="Give it the model rate, or remove the projection.",
        )


def check_cycles(view: View) -> Iterator[Problem]:
    """No cycle along feedforward or feedback projections, nor through the areas that a router chooses."""
    forward = [(edge.source, edge.target, name) for name, edge in view.connected("feedforward")]
    error = [
        (edge.source, edge.target, name)
        for name, edge in view.connected("feedback")
        if edge.source != edge.target or not view.circuit.remembers(edge.source)
    ]
    yield from _cycles(forward, "feedforward", "Turn one of these projections round or remove it.")
    yield from _cycles(error, "feedback", "Turn one of these projections round or remove it.")
    routes = list(_routes(view))
    if routes:
        inner = {frozenset(part) for part in networkx.strongly_connected_components(_graph(forward)) if len(part) > 1}
        for part in _parts([*forward, *routes]):
            routed = [entry for entry in routes if entry[0] in part and entry[1] in part]
            if routed and frozenset(part) not in inner:
                yield _cycle(
                    [*forward, *routes], part, "routing", "Let the router read a population below.", routed[0][2]
                )


def _routes(view: View) -> Iterator[tuple[str, str, str]]:
    """(what a router reads, population whose areas it chooses, projection), followed through `SameRoute`."""
    for name, edge in view.connected("modulatory"):
        router = view.circuit.router_of(edge.target) if isinstance(edge.wiring, SameRoute) else name
        if router is not None and view.projections[router].source in view.populations:
            yield view.projections[router].source, edge.target, name


def _graph(edges: Iterable[tuple[str, str, str]]) -> networkx.DiGraph:
    graph = networkx.DiGraph()
    graph.add_edges_from((source, target) for source, target, _ in edges)
    return graph


def _parts(edges: list[tuple[str, str, str]]) -> list[set[str]]:
    """Sets of populations that reach each other; one alone only when it reaches itself."""
    graph = _graph(edges)
    return [
        part for part in networkx.strongly_connected_components(graph) if len(part) > 1 or graph.has_edge(*[*part] * 2)
    ]


def _cycles(edges: list[tuple[str, str, str]], what: str, remedy: str) -> Iterator[Problem]:
    for part in _parts(edges):
        yield _cycle(edges, part, what, remedy)


def _cycle(
    edges: list[tuple[str, str, str]], part: set[str], what: str, remedy: str, name: str | None = None
) -> Problem:
    inside = [entry for entry in edges if entry[0] in part and entry[1] in part]
    start = min(part) if name is None else next(entry[0] for entry in inside if entry[2] == name)
    round_trip = [edge[0] for edge in networkx.find_cycle(_graph(inside), start)]
    if name is None:
        first, second = round_trip[0], [*round_trip, round_trip[0]][1]
        name = next(entry[2] for entry in inside if entry[:2] == (first, second))
    shown = [*round_trip, round_trip[0]]
    if len(shown) > 12:
        shown = [*shown[:6], "...", *shown[-5:]]
    return Problem(place=f"projections.{name}", expected=f"no {what} cycle", found=" -> ".join(shown), remedy=remedy)


def check_ends(view: View) -> Iterator[Problem]:
    """An input, one output, and nothing in between that hangs in the air."""
    if not view.known_populations:
        yield Problem(place="populations", expected="at least an input and an output", found="none")
        return
    if not view.malformed_populations:
        if not any(isinstance(entry.model, Source) for entry in view.populations.values()):
            remedy = "Give one of them the model source."
            yield Problem(
                place="populations",
                expected="an input (a population whose model is source)",
                found="none",
                remedy=remedy,
            )
        if len(view.outputs) != 1 and not view.blind and ("feedforward", "source") not in view.dangling:
            yield Problem(
                place="populations",
                expected="one output (a population with activity that no feedforward projection leaves)",
                found=", ".join(view.outputs) or "none",
                remedy="Connect or remove the others."
                if view.outputs
                else "Add a population with the model rate and a projection to it.",
            )
    for name, population in view.populations.items():
        yield from _loose_end(view, name, isinstance(population.model, Source), isinstance(population.model, Relay))


def _loose_end(view: View, name: str, source: bool, relay: bool) -> Iterator[Problem]:
    place = f"populations.{name}"
    if source and not view.is_left(name, "feedforward") and not view.is_left(name, "modulatory"):
        yield Problem(
            place=place,
            expected="an input that something reads",
            found="no projection that leaves it",
            remedy="Connect it or remove it.",
        )
    elif relay:
        for joined, word, verb in ((view.is_entered, "to", "enters"), (view.is_left, "from", "leaves")):
            if not joined(name, "feedback"):
                yield Problem(
                    place=place,
                    expected=f"a feedback projection {word} the error relay",
                    found=f"none that {verb} it",
                    remedy="Connect it or remove it.",
                )
    elif not source and not view.is_entered(name, "feedforward"):
        yield Problem(
            place=place,
            expected="a feedforward projection to it",
            found="none",
            remedy="Connect it, remove it, or make its model source.",
        )


def check_error(view: View) -> Iterator[Problem]:
    """Feedback starts where an error can be, and plasticity gets the signals that it needs."""
    reached = view.with_error
    for name, edge in view.projections.items():
        lost = edge.pathway == "feedback" and reached is not None and edge.source not in reached
        if edge.carries == "target":
            yield from _carrying(view, name, edge)
        # Below a population without error only the first projection is at fault; a relay is reported by itself.
        first = ("feedback", edge.source) not in view.entered and not isinstance(view.model(edge.source), Relay)
        if lost and first:
            yield Problem(
                place=f"projections.{name}.source",
                expected="a population where an error can be: the output, or one that feedback reaches from there",
                found=repr(edge.source),
                remedy=f"Add feedback to {edge.source!r}, or start at {view.output!r}.",
            )
        if edge.plasticity.while_driven and edge.pathway in ("feedforward", "lateral"):
            yield Problem(
                place=f"projections.{name}.plasticity",
                expected=f"a plasticity that can act on this {edge.pathway} projection",
                found=f"{edge.plasticity.kind}, which acts while noise drives its target",
                remedy="Noise drives inputs, and only feedback ends there.",
            )
        elif edge.pathway != "modulatory":
            yield from _missing_signals(view, name, edge)
            if edge.plasticity.plastic and not edge.plasticity.trains:
                yield Problem(
                    place=f"projections.{name}.plasticity",
                    expected="a plasticity of circuits that are trained",
                    found=f"{edge.plasticity.kind}, which is for synapses in continuous time",
                    remedy="Choose delta, hebbian, oja or the like, or models in continuous time for `ns.simulate`.",
                )
        if edge.plasticity.by_unit and shares_weights(edge.wiring):
            yield Problem(
                place=f"projections.{name}.plasticity",
                expected="a plasticity of weights that are the same at every place (delta, hebbian, oja)",
                found=f"{edge.plasticity.kind}, which remembers a number for each unit",
            )


def _carrying(view: View, name: str, edge: Projection) -> Iterator[Problem]:
    """Only the output has a target to send."""
    place = f"projections.{name}.carries"
    if edge.pathway != "feedback":
        yield Problem(
            place=place,
            expected=f"'error' (the pathway is {edge.pathway})",
            found="'target'",
            remedy="Leave it out, or make the pathway feedback.",
        )
    elif view.output is not None and edge.source != view.output and edge.source in view.known_populations:
        yield Problem(
            place=place,
            expected=f"feedback that starts at the output {view.output!r}, the only one with a target",
            found=f"'target' from {edge.source!r}",
            remedy=f"Start at {view.output!r}, or carry the error.",
        )


def _missing_signals(view: View, name: str, edge: Projection) -> Iterator[Problem]:
    needs = edge.plasticity.needs
    lacking = [
        f"{side}_activity"
        for side, end in (("pre", edge.source), ("post", edge.target))
        if f"{side}_activity" in needs and isinstance(view.model(end), Relay)
    ]
    if edge.pathway == "feedforward" and "pre_error" in needs:
        lacking.append("pre_error")
    if not lacking:
        return
    kind = edge.plasticity.kind
    reason = (
        "an error relay has no activity"
        if lacking[0].endswith("activity")
        else "error arrives at the post-synaptic end of a feedforward projection"
    )
    remedy = {
        "delta": "Feedback learns by kolen_pollack or is fixed.",
        "kolen_pollack": "Feedforward projections learn by delta or are fixed.",
    }
    if reason.startswith("an error relay"):
        remedy = {
            "delta": "Projections to and from a relay learn by kolen_pollack or are fixed.",
            "kolen_pollack": "Make it fixed.",
        }
    yield Problem(
        place=f"projections.{name}.plasticity",
        expected=f"a plasticity whose signals exist on this {edge.pathway} projection",
        found=f"{kind}, which needs {' and '.join(lacking)} ({reason})",
        remedy=remedy.get(kind, "Make it fixed."),
    )
