"""Spikes of simulations: the rate of each population, window by window, and what is wrong with how it fired."""

from __future__ import annotations

import numpy

from neurosal.analysis.reporting.charts import Axis, Chart, Line, Lines
from neurosal.analysis.reporting.markup import Markup, tag
from neurosal.analysis.reporting.section import Figures, Section
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.simulations import units
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.tables import number
from neurosal.record import schema
from neurosal.record.simulated import remarks

MOST = 12  # populations that are drawn


def spikes(study: Study) -> Section | None:
    """Rates over time, from what windows count: no spike is read. None where no spikes were recorded."""
    charts: list[Chart] = []
    said: list[Markup | Figures] = []
    for place, arm in enumerate(study.records):
        for name in arm.children(schema.SPIKES)[:MOST]:
            if (chart := _chart(arm, name, place, study.points)) is not None:
                charts.append(chart)
        said += [tag("p", f"{arm.title}: {text}", class_="note") for text in _remarks(arm)]
    if not charts:
        return None
    lead = "How fast populations fire; bands are one standard deviation over seeds."
    return Section(name="spikes", title="Spikes", lead=lead, body=[*said, Figures(charts)])


def _chart(arm: ArmRecord, name: str, place: int, points: int) -> Chart | None:
    windows = arm.group(f"{schema.WINDOWS}/{name}")
    if windows is None or not windows.sizes[schema.WINDOW]:
        return None
    start, stop = windows[schema.START_MS].values, windows[schema.STOP_MS].values
    counts = windows[schema.EVENTS].values.astype(float)
    counts[counts < 0] = numpy.nan  # dropped
    together = -(-len(start) // points)  # windows that become one point, where there are many
    firsts = numpy.arange(0, len(start), together)
    counts, start = numpy.add.reduceat(counts, firsts, axis=1), start[firsts]
    stop = stop[numpy.minimum(firsts + together, len(stop)) - 1]
    rate = counts / (units(arm, name) * (stop - start) * 1e-3)
    mean = rate.mean(axis=0)
    spread = rate.std(axis=0, ddof=1) if len(rate) > 1 else None
    line = Line(
        arm=place, name=name, x=(start + stop) / 2, y=mean,
        low=None if spread is None else mean - spread, high=None if spread is None else mean + spread,
    )  # fmt: skip
    title = name if arm.title == arm.run else f"{arm.title}: {name}"
    ends = " and ".join(f"{number(float(mean[at]))} Hz at {when}" for at, when in ((0, "first"), (-1, "last")))
    return Lines(
        name=f"rate-{place}-{name}".replace("_", "-"),
        title=title,
        x=Axis(label="time (ms)"),
        y=Axis(label="rate (Hz)"),
        lines=[line],
        alternative=f"Rate of {title} over time: {ends}.",
    )


def _remarks(arm: ArmRecord) -> list[str]:
    summary = arm.group(f"{schema.FIRING_STATS}/so_far")
    if summary is None or arm.circuit is None or not summary.sizes[schema.SAMPLE]:
        return []
    last = summary.isel({schema.SAMPLE: -1})
    step, time_ms = float(last[schema.STEP]), float(last[schema.TIME_MS])
    return remarks(last, arm.circuit, time_ms / step) if step else []
