"""How figures look: one colour an arm in every figure, told apart without colour vision too, and labels beside the
lines they name."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy
import xarray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008) without the yellow that white paper swallows; the order keeps neighbours far apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.2, 1.2, 1.2)))
GREY = "#8A8A8A"
CHANCE = "#E4E4E4"

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ECECEC",
    "grid.linewidth": 0.8,
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "axes.xmargin": 0.01,
    "lines.linewidth": 1.7,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType, embedded: journals refuse the bitmaps of type 3
    "svg.hashsalt": "neurosal",
}


def styled() -> AbstractContextManager[None]:
    """matplotlib's settings for our figures, within a block; the user's own stay as they are."""
    import matplotlib

    return matplotlib.rc_context(SETTINGS)  # type: ignore[arg-type]  # it names every key there is


def panels(rows: int, columns: int, *, width: float = 10.0, height: float = 3.3, **options: Any) -> tuple[Figure, Any]:
    """A figure without a window and its axes [rows, columns]."""
    from neurosal.shown import ShownFigure

    figure = ShownFigure(figsize=(width, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def look(position: int) -> dict[str, Any]:
    """Colour and dashes of the arm at a place: another dash once the colours are used up."""
    return {"color": COLOURS[position % len(COLOURS)], "linestyle": DASHES[position // len(COLOURS) % len(DASHES)]}


def curve(axes: Axes, x: Any, mean: Any, deviation: Any, position: int) -> tuple[float, float] | None:
    """A line with its band over seeds; returns its last point, where a label can stand. Values that are not there are
    left out."""
    x, mean, deviation = (numpy.asarray(entry, dtype=float) for entry in (x, mean, deviation))
    known = numpy.isfinite(x) & numpy.isfinite(mean)
    if not known.any():
        return None
    x, mean, deviation = x[known], mean[known], numpy.nan_to_num(deviation[known])
    style = look(position)
    # A line of few points shows them; one of a single point would show nothing else.
    axes.plot(x, mean, **style, marker="o" if x.size <= 6 else None, markersize=3.5)
    if deviation.any():
        axes.fill_between(x, mean - deviation, mean + deviation, color=style["color"], alpha=0.15, linewidth=0)
    return float(x[-1]), float(mean[-1])


def label_lines(
    axes: Axes, ends: Mapping[int, tuple[float, float]], labels: Mapping[int, str], size: float = 8.5
) -> None:
    """Names at the right of a panel, each at the height of its line's end, moved apart where they would overlap.

    Args:
        axes: with limits that are final.
        ends: place of the arm → last point of its line, in data.
        labels: place of the arm → its name.
    """
    if not ends:
        return
    figure = axes.get_figure()
    assert figure is not None
    figure.draw_without_rendering()  # type: ignore[union-attr]
    box = axes.get_window_extent()
    order = sorted(ends, key=lambda position: ends[position][1])
    height = [float(axes.transData.transform((0, ends[position][1]))[1] - box.y0) / box.height for position in order]
    gap = 1.3 * size / 72 * figure.dpi / box.height
    elbow = [1.005, 1.02, 1.04, 1.05]
    for position, wanted, placed in zip(order, height, spread(height, gap), strict=True):
        color = look(position)["color"]
        axes.plot(
            elbow,
            [wanted, wanted, placed, placed],
            color=color,
            linewidth=0.9,
            transform=axes.transAxes,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
        axes.text(1.06, placed, labels[position], color=color, fontsize=size, va="center", transform=axes.transAxes)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights from 0 to 1 in rising order, at least `gap` apart and otherwise as near to `wanted` as can be (least
    squares)."""
    # Heights less the gaps below them must only rise, which is isotonic regression: neighbours that fall are pooled
    # into their mean.
    pools: list[list[float]] = []
    for index, height in enumerate(sorted(wanted)):
        pools.append([height - index * gap])
        while len(pools) > 1 and _mean(pools[-2]) >= _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    top = max(0.0, 1 - (len(wanted) - 1) * gap)
    levels = [min(max(_mean(pool), 0.0), top) for pool in pools for _ in pool]
    return [level + index * gap for index, level in enumerate(levels)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def legend(figure: Figure, dataset: xarray.Dataset) -> None:
    """All arms at the right of a figure of many panels, in their order; where a panel has room, `label_lines` is
    better."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], label=label, **look(position))
        for position, label in zip(dataset["position"].values.tolist(), dataset["label"].values.tolist(), strict=True)
    ]
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8.5, labelcolor="linecolor")


CAPTION_INCHES = 8 * 1.35 / 72  # a line of small print


def caption(figure: Figure, lines: Sequence[str], width: int = 132) -> None:
    """Small print below the panels."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, width)]
    if wrapped:
        figure.set_figheight(figure.get_figheight() + CAPTION_INCHES * len(wrapped))  # not at the cost of the panels
        figure.supxlabel("\n".join(wrapped), fontsize=8, color="#555555", ha="left", x=0.01, linespacing=1.35)


def horizontal(dataset: xarray.Dataset) -> tuple[str, str]:
    """What stands on the horizontal axis, and its name: epochs where all arms know them (their steps may differ in
    size), else steps."""
    if "epoch" in dataset.coords and numpy.isfinite(dataset["epoch"].values).any(axis=-1).all():
        return "epoch", "epoch"
    return "step", "training step"


def time_axis(axes: Axes, dataset: xarray.Dataset, *, logarithmic: bool = False) -> None:
    """Names and ticks of the horizontal axis: whole epochs or steps."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(horizontal(dataset)[1])
    if logarithmic:
        axes.set_xscale("symlog", linthresh=1)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def logarithmic_if_wide(axes: Axes, values: Any, factor: float = 30) -> bool:
    """A logarithmic vertical axis where positive values differ so much that the small ones would all lie on the
    bottom."""
    values = numpy.asarray(values, dtype=float)
    values = values[numpy.isfinite(values)]
    wide = values.size > 0 and values.min() > 0 and values.max() > factor * values.min()
    if wide:
        axes.set_yscale("log")
        # A band that reaches below zero has no lower end here; the upper end is given too, for what is drawn later.
        axes.set_ylim(values.min() / 2, 2 * values.max())
    return bool(wide)


def over_seeds(dataset: xarray.Dataset) -> str:
    """What lines and bands are, for captions."""
    seeds = dataset.sizes["seed"]
    return f"Mean over {seeds} seeds, band ± 1 sd." if seeds > 1 else "One seed."
