"""Sources of spikes that show a data set to a circuit: by rates, or by the time of one spike; and recorded spikes.

They are `neurosal.graph.Emitter`s, and files know them by their kinds. Letters: N sample, T step, U unit, L spike.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from neurosal.data import places
from neurosal.data.spec import DataSpec
from neurosal.errors import DataError, Problem
from neurosal.graph.emitters import given, poisson, read_spikes
from neurosal.graph.spiking import Emitter

Array = np.ndarray[Any, Any]


class Shown(Emitter):
    """Samples of a data set, one after the other, from the beginning again after the last.

    Sample k is shown from ``k (duration + pause)`` on, for ``duration_ms``; nothing is sent in the pause.

    Args:
        data: which, as a `DataSpec` or its fields; inputs must lie between 0 and 1 (scaling "unit").
        part: "train", "validation" or "test".
        duration_ms, pause_ms: of a sample.
        first, count: rows of the part that are shown; None for all from the first on.
        order: "given", or "shuffled" once, by ``order_seed``.
    """

    rare: ClassVar[frozenset[str]] = frozenset({"first", "count", "order", "order_seed"})
    data: DataSpec
    part: Literal["train", "validation", "test"] = "train"
    duration_ms: float = Field(default=350.0, gt=0)
    pause_ms: float = Field(default=150.0, ge=0)
    first: int = Field(default=0, ge=0)
    count: int | None = Field(default=None, gt=0)
    order: Literal["given", "shuffled"] = "given"
    order_seed: int = Field(default=0, ge=0)

    @field_validator("data", mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return DataSpec(name=data) if isinstance(data, str) else data

    @property
    def samples(self) -> int:
        """How many are shown before the first comes again."""
        return len(self._rows()[1])

    def labels(self, count: int | None = None) -> Array:
        """Labels in the order in which samples are shown, int64 [count]; of one round without a count."""
        labels = self._rows()[1]
        return labels if count is None else labels[np.arange(count) % len(labels)]

    def inputs(self, shown: Array) -> Array:
        """Inputs of the samples that are shown as number ``shown`` [N], float64 [N, U]."""
        rows = self._rows()[0]
        return rows[shown % len(rows)].astype("float64")

    def _rows(self) -> tuple[Array, Array]:
        return _shown(self.data, self.part, self.first, self.count, self.order, self.order_seed)

    def _intensity(self, units: int, first: int, steps: int, dt_ms: float) -> tuple[Array, Array, Array]:
        """For a block of steps: number of the sample [T], step within its time [T], and inputs of the samples from the
        first of the block on [N, U]."""
        period, lit = (round(time / dt_ms) for time in (self.duration_ms + self.pause_ms, self.duration_ms))
        if lit < 1:
            raise _wrong(f"{self.kind}.duration_ms", f"at least a step of {dt_ms:g} ms", f"{self.duration_ms:g} ms")
        step_T = np.arange(first, first + steps)
        sample_T, within_T = step_T // period, step_T % period
        within_T[within_T >= lit] = -1
        inputs_NU = self.inputs(np.arange(sample_T[0], sample_T[-1] + 1))
        if inputs_NU.shape[1] != units:
            raise _wrong(f"{self.kind}.data", f"as many inputs as units, {units}", f"{inputs_NU.shape[1]}")
        return sample_T, within_T, inputs_NU


class RateCoded(Shown):
    """Poisson spikes whose rate is the brightness of a pixel: in each step that a sample x is shown, unit u spikes with
    probability ``x_u · max_rate · dt``.

    Args:
        max_rate_hz: rate of a pixel of 1.

    Example:
        >>> source = RateCoded(data="digits", max_rate_hz=63.75, duration_ms=350.0, pause_ms=150.0)
        >>> source.labels(3).shape
        (3,)

    Reference:
        Diehl & Cook (2015), Frontiers in Computational Neuroscience 9:99.
    """

    kind: ClassVar[str] = "rate_coded"
    max_rate_hz: float = Field(default=63.75, ge=0)

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        sample_T, within_T, inputs_NU = self._intensity(units, first, steps, dt_ms)
        chance = self.max_rate_hz * dt_ms * 1e-3
        if chance * inputs_NU.max(initial=0.0) > 1:
            raise _wrong(f"{self.kind}.max_rate_hz", f"at most {1e3 / dt_ms:g} Hz", f"{self.max_rate_hz:g} Hz")
        chance_TU = inputs_NU[sample_T - sample_T[0]] * chance
        chance_TU[within_T < 0] = 0.0
        return poisson(chance_TU, first, random)


class LatencyCoded(Shown):
    """One spike a pixel and sample, the brighter the earlier. Pixels at or below ``threshold`` stay silent.

    "linear": at ``(1 - x) / (1 - threshold) · latest``. "logarithmic": at ``τ log(x / (x - threshold))``, when a
    leaky integrator that x drives from 0 reaches the threshold. Both are counted from the sample's begin, and spikes
    after its end are not sent.

    Args:
        coding: which.
        threshold: of brightness.
        latest_ms: of the linear code; None for ``duration_ms``.
        tau_ms: of the logarithmic code.

    Example:
        >>> LatencyCoded(data="digits", duration_ms=20.0, pause_ms=0.0).times_ms([1.0, 0.5, 0.0])
        array([ 0., 10., inf])

    Reference:
        Thorpe, Delorme & Van Rullen (2001), Neural Networks 14:715; Cramer et al. (2022), PNAS 119:e2109194119.
    """

    kind: ClassVar[str] = "latency_coded"
    coding: Literal["linear", "logarithmic"] = "linear"
    threshold: float = Field(default=0.0, ge=0, lt=1)
    latest_ms: float | None = Field(default=None, gt=0)
    tau_ms: float = Field(default=50.0, gt=0)

    def times_ms(self, inputs: Any) -> Array:
        """Time of the spike of each input after the begin of its sample; infinite where there is none."""
        x = np.asarray(inputs, "float64")
        bright = x > self.threshold
        seen = np.where(bright, x, 1.0)
        if self.coding == "linear":
            latest = self.duration_ms if self.latest_ms is None else self.latest_ms
            time = (1.0 - seen) / (1.0 - self.threshold) * latest
        else:
            time = self.tau_ms * np.log(seen / (seen - self.threshold))
        return np.where(bright, time, np.inf)

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        sample_T, within_T, inputs_NU = self._intensity(units, first, steps, dt_ms)
        late_NU = np.minimum(self.times_ms(inputs_NU) / dt_ms, np.iinfo("int32").max)
        due_NU = np.rint(late_NU).astype("int64")
        step, unit = np.nonzero(due_NU[sample_T - sample_T[0]] == within_T[:, None])
        return step + first, unit


class RecordedSpikes(Emitter):
    """Recorded spikes by the name of their file, ``NAME.npz`` in the folder that NEUROSAL_DATA names, or by its path
    (with a slash). It holds ``times_ms`` and ``units``; each spike is sent in the nearest step.

    Example:
        >>> RecordedSpikes(name="./retina.npz").kind
        'recorded_spikes'
    """

    kind: ClassVar[str] = "recorded_spikes"
    name: str

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        return given(*_recorded(self.name), units, first, steps, dt_ms, self)


@lru_cache(maxsize=4)
def _recorded(name: str) -> tuple[Array, Array]:
    """Times and units, in the order of time."""
    if places.is_path(name):
        npz = places.at_path(name).npz
    else:
        npz = next((found.npz for found in places.find(name, None, None) if found.npz is not None), None)
    if npz is None:
        raise _wrong("recorded_spikes.name", f"a file {name}.npz in the folder {places.FOLDER_VARIABLE}",
                     f"none in {os.environ.get(places.FOLDER_VARIABLE) or 'no folder'}",
                     "Or give its path, with a slash.")  # fmt: skip
    time_L, unit_L = read_spikes(npz)
    order = np.argsort(time_L, kind="stable")
    return time_L[order], unit_L[order]


@lru_cache(maxsize=4)
def _shown(
    data: DataSpec, part: str, first: int, count: int | None, order: str, order_seed: int
) -> tuple[Array, Array]:
    """Inputs [N, U] between 0 and 1, and labels [N], in the order in which they are shown."""
    samples = getattr(data.load(), part)
    end = len(samples.y) if count is None else first + count
    if first >= len(samples.y) or end > len(samples.y):
        raise _wrong(f"{data.name}.{part}", f"rows {first} to {end - 1}", f"{len(samples.y)} samples")
    inputs, labels = samples.x[first:end], samples.y[first:end]
    inputs = inputs.reshape(len(inputs), -1)
    if inputs.min() < 0 or inputs.max() > 1:
        raise _wrong(f"{data.name}.scaling", "inputs between 0 and 1",
                     f"{inputs.min():g} to {inputs.max():g}", 'Take the scaling "unit".')  # fmt: skip
    if order == "shuffled":
        permuted = np.random.default_rng(order_seed).permutation(len(labels))
        inputs, labels = inputs[permuted], labels[permuted]
    return inputs, labels


def _wrong(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
