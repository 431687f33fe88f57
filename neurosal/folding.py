"""A deep circuit in several rows, as lines of text are: each from left to right, the next one below. A projection that
would run from row to row has a short line at each end, which says where the other one is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from neurosal.graph.circuit import Circuit
from neurosal.graph.projection import Projection
from neurosal.placing import PITCH, Box, Label, Picture, Point, Route, extent, in_a_row, layout

LONGEST = 24  # columns of a picture with one row
WIDEST = 14  # columns of a row where there are several
SLACK = 2  # columns by which a row may be shorter than others, to end where few signals cross
GAP = 0.45
STUB, STEP = 0.3, 0.17  # length of a line to another row, and how much longer the next one at the same edge is
NOTED = 2  # lines from one population to other rows that are drawn one by one where they leave
LETTER = 0.055  # width of a letter of a label

Place = tuple[str, int]  # population, and its upper (1) or lower (-1) edge


def placed(circuit: Circuit) -> Picture:
    """The circuit in its places: in one row from left to right, or in several where it is deep.

    Args:
        circuit: any; projections that do not end at its populations are left out.
    """
    boxes = layout(circuit)
    rows = _rows(circuit, boxes)
    if len(rows) == 1:
        return in_a_row(circuit, boxes)
    row_of = {name: index for index, row in enumerate(rows) for name in row}
    stubs = _Stubs(circuit, row_of)
    pictures = [stubs.added(in_a_row(circuit, row)) for row in rows]
    return _stacked(pictures)


def _rows(circuit: Circuit, boxes: dict[str, Box]) -> list[dict[str, Box]]:
    """The boxes of each row, moved to its beginning; cut where few signals cross."""
    last = max((round(box.x / PITCH) for box in boxes.values()), default=0)
    if last < LONGEST:
        return [boxes]
    crossing: dict[int, set[str]] = {}
    for edge in circuit.select(pathway="feedforward").values():
        if edge.source in boxes and edge.target in boxes:
            first, end = (round(boxes[name].x / PITCH) for name in (edge.source, edge.target))
            for column in range(first + 1, end + 1):
                crossing.setdefault(column, set()).add(edge.source)
    starts = [0]
    while (left := last + 1 - starts[-1]) > WIDEST:
        even = ceil(left / ceil(left / WIDEST))
        places = range(starts[-1] + even - SLACK, starts[-1] + WIDEST + 1)
        wanted = starts[-1] + even
        starts.append(min(places, key=lambda column: (len(crossing.get(column, ())), abs(column - wanted))))
    rows: list[dict[str, Box]] = [{} for _ in starts]
    for name, box in boxes.items():
        row = max(index for index, start in enumerate(starts) if box.x >= (start - 0.5) * PITCH or index == 0)
        rows[row][name] = replace(box, x=box.x - starts[row] * PITCH)
    return rows


class _Stubs:
    """The short lines at both ends of projections between rows."""

    def __init__(self, circuit: Circuit, row_of: dict[str, int]) -> None:
        self.leaving: dict[str, list[Projection]] = {}
        self.arriving: dict[str, list[Projection]] = {}
        for edge in circuit.projections.values():
            if edge.source in row_of and edge.target in row_of and row_of[edge.source] != row_of[edge.target]:
                self.leaving.setdefault(edge.source, []).append(edge)
                self.arriving.setdefault(edge.target, []).append(edge)

    def added(self, picture: Picture) -> Picture:
        """The picture of a row with the ends that it has of projections to and from other rows."""
        found = [end for name, box in picture.boxes.items() for end in self._ends(name, box)]
        routes, labels = tuple(route for route, _ in found), tuple(label for _, label in found)
        half = [LETTER * len(label.text) / 2 for label in labels]
        return Picture(
            boxes=picture.boxes,
            routes=(*picture.routes, *routes),
            left=extent([picture.left, *(label.x - width for label, width in zip(labels, half, strict=True))]),
            low=extent([picture.low, *(label.y - STEP for label in labels)]),
            right=extent([picture.right, *(label.x + width for label, width in zip(labels, half, strict=True))], max),
            high=extent([picture.high, *(label.y + STEP for label in labels)], max),
            labels=labels,
        )

    def _ends(self, name: str, box: Box) -> Iterator[tuple[Route, Label]]:
        used: Counter[int] = Counter()
        for edge in self.arriving.get(name, []):
            x, y, side = _port(box, edge, used, -1)
            yield _stub(
                edge, (x, y + side * (STUB + STEP * used[side])), (x, y), f"from {edge.source}", side, inward=True
            )
            used[side] += 1
        groups: dict[str, list[Projection]] = {}
        for edge in self.leaving.get(name, []):
            groups.setdefault(edge.pathway, []).append(edge)
        for edges in groups.values():
            several = len(edges) > NOTED
            for edge in edges[:1] if several else edges:
                x, y, side = _port(box, edge, used, 1)
                text = f"to {len(edges)} populations" if several else f"to {edge.target}"
                yield _stub(edge, (x, y), (x, y + side * (STUB + STEP * used[side])), text, side, inward=False)
                used[side] += 1


def _port(box: Box, edge: Projection, used: Counter[int], half: int) -> tuple[float, float, int]:
    """Where a line leaves or enters a box, and at which edge: feedback below, all others above."""
    side = -1 if edge.pathway == "feedback" else 1
    x = box.x + half * box.width * max(0.08, 0.46 - 0.06 * used[side])
    return x, box.edge(side), side


def _stub(edge: Projection, start: Point, end: Point, text: str, side: int, *, inward: bool) -> tuple[Route, Label]:
    x, y = start if inward else end
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return Route(edge, (start, middle, end), start, y), Label(text=text, pathway=edge.pathway, x=x, y=y, side=side)


def _stacked(pictures: list[Picture]) -> Picture:
    """Rows below each other."""
    boxes: dict[str, Box] = {}
    routes: list[Route] = []
    labels: list[Label] = []
    floor = pictures[0].high + GAP
    high = pictures[0].high
    for picture in pictures:
        shift = floor - GAP - picture.high
        boxes |= {name: replace(box, y=box.y + shift) for name, box in picture.boxes.items()}
        routes += [_lowered(route, shift) for route in picture.routes]
        labels += [replace(label, y=label.y + shift) for label in picture.labels]
        floor = picture.low + shift
    left, right = extent(each.left for each in pictures), extent((each.right for each in pictures), max)
    return Picture(boxes, tuple(routes), left, floor, right, high, tuple(labels))


def _lowered(route: Route, shift: float) -> Route:
    points = tuple((x, y + shift) for x, y in route.points)
    return replace(route, points=points, before=(route.before[0], route.before[1] + shift), reach=route.reach + shift)
