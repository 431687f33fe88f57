"""Raster: spikes of some units of each population, and the rate of the population below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.simulations import LABEL, events, seeds, span, spiking, units
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import caption, label_lines, look, panels, styled
from neurosal.analysis.tables import Table
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_MS = 500.0
SHOWN_UNITS = 80  # of a population
FEW = 10  # units that a population needs to have a rate worth drawing


def compute(
    arms: Sequence[ArmRecord],
    *,
    populations: Sequence[str] | str | None = None,
    start_ms: float | None = None,
    stop_ms: float | None = None,
    units_shown: int = SHOWN_UNITS,
    replica: int = 0,
    bin_ms: float = 2.0,
) -> xarray.Dataset:
    """Spikes of evenly spaced units of each population in a part of the time, of one replica, and rates of all units.

    Args:
        populations: names; None for all whose spikes were recorded.
        start_ms, stop_ms: the part; by default the last half second.
        units_shown: of a population at most.
        replica: which, by its place.
        bin_ms: of the rates.

    Returns:
        Dataset with ``time_ms``, ``unit`` (its row) and ``population_index`` [event], ``shown`` and ``size``
        [population] (units with a row, and all) and ``rate_hz`` [population, time].

    Raises:
        ExperimentError: where no spikes were recorded, or not so many replicas.
    """
    chosen = spiking(arms, populations)
    latest = max(span(arm, name)[1] for arm, name, _ in chosen)
    stop = latest if stop_ms is None else min(float(stop_ms), latest)
    start = max(0.0, stop - SHOWN_MS) if start_ms is None else float(start_ms)
    bins = max(1, int((stop - start) / bin_ms + 1e-6))
    counts = {len(seeds(arm, name)) for arm, name, _ in chosen}
    if not (0 <= replica < min(counts)) or start >= stop:
        problem = ("replica", f"from 0 to {min(counts) - 1}", str(replica))
        if start >= stop:
            problem = ("start_ms", f"a time before {stop:g} ms", f"{start:g}")
        raise ExperimentError(Problem(place=problem[0], expected=problem[1], found=problem[2]))
    parts: list[tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]] = []
    rates, shown = numpy.zeros((len(chosen), bins)), []
    for place, (arm, name, _) in enumerate(chosen):
        size = units(arm, name)
        time, unit, _ = events(arm, name, start, stop, replica)
        there = ((time - start) / bin_ms + 1e-6).astype(int)
        rates[place] = numpy.bincount(there[there < bins], minlength=bins) / (size * bin_ms * 1e-3)
        rows = numpy.unique(numpy.linspace(0, size - 1, min(size, units_shown)).round().astype(int))
        row_of = numpy.full(size, -1)
        row_of[rows] = numpy.arange(len(rows))
        seen = row_of[unit] >= 0
        parts.append((time[seen], row_of[unit[seen]], numpy.full(int(seen.sum()), place)))
        shown.append(len(rows))
    time, row, index = (numpy.concatenate(column) for column in zip(*parts, strict=True))
    return xarray.Dataset(
        {
            schema.TIME_MS: (schema.EVENT, time),
            schema.UNIT: (schema.EVENT, row),
            "population_index": (schema.EVENT, index),
            "shown": (schema.POPULATION, shown),
            "size": (schema.POPULATION, [units(arm, name) for arm, name, _ in chosen]),
            schema.RATE_HZ: ((schema.POPULATION, "time"), rates),
        },
        {
            LABEL: (schema.POPULATION, text([label for _, _, label in chosen])),
            "middle_ms": ("time", start + bin_ms * (numpy.arange(bins) + 0.5)),
        },
        {"run": arms[0].run, "start_ms": start, "stop_ms": stop, "bin_ms": float(bin_ms),
         "seed": seeds(*chosen[0][:2])[replica]},
    )  # fmt: skip


def tabulate(dataset: xarray.Dataset) -> Table:
    """Populations as rows: units with a row, their spikes, and the mean rate of all."""
    counts = numpy.bincount(dataset["population_index"].values.astype(int), minlength=dataset.sizes[schema.POPULATION])
    rows = [
        (label, str(int(shown)), str(int(count)), f"{rate:.2f}")
        for label, shown, count, rate in zip(
            dataset[LABEL].values.tolist(), dataset["shown"].values, counts,
            dataset[schema.RATE_HZ].mean("time").values, strict=True,
        )
    ]  # fmt: skip
    part = f"{dataset.attrs['start_ms']:g} to {dataset.attrs['stop_ms']:g} ms"
    columns = ("population", "units shown", "their spikes", "rate of all (Hz)")
    title = f"{dataset.attrs['run']}: raster from {part}"
    return Table(columns=columns, rows=tuple(rows), title=title, numbers=frozenset(columns[1:]))


def draw(dataset: xarray.Dataset) -> Figure:
    """Above a row of marks for each unit, populations in their colours; below the rate of each population."""
    labels, shown = dataset[LABEL].values.tolist(), dataset["shown"].values.astype(int)
    index, gap = dataset["population_index"].values, max(1, int(shown.sum()) // 40)
    with styled():
        figure, axes = panels(2, 1, width=10.0, height=3.4, sharex=True, height_ratios=(2.4, 1))
        above, below = axes[0, 0], axes[1, 0]
        base, ends, size_of = 0, {}, dataset["size"].values
        plain = bool((size_of >= FEW).any())
        for place in range(len(labels)):
            mine = index == place
            colour = look(place)["color"]
            size = float(numpy.clip(300 / max(shown.sum(), 1), 2.6, 6.0))
            mark = {"marker": "|" if shown.sum() <= 60 else ".", "linewidths": 0.8, "rasterized": True}
            rows = base + dataset[schema.UNIT].values[mine]
            above.scatter(dataset[schema.TIME_MS].values[mine], rows, s=size**2, color=colour, **mark)
            ends[place] = (dataset.attrs["stop_ms"], base + (shown[place] - 1) / 2)
            base += shown[place] + gap
            if not plain or size_of[place] >= FEW:  # the rate of single units is a row of needles
                below.plot(dataset["middle_ms"], dataset[schema.RATE_HZ].values[place], color=colour, linewidth=1.0)
        above.set_xlim(dataset.attrs["start_ms"], dataset.attrs["stop_ms"])
        above.set_ylim(-1, base - gap)
        above.set_yticks([])
        above.grid(visible=False)
        above.set_ylabel("units")
        above.set_title(f"{dataset.attrs['run']}, seed {dataset.attrs['seed']}", fontweight="bold")
        below.set_ylabel("rate (Hz)")
        below.set_ylim(bottom=0)
        below.set_xlabel("time (ms)")
        label_lines(above, ends, dict(enumerate(labels)))
        counts = ", ".join(f"{count} of {label}" for count, label in zip(shown, labels, strict=True))
        remark = f"Rows: evenly spaced units ({counts}). Rates: all units, bins of {dataset.attrs['bin_ms']:g} ms."
        caption(figure, [remark])
    return figure


raster = Analysis(name="raster", compute=compute, draw=draw, tabulate=tabulate, about="simulation")
