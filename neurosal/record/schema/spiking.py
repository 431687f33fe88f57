"""The groups of a simulation in time: spikes as events, traces of state, weights of sparse wiring as lists.

Times are in ms since the beginning of the simulation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosal.record.schema.names import (
    CORRELATION,
    EVENT,
    EVENTS,
    FIRING_STATS,
    FIRST_EVENT,
    INTERVAL_CV,
    LAST_SPIKE_MS,
    NOT_FINITE_MS,
    POPULATION,
    POPULATION_FANO,
    POST,
    PRE,
    PROJECTIONS,
    RATE_HZ,
    RECENT_RATE_HZ,
    REPLICA,
    REPLICA_INDEX,
    SAMPLE,
    SNAPSHOT,
    SPIKES,
    START_MS,
    STEP,
    STOP_MS,
    SYNAPSE,
    TIME_MS,
    TRACES,
    UNIT,
    WEIGHT,
    WINDOW,
    WINDOWS,
    units_dimension,
)
from neurosal.record.schema.values import Coordinate, Group, Variable


def time_along(growing: str) -> dict[str, Variable]:
    """The coordinates of what is recorded at moments of a simulation."""
    return {
        STEP: Variable(dims=(growing,), dtype="int64", attrs={"long_name": "steps done", "units": "1"}),
        TIME_MS: Variable(dims=(growing,), attrs={"long_name": "time", "units": "ms"}),
    }


def spikes(population: str, units: int) -> Group:
    """Every spike of a population, as an event: when, of which unit, in which replica.

    Events come window by window, and within a window sorted by replica, time and unit, so that what
    `spike_windows` says of a window and replica is one slice.

    Args:
        population: its name.
        units: how many it has.
    """
    dims = (EVENT,)
    numbers = {"long_name": f"unit of {population}", "units": "1", "population_size": units}
    return Group(
        path=f"{SPIKES}/{population}",
        growing=EVENT,
        variables={
            TIME_MS: Variable(dims=dims, attrs={"long_name": "time of the spike", "units": "ms"}),
            UNIT: Variable(dims=dims, dtype="int32", attrs=numbers),
            REPLICA_INDEX: Variable(dims=dims, dtype="int32", attrs={"long_name": "place along replica", "units": "1"}),
        },
        along={},
    )


def spike_windows(population: str) -> Group:
    """What was recorded of a population's spikes: each window of time from `start_ms` up to `stop_ms`, and where its
    events are. A window without events was silent; a time without a window was not recorded, nor was one whose events
    are said to be -1: they were dropped."""
    dims = (REPLICA, WINDOW)
    return Group(
        path=f"{WINDOWS}/{population}",
        growing=WINDOW,
        variables={
            FIRST_EVENT: Variable(dims=dims, dtype="int64", attrs={"long_name": "place of its first event"}),
            EVENTS: Variable(dims=dims, dtype="int64", attrs={"long_name": "how many events it has", "units": "1"}),
        },
        along={
            STEP: time_along(WINDOW)[STEP],
            START_MS: Variable(dims=(WINDOW,), attrs={"long_name": "beginning of the window", "units": "ms"}),
            STOP_MS: Variable(dims=(WINDOW,), attrs={"long_name": "end of the window", "units": "ms"}),
        },
    )


def traces(
    population: str,
    schedule: str,
    *,
    units: Sequence[int],
    variables: Mapping[str, str],
    dtype: str = "float64",
) -> Group:
    """State of some units of a population at moments of time.

    Args:
        population: its name.
        schedule: when; from `schedule_name`, e.g. `every_10` for every tenth step of the simulation.
        units: numbers of the units; they become the coordinate of the population's dimension.
        variables: name, with its unit at the end, → what it is: ``{"v_mv": "membrane potential"}``.
        dtype: of the values.
    """
    dim = units_dimension(population)
    dims = (REPLICA, SAMPLE, dim)
    return Group(
        path=f"{TRACES}/{population}/{schedule}",
        growing=SAMPLE,
        variables={
            name: Variable(dims=dims, dtype=dtype, attrs={"long_name": text}) for name, text in variables.items()
        },
        coords={dim: Coordinate(dims=(dim,), values=tuple(int(unit) for unit in units))},
        along=time_along(SAMPLE),
    )


def synapses(
    name: str,
    schedule: str,
    *,
    post: tuple[str, int],
    pre: tuple[str, int],
    pairs: tuple[Any, Any],
    what: Mapping[str, str] | None = None,
    dtype: str = "float64",
) -> Group:
    """Snapshots of the weights of sparse wiring: one entry a synapse, and between which units it lies.

    Args:
        name: of the projection.
        schedule: when.
        post, pre: name and count of units of the target and the source.
        pairs: units (post, pre) of each synapse, each [synapse], or [replica, synapse] where every replica is wired in
            its own way; there -1 stands at places that a replica has no synapse for, and weights there are NaN.
        what: name → what it is; `weight` if None.
        dtype: of the values.
    """
    coords = {}
    for entry, (population, units), numbers in ((POST, post, pairs[0]), (PRE, pre, pairs[1])):
        values = np.asarray(numbers, dtype="int32")
        attrs: dict[str, Any] = {"long_name": f"{entry}synaptic unit of {population}", "units": "1"}
        attrs |= {"population": population, "population_size": units}
        coords[entry] = Coordinate(dims=(REPLICA, SYNAPSE)[-values.ndim :], values=values, attrs=attrs)
    counts = {np.shape(coordinate.values) for coordinate in coords.values()}
    assert len(counts) == 1, f"{name}: {counts}"
    return Group(
        path=f"{PROJECTIONS}/{name}/{schedule}",
        growing=SNAPSHOT,
        sizes={SYNAPSE: counts.pop()[-1]},
        variables={
            entry: Variable(dims=(REPLICA, SNAPSHOT, SYNAPSE), dtype=dtype, attrs={"long_name": text})
            for entry, text in ({WEIGHT: "synaptic weights"} if what is None else what).items()
        },
        coords=coords,
        along=time_along(SNAPSHOT),
    )


FIRING = {
    RATE_HZ: ("spikes a second of a unit, mean over units", "Hz"),
    INTERVAL_CV: ("coefficient of variation of intervals, mean over units with three spikes or more", "1"),
    CORRELATION: ("correlation of the counts of two units, mean over pairs", "1"),
    POPULATION_FANO: ("variance over mean of the count of all units", "1"),
    EVENTS: ("spikes of all units, from the very start", "1"),
    LAST_SPIKE_MS: ("time of the last spike", "ms"),
    RECENT_RATE_HZ: ("spikes a second of a unit in the last windows", "Hz"),
    NOT_FINITE_MS: ("time from which the state is not finite", "ms"),
}


def firing(populations: Sequence[str]) -> Group:
    """How populations fired since the beginning of a simulation.

    Args:
        populations: those with spikes.
    """
    return Group(
        path=f"{FIRING_STATS}/so_far",
        growing=SAMPLE,
        variables={
            name: Variable(dims=(REPLICA, SAMPLE, POPULATION), attrs={"long_name": text, "units": unit})
            for name, (text, unit) in FIRING.items()
        },
        coords={POPULATION: Coordinate(dims=(POPULATION,), values=tuple(populations))},
        along=time_along(SAMPLE),
    )
