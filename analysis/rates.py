"""Rates: how fast populations fire over time, and on the whole how regularly and how much together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.simulations import LABEL, events, seeds, span, spiking, units
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import caption, curve, label_lines, panels, styled
from neurosal.analysis.tables import Table, plus_minus
from neurosal.record import schema
from neurosal.stats import base, mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 200
CORRELATED = 100  # units whose counts are correlated
COUNTED_MS = 5.0  # bins of these counts
MEASURES = (schema.RATE_HZ, schema.INTERVAL_CV, schema.CORRELATION, schema.POPULATION_FANO)
HEADINGS = ("rate (Hz)", "CV", "correlation", "Fano")


def compute(
    arms: Sequence[ArmRecord],
    *,
    populations: Sequence[str] | str | None = None,
    bin_ms: float | None = None,
    settle_ms: float = 0.0,
) -> xarray.Dataset:
    """Rate of each population over time, and rate, regularity and synchrony over the whole of it.

    Args:
        populations: names; None for all whose spikes were recorded.
        bin_ms: of the course; None takes a two-hundredth of the time.
        settle_ms: left out at the beginning of what is said of the whole.

    Returns:
        Dataset with ``course_hz`` [population, seed, time], ``rate_hz``, ``interval_cv`` (mean over units with three
        spikes), ``correlation`` (of 100 units, in bins of 5 ms) and ``population_fano`` [population, seed].

    Raises:
        ExperimentError: where no spikes were recorded.
    """
    chosen = spiking(arms, populations)
    parts = [_population(arm, name, bin_ms, float(settle_ms)) for arm, name, _ in chosen]
    joined = xarray.concat(parts, schema.POPULATION, join="outer")
    joined = joined.assign_coords({LABEL: (schema.POPULATION, text([label for _, _, label in chosen]))})
    return joined.assign_attrs(run=arms[0].run, settle_ms=float(settle_ms), bin_ms=float(parts[0].attrs["bin_ms"]))


def _population(arm: ArmRecord, name: str, bin_ms: float | None, settle_ms: float) -> xarray.Dataset:
    start, stop = span(arm, name)
    bin_ms = (stop - start) / BINS if bin_ms is None else float(bin_ms)
    count, size = len(seeds(arm, name)), units(arm, name)
    bins = max(1, int((stop - start) / bin_ms + 1e-6))
    found = {key: numpy.full(count, numpy.nan) for key in MEASURES}
    course = numpy.zeros((count, bins))
    sample = numpy.unique(numpy.linspace(0, size - 1, min(size, CORRELATED)).round().astype(int))
    first = max(start, settle_ms)
    for replica in range(count):
        time, unit, _ = events(arm, name, start, stop, replica)
        whole = base.spike_counts(time, numpy.zeros(len(time)), units=1, bin_ms=bin_ms, start_ms=start, stop_ms=stop)
        course[replica] = whole[0, :bins] / (size * bin_ms * 1e-3)
        later = time >= first
        time, unit = time[later], unit[later]
        if stop > first:
            found[schema.RATE_HZ][replica] = base.rates(unit, units=size, duration_ms=stop - first).mean()
        cvs = base.interval_cvs(time, unit, units=size)
        if numpy.isfinite(cvs).any():
            found[schema.INTERVAL_CV][replica] = numpy.nanmean(cvs)
        together = {"bin_ms": COUNTED_MS, "start_ms": first, "stop_ms": stop}
        if stop - first >= 2 * COUNTED_MS:
            place = numpy.full(size, -1)
            place[sample] = numpy.arange(len(sample))
            kept = place[unit] >= 0
            counts = base.spike_counts(time[kept], place[unit[kept]], units=len(sample), **together)
            found[schema.CORRELATION][replica] = base.pairwise_correlation(counts)
            every = base.spike_counts(time, numpy.zeros(len(time)), units=1, **together)
            found[schema.POPULATION_FANO][replica] = base.population_fano(every)
    return xarray.Dataset(
        {"course_hz": ((schema.SEED, "time"), course)} | {key: (schema.SEED, values) for key, values in found.items()},
        {schema.SEED: seeds(arm, name), "time": start + bin_ms * (numpy.arange(bins) + 0.5)},
        {"bin_ms": bin_ms},
    )


def tabulate(dataset: xarray.Dataset) -> Table:
    """Populations as rows: rate, CV, correlation and Fano factor, mean ± sd over seeds."""
    rows = []
    for place, label in enumerate(dataset[LABEL].values.tolist()):
        cells = []
        for name, decimals in zip(MEASURES, (2, 3, 4, 2), strict=True):
            part = mean_and_deviation(dataset[name].isel({schema.POPULATION: place}), dim=schema.SEED)
            cells.append(plus_minus(float(part["mean"]), float(part["deviation"]), decimals))
        rows.append((label, *cells))
    title = f"{dataset.attrs['run']}: firing, mean ± sd over {dataset.sizes[schema.SEED]} seeds"
    remarks = ("Correlation and Fano factor: counts in bins of 5 ms; 0 and 1 for independent Poisson trains.",)
    return Table(columns=("population", *HEADINGS), rows=tuple(rows), title=title, remarks=remarks,
                 numbers=frozenset(HEADINGS))  # fmt: skip


def draw(dataset: xarray.Dataset) -> Figure:
    """A line for each population, mean over seeds, with the band of one deviation."""
    with styled():
        figure, axes = panels(1, 1, width=9.0, height=4.2)
        panel, ends = axes[0, 0], {}
        for place in range(dataset.sizes[schema.POPULATION]):
            part = mean_and_deviation(dataset["course_hz"].isel({schema.POPULATION: place}), dim=schema.SEED)
            end = curve(panel, dataset["time"].values, part["mean"].values, part["deviation"].values, place)
            if end is not None:
                ends[place] = end
        panel.set_ylim(bottom=0)
        panel.set_xlabel("time (ms)")
        panel.set_ylabel("rate (Hz)")
        label_lines(panel, ends, dict(enumerate(dataset[LABEL].values.tolist())))
        figure.suptitle(str(dataset.attrs["run"]), x=0.01, ha="left", fontweight="bold")
        count = dataset.sizes[schema.SEED]
        said = f"Mean over {count} seeds, band ± 1 sd" if count > 1 else "One seed"
        caption(figure, [f"{said}; bins of {dataset.attrs['bin_ms']:g} ms."], width=110)
    return figure


rates = Analysis(name="rates", compute=compute, draw=draw, tabulate=tabulate, about="simulation")
