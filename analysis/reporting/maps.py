"""Areas (which are used, and how evenly), weights (how they are distributed) and tasks (what is kept of each)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender
from neurosal.analysis.decimation import thinned
from neurosal.analysis.forgetting import AFTER, KINDS, forgetting
from neurosal.analysis.phases import phases as phase_analysis
from neurosal.analysis.reporting.charts import Array, Axis, Chart, Heatmap, Line, Lines
from neurosal.analysis.reporting.gathering import EPOCHS, STEPS, Course, Recorded, gather
from neurosal.analysis.reporting.markup import Markup, table, tag
from neurosal.analysis.reporting.results import curve_chart, phase_marks, rows_of, shown_table
from neurosal.analysis.reporting.section import NUMBERS, Figures, Section, details
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.simulations import labelled, weight_unit
from neurosal.analysis.stacking import ARM, epochs_of
from neurosal.analysis.tables import number
from neurosal.errors import ExperimentError
from neurosal.record import schema
from neurosal.stats import base

COLUMNS = 100  # of a map
MAPS = 12  # of areas
BINS = 61
WEIGHTS = 200_000  # of a projection at a time, at most


# Areas ---------------------------------------------------------------------------------------------------------------


def areas(study: Study) -> Section | None:
    """Use of areas over training: one map an arm, and evenness of use of all arms."""
    maps: list[Chart] = []
    even: list[Course] = []
    for place, one in enumerate(study.shown):
        array = one.arm.finest(schema.ROUTING, schema.USAGE)
        if array is None or all(one.diverged):
            continue
        array = thinned(array, dim=schema.STEP, points=COLUMNS)
        usage, steps, epochs = one.of(array), array[schema.STEP].values, epochs_of(array).values
        for population, names in _routes(usage):
            maps.append(_usage_map(place, one, usage.isel({schema.POPULATION: population}), names, steps, epochs))
            even.append(_evenness(place, one, usage.isel({schema.POPULATION: population}).values, names, steps, epochs))
    if not maps:
        return None
    entries = {course.entry for course in even}
    courses = tuple(replace(course, entry="") for course in even) if len(entries) == 1 else tuple(even)
    found = Recorded(
        topic=schema.ROUTING, variable="evenness", attributes={}, dimension=schema.POPULATION, courses=courses
    )
    charts: list[Chart] = [
        curve_chart(found, f"Evenness of use{f' · {entry}' if entry else ''}", "relative entropy of use", entry=entry,
                    levels=[(1.0, "even")], name=f"areas-evenness-{place}")
        for place, entry in enumerate(found.entries)
    ]  # fmt: skip
    columns = ("what", "arm", "start", "end", "lowest", "highest")
    beside = table(columns, rows_of(found, "evenness of use"), numbers=(2, 3, 4, 5), label="evenness of use")
    body: list[Markup | Figures] = [Figures(charts, (NUMBERS, beside)), Figures(maps[:MAPS])]
    if len(maps) > MAPS:
        body.append(tag("p", f"The first {MAPS} of {len(maps)} maps.", class_="note"))
    return Section(
        name="areas", title="Areas", body=body,
        lead="The share of samples that each area takes, over the even share (1), in the first seed that finished.",
    )  # fmt: skip


def _routes(usage: xarray.DataArray) -> Iterator[tuple[int, str]]:
    """Populations that do not share a route with one before, and the names of all that go that way."""
    names = [str(name) for name in usage[schema.POPULATION].values]
    left = list(range(len(names)))
    while left:
        first = left[0]
        same = [
            one for one in left if numpy.array_equal(usage.values[:, :, one], usage.values[:, :, first], equal_nan=True)
        ]
        yield first, ", ".join(names[one] for one in same)
        left = [one for one in left if one not in same]


def _usage_map(place: int, one: Contender, usage: xarray.DataArray, names: str, steps: Array, epochs: Array) -> Heatmap:
    seed = one.diverged.index(False)
    share = usage.isel({schema.SEED: seed}).values  # [step, area]
    count = int(numpy.isfinite(share).any(axis=0).sum())
    share = share[:, :count] * count
    known = bool(numpy.isfinite(epochs).all())
    chosen = numpy.linspace(0, len(steps) - 1, min(COLUMNS, len(steps))).round().astype(int)
    last = share[-1]
    return Heatmap(
        name=f"areas-{place}-{names.replace(', ', '-').replace('_', '-')}",
        title=f"{one.title} · {names}",
        x=Axis(label=EPOCHS if known else STEPS),
        columns=(epochs if known else steps)[chosen],
        rows=[f"area {area}" for area in range(count)],
        values=share[chosen].T,
        colour=Axis(label="use / even share", low=0.0, high=2.0),  # more is as dark as twice
        diverging=1.0,
        arm=place,
        alternative=f"Use of the {count} areas of {names} in {one.title}: "
        f"at the end from {last.min():.2f} to {last.max():.2f} of the even share.",
        note=f"Seed {one.seeds[seed]}." + (" More than 2 is shown as 2." if float(numpy.nanmax(share)) > 2 else ""),
    )


def _evenness(place: int, one: Contender, usage: Array, names: str, steps: Array, epochs: Array) -> Course:
    entropy = base.usage_entropy(usage, axis=-1)
    mean, deviation, _ = base.mean_and_deviation(entropy, axis=(0,))
    return Course(
        place=place, arm=one.title, entry=names, steps=steps, epochs=epochs,
        times_ms=numpy.full(len(steps), numpy.nan), mean=mean, deviation=deviation,
        each=entropy, seeds=one.seeds, finished=~numpy.array(one.diverged),
    )  # fmt: skip


# Weights -------------------------------------------------------------------------------------------------------------


def weights(study: Study) -> Section | None:
    """How weights are distributed at the last snapshot, and faintly at the first."""
    names = dict.fromkeys(
        topic.removeprefix(f"{schema.PROJECTIONS}/")
        for record in study.records
        for topic in record.topics(schema.PROJECTIONS)
    )
    charts: list[Chart] = []
    rows: list[tuple[str, ...]] = []
    for name in names:
        if found := list(_snapshots(study, name)):
            units = dict.fromkeys(weight_unit(one.arm, name) for one in study.shown)
            unit = ", ".join(one for one in units if one)
            charts.append(_distribution(name, found, unit))
            told = labelled(name, unit)
            rows += [(told, one.title, one.when, *(number(float(fact)) for fact in one.facts)) for one in found]
    if not charts:
        return None
    columns = ("projection", "arm", "at", "mean", "sd", "lowest", "highest")
    beside = table(columns, rows, numbers=(3, 4, 5, 6), label="weights")
    lead = "Density of weights at the newest snapshot; dotted: at the first one. All seeds and areas together."
    return Section(name="weights", title="Weights", lead=lead, body=[Figures(charts, (NUMBERS, beside))])


@dataclass(frozen=True)
class _Snapshot:
    """Weights of an arm at a step; `first` where there is a newer one."""

    place: int
    title: str
    when: str
    first: bool
    values: Array

    @property
    def facts(self) -> tuple[Any, ...]:
        return self.values.mean(), self.values.std(), self.values.min(), self.values.max()


def _snapshots(study: Study, name: str) -> Iterator[_Snapshot]:
    """The first and the newest of each arm."""
    for place, one in enumerate(study.shown):
        array = one.arm.finest(f"{schema.PROJECTIONS}/{name}", schema.WEIGHT)
        if array is None:
            continue
        for index in sorted({0, array.sizes[schema.STEP] - 1}):
            values = _sample(one, array.isel({schema.STEP: index}))
            time_ms = array[schema.TIME_MS].values[index] if one.arm.simulated else numpy.nan
            step = f"step {int(array[schema.STEP].values[index]):,}"
            when = f"{float(time_ms):g} ms" if numpy.isfinite(time_ms) else step
            if values.size:
                yield _Snapshot(place, one.title, when, index < array.sizes[schema.STEP] - 1, values)


def _distribution(name: str, found: Sequence[_Snapshot], unit: str) -> Lines:
    reach = max(float(numpy.quantile(numpy.abs(one.values), 0.999)) for one in found) or 1.0
    edges = numpy.linspace(-reach, reach, BINS + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    lines = []
    for one in found:
        counts, _ = numpy.histogram(one.values, edges)
        density = counts / (one.values.size * (edges[1] - edges[0]))
        lines.append(Line(arm=one.place, name=f"{one.title}, {one.when}", x=centres, y=density, faint=one.first))
    deviations = "; ".join(f"{one.title} {one.values.std():.3g}" for one in found if not one.first)
    return Lines(
        name=f"weights-{name}".replace("_", "-"),
        title=name,
        x=Axis(label=labelled("weight", unit)),
        y=Axis(label=labelled("density", unit and f"1/{unit}")),
        lines=lines,
        alternative=f"Distribution of the weights of {name}; standard deviation at the newest snapshot: {deviations}.",
    )


def _sample(one: Contender, snapshot: xarray.DataArray) -> Array:
    """Finite weights of the replicas that finished; of very many an evenly spaced part."""
    replicas = [replica for replica, lost in zip(one.replicas, one.diverged, strict=True) if not lost]
    values = snapshot.isel({schema.REPLICA: replicas}).values.reshape(-1).astype(float)
    values = values[:: max(1, values.size // WEIGHTS)]
    return values[numpy.isfinite(values)]


# Tasks and phases ----------------------------------------------------------------------------------------------------


def tasks(study: Study) -> Section | None:
    """What is known of each task after each, and how each phase begins and ends."""
    body: list[Markup | Figures] = []
    try:
        kept = forgetting.compute(study.records)
    except ExperimentError:
        kept = None
    if kept is not None:
        body.append(shown_table(forgetting.table(kept), "forgetting"))
        body.append(Figures(list(_matrices(kept))))
        found = gather(study, schema.TASKS, schema.ACCURACY, scale=100)
        if found is not None:
            lines = [
                curve_chart(found, f"Accuracy of {entry}", "accuracy (%)", entry=entry, marks=phase_marks(study, found),
                            name=f"task-{place}")
                for place, entry in enumerate(found.entries)
            ]  # fmt: skip
            body.append(Figures(lines))
    try:
        told = phase_analysis.table(phase_analysis.compute(study.records))
        body.append(details("How each phase begins and ends", shown_table(told, "phases")))
    except ExperimentError:
        pass
    if not body:
        return None
    return Section(name="tasks", title="Tasks and phases" if kept is not None else "Phases", body=body)


def _matrices(kept: xarray.Dataset) -> Iterator[Chart]:
    names = [str(task) for task in kept[schema.TASK].values]
    for kind, where in KINDS.items():
        mean: Any = 100 * kept[kind].mean(schema.SEED).transpose(ARM, AFTER, schema.TASK).values
        for row, label in enumerate(kept["label"].values.tolist()):
            place = int(kept["position"].values[row])
            yield _matrix(f"tasks-{kind}-{place}", f"{label}, {where}", names, mean[row], place)


def _matrix(name: str, title: str, names: Sequence[str], mean: Array, place: int) -> Heatmap:
    return Heatmap(
        name=name,
        title=title,
        x=Axis(label="task that is judged"),
        columns=names,
        rows=[f"after {task}" for task in names],
        values=mean,
        colour=Axis(label="accuracy (%)", low=0.0, high=100.0),
        arm=place,
        written=True,
        alternative=f"Accuracy of each task after each, {title}; {numpy.nanmean(mean[-1]):.0f} % on average at last.",
    )
