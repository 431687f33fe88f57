"""Which feedback belongs to which forward projection: the routes along which error travels back, and what they stand
for.

Symmetry is measured along the effective path, never against an assumed transpose: a route through relays is the product
    of its projections, and
direct feedback over several layers stands for the product of the forward weights between its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurosal.graph import Circuit, Relay, Source

Route = tuple[str, ...]  # names of projections in travel order


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
    """Every forward path that feedback returns along, in forward order. Constant skips are left out: they have nothing
    to align.

    Example:
        >>> from neurosal import circuits, rules
        >>> [pair.name for pair in pairs(rules.dfa(circuits.mlp(8, 6, 5, 4)))]
        ['hidden1_to_output', 'hidden2_to_output']
    """
    found: list[Pair] = []
    for source in circuit.layers():
        routes = _returning(circuit, source)
        for target in sorted({start for start, _ in routes}, key=list(circuit.populations).index):
            back = [route for start, route in routes if start == target]
            direct = [
                name
                for name in circuit.select(pathway="feedforward", source=source, target=target)
                if _compared(circuit, name)
            ]
            if direct and len(direct) == len(back):
                found += [
                    Pair(name=name, source=source, target=target, forward=((name,),), feedback=(route,))
                    for name, route in zip(direct, back, strict=True)
                ]
                continue
            forward = [(name,) for name in direct] or _forward_routes(circuit, source, target)
            if forward:
                name = direct[0] if direct else f"{source}_to_{target}"
                found.append(
                    Pair(name=name, source=source, target=target, forward=tuple(forward), feedback=tuple(back))
                )
    return tuple(found)


def _compared(circuit: Circuit, name: str) -> bool:
    edge = circuit.projections[name]
    return edge.wiring.kind != "one_to_one" or edge.plasticity.plastic


def _returning(circuit: Circuit, target: str) -> list[tuple[str, Route]]:
    """(population where it starts, route) of all feedback into `target`, followed back through relays."""
    found: list[tuple[str, Route]] = []
    for name, edge in circuit.select(pathway="feedback", target=target).items():
        if not _compared(circuit, name):
            continue
        if isinstance(circuit.populations[edge.source].model, Relay):
            found += [(start, (*route, name)) for start, route in _returning(circuit, edge.source)]
        else:
            found.append((edge.source, (name,)))
    return found


def _forward_routes(circuit: Circuit, source: str, target: str, limit: int = 64) -> list[Route]:
    """All forward routes between two populations, at most `limit`: with more, a product says little and costs much."""
    routes: list[Route] = []
    open_routes: list[tuple[str, Route]] = [(source, ())]
    while open_routes and len(routes) <= limit:
        at, route = open_routes.pop()
        for name, edge in circuit.select(pathway="feedforward", source=at).items():
            longer = (*route, name)
            if edge.target == target:
                routes.append(longer)
            elif not isinstance(circuit.populations[edge.target].model, Source):
                open_routes.append((edge.target, longer))
    return routes if len(routes) <= limit else []
