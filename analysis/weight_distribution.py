"""Weight distribution: how the weights of a projection spread over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.measured import spaced
from neurosal.analysis.simulations import LABEL, MOST, finest, labelled, plastic, weight_unit
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import COLOURS, GREY, caption, panels, styled
from neurosal.analysis.tables import Table, plus_minus
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 50
SNAPSHOTS = 200
EDGE = 0.1  # of the range: what lies there is at the bottom, or at the top


def compute(
    arms: Sequence[ArmRecord],
    *,
    projections: Sequence[str] | str | None = None,
    top: float | None = None,
    bins: int = BINS,
    snapshots: int = SNAPSHOTS,
) -> xarray.Dataset:
    """Histograms of weights at each recorded time, their mean, and how many lie at the bottom and at the top of their
    range.

    Args:
        projections: names; None for all whose weights were recorded.
        top: end of the range, such as the largest weight that a rule allows; None takes the largest that was seen. The
            range begins at 0, or at the smallest weight where that is below.
        bins: of the histograms.
        snapshots: at most so many are read.

    Returns:
        Dataset with ``density`` [projection, time, bin] (share of synapses, over all seeds) with ``low`` and ``high``
        [projection] of the range, and ``unit`` [projection] of weights; ``mean``, ``at_bottom`` and ``at_top`` (shares
        of synapses in the lowest and highest tenth of the range) [projection, time, seed].

    Raises:
        ExperimentError: where no weights of synapses were recorded.
    """
    chosen = plastic(arms, projections)
    parts = [_projection(arm, name, top, int(bins), int(snapshots)) for arm, name, _ in chosen]
    joined = xarray.concat(parts, schema.PROJECTION, join="outer")
    joined = joined.assign_coords({LABEL: (schema.PROJECTION, text([label for _, _, label in chosen]))})
    return joined.assign_attrs(run=arms[0].run)


def _projection(arm: ArmRecord, name: str, top: float | None, bins: int, snapshots: int) -> xarray.Dataset:
    recorded = finest(arm, schema.PROJECTIONS, name)
    assert recorded is not None
    chosen = list(spaced(recorded.sizes[schema.SNAPSHOT], snapshots))
    weights = recorded[schema.WEIGHT].isel({schema.SNAPSHOT: chosen})
    values = weights.transpose(schema.REPLICA, schema.SNAPSHOT, schema.SYNAPSE)
    low, high = numpy.inf, -numpy.inf
    for place in range(len(chosen)):  # one snapshot at a time: a record of weights may be large
        seen = values.isel({schema.SNAPSHOT: place}).values
        low, high = min(low, float(numpy.nanmin(seen))), max(high, float(numpy.nanmax(seen)))
    low, high = min(low, 0.0), float(top) if top is not None else high
    high = high if high > low else low + 1.0
    edges, count = numpy.linspace(low, high, bins + 1), weights.sizes[schema.REPLICA]
    density, found = numpy.zeros((len(chosen), bins)), numpy.full((3, len(chosen), count), numpy.nan)
    for place in range(len(chosen)):
        seen = values.isel({schema.SNAPSHOT: place}).values
        real = numpy.isfinite(seen)
        density[place] = numpy.histogram(numpy.clip(seen[real], low, high), edges)[0] / max(int(real.sum()), 1)
        for replica in range(count):
            one = seen[replica][real[replica]]
            if len(one):
                shares = (one <= low + EDGE * (high - low)).mean(), (one >= high - EDGE * (high - low)).mean()
                found[:, place, replica] = (one.mean(), *shares)
    dims = ("time", schema.SEED)
    return xarray.Dataset(
        {
            "density": (("time", "bin"), density),
            "mean": (dims, found[0]),
            "at_bottom": (dims, found[1]),
            "at_top": (dims, found[2]),
            "low": low,
            "high": high,
            "unit": weight_unit(arm, name),
        },
        {"time": weights[schema.TIME_MS].values, schema.SEED: weights[schema.SEED].values},
    )


def tabulate(dataset: xarray.Dataset) -> Table:
    """Projections as rows: at the first and the last time the mean, and shares at the bottom and the top."""
    rows = []
    for place, label in enumerate(dataset[LABEL].values.tolist()):
        part = dataset.isel({schema.PROJECTION: place}).dropna("time", subset=["mean"], how="all")
        for moment in (0, -1):
            cells = []
            for name, factor, decimals in (("mean", 1, 4), ("at_bottom", 100, 1), ("at_top", 100, 1)):
                one = mean_and_deviation(factor * part[name].isel(time=moment), dim=schema.SEED)
                cells.append(plus_minus(float(one["mean"]), float(one["deviation"]), decimals))
            cells[0] = f"{cells[0]} {part['unit'].item()}".rstrip()
            rows.append((label, f"{float(part['time'][moment]):g}", *cells))
    columns = ("projection", "time (ms)", "mean weight", "lowest tenth (%)", "highest tenth (%)")
    title = f"{dataset.attrs['run']}: weights, mean ± sd over {dataset.sizes[schema.SEED]} seeds"
    return Table(columns=columns, rows=tuple(rows), title=title, numbers=frozenset(columns[1:]),
                 remarks=("Shares of synapses in the lowest and the highest tenth of the range.",))  # fmt: skip


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: projections. Left the histogram at each time as shades, with the mean; right the first and the last."""
    shown = min(dataset.sizes[schema.PROJECTION], MOST)
    with styled():
        figure, axes = panels(shown, 2, width=10.0, height=3.2, width_ratios=(1.7, 1))
        for row in range(shown):
            part = dataset.isel({schema.PROJECTION: row}).dropna("time", subset=["mean"], how="all")
            left, right = axes[row]
            low, high, time = float(part["low"]), float(part["high"]), part["time"].values / 1e3
            edges = numpy.linspace(low, high, part.sizes["bin"] + 1)
            borders = _borders(time)
            shares = 100 * part["density"].values
            top = float(numpy.quantile(shares, 0.995)) or None
            image = left.pcolormesh(borders, edges, shares.T, cmap="Greys", rasterized=True, vmax=top)
            figure.colorbar(image, ax=left, label="synapses (%)", pad=0.02)
            left.plot(time, part["mean"].mean(schema.SEED), color=COLOURS[1], linewidth=1.5)
            left.set_title(str(part[LABEL].values))
            left.set_ylabel(labelled("weight", str(part["unit"].values)))
            left.grid(visible=False)
            for moment, colour in ((0, GREY), (-1, COLOURS[0])):
                right.stairs(100 * part["density"].values[moment], edges, color=colour, linewidth=1.5,
                             label=f"{time[moment]:g} s")  # fmt: skip
            right.set_ylabel("synapses (%)")
            right.set_ylim(bottom=0)
            right.set_xlabel(labelled("weight", str(part["unit"].values)))
            right.legend(frameon=False, fontsize=8.5, labelcolor="linecolor")
        axes[shown - 1, 0].set_xlabel("time (s)")
        figure.suptitle(str(dataset.attrs["run"]), x=0.01, ha="left", fontweight="bold")
        remark = "All seeds together; line: mean weight. Right: the first and the last recorded time."
        caption(figure, [remark])
    return figure


def _borders(times: numpy.ndarray) -> numpy.ndarray:
    """Borders of the columns of an image whose columns stand at these times."""
    if len(times) == 1:
        return numpy.array([times[0] - 0.5, times[0] + 0.5])
    middles = (times[1:] + times[:-1]) / 2
    return numpy.concatenate([[2 * times[0] - middles[0]], middles, [2 * times[-1] - middles[-1]]])


weight_distribution = Analysis(
    name="weight_distribution", compute=compute, draw=draw, tabulate=tabulate, about="simulation"
)
