"""A simulation as a value: for how long, in which steps, which replicas, on which engine, and what is recorded."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from neurosal.errors import ExperimentError, NeurosalError
from neurosal.graph.value import Value
from neurosal.settings.recording import RecordedSpikes, Recording, recording_of

MODES = {"torch": ("eager", "compiled"), "brian2": ("numpy", "cython", "standalone")}
TOLERANCE = 1e-6  # of a step, by which an interval may miss whole steps
MOST_STEPS = 2**31 - 1  # engines count them in 32 bits


class Simulation(Value):
    """How a circuit in continuous time is simulated.

    Args:
        duration_ms: how long, whole steps.
        dt_ms: the time step.
        seeds: one replica each.
        graph_seed: None: every replica is wired from its own seed. A number: all have the graph that this seed draws
            (synapses, delays, first weights, constants of single units), and only first state and spikes of sources are
            drawn from their own. torch then keeps it once.
        backend: "torch", all replicas as one program, or "brian2", one after the other.
        mode: of torch "eager" or "compiled" (on a processor to C++); of Brian2 "numpy", "cython" or "standalone" (C++).
            None takes eager and cython.
        dtype: of state and weights; Brian2 has float64.
        record: what is recorded.
        window_ms: spikes are handed over together at the end of such windows.
        bin_ms: of the counts in which correlation is measured.
        settle_ms: what the summary leaves out at the beginning.
        checkpoint_every_ms: a state to go on from is kept so often; None: about once a minute of real time; 0: never.
    """

    error: ClassVar[type[NeurosalError]] = ExperimentError
    rare: ClassVar[frozenset[str]] = frozenset({"window_ms", "bin_ms", "settle_ms", "checkpoint_every_ms"})
    duration_ms: float = Field(gt=0)
    dt_ms: float = Field(default=0.1, gt=0, validate_default=True)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    graph_seed: int | None = Field(default=None, ge=0)
    backend: Literal["torch", "brian2"] = "torch"
    mode: str | None = None
    dtype: Literal["float32", "float64"] = "float64"
    record: tuple[Recording, ...] = (RecordedSpikes(),)
    window_ms: float = Field(default=100.0, gt=0)
    bin_ms: float = Field(default=5.0, gt=0)
    settle_ms: float = Field(default=0.0, ge=0)
    checkpoint_every_ms: float | None = Field(default=None, ge=0)

    @field_validator("record", mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        if isinstance(value, (str, Recording, dict)):
            value = (value,)
        if not isinstance(value, (list, tuple)):
            return value
        return tuple(recording_of(entry) if isinstance(entry, str) else entry for entry in value)

    @field_validator("seeds")
    @classmethod
    def _not_negative(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(seed < 0 for seed in value):
            raise ValueError("whole numbers from 0 on")
        if len(set(value)) < len(value):
            raise ValueError("each seed once (equal seeds give equal replicas)")
        return value

    @field_validator("dt_ms")
    @classmethod
    def _divides(cls, value: float, info: ValidationInfo) -> float:
        duration = info.data.get("duration_ms")
        if duration is not None and duration / MOST_STEPS > value:
            raise ValueError(f"a step of which duration_ms, {duration:g}, is at most {MOST_STEPS:,}")
        if duration is not None and not whole(duration, value):
            raise ValueError(f"a step of which duration_ms, {duration:g}, is a whole number")
        return value

    @field_validator("settle_ms")
    @classmethod
    def _leaves_something(cls, value: float, info: ValidationInfo) -> float:
        duration = info.data.get("duration_ms")
        if duration is not None and value >= duration:
            raise ValueError(f"less than duration_ms, {duration:g}")
        return value

    @field_validator("mode")
    @classmethod
    def _of_the_backend(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = MODES.get(info.data.get("backend", ""), ())
        if value is not None and known and value not in known:
            raise ValueError(f"{' or '.join(map(repr, known))}, a mode of {info.data['backend']}")
        return value

    @field_validator("dtype")
    @classmethod
    def _computes(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("backend") == "brian2" and value != "float64":
            raise ValueError("'float64', which Brian2 computes in")
        return value

    @property
    def way(self) -> str:
        """The mode, told."""
        return self.mode or {"torch": "eager", "brian2": "cython"}[self.backend]

    @property
    def steps(self) -> int:
        """How many."""
        return round(self.duration_ms / self.dt_ms)


def whole(interval_ms: float, dt_ms: float) -> bool:
    """Whether an interval is a whole number of steps, one at least.

    Example:
        >>> whole(0.3, 0.1), whole(0.25, 0.1)
        (True, False)
    """
    steps = interval_ms / dt_ms
    return steps > 0.5 and abs(steps - round(steps)) <= TOLERANCE * max(1.0, steps)
