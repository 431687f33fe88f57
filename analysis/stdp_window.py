"""STDP window: what a pair of spikes does to a weight, for each lag between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.simulations import LABEL, MOST, events, finest, labelled, plastic, span, weight_unit
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import GREY, caption, look, panels, styled
from neurosal.analysis.tables import Table
from neurosal.record import schema

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAGS_SHOWN = (-50.0, -20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0, 50.0)
REMEDY = "Simulate circuits.spike_pairs(...) and record spikes and the weights of pre_to_post."


def compute(arms: Sequence[ArmRecord], *, projections: Sequence[str] | str | None = None) -> xarray.Dataset:
    """Change of the weight for each lag of single synapses, whose units spike equally often in fixed pairs.

    The lag is the time of the target's spike less that of the arrival: the source's spike and the delay of the
    projection. Synapses whose ends spike differently often, or at lags that change from pair to pair, are left out.

    Args:
        projections: names; None for all whose weights were recorded and that have such synapses.

    Returns:
        Dataset with ``change`` [projection, lag]: last recorded weight less the first, mean over synapses and seeds
        of that lag, ``pairs`` [projection], how many pairs each synapse got, and ``unit`` [projection] of the weight;
        coordinate ``lag`` in ms.

    Raises:
        ExperimentError: where no weights, or no such pairs, were recorded.
    """
    parts, labels = [], []
    for arm, name, label in plastic(arms, projections):
        if (found := _window(arm, name)) is not None:
            parts.append(found)
            labels.append(label)
    if not parts:
        raise nothing_recorded(arms, schema.SPIKES, "pairs of spikes at single synapses", REMEDY)
    joined = xarray.concat(parts, schema.PROJECTION, join="outer")
    return joined.assign_coords({LABEL: (schema.PROJECTION, text(labels))}).assign_attrs(run=arms[0].run)


def _window(arm: ArmRecord, name: str) -> xarray.Dataset | None:
    """One projection's changes by lag."""
    edge, recorded = arm.circuit.projections[name] if arm.circuit else None, finest(arm, schema.PROJECTIONS, name)
    recorded_spikes = {*arm.children(schema.SPIKES)}
    if edge is None or recorded is None or not {edge.source, edge.target} <= recorded_spikes:
        return None
    if not isinstance(edge.delay_ms, (int, float)):
        return None  # each synapse has a delay of its own, which the record does not hold
    weights = recorded[schema.WEIGHT].transpose(schema.REPLICA, schema.SNAPSHOT, schema.SYNAPSE).values
    changes: dict[float, list[float]] = {}
    pairs = 0
    pre_S, post_S = (numpy.atleast_2d(recorded[end].values) for end in (schema.PRE, schema.POST))
    for replica in range(len(weights)):
        before, after = (_times(arm, population, replica) for population in (edge.source, edge.target))
        ends = zip(pre_S[min(replica, len(pre_S) - 1)], post_S[min(replica, len(post_S) - 1)], strict=True)
        for synapse, (pre, post) in enumerate(ends):
            first, last = before.get(int(pre), []), after.get(int(post), [])
            if not len(first) or len(first) != len(last):
                continue
            lags = numpy.asarray(last) - first - edge.delay_ms
            if numpy.ptp(lags) > 1e-6:
                continue
            change = weights[replica, -1, synapse] - weights[replica, 0, synapse]
            changes.setdefault(round(float(lags[0]), 6), []).append(float(change))
            pairs = max(pairs, len(first))
    if not changes:
        return None
    lags_ms = sorted(changes)
    values = [numpy.mean(changes[lag]) for lag in lags_ms]
    return xarray.Dataset({"change": ("lag", values), "pairs": pairs, "unit": weight_unit(arm, name)}, {"lag": lags_ms})


def _times(arm: ArmRecord, population: str, replica: int) -> dict[int, list[float]]:
    """Unit → times of its spikes."""
    time_ms, unit, _ = events(arm, population, *span(arm, population), replica)
    found: dict[int, list[float]] = {}
    for when, which in zip(time_ms.tolist(), unit.tolist(), strict=True):
        found.setdefault(which, []).append(when)
    return {which: sorted(times) for which, times in found.items()}


def tabulate(dataset: xarray.Dataset) -> Table:
    """Projections as rows: change at some lags."""
    there = dataset["lag"].values
    shown = [lag for lag in LAGS_SHOWN if numpy.isclose(there, lag).any()] or there[:: max(1, len(there) // 8)].tolist()
    rows = []
    for place, label in enumerate(dataset[LABEL].values.tolist()):
        part = dataset["change"].isel({schema.PROJECTION: place})
        cells = (float(part.sel(lag=lag, method="nearest")) for lag in shown)
        unit = str(dataset["unit"].values[place])
        rows.append((labelled(label, unit), *(f"{cell:+.5f}" if numpy.isfinite(cell) else "" for cell in cells)))
    columns = ("projection", *(f"{lag:+g} ms" for lag in shown))
    title = f"{dataset.attrs['run']}: change of the weight by the lag of post after pre"
    return Table(columns=columns, rows=tuple(rows), title=title, numbers=frozenset(columns[1:]))


def draw(dataset: xarray.Dataset) -> Figure:
    """One curve a projection: change against lag."""
    with styled():
        figure, axes = panels(1, 1, width=7.0, height=4.2)
        panel = axes[0][0]
        panel.axhline(0.0, color=GREY, linewidth=0.8)
        panel.axvline(0.0, color=GREY, linewidth=0.8, linestyle=":")
        for place, label in enumerate(dataset[LABEL].values.tolist()[:MOST]):
            part = dataset["change"].isel({schema.PROJECTION: place}).dropna("lag")
            style = look(place)
            for side in (part.sel(lag=slice(None, -1e-9)), part.sel(lag=slice(0, None))):
                panel.plot(side["lag"].values, side.values, color=style["color"], linestyle=style["linestyle"],
                           linewidth=1.6, label=label)  # fmt: skip
                label = None  # one entry of the legend for both sides
        panel.set_xlabel("post less arrival (ms)")
        units = dict.fromkeys(dataset["unit"].values.tolist())
        panel.set_ylabel(labelled("change of the weight", ", ".join(unit for unit in units if unit)))
        panel.legend(frameon=False, fontsize=8.5, labelcolor="linecolor")
        figure.suptitle(str(dataset.attrs["run"]), x=0.01, ha="left", fontweight="bold")
        most = int(dataset["pairs"].max())
        caption(figure, [f"{most} pair{'s' if most > 1 else ''} a synapse; a coincident pair has lag 0."])
    return figure


stdp_window = Analysis(name="stdp_window", compute=compute, draw=draw, tabulate=tabulate, about="simulation")
