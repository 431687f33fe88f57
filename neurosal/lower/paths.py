"""Which feedback belongs to which forward projection: the routes along which error travels back, and what they stand
for.

Symmetry is measured along the effective path, never against an assumed transpose: a route through relays is the product
of its projections, and direct feedback over several layers stands for the product of the forward weights between its
ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neurosal.graph import Circuit, Constant, Own, Relay

if TYPE_CHECKING:
    from neurosal.lower.plan import Plan

Route = tuple[str, ...]  # names of projections in travel order
MOST_ROUTES = 64


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A forward path and the feedback that returns along it.

    Args:
        name: of the forward projection, or ``{source}_to_{target}`` for a path of several.
        source, target: where the forward path starts and ends; feedback runs from target to source.
        forward, feedback: routes in travel order; several routes add up.
    """

    name: str
    source: str
    target: str
    forward: tuple[Route, ...]
    feedback: tuple[Route, ...]


def pairs(circuit: Circuit) -> tuple[Pair, ...]:
    """Every forward path that feedback returns along, in forward order.

    The feedback from a population stands for all forward routes to it that do not pass another population which sends
    feedback to the same place: what goes through that one is its own to return. Parallel feedback is compared with
    parallel projections one by one, where there are as many; else their sums are. Constant skips that constant feedback
    returns along are left out: they have nothing to align. So is feedback that carries the target: it is no way of an
    error.

    Example:
        >>> from neurosal import circuits, rules
        >>> [pair.name for pair in pairs(rules.dfa(circuits.mlp(8, 6, 5, 4)))]
        ['hidden1_to_output', 'hidden2_to_output']
    """
    found: list[Pair] = []
    for source in circuit.layers():
        returning = _returning(circuit, source)
        starts = {start for start, _ in returning}
        for target in sorted(starts, key=list(circuit.populations).index):
            back = [route for start, route in returning if start == target and not _constant(circuit, route)]
            forward = _forward_routes(circuit, source, target, avoided=starts - {target})
            if any(start == target and _constant(circuit, route) for start, route in returning):
                forward = [route for route in forward if not _constant(circuit, route)]
            if not back or not forward:
                continue
            several: list[tuple[str, tuple[Route, ...], tuple[Route, ...]]]
            direct = [route for route in forward if len(route) == 1 and not _constant(circuit, route)]
            if len(direct) == len(forward) == len(back):
                several = [(route[0], (route,), (other,)) for route, other in zip(direct, back, strict=True)]
            else:
                name = direct[0][0] if direct else f"{source}_to_{target}"
                several = [(name, tuple(forward), tuple(back))]
            found += [
                Pair(name=name, source=source, target=target, forward=there, feedback=here)
                for name, there, here in several
            ]
    return tuple(found)


def comparable(plan: Plan) -> tuple[Pair, ...]:
    """The pairs of a planned circuit whose areas can be compared one by one: those along whose routes areas are chosen
    together, so that area k of one belongs to area k of the other."""
    return tuple(pair for pair in pairs(plan.circuit) if len(_routers(plan, pair)) <= 1)


def _routers(plan: Plan, pair: Pair) -> set[str]:
    """Routers that choose the areas along a pair's routes."""
    circuit, found = plan.circuit, set()
    for name in (name for route in (*pair.forward, *pair.feedback) for name in route):
        edge = circuit.projections[name]
        if circuit.areas_of(plan.owners[name]) > 1:
            found.add(plan.routes[edge.source if edge.pathway == "feedback" else edge.target])
    return found


def _constant(circuit: Circuit, route: Route) -> bool:
    """Whether a route is one constant skip."""
    edge = circuit.projections[route[0]]
    if len(route) > 1 or edge.wiring.kind != "one_to_one":
        return False
    while edge.tied_to is not None:
        edge = circuit.projections[edge.tied_to]
    return isinstance(edge.weights, Own) and isinstance(edge.weights.init, Constant) and not edge.plasticity.plastic


def _returning(circuit: Circuit, target: str) -> list[tuple[str, Route]]:
    """(population where it starts, route) of all feedback of errors into `target`, followed back through relays."""
    found: list[tuple[str, Route]] = []
    for name, edge in circuit.select(pathway="feedback", target=target).items():
        if edge.carries == "target":
            continue
        if isinstance(circuit.populations[edge.source].model, Relay):
            found += [(start, (*route, name)) for start, route in _returning(circuit, edge.source)]
        else:
            found.append((edge.source, (name,)))
    return found


def _forward_routes(circuit: Circuit, source: str, target: str, avoided: set[str]) -> list[Route]:
    """All forward routes between two populations; none when they are many, since a sum of so many products says little
    and costs much."""
    routes: list[Route] = []
    open_routes: list[tuple[str, Route]] = [(source, ())]
    while open_routes:
        at, route = open_routes.pop(0)
        for name, edge in circuit.select(pathway="feedforward", source=at).items():
            longer = (*route, name)
            if edge.target == target:
                routes.append(longer)
            elif edge.target not in avoided:
                open_routes.append((edge.target, longer))
        if len(routes) + len(open_routes) > MOST_ROUTES:
            return []
    return routes
