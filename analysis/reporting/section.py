"""A part of the page: a heading with tables, text and charts below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neurosal.analysis.reporting.charts import Chart
from neurosal.analysis.reporting.markup import Content, Markup, table, tag

NUMBERS = "The same in numbers"


@dataclass(frozen=True)
class Figures:
    """Charts side by side where there is room.

    Args:
        charts: what is plotted.
        beside: a table of the same for those who read numbers, with its title.
    """

    charts: Sequence[Chart]
    beside: tuple[str, Markup] | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Args:
    name: of its anchor.
    title: its heading.
    lead: a sentence or two below it.
    body: what it holds, in order.
    """

    name: str
    title: str
    body: Sequence[Markup | Figures]
    lead: Content = None

    @property
    def charts(self) -> list[Chart]:
        """All its charts."""
        return [chart for part in self.body if isinstance(part, Figures) for chart in part.charts]

    def html(self) -> Markup:
        """The section; charts as empty boxes that the page's script draws in."""
        parts = [tag("h2", self.title, id=self.name)]
        if self.lead:
            parts.append(tag("p", self.lead, class_="lead"))
        parts += [part if isinstance(part, Markup) else _figures(part) for part in self.body]
        return tag("section", parts, aria_labelledby=self.name)


def _figures(figures: Figures) -> Markup:
    maps = len(figures.charts) > 2 and all(chart.kind == "heatmap" for chart in figures.charts)
    size = " one" if len(figures.charts) == 1 else " small" if maps else ""
    boxes = tag("div", [_box(chart) for chart in figures.charts], class_=f"charts{size}")
    if figures.beside is None:
        return boxes
    title, content = figures.beside
    return tag("div", boxes, details(title, content))


def _box(chart: Chart) -> Markup:
    return tag(
        "figure",
        tag("figcaption", chart.title),
        tag("div", class_="chart", data_chart=chart.name, role="img", aria_label=chart.alternative),
        tag("p", chart.note, class_="note") if chart.note else None,
        class_=chart.kind,
    )


def details(title: str, content: Content) -> Markup:
    """What opens on a click."""
    return tag("details", tag("summary", title), content)


def facts(rows: Iterable[tuple[Content, Content]], *, label: str) -> Markup:
    """Names and what they are, in two columns."""
    return table(("", ""), [(name, value) for name, value in rows], label=label)
