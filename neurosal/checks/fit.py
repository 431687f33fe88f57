"""Fit: sizes at both ends of a wiring, ties that are transposes, areas with one router each."""

from __future__ import annotations

from collections.abc import Iterator

from neurosal.checks.space import fitting
from neurosal.checks.view import View
from neurosal.errors import Problem, near
from neurosal.graph.initialisers import Orthogonal, Uniform
from neurosal.graph.models import Source
from neurosal.graph.partial import EdgeList
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.projection import Projection
from neurosal.graph.value import shown
from neurosal.graph.weights import Own
from neurosal.graph.wiring import Dense, OneToOne, Router, SameRoute

ROUTES = (Router, SameRoute)


def check_wiring(view: View) -> Iterator[Problem]:
    """Sizes that the wiring can join, and initial weights that it can have."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        source, target = view.populations.get(edge.source), view.populations.get(edge.target)
        if source is not None and target is not None:
            reason = edge.wiring.mismatch(target.extent, source.extent)
            if reason is not None:
                expected, _, found = reason.partition(", found ")
                yield Problem(
                    place=f"{place}.wiring",
                    expected=expected,
                    found=f"{found or 'others'} ({edge.source!r}, {edge.target!r})",
                    remedy=fitting(edge.wiring, edge.source, edge.target, target.extent, source.extent),
                )
            if edge.source == edge.target:
                yield from _autapses(place, edge, target.units)
        if isinstance(edge.weights, Own):
            yield from _initial(place, edge, edge.weights)


def _autapses(place: str, edge: Projection, units: int) -> Iterator[Problem]:
    """Degrees that only autapses could make up, and autapses that are listed but not allowed."""
    wiring = edge.wiring
    if not isinstance(wiring, Dense) or wiring.allow_autapses:
        return
    if getattr(wiring, "inputs", getattr(wiring, "outputs", 0)) == units:
        yield Problem(
            place=f"{place}.wiring",
            expected=f"a degree below {units}, the number of units (autapses are not allowed)",
            found=str(units),
        )
    if isinstance(wiring, EdgeList) and any(pre == post for pre, post in wiring.edges):
        yield Problem(
            place=f"{place}.wiring.edges",
            expected="no autapses (they are not allowed)",
            found=", ".join(str(edge) for edge in wiring.edges if edge[0] == edge[1]),
            remedy="Leave them out, or allow autapses.",
        )


def _initial(place: str, edge: Projection, weights: Own) -> Iterator[Problem]:
    init = weights.init
    if isinstance(init, Uniform) and init.low > init.high:
        yield Problem(
            place=f"{place}.weights.init", expected="low not above high", found=f"low {init.low}, high {init.high}"
        )
    if isinstance(init, Orthogonal) and isinstance(edge.wiring, OneToOne):
        yield Problem(
            place=f"{place}.weights.init",
            expected="an initialiser for a row of weights (the wiring is one_to_one)",
            found="orthogonal",
            remedy="Take constant, normal or uniform.",
        )


# Ties ----------------------------------------------------------------------------------------------------------------


def check_ties(view: View) -> Iterator[Problem]:
    """Weights that come from another projection: it exists, owns its weights, and is the transpose."""
    for name, edge in view.projections.items():
        of = getattr(edge.weights, "of", None)
        if of is None:
            continue
        place = f"projections.{name}.weights"
        if edge.plasticity.plastic and (
            edge.weights.kind == "sign_of" or (edge.tied_to and edge.pathway == "feedback")
        ):
            yield Problem(
                place=f"projections.{name}.plasticity",
                expected=f"fixed (its weights are those of {of!r} at every moment)",
                found=edge.plasticity.kind,
                remedy="Write plasticity: {kind: fixed}, or let it only start as the transpose: {kind: copy, of: ...}.",
            )
        if of == name or of not in view.known_projections:
            known = view.known_projections - {name}
            yield Problem(
                place=f"{place}.of",
                expected="the name of another projection",
                found="itself" if of == name else shown(of),
                remedy=near(of, known),
            )
        elif of in view.projections:
            yield from _tie(view, name, edge, of, place)


def _origin_of(view: View, name: str) -> str:
    """The projection that another one's weights come from; empty where they are its own."""
    return str(getattr(view.projections[name].weights, "of", ""))


def _tie(view: View, name: str, edge: Projection, of: str, place: str) -> Iterator[Problem]:
    origin = view.projections[of]
    further = _origin_of(view, of)
    # A tie to a tie is legal (the way back of a tied projection), one that comes back to itself is not.
    chain = [name, of]
    while (
        further in view.projections and further not in chain and view.projections[chain[-1]].weights.kind == "transpose"
    ):
        chain.append(further)
        further = _origin_of(view, further)
    if further and (further in chain or view.projections[chain[-1]].weights.kind != "transpose"):
        circular = further in chain
        yield Problem(
            place=f"{place}.of",
            expected="a projection with weights of its own, or the transpose of one",
            found=f"{of!r}, whose weights come from {_origin_of(view, of)!r}",
            remedy="They would wait for each other."
            if circular
            else f"Name {further!r} itself, if its direction fits.",
        )
        return
    if "modulatory" in (edge.pathway, origin.pathway):
        yield Problem(
            place=f"{place}.of" if edge.pathway != "modulatory" else place,
            expected="no tie with a router",
            found=repr(of),
        )
        return
    ends = [view.populations.get(end) for end in (edge.source, edge.target, origin.source, origin.target)]
    if any(end is None for end in ends):
        return
    source, target, below, above = (end.units for end in ends if end is not None)
    if (target, source) != (below, above):
        yield Problem(
            place=place,
            expected=f"the transpose of {of!r}: {above} units to {below}",
            found=f"{source} units to {target}",
            remedy=f"A projection from {origin.target!r} to {origin.source!r} fits.",
        )
    elif edge.wiring != origin.wiring.reversed() and not _wired_apart(edge, origin):
        yield Problem(
            place=f"projections.{name}.wiring",
            expected=f"{origin.wiring.reversed()!r}, the reverse of that of {of!r}",
            found=repr(edge.wiring),
        )
    mine, theirs = view.circuit.areas_of(name), view.circuit.areas_of(of)
    if mine != theirs:
        yield Problem(
            place=place,
            expected=f"as many areas as {of!r}: {theirs}",
            found=str(mine),
            remedy="Areas belong to the target of feedforward and to the source of feedback projections.",
        )


def _wired_apart(edge: Projection, origin: Projection) -> bool:
    """Whether weights that only start as, or have the signs of, another's may be wired in another way."""
    alike = edge.wiring.functions == origin.wiring.reversed().functions  # but for synapses that are left out
    return edge.weights.kind != "transpose" and alike


# Areas ---------------------------------------------------------------------------------------------------------------


def check_routing(view: View) -> Iterator[Problem]:
    """Every population with areas has one router, and every router a population with areas."""
    yield from _areas(view)
    for name, edge in view.projections.items():
        place, routes = f"projections.{name}", isinstance(edge.wiring, ROUTES)
        if routes and edge.pathway != "modulatory":
            yield Problem(
                place=f"{place}.wiring",
                expected=f"a wiring that carries signals (the pathway is {edge.pathway})",
                found=edge.wiring.kind,
                remedy="Make the pathway modulatory.",
            )
        if not routes and edge.pathway == "modulatory":
            yield Problem(
                place=f"{place}.wiring",
                expected="router or same_route (the pathway is modulatory)",
                found=edge.wiring.kind,
            )
        if routes == (edge.pathway == "modulatory"):
            yield from _router_plasticity(place, edge)
        if isinstance(edge.wiring, SameRoute):
            yield from _same_route(view, name, edge, edge.wiring.of)


def _areas(view: View) -> Iterator[Problem]:
    routers: dict[str, list[str]] = {}
    for name, edge in view.projections.items():
        if edge.pathway == "modulatory":
            routers.setdefault(edge.target, []).append(name)
    for name, population in view.populations.items():
        found = routers.get(name, [])
        if population.areas > 1 and isinstance(population.model, Source):
            yield Problem(
                place=f"populations.{name}.areas",
                expected="1 (an input has no incoming weights to part)",
                found=str(population.areas),
            )
        elif population.areas > 1 and not view.is_entered(name, "modulatory"):
            yield Problem(
                place=f"populations.{name}",
                expected=f"a router that chooses among its {population.areas} areas",
                found="none",
                remedy="Add a modulatory projection to it with the wiring router or same_route, or set areas: 1.",
            )
        if population.areas == 1 and found:
            yield Problem(
                place=f"projections.{found[0]}.target",
                expected="a population with several areas",
                found=f"{name!r}, which has one",
                remedy=f"Give {name!r} areas, or remove the router.",
            )
        if len(found) > 1:
            yield Problem(
                place=f"projections.{found[1]}.target",
                expected=f"one router for {name!r}",
                found=" and ".join(found),
                remedy="Remove all but one.",
            )


def _router_plasticity(place: str, edge: Projection) -> Iterator[Problem]:
    plasticity = edge.plasticity
    if not plasticity.plastic:
        return
    if isinstance(edge.wiring, SameRoute):
        yield Problem(
            place=f"{place}.plasticity",
            expected="fixed (the route is chosen, and learned, elsewhere)",
            found=plasticity.kind,
            remedy="Write plasticity: {kind: fixed}.",
        )
    elif isinstance(edge.wiring, Router) != plasticity.for_router:
        known = sorted(
            kind
            for kind, member in Plasticity.members.items()
            if issubclass(member, Plasticity) and plasticity.for_router != member.for_router
        )
        yield Problem(
            place=f"{place}.plasticity",
            expected="a router's plasticity" if isinstance(edge.wiring, Router) else "a plasticity of synapses",
            found=plasticity.kind,
            remedy=f"There are: {', '.join(dict.fromkeys(['fixed', *known]))}.",
        )


def _same_route(view: View, name: str, edge: Projection, of: str) -> Iterator[Problem]:
    place = f"projections.{name}.wiring.of"
    routers = [other for other, entry in view.projections.items() if other != name and isinstance(entry.wiring, ROUTES)]
    if of in view.malformed_projections:
        return
    if of not in routers:
        found = "itself" if of == name else f"{of!r}, which routes nothing" if of in view.projections else shown(of)
        yield Problem(place=place, expected="the name of a router", found=found, remedy=near(of, routers))
        return
    seen, other = [name], of
    while isinstance(wiring := view.projections[other].wiring, SameRoute):
        seen.append(other)
        if wiring.of in seen or wiring.of not in view.projections:
            if wiring.of in seen:
                yield Problem(
                    place=place,
                    expected="a route that begins at a router",
                    found=" -> ".join([*seen, wiring.of]),
                    remedy="Let one of them have the wiring router.",
                )
            return
        other = wiring.of
    mine, theirs = (view.populations.get(entry.target) for entry in (edge, view.projections[of]))
    if mine is not None and theirs is not None and mine.areas != theirs.areas and not isinstance(mine.model, Source):
        yield Problem(
            place=place,
            expected=f"a route for as many areas as {edge.target!r} has: {mine.areas}",
            found=f"{of!r} for {theirs.areas}",
            remedy="Make the areas equal, or give it a router of its own.",
        )
