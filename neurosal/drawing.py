"""Pictures of circuits with matplotlib: layers from left to right, each pathway in a colour of its own.

All coordinates are inches, so that boxes and letters keep their size however deep a circuit is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosal.errors import CircuitError
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Relay, Source
from neurosal.graph.projection import Projection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
# Okabe & Ito's colours, which most kinds of colour blindness tell apart; patterns of lines say the rest.
COLOURS = {"feedforward": "#0072b2", "feedback": "#d55e00", "lateral": "#000000", "modulatory": "#009e73"}
PITCH, ROW, WIDTH, HEIGHT = 1.75, 1.15, 1.2, 0.66
RELAY_WIDTH, RELAY_HEIGHT = 1.05, 0.5
MARGIN, LEGEND, SHIFT = 0.3, 0.45, 0.16
CARD, CARDS = 0.05, 3  # how far the boxes of further areas stand behind the first, and how many are drawn at most
HEAD = "-|>,head_length=5,head_width=2.6"


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


def draw(circuit: Circuit, path: str | Path | None = None) -> Figure:
    """A picture of the circuit.

    Populations are boxes with their size, stacked where they have areas; relays are small. Feedforward projections run
    to the right, feedback returns below, routers (dotted) choose from above. Dashed synapses never change, dash-dotted
    ones are tied.

    Args:
        circuit: any whose projections end at its populations.
        path: file to write, PNG, SVG or PDF by its ending; None writes none.

    Returns:
        A figure of its own; it belongs to no window.

    Example:
        >>> from neurosal import circuits, rules
        >>> figure = draw(rules.pfa(circuits.mlp(4, 3, 2)))
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    boxes = _layout(circuit)
    arcs = _arcs(circuit, boxes)
    left, right = (
        _extent(box.x - box.width / 2 for box in boxes.values()),
        _extent((box.x + box.width / 2 for box in boxes.values()), max),
    )
    heights = [arc[1][1] + 0.75 * (arc[4] - arc[1][1]) for arc in arcs]
    low = _extent([*(box.y - box.height / 2 for box in boxes.values()), *heights])
    high = _extent([*(box.crown for box in boxes.values()), *heights], max)
    legend = _legend(circuit)
    width = max(right - left + 2 * MARGIN, 1.6 * len(legend))
    height = high - low + 2 * MARGIN + LEGEND
    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    centre = (left + right) / 2
    axes.set(xlim=(centre - width / 2, centre + width / 2), ylim=(low - MARGIN - LEGEND, high + MARGIN))
    axes.set_axis_off()
    for name, box in boxes.items():
        _draw_box(axes, circuit, name, box)
    for arc in arcs:
        _draw_arc(axes, *arc)
    curved = {id(arc[0]) for arc in arcs}
    straight = [edge for edge in circuit.projections.values() if id(edge) not in curved]
    _draw_straight_lines(axes, straight, boxes)
    if legend:
        axes.legend(
            legend.values(), legend, loc="lower center", ncols=len(legend), frameon=False, fontsize=9, handlelength=2.6
        )
    if path is not None:
        # Without a date and with names that are not drawn by lot, equal circuits give equal files.
        with rc_context({"svg.hashsalt": circuit.name}):
            figure.savefig(path, metadata={"Date": None} if Path(path).suffix == ".svg" else None)
    return figure


def _extent(values: Iterable[float], choose: Any = min) -> float:
    return float(choose(values, default=0.0))


# Layout --------------------------------------------------------------------------------------------------------------


def _layout(circuit: Circuit) -> dict[str, Box]:
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
    floor = _extent(box.y for box in boxes.values()) - ROW * 1.05
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


# Curves ------------------------------------------------------------------------------------------------------------


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


# Drawing -------------------------------------------------------------------------------------------------------------


def _draw_box(axes: Any, circuit: Circuit, name: str, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    population = circuit.populations[name]
    fill = "#fdf1e7" if box.relay else "#eeeeee" if isinstance(population.model, Source) else "white"
    outline = COLOURS["feedback"] if box.relay else "#333333"
    for card in reversed(range(box.cards)):
        corner = (box.x - box.width / 2 + card * CARD, box.y - box.height / 2 + card * CARD)
        style: dict[str, Any] = {"facecolor": fill, "edgecolor": outline, "linewidth": 1.1, "zorder": 3 - 0.1 * card}
        axes.add_patch(
            FancyBboxPatch(corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=0.08", **style)
        )
    size = (7 if len(name) > 12 else 8.5) if box.relay else 10.5
    lines = _wrapped(name, 17 if box.relay else 14)
    facts = f"{population.units:,}"
    activation = getattr(population.model, "activation", None)
    facts += f" {activation}" if activation else " relay" if box.relay else " units"
    if population.areas > 1:
        facts += f" × {population.areas}"
    step = size / 72 * 1.12
    whole = step * len(lines) + step * 0.9
    y = box.y + whole / 2 - step / 2
    for line in lines:
        axes.text(box.x, y, line, ha="center", va="center", fontsize=size, fontweight="bold", zorder=4)
        y -= step
    axes.text(box.x, y, facts, ha="center", va="center", fontsize=size - 1.5, color="#444444", zorder=4)


def _wrapped(name: str, width: int) -> list[str]:
    """A name in lines of at most `width` letters, broken after _ where it can be; at most three lines."""
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    lines = [line if len(line) <= width + 3 else f"{line[: width + 1]}…" for line in lines]
    return lines if len(lines) <= 3 else [*lines[:2], "…" + lines[-1]]


def _style(edge: Projection) -> dict[str, Any]:
    pattern = (
        "dotted"
        if edge.pathway == "modulatory"
        else "dashdot"
        if edge.tied_to
        else "solid"
        if edge.plasticity.plastic
        else "dashed"
    )
    return {"color": COLOURS[edge.pathway], "linestyle": pattern, "linewidth": 1.7}


def _draw_arc(
    axes: Any, edge: Projection, start: tuple[float, float], end: tuple[float, float], side: float, height: float
) -> None:
    from matplotlib.path import Path as Curve

    lean = 0.12 * (end[0] - start[0])
    before = (end[0] - lean, height)
    curve = Curve(
        [start, (start[0] + lean, height), before, (end[0], end[1] + side * 0.02)], [Curve.MOVETO, *[Curve.CURVE4] * 3]
    )
    _draw_line(axes, edge, before, path=curve)


def _draw_straight_lines(axes: Any, edges: Iterable[Projection], boxes: dict[str, Box]) -> None:
    """All lines that are no curves; parallel ones side by side."""
    parallel: dict[tuple[str, str], list[Projection]] = {}
    for edge in edges:
        if edge.source in boxes and edge.target in boxes:
            parallel.setdefault((edge.source, edge.target), []).append(edge)
    for (source, target), group in parallel.items():
        for index, edge in enumerate(group):
            _draw_straight(axes, edge, boxes[source], boxes[target], SHIFT * ((len(group) - 1) / 2 - index))


def _draw_straight(axes: Any, edge: Projection, source: Box, target: Box, shift: float) -> None:
    """A line to the right; to and from relays, and where feedback cannot run below, a bent one.

    `shift` moves it, so that parallel ones stand apart.
    """
    from matplotlib.path import Path as Curve

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
    curve = Curve([start, bend, end], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
    _draw_line(axes, edge, start if bend == end else bend, path=curve)


def _draw_line(axes: Any, edge: Projection, before: tuple[float, float], *, path: Any) -> None:
    """The line in its pattern, and a solid head that points from `before` to the end."""
    from matplotlib.patches import FancyArrowPatch

    style = _style(edge)
    end = path.vertices[-1]
    away = ((end[0] - before[0]) ** 2 + (end[1] - before[1]) ** 2) ** 0.5 or 1.0
    tail = tuple(end[axis] - 0.09 * (end[axis] - before[axis]) / away for axis in (0, 1))
    axes.add_patch(FancyArrowPatch(path=path, arrowstyle="-", zorder=2, fill=False, **style))
    axes.add_patch(
        FancyArrowPatch(
            tail,
            end,
            arrowstyle=HEAD,
            shrinkA=0,
            shrinkB=0,
            zorder=3.5,
            **{**style, "linestyle": "solid", "linewidth": 1},
        )
    )


def _legend(circuit: Circuit) -> dict[str, Any]:
    """Lines of the kinds that are there, by what they mean."""
    from matplotlib.lines import Line2D

    meanings = {"dashed": ", fixed", "dashdot": ", tied", "solid": "", "dotted": ""}
    entries: dict[str, tuple[int, dict[str, Any]]] = {}
    for edge in circuit.projections.values():
        style = _style(edge)
        label = "router" if edge.pathway == "modulatory" else f"{edge.pathway}{meanings[style['linestyle']]}"
        entries.setdefault(label, (list(COLOURS).index(edge.pathway), style))
    return {
        label: Line2D([], [], **entries[label][1])
        for label in sorted(entries, key=lambda label: (entries[label][0], label))
    }
