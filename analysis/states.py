"""States: membrane potentials, conductances and other state of single units over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.simulations import LABEL, MOST, SIGNS, finest, labelled, watched
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import caption, look, panels, styled
from neurosal.analysis.tables import Table
from neurosal.errors import ExperimentError, Problem
from neurosal.graph.dynamics import unit_of
from neurosal.record import schema

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS = 3
SHOWN_MS = 500.0


def compute(
    arms: Sequence[ArmRecord],
    *,
    populations: Sequence[str] | str | None = None,
    variables: Sequence[str] | str | None = None,
    start_ms: float | None = None,
    stop_ms: float | None = None,
    units_shown: int = UNITS,
    replica: int = 0,
) -> xarray.Dataset:
    """Recorded state of the first units of each population in a part of the time, of one replica.

    Args:
        populations, variables: names; None for all that were recorded.
        start_ms, stop_ms: the part; by default the last half second.
        units_shown: of a population at most.
        replica: which, by its place.

    Returns:
        Dataset with ``value`` [trace, unit, time], ``name`` (variable) and ``label`` (population) of each trace.

    Raises:
        ExperimentError: where no state was recorded, or none between these times.
    """
    chosen, wanted = watched(arms, populations), [variables] if isinstance(variables, str) else variables
    found, names, labels = [], [], []
    for arm, population, label in chosen:
        recorded = finest(arm, schema.TRACES, population)
        if recorded is None:
            continue
        time = recorded[schema.TIME_MS].values
        stop = float(time[-1]) if stop_ms is None else float(stop_ms)
        start = stop - SHOWN_MS if start_ms is None else float(start_ms)
        here = numpy.flatnonzero((time >= start) & (time <= stop))
        for name, array in recorded.data_vars.items():
            if wanted is not None and name not in wanted:
                continue
            values = array.isel({schema.SAMPLE: here, schema.REPLICA: replica}).values.T[:units_shown]
            found.append(xarray.DataArray(values, {"time": time[here]}, ("unit", "time")))
            names.append(str(name))
            labels.append(label)
    if not found or not any(one.size for one in found):
        raise ExperimentError(
            Problem(place=arms[0].place, expected="state that was recorded, at that time", found="none")
        )
    value = xarray.concat(found, "trace", join="outer")
    coords = {"name": ("trace", text(names)), LABEL: ("trace", text(labels))}
    return xarray.Dataset({"value": value}, coords, {"run": arms[0].run, "replica": int(replica)})


def tabulate(dataset: xarray.Dataset) -> Table:
    """Traces as rows: mean, deviation, lowest and highest value over time and units."""
    rows = []
    for place in range(dataset.sizes["trace"]):
        values = dataset["value"].values[place]
        values = values[numpy.isfinite(values)]
        cells = [f"{number:.3f}" for number in (values.mean(), values.std(), values.min(), values.max())]
        rows.append((str(dataset[LABEL].values[place]), str(dataset["name"].values[place]), *cells))
    columns = ("population", "variable", "mean", "deviation", "lowest", "highest")
    return Table(columns=columns, rows=tuple(rows), title=f"{dataset.attrs['run']}: state over time and units",
                 numbers=frozenset(columns[2:]))  # fmt: skip


def draw(dataset: xarray.Dataset) -> Figure:
    """A panel for each variable of each population, a line a unit."""
    shown = min(dataset.sizes["trace"], MOST)
    with styled():
        figure, axes = panels(shown, 1, width=9.0, height=2.0, sharex=True)
        for place in range(shown):
            panel, name = axes[place, 0], str(dataset["name"].values[place])
            for unit in range(dataset.sizes["unit"]):
                line = dataset["value"].isel(trace=place, unit=unit)
                known = numpy.isfinite(line.values)
                panel.plot(line["time"].values[known], line.values[known], linewidth=1.0, color=look(unit)["color"])
            sign = SIGNS.get(unit_of(name), "")
            quantity = name.removesuffix(f"_{unit_of(name)}") if unit_of(name) else name
            panel.set_ylabel(labelled(quantity, sign))
            panel.set_title(str(dataset[LABEL].values[place]))
        axes[shown - 1, 0].set_xlabel("time (ms)")
        figure.suptitle(str(dataset.attrs["run"]), x=0.01, ha="left", fontweight="bold")
        caption(figure, [f"The first {dataset.sizes['unit']} recorded units of one replica; spikes are not drawn."])
    return figure


states = Analysis(name="states", compute=compute, draw=draw, tabulate=tabulate, about="simulation")
