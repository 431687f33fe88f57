"""Where populations and projections of a circuit stand in a picture: layers from left to right, feedback below. Deep
circuits have several rows, see `neurosal.folding`.

All coordinates are inches, upwards, so that boxes and letters keep their size however deep a circuit is. What draws
them, matplotlib or a page, is elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from neurosal.errors import CircuitError
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Relay
from neurosal.graph.projection import Projection

PITCH, ROW, WIDTH, HEIGHT = 1.75, 1.15, 1.2, 0.66
RELAY_WIDTH, RELAY_HEIGHT = 1.05, 0.5
SHIFT = 0.16
CARD, CARDS = 0.05, 3  # how far the boxes of further areas stand behind the first, and how many are drawn at most

Point = tuple[float, float]


@dataclass
class Box:
    """Where a population is drawn: centre and extent, and whether nothing stands above and below it in its column."""

    x: float
    y: float
    width: float
    height: float
    top: bool = True
    bottom: bool = True
    relay: bool = False
    cards: int = 1

    @property
    def crown(self) -> float:
        """Height of the upper edge of the hindmost card."""
        return self.y + self.height / 2 + (self.cards - 1) * CARD

    def edge(self, side: int) -> float:
        """Height of the upper (1) or lower (-1) edge."""
        return self.crown if side > 0 else self.y - self.height / 2


@dataclass(frozen=True)
class Route:
    """The line of a projection.

    Args:
        edge: the projection.
        points: of its Bézier curve: start, one or two control points, end.
        before: where the head at its end points from.
        reach: how high or low it comes, about.
    """

    edge: Projection
    points: tuple[Point, ...]
    before: Point
    reach: float


@dataclass(frozen=True)
class Label:
    """What stands at the loose end of a line that goes on in another row.

    Args:
        x, y: of the end.
        side: where the text stands from there: 1 above, -1 below; 2 to the right, -2 to the left.
    """

    text: str
    pathway: str
    x: float
    y: float
    side: int


@dataclass(frozen=True)
class Picture:
    """A circuit placed: a box for each population, a line for each projection, and the corners of all.

    Args:
        boxes: by population.
        routes: in the order in which they are drawn; a projection between rows has one where it leaves, if few do, and
            one where it arrives.
        left, low, right, high: corners of what is drawn, without a margin.
        labels: of projections between rows.
    """

    boxes: dict[str, Box]
    routes: tuple[Route, ...]
    left: float
    low: float
    right: float
    high: float
    labels: tuple[Label, ...] = ()


def in_a_row(circuit: Circuit, boxes: dict[str, Box]) -> Picture:
    """Boxes and all lines between them; projections that do not end at these are left out."""
    arcs = _arcs(circuit, boxes)
    routes = [_arc_route(*arc) for arc in arcs]
    curved = {id(arc[0]) for arc in arcs}
    straight = [edge for edge in circuit.projections.values() if id(edge) not in curved]
    heights = [route.reach for route in routes]
    return Picture(
        boxes=boxes,
        routes=(*routes, *_straight_routes(straight, boxes)),
        left=extent(box.x - box.width / 2 for box in boxes.values()),
        low=extent([*(box.y - box.height / 2 for box in boxes.values()), *heights]),
        right=extent((box.x + box.width / 2 for box in boxes.values()), max),
        high=extent([*(box.crown for box in boxes.values()), *heights], max),
    )


def facts(circuit: Circuit, name: str) -> str:
    """What a box says below its name: units or channels × rows × columns, activation, areas."""
    population = circuit.populations[name]
    activation = getattr(population.model, "activation", None)
    said = "×".join(f"{size:,}" for size in population.extent)
    said += f" {activation}" if activation else " relay" if isinstance(population.model, Relay) else " units"
    said += " normed" if getattr(population.model, "norm", None) is not None else ""
    return said + (f" × {population.areas}" if population.areas > 1 else "")


def pattern(edge: Projection) -> str:
    """How a line is drawn: routers dotted, tied synapses dash-dotted, those that never change dashed."""
    if edge.pathway == "modulatory":
        return "dotted"
    if edge.tied_to:
        return "dashdot"
    return "solid" if edge.plasticity.plastic else "dashed"


MEANINGS = {"dashed": ", fixed", "dashdot": ", tied", "solid": "", "dotted": ""}


def meaning(edge: Projection) -> str:
    """What a line means, for legends."""
    return (
        "router"
        if edge.pathway == "modulatory" and edge.synapse is None
        else f"{edge.pathway}{MEANINGS[pattern(edge)]}"
    )


def extent(values: Iterable[float], choose: Any = min) -> float:
    return float(choose(values, default=0.0))


# Layout --------------------------------------------------------------------------------------------------------------


def layout(circuit: Circuit) -> dict[str, Box]:
    """A box for each population: columns by the longest path from the inputs, relays below, between what they join."""
    columns = _columns(circuit)
    members: dict[int, list[str]] = {}
    for name, column in columns.items():
        members.setdefault(column, []).append(name)
    boxes: dict[str, Box] = {}
    for column, names in members.items():
        for index, name in enumerate(names):
            y = ((len(names) - 1) / 2 - index) * ROW
            top, bottom = index == 0, index == len(names) - 1
            cards = min(circuit.populations[name].areas, CARDS)
            boxes[name] = Box(column * PITCH, y, WIDTH, HEIGHT, top=top, bottom=bottom, cards=cards)
    floor = extent(box.y for box in boxes.values()) - ROW * 1.05
    taken: list[Box] = []
    for name, population in circuit.populations.items():
        if isinstance(population.model, Relay):
            x = _between(circuit, name, boxes)
            box = Box(x, floor, RELAY_WIDTH, RELAY_HEIGHT, relay=True, cards=min(population.areas, CARDS))
            while any(abs(box.x - other.x) < RELAY_WIDTH and abs(box.y - other.y) < RELAY_HEIGHT for other in taken):
                box.y -= RELAY_HEIGHT + 0.2
            taken.append(box)
            boxes[name] = box
    return boxes


def _columns(circuit: Circuit) -> dict[str, int]:
    names = [name for name, population in circuit.populations.items() if not isinstance(population.model, Relay)]
    columns = dict.fromkeys(names, 0)
    try:
        order = circuit.layers()
    except CircuitError:  # a cycle has no layers: one row, in the order in which they are written
        return {name: index for index, name in enumerate(names)}
    sources: dict[str, list[str]] = {}
    for edge in circuit.select(pathway="feedforward").values():
        sources.setdefault(edge.target, []).append(edge.source)
    for name in order:
        if name in columns:
            columns[name] = max(
                (columns[source] + 1 for source in sources.get(name, ()) if source in columns), default=0
            )
    return columns


def _between(circuit: Circuit, relay: str, boxes: dict[str, Box]) -> float:
    """Halfway between the populations that a relay joins; relays that join relays stand further on."""
    near = [end for edge in circuit.select(pathway="feedback").values() for end in (edge.source, edge.target)
            if relay in (edge.source, edge.target) and end != relay and end in boxes]  # fmt: skip
    return sum(boxes[name].x for name in near) / len(near) if near else 0.0


# Lines --------------------------------------------------------------------------------------------------------------


Arc = tuple[
    Projection, tuple[float, float], tuple[float, float], float, float
]  # edge, start, end, side, height of the bend


def _arcs(circuit: Circuit, boxes: dict[str, Box]) -> list[Arc]:
    """Curves below (feedback) and above (routers, skips); ports stand side by side, nested curves never cross."""
    below = [edge for edge in circuit.select(pathway="feedback").values() if _curves(edge, boxes, "bottom")]
    routers = circuit.select(pathway="modulatory").values()
    above = [edge for edge in routers if _curves(edge, boxes, "top")]
    lower = [edge for edge in routers if edge.source in boxes and edge.target in boxes and boxes[edge.target].relay]
    skips = circuit.select(pathway="feedforward").values()
    above += [edge for edge in skips if _curves(edge, boxes, "top") and _span(edge, boxes) > 1.5 * PITCH]
    relays = any(box.relay for box in boxes.values())
    return [
        *_ported(below, boxes, -1, 2.4 if relays else 1.0),
        *_ported(lower, boxes, -1, 1.0),
        *_ported(above, boxes, 1, 1.0),
        *_loops(circuit, boxes),
    ]


def _loops(circuit: Circuit, boxes: dict[str, Box]) -> Iterator[Arc]:
    """Small loops on top of populations that hear themselves; parallel ones inside each other."""
    count: dict[str, int] = {}
    for edge in circuit.projections.values():
        if edge.source == edge.target and edge.source in boxes:
            box, index = boxes[edge.source], count.get(edge.source, 0)
            count[edge.source] = index + 1
            half, level = box.width * max(0.04, 0.12 - 0.03 * index), box.edge(1)
            middle = box.x + 0.3 * box.width
            yield edge, (middle + half, level), (middle - half, level), 1, level + max(0.2, 0.55 - 0.12 * index)


def _curves(edge: Projection, boxes: dict[str, Box], side: str) -> bool:
    ends = [boxes.get(edge.source), boxes.get(edge.target)]
    return edge.source != edge.target and all(end is not None and not end.relay and getattr(end, side) for end in ends)


def _span(edge: Projection, boxes: dict[str, Box]) -> float:
    return abs(boxes[edge.source].x - boxes[edge.target].x)


def _ported(edges: list[Projection], boxes: dict[str, Box], side: int, reach: float) -> list[Arc]:
    ports: dict[tuple[str, int], list[tuple[float, int, str]]] = {}
    for index, edge in enumerate(edges):
        for mine, other in ((edge.source, edge.target), (edge.target, edge.source)):
            distance = boxes[other].x - boxes[mine].x
            ports.setdefault((mine, 1 if distance >= 0 else -1), []).append(
                (distance, index, "source" if mine == edge.source else "target")
            )
    places: dict[tuple[int, str], float] = {}
    for (name, half), entries in ports.items():
        box = boxes[name]
        # The far ends are reached over the nearer ones, so the longest curve starts furthest inside.
        for rank, (_, index, end) in enumerate(sorted(entries, key=lambda entry: -abs(entry[0]))):
            share = (rank + 1) / (len(entries) + 1)
            inner, outer = (0.06, 0.44)
            places[index, end] = box.x + half * box.width * (inner + (outer - inner) * share)
    spans = sorted({round(_span(edge, boxes), 2) for edge in edges})
    arcs: list[Arc] = []
    for index, edge in enumerate(edges):
        source, target = boxes[edge.source], boxes[edge.target]
        level = side * max(side * source.edge(side), side * target.edge(side))
        height = level + side * (reach * 0.55 + 0.34 * spans.index(round(_span(edge, boxes), 2)))
        first = (places[index, "source"], source.y + side * source.height / 2)
        last = (places[index, "target"], target.edge(side))
        arcs.append((edge, first, last, side, height))
    return arcs


def _arc_route(edge: Projection, start: Point, end: Point, side: float, height: float) -> Route:
    lean = 0.12 * (end[0] - start[0])
    before = (end[0] - lean, height)
    points = (start, (start[0] + lean, height), before, (end[0], end[1] + side * 0.02))
    return Route(edge, points, before, start[1] + 0.75 * (height - start[1]))


def _straight_routes(edges: Iterable[Projection], boxes: dict[str, Box]) -> Iterator[Route]:
    """All lines that are no curves; parallel ones side by side."""
    parallel: dict[tuple[str, str], list[Projection]] = {}
    for edge in edges:
        if edge.source in boxes and edge.target in boxes:
            parallel.setdefault((edge.source, edge.target), []).append(edge)
    for (source, target), group in parallel.items():
        for index, edge in enumerate(group):
            yield _straight(edge, boxes[source], boxes[target], SHIFT * ((len(group) - 1) / 2 - index))


def _straight(edge: Projection, source: Box, target: Box, shift: float) -> Route:
    """A line to the right; to and from relays, and where feedback cannot run below, a bent one.

    `shift` moves it, so that parallel ones stand apart.
    """
    forward = target.x >= source.x
    if source.relay or target.relay:
        # Out of a population on the side where the relay is, into one on the other: so the two never cross.
        start = (
            (source.x - source.width / 2, source.y)
            if source.relay
            else (source.x - 0.08 * source.width, source.edge(-1))
        )
        hidden = (target.cards - 1) * CARD
        end = (
            (target.x + target.width / 2 + hidden, target.y)
            if target.relay
            else (target.x + 0.2 * target.width, target.edge(-1))
        )
        bend = (start[0], end[1]) if not source.relay else (end[0], start[1])
    else:
        half = 1 if forward else -1
        start = (source.x + half * source.width / 2, source.y + shift)
        end = (target.x - half * target.width / 2, target.y + shift)
        drop = 0.0 if edge.pathway == "feedforward" and forward else 0.35
        bend = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - drop)
    return Route(edge, (start, bend, end), start if bend == end else bend, start[1])


def wrapped(name: str, width: int) -> list[str]:
    """A name in lines of at most `width` letters, broken after _ where it can be; at most three lines."""
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    lines = [line if len(line) <= width + 3 else f"{line[: width + 1]}…" for line in lines]
    return lines if len(lines) <= 3 else [*lines[:2], "…" + lines[-1]]
