"""Intervals: how long units wait between spikes, and how regular each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.simulations import LABEL, MOST, events, seeds, span, spiking, units
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import GREY, caption, look, panels, styled
from neurosal.analysis.tables import Table, plus_minus
from neurosal.record import schema
from neurosal.stats import base, mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CV_EDGES = numpy.linspace(0.0, 2.0, 41)
BINS = 60  # of intervals, evenly spaced on a logarithmic axis
TOP_CV = 2.0


def compute(
    arms: Sequence[ArmRecord],
    *,
    populations: Sequence[str] | str | None = None,
    settle_ms: float = 0.0,
    fewest: int = 3,
) -> xarray.Dataset:
    """Distributions of intervals between spikes and of each unit's coefficient of variation.

    Args:
        populations: names; None for all whose spikes were recorded.
        settle_ms: left out at the beginning.
        fewest: spikes that a unit needs to have a coefficient of variation.

    Returns:
        Dataset with ``intervals`` [population, interval] (share of intervals in each bin of ``interval_ms``) and
        ``units`` [population, cv] (share of units), over all seeds; ``cv`` and ``interval_mean_ms`` [population,
        seed]; coefficients of variation above 2 are in the last bin.

    Raises:
        ExperimentError: where no spikes were recorded.
    """
    chosen = spiking(arms, populations)
    found = [_population(arm, name, float(settle_ms), fewest) for arm, name, _ in chosen]
    waits = numpy.concatenate([wait for one in found for wait in one[0]])
    low, high = (float(waits.min()), float(waits.max())) if len(waits) else (1.0, 10.0)
    edges = numpy.geomspace(low * 0.99, max(high * 1.01, low * 1.1), BINS + 1)
    most = max(len(one[0]) for one in found)
    cv_mean, mean_ms = (numpy.full((len(chosen), most), numpy.nan) for _ in range(2))
    intervals, shares = numpy.zeros((len(chosen), BINS)), numpy.zeros((len(chosen), len(CV_EDGES) - 1))
    for place, (wait, cvs) in enumerate(found):
        intervals[place] = _share(numpy.concatenate(wait), edges)
        shares[place] = _share(numpy.minimum(numpy.concatenate(cvs), TOP_CV), CV_EDGES)
        for replica, (one, cv) in enumerate(zip(wait, cvs, strict=True)):
            if len(one):
                mean_ms[place, replica] = one.mean()
            if numpy.isfinite(cv).any():
                cv_mean[place, replica] = numpy.nanmean(cv)
    labels = seeds(*max(chosen, key=lambda entry: len(seeds(*entry[:2])))[:2])
    return xarray.Dataset(
        {
            "intervals": ((schema.POPULATION, "interval"), intervals),
            "units": ((schema.POPULATION, "cv_bin"), shares),
            "cv": ((schema.POPULATION, schema.SEED), cv_mean),
            "interval_mean_ms": ((schema.POPULATION, schema.SEED), mean_ms),
        },
        {
            LABEL: (schema.POPULATION, text([label for _, _, label in chosen])),
            "interval_ms": ("interval", numpy.sqrt(edges[1:] * edges[:-1])),
            "cv_middle": ("cv_bin", (CV_EDGES[1:] + CV_EDGES[:-1]) / 2),
            schema.SEED: labels,
        },
        {"run": arms[0].run, "fewest": int(fewest)},
    )


def _population(
    arm: ArmRecord, name: str, settle_ms: float, fewest: int
) -> tuple[list[numpy.ndarray], list[numpy.ndarray]]:
    """Intervals, and coefficients of variation of units, of each replica."""
    start, stop = span(arm, name)
    waits, cvs = [], []
    for replica in range(len(seeds(arm, name))):
        time, unit, _ = events(arm, name, max(start, settle_ms), stop, replica)
        order = numpy.lexsort((time, unit))
        same = numpy.diff(unit[order]) == 0
        waits.append(numpy.diff(time[order])[same])
        cvs.append(base.interval_cvs(time, unit, units=units(arm, name), fewest=fewest))
    return waits, cvs


def _share(values: numpy.ndarray, edges: numpy.ndarray) -> numpy.ndarray:
    values = values[numpy.isfinite(values)]
    counts = numpy.histogram(values, edges)[0]
    found: numpy.ndarray = counts / max(len(values), 1)
    return found


def tabulate(dataset: xarray.Dataset) -> Table:
    """Populations as rows: mean interval and coefficient of variation, mean ± sd over seeds."""
    rows = []
    for place, label in enumerate(dataset[LABEL].values.tolist()):
        cells = []
        for name, decimals in (("interval_mean_ms", 1), ("cv", 3)):
            part = mean_and_deviation(dataset[name].isel({schema.POPULATION: place}), dim=schema.SEED)
            cells.append(plus_minus(float(part["mean"]), float(part["deviation"]), decimals))
        rows.append((label, *cells))
    columns = ("population", "interval (ms)", "CV")
    title = f"{dataset.attrs['run']}: intervals between spikes, mean ± sd over {dataset.sizes[schema.SEED]} seeds"
    remark = f"CV: mean over units with {dataset.attrs['fewest']} spikes or more; a Poisson train has 1."
    return Table(columns=columns, rows=tuple(rows), title=title, remarks=(remark,), numbers=frozenset(columns[1:]))


def draw(dataset: xarray.Dataset) -> Figure:
    """Left intervals on a logarithmic axis, right coefficients of variation of units."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    labels = dataset[LABEL].values.tolist()[:MOST]
    with styled():
        figure, axes = panels(1, 2, width=10.0, height=3.8)
        left, right = axes[0]
        for place, label in enumerate(labels):
            style = look(place)
            left.stairs(100 * dataset["intervals"].values[place], _edges(dataset["interval_ms"].values), label=label,
                        color=style["color"], linestyle=style["linestyle"], linewidth=1.5)  # fmt: skip
            right.stairs(100 * dataset["units"].values[place], CV_EDGES, color=style["color"],
                         linestyle=style["linestyle"], linewidth=1.5)  # fmt: skip
        left.set_xscale("log")
        left.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        left.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        left.xaxis.set_minor_formatter(NullFormatter())
        left.set_xlabel("interval (ms)")
        left.set_ylabel("share of intervals (%)")
        there = numpy.flatnonzero(dataset["units"].values.sum(0))
        right.set_xlim(0, max(1.1, float(CV_EDGES[there[-1] + 1]) if len(there) else 0))
        right.axvline(1.0, color=GREY, linewidth=0.9, linestyle=":")
        right.set_xlabel("coefficient of variation of a unit")
        right.set_ylabel("share of units (%)")
        left.legend(frameon=False, fontsize=8.5, labelcolor="linecolor")
        figure.suptitle(str(dataset.attrs["run"]), x=0.01, ha="left", fontweight="bold")
        fewest = dataset.attrs["fewest"]
        remark = f"All seeds together. CV of units with {fewest} spikes or more, those above 2 as 2; dotted: Poisson."
        caption(figure, [remark])
    return figure


def _edges(middles: numpy.ndarray) -> numpy.ndarray:
    """Edges of bins that are evenly spaced on a logarithmic axis."""
    ratio = (middles[1] / middles[0]) ** 0.5
    return numpy.concatenate([middles / ratio, middles[-1:] * ratio])


intervals = Analysis(name="intervals", compute=compute, draw=draw, tabulate=tabulate, about="simulation")
