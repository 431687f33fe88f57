"""What analyses of simulations share: spikes, state and synapses of an arm by name, and labels of populations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy
import xarray

from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.errors import ExperimentError, Problem, near
from neurosal.graph.dynamics import unit_of
from neurosal.record import schema

Array = numpy.ndarray[Any, Any]
LABEL = "label"
MOST = 8  # populations, projections or variables that a figure shows
SIGNS = {"mv": "mV", "pa": "pA", "ns": "nS", "hz": "Hz", "ms": "ms", "pf": "pF"}


def spiking(arms: Sequence[ArmRecord], chosen: Iterable[str] | str | None) -> list[tuple[ArmRecord, str, str]]:
    """(arm, population, label) of all populations whose spikes were recorded, or of those that were chosen.

    Raises:
        ExperimentError: where there are none.
    """
    return _named(arms, schema.SPIKES, chosen, "spikes", "Add ns.record_spikes() to what is recorded.")


def watched(arms: Sequence[ArmRecord], chosen: Iterable[str] | str | None) -> list[tuple[ArmRecord, str, str]]:
    """(arm, population, label) of all populations whose state was recorded."""
    remedy = 'Add ns.record_state("NAME", "v_mv") to what is recorded.'
    return _named(arms, schema.TRACES, chosen, "state", remedy)


def plastic(arms: Sequence[ArmRecord], chosen: Iterable[str] | str | None) -> list[tuple[ArmRecord, str, str]]:
    """(arm, projection, label) of all projections whose synapses were recorded as lists."""
    remedy = 'Add ns.record_weights("NAME") to what is recorded.'
    found = _named(arms, schema.PROJECTIONS, chosen, "weights", remedy)
    lists = [(arm, name, label) for arm, name, label in found if finest(arm, schema.PROJECTIONS, name) is not None]
    if not lists:
        raise nothing_recorded(arms, schema.PROJECTIONS, "weights of synapses", remedy)
    return lists


def _named(
    arms: Sequence[ArmRecord], group: str, chosen: Iterable[str] | str | None, what: str, remedy: str
) -> list[tuple[ArmRecord, str, str]]:
    wanted = None if chosen is None else [chosen] if isinstance(chosen, str) else list(chosen)
    several = len(arms) > 1
    there = [(arm, name) for arm in arms for name in arm.children(group)]
    if not there:
        raise nothing_recorded(arms, group, what, remedy)
    known = dict.fromkeys(name for _, name in there)
    unknown = [name for name in wanted or () if name not in known]
    if unknown:
        raise ExperimentError(
            Problem(place=arms[0].place, expected=f"a name whose {what} were recorded", found=repr(name),
                    remedy=near(name, known))
            for name in unknown
        )  # fmt: skip
    return [
        (arm, name, f"{arm.title}: {name}" if several else name)
        for arm, name in there
        if wanted is None or name in wanted
    ]


def finest(arm: ArmRecord, group: str, name: str) -> xarray.Dataset | None:
    """The schedule that saw a population's state, or a projection's synapses as a list, most often."""
    growing = {schema.TRACES: schema.SAMPLE, schema.PROJECTIONS: schema.SNAPSHOT}[group]
    found = [one for _, one in arm.schedules(f"{group}/{name}") if schema.TIME_MS in one.coords and one.sizes[growing]]
    return max(found, key=lambda one: one.sizes[growing]) if found else None


def weight_unit(arm: ArmRecord, projection: str) -> str:
    """What weights of a projection are measured in: mV, nS, ..., as what they are added to; "" where they are plain
    numbers, or nobody knows."""
    edge = None if arm.circuit is None else arm.circuit.projections.get(projection)
    if edge is None or edge.synapse is None:
        return ""
    added = edge.synapse.joined("x")
    return "" if unit_of(added.continuous) else SIGNS.get(unit_of(added.lands), "")


def labelled(quantity: str, unit: str) -> str:
    """As axes say it: ``weight (mV)``."""
    return f"{quantity} ({unit})" if unit else quantity


def span(arm: ArmRecord, population: str) -> tuple[float, float]:
    """From when to when spikes were recorded, in ms."""
    windows = arm.group(f"{schema.WINDOWS}/{population}")
    if windows is None or not windows.sizes[schema.WINDOW]:
        return 0.0, 0.0
    return float(windows[schema.START_MS][0]), float(windows[schema.STOP_MS][-1])


def seeds(arm: ArmRecord, population: str) -> list[int]:
    """Of the replicas."""
    windows = arm.group(f"{schema.WINDOWS}/{population}")
    assert windows is not None
    return [int(seed) for seed in windows[schema.SEED].values]


def units(arm: ArmRecord, population: str) -> int:
    """How many a population has."""
    events = arm.group(f"{schema.SPIKES}/{population}")
    assert events is not None
    return int(events[schema.UNIT].attrs["population_size"])


def events(
    arm: ArmRecord, population: str, start_ms: float, stop_ms: float, replica: int | None = None
) -> tuple[Array, Array, Array]:
    """Times, units and replicas [event] of the spikes between two times."""
    from neurosal.record import spikes_between  # it reads zarr, which trees given directly do without

    found = spikes_between(arm.tree, population, start_ms, stop_ms, replica=replica)
    return found[schema.TIME_MS].values, found[schema.UNIT].values, found[schema.REPLICA_INDEX].values
