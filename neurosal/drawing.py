"""Pictures of circuits with matplotlib: layers from left to right, each pathway in a colour of its own.

All coordinates are inches, so that boxes and letters keep their size however deep a circuit is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurosal.folding import placed
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Source
from neurosal.graph.projection import Projection
from neurosal.graph.spiking import Emitter
from neurosal.placing import CARD, Box, Label, Route, facts, meaning, pattern, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
# Okabe & Ito's colours, which most kinds of colour blindness tell apart; patterns of lines say the rest.
COLOURS = {"feedforward": "#0072b2", "feedback": "#d55e00", "lateral": "#000000", "modulatory": "#009e73"}
MARGIN, LEGEND = 0.3, 0.45
FITTING = 110  # points of a letter, times letters, that an inch holds; of bold ones, fewer
HEAD = "-|>,head_length=5,head_width=2.6"


def draw(circuit: Circuit, path: str | Path | None = None) -> Figure:
    """A picture of the circuit.

    Populations are boxes with their size, stacked where they have areas; relays are small. Feedforward projections run
    to the right, feedback returns below, routers (dotted) choose from above. Dashed synapses never change, dash-dotted
    ones are tied. Deep circuits are drawn in several rows; a line that ends in another row says where.

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

    from neurosal.shown import ShownFigure

    picture = placed(circuit)
    legend = _legend(circuit)
    width = max(picture.right - picture.left + 2 * MARGIN, 1.6 * len(legend))
    height = picture.high - picture.low + 2 * MARGIN + LEGEND
    figure = ShownFigure(figsize=(width, height), dpi=110, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    centre = (picture.left + picture.right) / 2
    axes.set(xlim=(centre - width / 2, centre + width / 2), ylim=(picture.low - MARGIN - LEGEND, picture.high + MARGIN))
    axes.set_axis_off()
    for name, box in picture.boxes.items():
        _draw_box(axes, circuit, name, box)
    for route in picture.routes:
        _draw_route(axes, route)
    for label in picture.labels:
        _draw_label(axes, label)
    if legend:
        axes.legend(
            legend.values(), legend, loc="lower center", ncols=len(legend), frameon=False, fontsize=9, handlelength=2.6
        )
    if path is not None:
        # Without a date and with names that are not drawn by lot, equal circuits give equal files.
        with rc_context({"svg.hashsalt": circuit.name}):
            figure.savefig(path, metadata={"Date": None} if Path(path).suffix == ".svg" else None)
    return figure


def _draw_box(axes: Any, circuit: Circuit, name: str, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    population = circuit.populations[name]
    fill = "#fdf1e7" if box.relay else "#eeeeee" if isinstance(population.model, Source | Emitter) else "white"
    outline = COLOURS["feedback"] if box.relay else "#333333"
    for card in reversed(range(box.cards)):
        corner = (box.x - box.width / 2 + card * CARD, box.y - box.height / 2 + card * CARD)
        style: dict[str, Any] = {"facecolor": fill, "edgecolor": outline, "linewidth": 1.1, "zorder": 3 - 0.1 * card}
        axes.add_patch(
            FancyBboxPatch(corner, box.width, box.height, boxstyle="round,pad=0,rounding_size=0.08", **style)
        )
    size = (7 if len(name) > 12 else 8.5) if box.relay else 10.5
    lines = wrapped(name, 17 if box.relay else 14)
    size = min(size, 0.93 * FITTING * box.width / max(map(len, lines)))
    step = size / 72 * 1.12
    whole = step * len(lines) + step * 0.9
    y = box.y + whole / 2 - step / 2
    for line in lines:
        axes.text(box.x, y, line, ha="center", va="center", fontsize=size, fontweight="bold", zorder=4)
        y -= step
    said = facts(circuit, name)
    small = min(size - 1.5, FITTING * box.width / len(said))
    axes.text(box.x, y, said, ha="center", va="center", fontsize=small, color="#444444", zorder=4)


def _style(edge: Projection) -> dict[str, Any]:
    return {"color": COLOURS[edge.pathway], "linestyle": pattern(edge), "linewidth": 1.7}


def _draw_route(axes: Any, route: Route) -> None:
    """The line in its pattern, and a solid head at its end."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    kind = Curve.CURVE4 if len(route.points) == 4 else Curve.CURVE3
    path = Curve(route.points, [Curve.MOVETO, *[kind] * (len(route.points) - 1)])
    style, before = _style(route.edge), route.before
    end = route.points[-1]
    away = ((end[0] - before[0]) ** 2 + (end[1] - before[1]) ** 2) ** 0.5 or 1.0
    tail = (end[0] - 0.09 * (end[0] - before[0]) / away, end[1] - 0.09 * (end[1] - before[1]) / away)
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


def _draw_label(axes: Any, label: Label) -> None:
    """Where a line comes from or goes to that has its other end in another row."""
    anchors = {1: ("center", "bottom"), -1: ("center", "top"), 2: ("left", "center"), -2: ("right", "center")}
    ha, va = anchors[label.side]
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
    axes.text(
        label.x, label.y, label.text, ha=ha, va=va, fontsize=7, color=COLOURS[label.pathway], zorder=3.6, bbox=ground
    )


def _legend(circuit: Circuit) -> dict[str, Any]:
    """Lines of the kinds that are there, by what they mean."""
    from matplotlib.lines import Line2D

    entries: dict[str, tuple[int, dict[str, Any]]] = {}
    for edge in circuit.projections.values():
        style = _style(edge)
        entries.setdefault(meaning(edge), (list(COLOURS).index(edge.pathway), style))
    return {
        label: Line2D([], [], **entries[label][1])
        for label in sorted(entries, key=lambda label: (entries[label][0], label))
    }
