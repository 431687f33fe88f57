"""The charts of a report with matplotlib, for papers: PDF whose fonts are embedded, SVG whose letters are outlines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from neurosal.analysis.reporting.charts import Axis, Chart, Heatmap, Lines, Points
from neurosal.analysis.reporting.drawings import circuits_of
from neurosal.analysis.reporting.section import Figures, Section
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.style import CHANCE, GREY, look, panels, styled
from neurosal.drawing import draw as circuit_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = {".pdf": "CreationDate", ".svg": "Date"}
PANELS = 12  # of a figure; more go into a second file
WIDTH, HEIGHT = 4.2, 3.0  # inches of a panel
TITLE = 38  # letters of a line
LABELS = 34  # rows of a heatmap that can all be named
LONGEST = 30  # letters of a row's name


def write_figures(sections: Sequence[Section], study: Study, folder: Path) -> list[Path]:
    """A file for each circuit and each group of charts, in every ending; older ones are replaced.

    Args:
        sections: of the page.
        study: what it is about.
        folder: is made.

    Returns:
        The paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arms = [one.title for one in study.shown]
    figures: dict[str, Figure] = {}
    with styled():
        for number, (_, circuit) in enumerate(circuits_of(study), start=1):
            figures[f"circuit-{number}"] = circuit_figure(circuit)
        for section in sections:
            groups = [part.charts for part in section.body if isinstance(part, Figures)]
            parts = [group[at : at + PANELS] for group in groups for at in range(0, len(group), PANELS)]
            for number, charts in enumerate(parts, start=1):
                figures[section.name if len(parts) == 1 else f"{section.name}-{number}"] = draw(charts, arms)
        for name, figure in figures.items():
            for ending, dated in ENDINGS.items():  # without a date the same numbers give the same file
                figure.savefig(folder / f"{name}{ending}", metadata={dated: None})
    return [folder / f"{name}{ending}" for name in figures for ending in ENDINGS]


def draw(charts: Sequence[Chart], arms: Sequence[str]) -> Figure:
    """Charts as the panels of one figure, with the arms that they show beside them."""
    columns = 1 if len(charts) == 1 else 2 if len(charts) <= 4 else 3
    rows = -(-len(charts) // columns)
    tall = max((len(chart.rows) for chart in charts if isinstance(chart, Heatmap)), default=0)
    tall = max(tall, max((len(chart.points) for chart in charts if isinstance(chart, Points)), default=0))
    width = 6.5 if columns == 1 else WIDTH * columns
    figure, axes = panels(rows, columns, width=width, height=max(HEIGHT, 0.9 + 0.17 * min(tall, 60)))
    for panel, chart in zip(axes.flat, charts, strict=False):
        panel.set_title(_text("\n".join(textwrap.wrap(chart.title, TITLE if columns > 1 else 2 * TITLE))), fontsize=9)
        if isinstance(chart, Lines):
            _lines(panel, chart)
        elif isinstance(chart, Points):
            _points(panel, chart)
        elif isinstance(chart, Heatmap):
            _heatmap(figure, panel, chart)
    for panel in axes.flat[len(charts) :]:
        panel.set_visible(False)
    shown = sorted({line.arm for chart in charts if isinstance(chart, Lines) for line in chart.lines})
    if len(shown) > 1:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], label=_text(arms[place]), **look(place)) for place in shown]
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8, labelcolor="linecolor")
    return figure


def _text(text: str) -> str:
    """Text that is no formula, whatever users call their arms."""
    return text.replace("$", r"\$")


def _axes(panel: Axes, x: Axis, y: Axis) -> None:
    panel.set_xlabel(_text(x.label))
    panel.set_ylabel(_text(y.label))
    if y.logarithmic:
        panel.set_yscale("log")


def _lines(panel: Axes, chart: Lines) -> None:
    _axes(panel, chart.x, chart.y)
    if chart.chance is not None:
        panel.axhspan(*chart.chance, color=CHANCE, zorder=0)
    for line in chart.lines:
        style = look(line.arm)
        x, y = numpy.asarray(line.x, dtype=float), numpy.asarray(line.y, dtype=float)
        known = numpy.isfinite(x) & numpy.isfinite(y)
        if line.faint:
            panel.plot(x[known], y[known], color=style["color"], linestyle=":", linewidth=0.9, alpha=0.6)
            continue
        panel.plot(x[known], y[known], **style, marker="o" if known.sum() <= 6 else None, markersize=3)
        edges = (line.low, line.high) if line.low is not None else (line.least, line.most)
        if edges[0] is not None and edges[1] is not None:
            low, high = (numpy.asarray(edge)[known] for edge in edges)
            if chart.y.logarithmic:
                low = numpy.where(low > 0, low, y[known] / 2)
            panel.fill_between(x[known], low, high, color=style["color"], alpha=0.15, linewidth=0)
    for level, label in chart.levels:
        panel.axhline(level, color=GREY, linewidth=0.9, linestyle=":")
        where = ("axes fraction", "data")
        panel.annotate(_text(label), (1, level), xycoords=where, ha="right", va="bottom", fontsize=7, color=GREY)
    for place, label in chart.marks:
        panel.axvline(place, color=GREY, linewidth=0.8, linestyle="--", zorder=0)
        panel.annotate(_text(label), (place, 1), xycoords=("data", "axes fraction"), fontsize=6, color=GREY,
                       rotation=90, ha="left", va="top", xytext=(1, -1), textcoords="offset points")  # fmt: skip


def _points(panel: Axes, chart: Points) -> None:
    panel.set_xlabel(_text(chart.x.label))
    for row, point in enumerate(chart.points):
        colour = look(point.arm)["color"]
        panel.plot(
            point.values, [row] * len(point.values), "o", color=colour, fillstyle="none", markersize=4, alpha=0.7
        )
        if numpy.isfinite([point.low, point.high]).all():
            panel.plot([point.low, point.high], [row, row], color="#555555", linewidth=1.2, zorder=1)
        panel.plot([point.mean], [row], "D", color=colour, markersize=5.5)
    panel.set_yticks(range(len(chart.points)), [_short(point.name) for point in chart.points], fontsize=8)
    panel.invert_yaxis()


def _heatmap(figure: Figure, panel: Axes, chart: Heatmap) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    values = numpy.asarray(chart.values, dtype=float)
    known = values[numpy.isfinite(values)]
    low = chart.colour.low if chart.colour.low is not None else float(known.min()) if known.size else 0.0
    high = chart.colour.high if chart.colour.high is not None else float(known.max()) if known.size else 1.0
    colours: Any = "cividis"
    if chart.diverging is not None:
        colours = LinearSegmentedColormap.from_list("sides", ["#0072B2", "#F2F2F2", "#D55E00"])
    image = panel.imshow(
        values, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest", rasterized=True
    )
    panel.grid(False)
    columns = [column if isinstance(column, str) else f"{column:.4g}" for column in chart.columns]
    every = 1 if isinstance(chart.columns[0], str) else max(1, -(-len(columns) // 6))
    ticks = list(range(0, len(columns), every))
    slanted = 45 if isinstance(chart.columns[0], str) else 0
    panel.set_xticks(ticks, [_short(columns[tick]) for tick in ticks], fontsize=7.5, rotation=slanted)
    step = max(1, -(-len(chart.rows) // LABELS))
    panel.set_yticks(range(0, len(chart.rows), step), [_short(row) for row in chart.rows[::step]], fontsize=7)
    panel.set_xlabel(_text(chart.x.label))
    bar = figure.colorbar(image, ax=panel, pad=0.015, fraction=0.05)
    bar.set_label(_text(chart.colour.label), fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
    if chart.written:
        for (row, column), value in numpy.ndenumerate(values):
            if numpy.isfinite(value):
                dark = (value - low) / ((high - low) or 1) > 0.6
                said = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
                panel.text(
                    column, row, said, ha="center", va="center", fontsize=6.5, color="#222222" if dark else "white"
                )


def _short(text: str) -> str:
    return _text(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
