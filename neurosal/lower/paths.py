"""Which feedback belongs to which forward projection: the routes along which error travels back, and what they stand
for.

Symmetry is measured along the effective path, never against an assumed transpose: a route through relays is the product
of its projections, and direct feedback over several layers stands for the product of the forward weights between its
ends. Routes through convolutions alone are compared as kernels; where they are laid out in other ways, as what each
unit of the target sends back to the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from neurosal.graph import (
    Broadcast,
    Circuit,
    Constant,
    Convolution,
    MaxPool2d,
    Own,
    Projection,
    Relay,
    Reversed,
    Wiring,
)
from neurosal.stats.base.taps import Hop, same_places

if TYPE_CHECKING:
    from neurosal.lower.plan import Plan

Route = tuple[str, ...]  # names of projections in travel order
Way = Literal["weights", "kernels", "responses"]
MOST_ROUTES = 64
MOST_RESPONSES = 1 << 22  # numbers a replica: a thousand outputs and four thousand units


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
    return _search(circuit)[0]


def _search(circuit: Circuit) -> tuple[tuple[Pair, ...], dict[str, str]]:
    """All pairs, and what is none because there are too many routes → why."""
    found: list[Pair] = []
    without: dict[str, str] = {}
    for source in circuit.layers():
        returning = _returning(circuit, source)
        starts = {start for start, _ in returning}
        for target in sorted(starts, key=list(circuit.populations).index):
            back = [route for start, route in returning if start == target and not _constant(circuit, route)]
            forward = _forward_routes(circuit, source, target, avoided=starts - {target})
            if forward is None:
                if back:
                    without[f"{source}_to_{target}"] = f"there are more than {MOST_ROUTES} forward routes"
                continue
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
    return tuple(found), without


def comparable(plan: Plan) -> tuple[Pair, ...]:
    """The pairs of a planned circuit that can be compared; see `left_out`."""
    return tuple(pair for pair in pairs(plan.circuit) if _reason(plan, pair) is None)


def left_out(plan: Plan) -> dict[str, str]:
    """Forward paths with feedback that cannot be compared, and why: areas that are not chosen together (area k of one
    has no area k of the other), max pooling, or too much to compute."""
    found, without = _search(plan.circuit)
    return without | {pair.name: reason for pair in found if (reason := _reason(plan, pair)) is not None}


def way_of(circuit: Circuit, pair: Pair) -> Way:
    """How the two sides of a pair are compared: as matrices of weights, as kernels of convolutions, or, where they are
    laid out in different ways, as what each unit of the target sends to each of the source."""
    edges = [circuit.projections[name] for name in _names(pair)]
    if not any(_spatial(edge.wiring) for edge in edges):
        return "weights"
    hops = hops_of(circuit, pair)
    every = len(hops) == len(_names(pair))
    return "kernels" if every and same_places(pair.forward, pair.feedback, hops) else "responses"


def hops_of(circuit: Circuit, pair: Pair) -> dict[str, Hop]:
    """How the convolutions along a pair's routes act over space, by projection."""
    hops = {name: hop_of(circuit.projections[name].wiring) for name in _names(pair)}
    return {name: hop for name, hop in hops.items() if hop is not None}


def _names(pair: Pair) -> list[str]:
    return list(dict.fromkeys(name for route in (*pair.forward, *pair.feedback) for name in route))


def _spatial(wiring: Wiring) -> bool:
    """Whether weights, if there are any, are no matrix of units."""
    return wiring.weightless or isinstance(wiring, Convolution | Broadcast | Reversed)


def hop_of(wiring: Wiring) -> Hop | None:
    """How a convolution's weights act over space; None for any other wiring."""
    backwards = False
    while isinstance(wiring, Reversed):
        wiring, backwards = wiring.wiring, not backwards
    if not isinstance(wiring, Convolution):
        return None
    return Hop(
        stride=wiring.strides,
        dilation=wiring.dilations,
        padding=tuple(before for before, _ in wiring.edges),
        groups=wiring.groups,
        backwards=backwards,
    )


def _reason(plan: Plan, pair: Pair) -> str | None:
    """Why a pair cannot be compared, or None."""
    circuit = plan.circuit
    if len(_routers(plan, pair)) > 1:
        return "several routers choose the areas along it"
    if way_of(circuit, pair) != "responses":
        return None
    edges = [circuit.projections[name] for name in _names(pair)]
    if any(_picks(edge) for edge in edges):
        return "what passes the max pooling along it depends on the sample"
    if any(circuit.areas_of(plan.owners[name]) > 1 for name in _names(pair) if name in plan.owners):
        return "it has areas, and is no single kernel"
    target, source = (circuit.populations[name].units for name in (pair.target, pair.source))
    if target * source > MOST_RESPONSES:
        return f"{target} × {source} numbers are more than {MOST_RESPONSES}"
    return None


def _picks(edge: Projection) -> bool:
    return isinstance(edge.wiring, MaxPool2d) or edge.wiring.follows is not None


def _routers(plan: Plan, pair: Pair) -> set[str]:
    """Routers that choose the areas along a pair's routes."""
    circuit, found = plan.circuit, set()
    for name in _names(pair):
        edge = circuit.projections[name]
        if edge.wiring.weightless:
            continue
        if circuit.areas_of(plan.owners[name]) > 1:
            found.add(plan.routes[edge.source if edge.pathway == "feedback" else edge.target])
    return found


def _constant(circuit: Circuit, route: Route) -> bool:
    """Whether a route is one constant skip, or one without weights."""
    edge = circuit.projections[route[0]]
    if len(route) == 1 and edge.wiring.weightless:
        return True
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


def _forward_routes(circuit: Circuit, source: str, target: str, avoided: set[str]) -> list[Route] | None:
    """All forward routes between two populations; None when they are many, since a sum of so many products says little
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
            return None
    return routes
