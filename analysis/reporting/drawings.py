"""Circuits as they were run, one drawing for all arms that look alike: feedforward to the right, feedback below."""

from __future__ import annotations

from collections.abc import Iterator

from neurosal.analysis.reporting.markup import Markup, table, tag
from neurosal.analysis.reporting.section import Figures, Section, details
from neurosal.analysis.reporting.study import Study
from neurosal.folding import placed
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Source
from neurosal.graph.projection import Projection
from neurosal.graph.spiking import Dynamical, Emitter
from neurosal.placing import CARD, Box, Label, Picture, Point, Route, facts, meaning, pattern, wrapped

SCALE = 100  # of the drawing's numbers to an inch
MARGIN = 0.12
HEAD, HALF = 0.12, 0.055  # length of an arrow's head, and half its width
LARGEST = 150  # populations of a circuit that can still be read when drawn
NAMED = 4  # arms in the title of a drawing


def drawings(study: Study) -> Section | None:
    """Every circuit once, with the arms that have it and a table of its synapses."""
    found = circuits_of(study)
    if not found:
        return None
    cards = []
    for titles, circuit in found:
        named = ", ".join(titles[:NAMED]) + (f" and {len(titles) - NAMED} more" if len(titles) > NAMED else "")
        drawn = svg(circuit, named) if len(circuit.populations) <= LARGEST else tag("p", "Too large to draw.")
        synapses = details("Its synapses", _synapses(circuit))
        cards.append(tag("figure", tag("figcaption", named), tag("div", drawn, class_="drawing"), synapses))
    body: list[Markup | Figures] = [_legend(study), tag("div", cards, class_="charts circuits")]
    lead = (
        "Feedforward synapses run to the right, feedback synapses of their own return below. Point at a line for more."
    )
    return Section(name="circuits", title="Circuits", body=body, lead=lead)


def circuits_of(study: Study) -> list[tuple[list[str], Circuit]]:
    """Every circuit once, with the titles of the arms that have it."""
    groups: dict[str, tuple[list[str], Circuit]] = {}
    for record in study.records:
        if record.circuit is not None:
            groups.setdefault(_likeness(record.circuit), ([], record.circuit))[0].append(record.title)
    return list(groups.values())


def _likeness(circuit: Circuit) -> str:
    """What two circuits share that are drawn once."""
    populations = [(name, facts(circuit, name)) for name in circuit.populations]
    return repr((populations, [(name, *_told(edge)) for name, edge in circuit.projections.items()]))


def _told(edge: Projection) -> tuple[str, ...]:
    """What a table says of a projection."""
    carried = "target" if edge.carries == "target" else ""
    origin = edge.weights.kind if edge.tied_to is None else f"{edge.weights.kind} of {edge.tied_to}"
    ends = edge.source, edge.target, edge.pathway, edge.wiring.kind, origin, edge.plasticity.kind
    return (*ends, "" if edge.synapse is None else edge.synapse.kind, _delay(edge), carried)


def _delay(edge: Projection) -> str:
    """In ms; "" where there is none."""
    delay = edge.delay_ms
    return (f"{delay:g}" if delay else "") if isinstance(delay, int | float) else f"each its own ({delay.kind})"


def _synapses(circuit: Circuit) -> Markup:
    rows = [(name, *_told(edge)) for name, edge in circuit.projections.items()]
    columns = ("projection", "from", "to", "pathway", "wiring", "weights", "plasticity", "synapse", "delay (ms)",
               "carries")  # fmt: skip
    kept = [place for place, _ in enumerate(columns) if any(row[place] for row in rows)]
    return table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows], label="synapses")


def _legend(study: Study) -> Markup:
    edges = [edge for record in study.records if record.circuit for edge in record.circuit.projections.values()]
    kinds = {meaning(edge): (edge.pathway, pattern(edge)) for edge in edges}
    order = ("feedforward", "feedback", "lateral", "modulatory")
    said = []
    for label in sorted(kinds, key=lambda label: (order.index(kinds[label][0]), label)):
        sample = tag("svg", tag("path", d="M2 6H34", class_=f"edge {' '.join(kinds[label])}"), width=36, height=12,
                     aria_hidden="true")  # fmt: skip
        said.append(tag("span", sample, label))
    return tag("p", said, class_="legend")


# Drawing -------------------------------------------------------------------------------------------------------------


def svg(circuit: Circuit, title: str) -> Markup:
    """The circuit as SVG in the page's colours; a box and a line say more when they are pointed at."""
    picture = placed(circuit)
    names = {id(edge): name for name, edge in circuit.projections.items()}
    parts = [_line(picture, route, names[id(route.edge)]) for route in picture.routes]
    parts += [_label(picture, label) for label in picture.labels]
    parts += [part for name, box in picture.boxes.items() for part in _box(picture, circuit, name, box)]
    width, height = (picture.right - picture.left + 2 * MARGIN), (picture.high - picture.low + 2 * MARGIN)
    return tag(
        "svg", *parts, viewBox=f"0 0 {SCALE * width:.0f} {SCALE * height:.0f}", role="img",
        aria_label=f"Circuit of {title}: {_words(circuit)}",
        style=f"width:{width * 76:.0f}px;min-width:{width * 46:.0f}px",
    )  # fmt: skip


def _words(circuit: Circuit) -> str:
    populations = ", ".join(f"{name} ({facts(circuit, name)})" for name in circuit.populations)
    edges = "; ".join(f"{edge.pathway} {name}" for name, edge in circuit.projections.items())
    return f"populations {populations}. Projections: {edges}."


def _place(picture: Picture, point: Point) -> tuple[float, float]:
    """Downwards, from the upper left corner."""
    return SCALE * (point[0] - picture.left + MARGIN), SCALE * (picture.high + MARGIN - point[1])


def _at(picture: Picture, *points: Point) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(picture, point) for point in points))


def _line(picture: Picture, route: Route, name: str) -> Markup:
    start, *bends, end = route.points
    away = ((end[0] - route.before[0]) ** 2 + (end[1] - route.before[1]) ** 2) ** 0.5 or 1.0
    along = ((end[0] - route.before[0]) / away, (end[1] - route.before[1]) / away)
    foot = (end[0] - HEAD * along[0], end[1] - HEAD * along[1])
    side = (HALF * along[1], -HALF * along[0])
    head = (end, (foot[0] + side[0], foot[1] + side[1]), (foot[0] - side[0], foot[1] - side[1]))
    # The line ends inside its head, so that a thick one does not stick out at the tip.
    course = f"M{_at(picture, start)} {'C' if len(bends) == 2 else 'Q'}{_at(picture, *bends, foot)}"
    edge = route.edge
    source, target, pathway, wiring, origin, plasticity, synapse, delay, carried = _told(edge)
    said = f"{name}: {pathway}, {source} → {target}\nwiring {wiring}, weights {origin}, plasticity {plasticity}"
    said += (f"\nsynapse {synapse}" if synapse else "") + (f", delay {delay} ms" if delay else "")
    return tag(
        "g",
        tag("title", said + (f"\ncarries the {carried}" if carried else "")),
        tag("path", d=course, class_="touch"),
        tag("path", d=course, class_=f"edge {edge.pathway} {pattern(edge)}"),
        tag("polygon", points=_at(picture, *head), class_=f"head {edge.pathway}"),
        data_projection=name,
    )


def _label(picture: Picture, label: Label) -> Markup:
    """Where a line comes from or goes to that has its other end in another row."""
    x, y = _place(picture, (label.x, label.y))
    drop = {1: -2, -1: 9, 2: 3, -2: 3}[label.side]
    anchor = {2: "start", -2: "end"}.get(label.side, "middle")
    return tag("text", label.text, x=f"{x:.1f}", y=f"{y + drop:.1f}", font_size=9, text_anchor=anchor, class_="fact")


def _box(picture: Picture, circuit: Circuit, name: str, box: Box) -> Iterator[Markup]:
    model = circuit.populations[name].model
    kind = "relay" if box.relay else "source" if isinstance(model, Source | Emitter) else "rate"
    cards = []
    for card in reversed(range(box.cards)):
        x, y = _place(picture, (box.x - box.width / 2 + card * CARD, box.y + box.height / 2 + card * CARD))
        cards.append(
            tag(
                "rect",
                x=f"{x:.1f}",
                y=f"{y:.1f}",
                width=f"{SCALE * box.width:.0f}",
                height=f"{SCALE * box.height:.0f}",
                rx=8,
                class_=f"box {kind}",
            )
        )
    size = (10 if len(name) > 12 else 12) if box.relay else 15
    lines = wrapped(name, 17 if box.relay else 14)
    step = size * 1.2
    x, middle = _place(picture, (box.x, box.y))
    top = middle - step * len(lines) / 2 + 0.2 * size
    text = [
        tag("text", line, x=f"{x:.1f}", y=f"{top + step * number:.1f}", font_size=size, class_="name")
        for number, line in enumerate(lines)
    ]
    text.append(tag("text", facts(circuit, name), x=f"{x:.1f}", y=f"{top + step * len(lines):.1f}",
                    font_size=size - 2.5, class_="fact"))  # fmt: skip
    said = f", {model.kind}" if isinstance(model, Dynamical | Emitter | Source) and model.kind != Source.kind else ""
    yield tag("g", tag("title", f"{name}: {facts(circuit, name)}{said}"), cards, text, data_population=name)
