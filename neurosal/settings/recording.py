"""What is recorded of a circuit in continuous time, as values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field, field_validator

from neurosal.errors import ExperimentError, Problem
from neurosal.graph.value import Kinded, shown

SHORT = re.compile(r"(?P<kind>\w+)(:(?P<target>[\w-]+)(\.(?P<variables>\w+(,\w+)*))?)?(@(?P<every>[\d.eE+-]+))?")


class Recording(Kinded):
    """One thing to record."""

    error = ExperimentError
    family: ClassVar[str] = "recording"


class RecordedSpikes(Recording):
    """Every spike of a population, as an event.

    Args:
        population: its name; None for all, save sources that merge several trains in one unit.
    """

    kind: ClassVar[str] = "spikes"
    population: str | None = None


class RecordedState(Recording):
    """State of a population at equal intervals, at the start of a step.

    Args:
        population: its name.
        variables: names, such as "v_mv".
        every_ms: interval, whole steps.
        units: which; None for all.
    """

    kind: ClassVar[str] = "state"
    population: str
    variables: tuple[str, ...] = Field(min_length=1)
    every_ms: float = Field(default=1.0, gt=0)
    units: tuple[int, ...] | None = Field(default=None, min_length=1)

    @field_validator("variables")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("units")
    @classmethod
    def _sorted(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return None if value is None else tuple(sorted(set(value)))


class RecordedWeights(Recording):
    """Weights of a projection, and variables of its synapses, at equal intervals from the start on.

    Args:
        projection: its name.
        variables: of the synapses, beside the weight; traces have the value of that moment.
        every_ms: interval, whole steps.
    """

    kind: ClassVar[str] = "weights"
    projection: str
    variables: tuple[str, ...] = ()
    every_ms: float = Field(default=1000.0, gt=0)

    @field_validator("variables")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in dict.fromkeys(value) if name != "w")


def record_spikes(population: str | None = None) -> RecordedSpikes:
    """Record every spike of a population; of all where none is named, save sources that merge several trains in one
    unit.

    Example:
        >>> record_spikes("e")
        RecordedSpikes(population='e')
    """
    return RecordedSpikes(population=population)


def record_state(
    population: str, *variables: str, every_ms: float = 1.0, units: Iterable[int] | None = None
) -> RecordedState:
    """Record state of a population at equal intervals.

    Args:
        population: its name.
        variables: such as ``"v_mv"``; ``neurosal show NAME`` lists them.
        every_ms: interval, whole steps.
        units: which; None for all.

    Example:
        >>> record_state("e", "v_mv", units=range(3))
        RecordedState(population='e', variables=('v_mv',), units=(0, 1, 2))
    """
    chosen = None if units is None else tuple(int(unit) for unit in units)
    return RecordedState(population=population, variables=variables, every_ms=every_ms, units=chosen)


def record_weights(projection: str, *variables: str, every_ms: float = 1000.0) -> RecordedWeights:
    """Record the weights of a projection, and variables of its synapses, at equal intervals from the start on.

    Args:
        projection: its name.
        variables: of its synapses beside the weight, such as traces.
        every_ms: interval, whole steps.

    Example:
        >>> record_weights("e_to_e", every_ms=500)
        RecordedWeights(projection='e_to_e', every_ms=500.0)
    """
    return RecordedWeights(projection=projection, variables=variables, every_ms=every_ms)


def recording_of(entry: Any) -> Recording:
    """What is to be recorded: a value, its dict, or in short ``spikes``, ``spikes:e``, ``state:e.v_mv@1`` and
    ``weights:e_to_e@1000`` with the interval in ms.

    Raises:
        ExperimentError: for what is none of them.

    Example:
        >>> recording_of("state:e.v_mv,g_i_ns@0.5")
        RecordedState(population='e', variables=('v_mv', 'g_i_ns'), every_ms=0.5)
    """
    if not isinstance(entry, str):
        return Recording.from_dict(entry, place="record")
    found = SHORT.fullmatch(entry.strip())
    if found is None:
        raise ExperimentError(
            Problem(place="record", expected="spikes:POPULATION, state:POPULATION.VARIABLE@MS or weights:PROJECTION@MS",
                    found=shown(entry))
        )  # fmt: skip
    target = {"weights": "projection"}.get(found["kind"], "population")
    fields: dict[str, Any] = {"kind": found["kind"]}
    fields |= {target: found["target"]} if found["target"] else {}
    fields |= {"variables": found["variables"].split(",")} if found["variables"] else {}
    fields |= {"every_ms": found["every"]} if found["every"] else {}
    return Recording.from_dict(fields, place=f"record {entry!r}")
