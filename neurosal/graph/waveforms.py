"""Waveforms: a number over time, for currents that are injected and for rates of sources. Their numbers are in the
unit of the field that holds them."""

from __future__ import annotations

from functools import reduce
from math import gcd, pi
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from neurosal.graph.dynamics import Timed
from neurosal.graph.value import Kinded

TICKS = 1_000_000  # a millisecond: times of waveforms are told apart to 1 ns


def _listed(values: Any) -> Any:
    """An array as lists."""
    return values.tolist() if hasattr(values, "tolist") else values


Numbers = Annotated[tuple[float, ...] | tuple[tuple[float, ...], ...], BeforeValidator(_listed)]


class Waveform(Kinded):
    """A number at every time from 0 on, one for all units or one for each."""

    family: ClassVar[str] = "waveform"

    def timed(self) -> Timed:
        """The waveform as a staircase, the form in which equations read it."""
        raise NotImplementedError(f"{type(self).__name__} is no staircase")

    def at(self, times_ms: Any) -> Any:
        """Its numbers at these times: float64 [T, 1], or [T, units] where units differ.

        Args:
            times_ms: array [T].
        """
        import numpy as np

        staircase = self.timed()
        values = np.asarray(staircase.values, "float64")
        index = np.floor(np.asarray(times_ms) / staircase.every_ms + 1e-9).astype("int64")
        taken = values[np.clip(index, 0, len(values) - 1)]
        return taken[:, None] if taken.ndim == 1 else taken


class Samples(Waveform):
    """Given numbers: ``values[k]`` from ``k every_ms`` on, and the last one for good.

    Args:
        values: numbers [T], or rows [T, units]; an array of numpy may be given.
        every_ms: how long each holds.

    Example:
        >>> Samples(values=(0.0, 2.0), every_ms=5.0).at([0.0, 4.9, 5.0, 90.0]).ravel()
        array([0., 0., 2., 2.])
    """

    kind: ClassVar[str] = "samples"
    values: Numbers
    every_ms: float = Field(gt=0)

    @model_validator(mode="after")
    def _even(self) -> Samples:
        if not self.values or len({len(row) if isinstance(row, tuple) else 0 for row in self.values}) > 1:
            raise ValueError("at least one number, or rows of equal length")
        return self

    def timed(self) -> Timed:
        return Timed(self.every_ms, self.values)


class Steps(Waveform):
    """0 until ``times_ms[0]``, then ``values[k]`` from ``times_ms[k]`` until the next time, the last one for good.

    Args:
        times_ms: when it changes, rising.
        values: one number, or one row of numbers a unit, for each time.

    Example:
        >>> Steps(times_ms=(10.0, 30.0), values=(5.0, 0.0)).at([0.0, 10.0, 29.0, 30.0]).ravel()
        array([0., 5., 5., 0.])
    """

    kind: ClassVar[str] = "steps"
    times_ms: tuple[Annotated[float, Field(ge=0)], ...]
    values: Numbers

    @model_validator(mode="after")
    def _fits(self) -> Steps:
        if not self.times_ms or len(self.times_ms) != len(self.values):
            raise ValueError("as many values as times, at least one")
        if any(late <= early for early, late in zip(self.times_ms, self.times_ms[1:], strict=False)):
            raise ValueError("rising times")
        if len({len(row) if isinstance(row, tuple) else 0 for row in self.values}) > 1:
            raise ValueError("numbers, or rows of equal length")
        return self

    def timed(self) -> Timed:
        ticks = [round(time * TICKS) for time in self.times_ms]
        every = reduce(gcd, ticks, 0) or TICKS  # the longest step of which all times are multiples
        first = self.values[0]
        before: Any = tuple(0.0 for _ in first) if isinstance(first, tuple) else 0.0
        values = [before] * (ticks[0] // every)
        for value, early, late in zip(self.values, ticks, [*ticks[1:], ticks[-1] + every], strict=True):
            values += [value] * ((late - early) // every)
        return Timed(every / TICKS, tuple(values))


class Ramp(Waveform):
    """``first`` until ``start_ms``, then straight to ``last`` at ``end_ms``, then ``last``; a stair is as high as the
    line at its begin.

    Example:
        >>> Ramp(first=0.0, last=4.0, end_ms=2.0, every_ms=0.5).at([0.0, 0.5, 1.0, 7.0]).ravel()
        array([0., 1., 2., 4.])
    """

    kind: ClassVar[str] = "ramp"
    first: float = 0.0
    last: float
    start_ms: float = Field(default=0.0, ge=0)
    end_ms: float = Field(gt=0)
    every_ms: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _forward(self) -> Ramp:
        if self.end_ms <= self.start_ms:
            raise ValueError("an end after the start")
        return self

    def timed(self) -> Timed:
        slope = (self.last - self.first) / (self.end_ms - self.start_ms)
        count = -int(-self.end_ms / self.every_ms // 1) + 1
        times = [index * self.every_ms for index in range(count)]
        heights = [self.first + slope * (min(max(time, self.start_ms), self.end_ms) - self.start_ms) for time in times]
        return Timed(self.every_ms, (*heights[:-1], self.last))


class Sine(Waveform):
    """``mean + amplitude sin(2π frequency t + phase)``, until ``until_ms`` where equations read it as a staircase.

    Args:
        phase: in radians.
        until_ms, every_ms: of the staircase; sources of spikes take the sine itself, for good.

    Example:
        >>> Sine(mean=10.0, amplitude=5.0, frequency_hz=4.0).at([0.0, 62.5]).ravel().round(12)
        array([10., 15.])
    """

    kind: ClassVar[str] = "sine"
    mean: float = 0.0
    amplitude: float = 1.0
    frequency_hz: float = Field(gt=0)
    phase: float = 0.0
    until_ms: float = Field(default=1000.0, gt=0)
    every_ms: float = Field(default=0.1, gt=0)

    def at(self, times_ms: Any) -> Any:
        import numpy as np

        angle = 2e-3 * pi * self.frequency_hz * np.asarray(times_ms, "float64") + self.phase
        return (self.mean + self.amplitude * np.sin(angle))[:, None]

    def timed(self) -> Timed:
        import numpy as np

        times = np.arange(round(self.until_ms / self.every_ms) + 1) * self.every_ms
        return Timed(self.every_ms, tuple(self.at(times).ravel().tolist()))
