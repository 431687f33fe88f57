"""What is plotted, as values: plain numbers that the page carries as JSON, and its script hands to the chart library.

Numbers are written with six digits; what is not finite is null, and lines have a gap there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy

DIGITS = 6

Array = numpy.ndarray[Any, Any]


def numbers(values: Any) -> list[Any]:
    """Numbers for JSON, nested as the array is."""
    array = numpy.asarray(values, dtype=float)
    if array.ndim > 1:
        return [numbers(row) for row in array]
    known = numpy.isfinite(array)
    return [_rounded(value) if there else None for value, there in zip(array.tolist(), known.tolist(), strict=True)]


def _rounded(value: float) -> float | int:
    rounded = float(f"{value:.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Args:
    label: with the unit in brackets.
    logarithmic: where values differ much.
    low, high: what must be inside; None lets the data say.
    """

    label: str
    logarithmic: bool = False
    low: float | None = None
    high: float | None = None

    def fields(self) -> dict[str, Any]:
        known: dict[str, Any] = {"label": self.label}
        if self.logarithmic:
            known["log"] = True
        known |= {name: value for name, value in (("low", self.low), ("high", self.high)) if value is not None}
        return known


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line.

    Args:
        arm: place of its arm, which decides colour and dashes.
        name: when pointed at.
        x, y: its points.
        low, high: of its band (± 1 sd over seeds); None draws none.
        least, most: smallest and largest value within each decimated point; None where nothing was decimated.
        faint: whether it stands behind the others (the start, beside the end).
    """

    arm: int
    name: str
    x: Any
    y: Any
    low: Any = None
    high: Any = None
    least: Any = None
    most: Any = None
    faint: bool = False

    def fields(self) -> dict[str, Any]:
        known: dict[str, Any] = {"arm": self.arm, "name": self.name}
        for name in ("x", "y", "low", "high", "least", "most"):
            values = getattr(self, name)
            if values is not None:
                known[name] = numbers(values)
        if self.faint:
            known["faint"] = True
        return known


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure of the page.

    Args:
        name: unique on the page, for tests and for what is downloaded; made of letters, digits and hyphens.
        title: above it.
        alternative: what it shows, in words, for those who cannot see it.
        note: below it.
    """

    kind: ClassVar[str] = ""

    name: str
    title: str
    alternative: str
    note: str = ""

    def fields(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "title": self.title}


@dataclass(frozen=True, kw_only=True)
class Lines(Chart):
    """Lines over a common axis, with levels drawn across, a grey band of chance, and marks where something begins."""

    kind: ClassVar[str] = "lines"

    x: Axis
    y: Axis
    lines: Sequence[Line]
    levels: Sequence[tuple[float, str]] = ()
    chance: tuple[float, float] | None = None
    marks: Sequence[tuple[float, str]] = ()

    def fields(self) -> dict[str, Any]:
        known = super().fields() | {"x": self.x.fields(), "y": self.y.fields()}
        known["lines"] = [line.fields() for line in self.lines]
        # Arms are mostly recorded at the same steps: these are written once.
        if known["lines"] and all(line["x"] == known["lines"][0]["x"] for line in known["lines"]):
            known["along"] = known["lines"][0]["x"]
            known["lines"] = [{name: value for name, value in line.items() if name != "x"} for line in known["lines"]]
        if self.marks:
            known["marks"] = [{"x": place, "label": label} for place, label in self.marks]
        if self.levels:
            known["levels"] = [{"y": level, "label": label} for level, label in self.levels]
        if self.chance is not None:
            known["chance"] = numbers(self.chance)
        return known


@dataclass(frozen=True, kw_only=True)
class Point:
    """A result with its interval and the seeds behind it."""

    arm: int
    name: str
    mean: float
    low: float
    high: float
    seeds: Sequence[int] = ()
    values: Any = field(default=())

    def fields(self) -> dict[str, Any]:
        mean, low, high = numbers([self.mean, self.low, self.high])
        each = {"seeds": list(self.seeds), "values": numbers(self.values)}
        return {"arm": self.arm, "name": self.name, "mean": mean, "low": low, "high": high, **each}


@dataclass(frozen=True, kw_only=True)
class Points(Chart):
    """Results side by side, one row an arm."""

    kind: ClassVar[str] = "points"

    x: Axis
    points: Sequence[Point]

    def fields(self) -> dict[str, Any]:
        return super().fields() | {"x": self.x.fields(), "points": [point.fields() for point in self.points]}


@dataclass(frozen=True, kw_only=True)
class Heatmap(Chart):
    """Rows of numbers as colours.

    Args:
        x: labels or places of the columns.
        rows: name of each row.
        arms: place of each row's arm; empty where all rows are of one arm.
        arm: that arm; None where rows have their own.
        values: [row][column].
        colour: what the colours mean, with its ends.
        diverging: a value in the middle from which both sides differ.
        written: whether numbers stand in the cells.
    """

    kind: ClassVar[str] = "heatmap"

    x: Axis
    columns: Any
    rows: Sequence[str]
    values: Any
    colour: Axis
    y: str = ""
    arms: Sequence[int] = ()
    arm: int | None = None
    diverging: float | None = None
    written: bool = False

    def fields(self) -> dict[str, Any]:
        texts = any(isinstance(column, str) for column in self.columns)
        known = super().fields() | {
            "x": self.x.fields(), "columns": list(self.columns) if texts else numbers(self.columns),
            "rows": list(self.rows), "values": numbers(self.values), "colour": self.colour.fields(), "y": self.y,
        }  # fmt: skip
        optional = {"arms": list(self.arms), "arm": self.arm, "middle": self.diverging, "written": self.written}
        return known | {name: value for name, value in optional.items() if value not in (None, [], False)}
