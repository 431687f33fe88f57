"""A statistic of an arm over training: as it was recorded, else computed afterwards from what else was recorded.

Both come from the same function of `neurosal.stats`: probes call it with live tensors, this with recorded arrays.
Weights are read a few snapshots at a time, so that records larger than memory can be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy
import xarray

from neurosal import stats
from neurosal.analysis.sources import ArmRecord
from neurosal.errors import ExperimentError, Problem
from neurosal.graph.circuit import Circuit
from neurosal.lower.paths import Pair, comparable, hops_of, way_of
from neurosal.lower.plan import plan
from neurosal.record import schema
from neurosal.stats import base
from neurosal.stats.catalogue import Statistic, measure

AT_ONCE = 1 << 26  # bytes of weights that are read together
TOPICS: dict[str, tuple[str, str]] = {
    "pair": (schema.SYMMETRY, schema.PAIR),
    "weight": (schema.PLASTICITY, schema.PROJECTION),
    "change": (schema.PLASTICITY, schema.PROJECTION),
    "update": (schema.PLASTICITY, schema.PROJECTION),
    "credit": (schema.CREDIT, schema.PROJECTION),
    "step": (schema.CREDIT, schema.PROJECTION),
    "sample_changes": (schema.CREDIT, schema.PROJECTION),
    "area_changes": (schema.CREDIT, schema.PROJECTION),
    "kernels": (schema.CREDIT, schema.PROJECTION),
    "kernel_labels": (schema.CREDIT, schema.PROJECTION),
    "activity": (schema.POPULATION_STATS, schema.POPULATION),
    "activity_labels": (schema.POPULATION_STATS, schema.POPULATION),
    "activities": (schema.POPULATION_STATS, schema.POPULATION),
    "usage": (schema.ROUTING, schema.POPULATION),
    "routes": (schema.ROUTING, schema.POPULATION),
    "routes_labels": (schema.ROUTING, schema.POPULATION),
}
Arrays = Callable[[list[int]], tuple[numpy.ndarray[Any, Any], ...]]


def measured(
    arm: ArmRecord, name: str, target: str | None = None, *, snapshots: int | None = None
) -> xarray.DataArray | None:
    """A statistic of an arm over training.

    Args:
        arm: of `arms_of`.
        name: of the statistic, e.g. "stable_rank"; see ``neurosal list statistics``.
        target: the projection or population; needed for statistics with a number for each unit, whose counts differ.
            None takes all, along ``pair``, ``projection`` or ``population``.
        snapshots: where it has to be computed, from at most so many, evenly spaced with the first and the last; None
            takes all.

    Returns:
        float64 [replica, step, target] ([replica, step, <units>] with a target of a statistic for each unit), with
        `step` and `epoch`; None where it was not recorded and nothing was from which it follows.

    Raises:
        ExperimentError: for an unknown statistic, one that has no course over training (of seeds, tasks, ...), and for
            one for each unit without a target.
    """
    entry = stats.find(name)
    if entry.of not in TOPICS:
        raise ExperimentError(
            Problem(place="statistic", expected=f"one of {', '.join(TOPICS)}", found=f"{name!r}, of {entry.of}")
        )
    if entry.per and target is None:
        raise ExperimentError(Problem(place=name, expected="a target, for it has a number for each unit", found="none"))
    topic, dim = TOPICS[entry.of]
    recorded = arm.finest(f"{schema.UNITS}/{target}" if entry.per else topic, name)
    if recorded is not None and not entry.per:
        # Statistics of one schedule share a group: targets of which only others were asked for are NaN.
        known = recorded.dropna(dim, how="all")
        recorded = known if known.sizes[dim] else recorded
    if recorded is not None and (entry.per or target is None or target in recorded[dim].values):
        return recorded if entry.per or target is None else recorded.sel({dim: [target]})
    return computed(arm, entry, target, dim, snapshots)


def computed(
    arm: ArmRecord, entry: Statistic, target: str | None, dim: str, snapshots: int | None = None
) -> xarray.DataArray | None:
    """From recorded weights, changes, activity or usage; of each target where they were recorded most often."""
    courses = {}
    for name, source in _sources(arm, entry.of).items():
        if target in (None, name) and (found := source()) is not None:
            courses[name] = _over_time(entry, snapshots, *found)
    if not courses:
        return None
    if entry.per:
        (course,) = courses.values()
        return course
    longest = max(course.sizes[schema.STEP] for course in courses.values())
    steps = next(c[schema.STEP].values for c in courses.values() if c.sizes[schema.STEP] == longest)
    parts = [course.reindex({schema.STEP: steps}) for course in courses.values()]
    joined = xarray.concat(parts, dim=dim, coords="minimal", compat="override", join="exact")
    return joined.assign_coords({dim: list(courses)}).transpose(schema.REPLICA, schema.STEP, dim)


def _over_time(
    entry: Statistic, snapshots: int | None, times: xarray.Dataset, units: Sequence[str], arrays: Arrays
) -> xarray.DataArray:
    """The statistic [replica, step, ...] of arrays [replica, time, ...].

    Args:
        snapshots: at most so many are read.
        times: with the coordinates of the growing dimension, renamed to `step`, and of the replicas.
        units: what the units are called of which a statistic may have one number each.
        arrays: what the statistic is computed from at some times, [replica, time, *dims].
    """
    count, found = times.sizes[schema.STEP], []
    places = range(count) if snapshots is None else spaced(count, snapshots)
    several = max(1, AT_ONCE // max(1, sum(array.nbytes for array in arrays([0]))))
    for start in range(0, len(places), several):
        some = arrays(list(places[start : start + several]))
        for place in range(some[0].shape[1]):
            found.append(measure([entry.name], *(array[:, place] for array in some))[entry.name])
    times = times.isel({schema.STEP: list(places)})
    units = [units[0] if dim in ("post", "unit") else dim for dim in entry.per]
    attrs = {"long_name": entry.title, "units": entry.units}
    dims = (schema.REPLICA, schema.STEP, *units)
    return xarray.DataArray(numpy.stack(found, 1), dims=dims, coords=times.coords, name=entry.name, attrs=attrs)


def spaced(count: int, most: int) -> list[int]:
    """At most so many places of `count`, evenly spaced, with the first and the last."""
    return sorted({round(at) for at in numpy.linspace(0, count - 1, min(most, count)).tolist()})


# What there is to compute from --------------------------------------------------------------------------------------

Source = Callable[[], tuple[xarray.Dataset, Sequence[str], Arrays] | None]


def _sources(arm: ArmRecord, of: str) -> Mapping[str, Source]:
    """By target: what a statistic of this kind is computed from, or None where that was not recorded."""
    if of == "pair":
        circuit = arm.circuit
        if circuit is None:
            return {}
        return {pair.name: partial(_pair, arm, circuit, pair) for pair in comparable(plan(circuit))}
    node = arm.children(schema.PROJECTIONS if of in ("weight", "change", "update") else schema.PROBES)
    if of in ("weight", "change", "update"):
        return {name: lambda name=name: _projection(arm, name, of) for name in node}  # type: ignore[misc]
    if of == "activity":
        return {name: lambda name=name: _activity(arm, name) for name in node}  # type: ignore[misc]
    if of == "usage" and (usage := arm.finest(schema.ROUTING, schema.USAGE)) is not None:
        names = usage[schema.POPULATION].values.tolist()
        return {name: lambda name=name: _usage(usage, name) for name in names}  # type: ignore[misc]
    return {}


def _finest(arm: ArmRecord, names: Sequence[str], variables: Sequence[str]) -> dict[str, xarray.Dataset] | None:
    """The records of these projections on the schedule that has all the variables most often."""
    schedules = [dict(arm.schedules(f"{schema.PROJECTIONS}/{name}")) for name in names]
    shared = [
        name
        for name in (schedules[0] if schedules else ())
        if all(name in one and all(variable in one[name] for variable in variables) for one in schedules)
        and schedules[0][name].sizes[schema.SNAPSHOT]
    ]
    if not shared:
        return None
    best = max(shared, key=lambda name: schedules[0][name].sizes[schema.SNAPSHOT])
    chosen = {
        name: one[best].swap_dims({schema.SNAPSHOT: schema.STEP}) for name, one in zip(names, schedules, strict=True)
    }
    shortest = min(dataset.sizes[schema.STEP] for dataset in chosen.values())
    return {name: dataset.isel({schema.STEP: slice(shortest)}) for name, dataset in chosen.items()}


def _times(dataset: xarray.Dataset) -> xarray.Dataset:
    kept = [name for name, array in dataset.coords.items() if {*array.dims} <= {schema.REPLICA, schema.STEP}]
    return xarray.Dataset(coords={name: dataset.coords[name] for name in kept}).drop_vars(
        schema.SNAPSHOT, errors="ignore"
    )


def _pair(arm: ArmRecord, circuit: Circuit, pair: Pair) -> tuple[xarray.Dataset, Sequence[str], Arrays] | None:
    names = list(dict.fromkeys(name for route in (*pair.forward, *pair.feedback) for name in route))
    way = way_of(circuit, pair)
    if way == "responses":  # they take the network's own functions: only a probe has them
        return None
    hops = hops_of(circuit, pair) if way == "kernels" else None
    records = _finest(arm, names, [schema.WEIGHT])
    if records is None:
        return None

    def arrays(some: list[int]) -> tuple[numpy.ndarray[Any, Any], ...]:
        weights = {name: record[schema.WEIGHT].isel({schema.STEP: some}).values for name, record in records.items()}
        return base.both_ways(pair.forward, pair.feedback, weights, hops)

    post, _ = schema.weight_dimensions(pair.target, pair.source)
    units = [schema.channels_dimension(pair.target) if hops else post]
    return _times(records[names[0]]), units, arrays


def _projection(arm: ArmRecord, name: str, of: str) -> tuple[xarray.Dataset, Sequence[str], Arrays] | None:
    variables = [schema.UPDATE, schema.WEIGHT] if of == "update" else [schema.WEIGHT]
    records = _finest(arm, [name], variables)
    if records is None or records[name][schema.WEIGHT].ndim < 5:  # one-to-one synapses are no matrix
        return None
    record = records[name]
    hop, units = _kernel(record[schema.WEIGHT])
    start: numpy.ndarray[Any, Any] | None = None
    if of == "change":
        if int(record[schema.STEP][0]) != 0:
            return None
        start = record[schema.WEIGHT].isel({schema.STEP: slice(0, 1)}).values
        start = start if hop is None else base.kernel_rows(start, hop)

    def arrays(some: list[int]) -> tuple[numpy.ndarray[Any, Any], ...]:
        found = tuple(record[variable].isel({schema.STEP: some}).values for variable in variables)
        if hop is not None:
            found = tuple(base.kernel_rows(array, hop) for array in found)
        return found if start is None else (*found, numpy.broadcast_to(start, found[0].shape))

    return _times(record), [units], arrays


def _kernel(weight: xarray.DataArray) -> tuple[base.Hop | None, str]:
    """How recorded weights of a convolution are laid out (None for a matrix), and what their post-synaptic units or
    channels are called."""
    dims = [str(dim) for dim in weight.dims]
    axes = sum(dim in (schema.KERNEL_ROW, schema.KERNEL_COLUMN, schema.KERNEL_PLACE) for dim in dims)
    if not axes:
        return None, dims[-2]
    groups = weight.sizes.get(schema.GROUP, 1)
    plain = (1,) * axes
    return base.Hop(stride=plain, dilation=plain, padding=plain, groups=groups), dims[-2 - axes].removesuffix(
        schema.IN_GROUP
    )


def _activity(arm: ArmRecord, name: str) -> tuple[xarray.Dataset, Sequence[str], Arrays] | None:
    array = arm.finest(f"{schema.PROBES}/{name}", schema.ACTIVITY)
    if array is None:
        return None

    def arrays(some: list[int]) -> tuple[numpy.ndarray[Any, Any], ...]:
        return (array.isel({schema.STEP: some}).values,)

    return _times(array.to_dataset()), [str(array.dims[-1])], arrays


def _usage(usage: xarray.DataArray, name: str) -> tuple[xarray.Dataset, Sequence[str], Arrays]:
    own = usage.sel({schema.POPULATION: name}).transpose(schema.REPLICA, schema.STEP, schema.AREA)

    def arrays(some: list[int]) -> tuple[numpy.ndarray[Any, Any], ...]:
        return (own.isel({schema.STEP: some}).values,)  # areas that a population lacks are NaN, which statistics know

    return _times(own.to_dataset()), [], arrays
