"""Brian2's monitors on their way into a record: emptied after every window, so that memory does not grow with time.

Brian2 is not imported here: a monitor is whatever has its attributes (``t_``, ``i`` and ``resize``; names that end in _
are numbers in SI units). This is the border at which units of Brian2 become units in names: give a scale for each
variable, such as ``mV``. It works with Brian2's runtime targets (numpy, Cython), whose runs can go on. Letters: L
events, T samples, U units, S synapses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosal.record import schema
from neurosal.record.spiking import SpikeRecord
from neurosal.record.writer import Recorder

MS = 1e-3  # of a second

Array = np.ndarray[Any, Any]


def steps_of(monitor: Any, dt_ms: float) -> Array:
    """Steps of the simulation at which a monitor saw what it did. Times follow from them, ``step * dt_ms``: seconds of
    Brian2 divided by a thousandth would lie just before or after the edge of a window."""
    found: Array = np.rint(np.array(monitor.t_) / (dt_ms * MS)).astype("int64")
    return found


def drain_spikes(monitor: Any, dt_ms: float) -> tuple[Array, Array]:
    """Steps [L] and units [L] of a `SpikeMonitor`, which is empty afterwards. Its ``count`` goes on."""
    step_L, unit_L = steps_of(monitor, dt_ms), np.array(monitor.i)
    monitor.resize(0)
    monitor.variables["N"].set_value(0)  # resize leaves it to the code that records
    return step_L, unit_L


def drain_trace(monitor: Any, dt_ms: float, scales: Mapping[str, float]) -> tuple[Array, dict[str, Array]]:
    """Steps [T] and values [T, U] of a `StateMonitor`, which is empty afterwards.

    Args:
        dt_ms: the simulation's time step.
        scales: variable of the monitor → size, in SI units, of the unit that is wanted: ``{"v": 1e-3}`` for mV.
    """
    step_T = steps_of(monitor, dt_ms)
    values = {name: np.array(getattr(monitor, f"{name}_")).T / float(scale) for name, scale in scales.items()}
    monitor.resize(0)
    return step_T, values


class Simulation:
    """What is recorded of a simulation in Brian2, one replica, drained at the end of every window.

    Args:
        recorder: of the run.
        dt_ms: the simulation's time step.
        step: where the simulation stands, for one that goes on.
    """

    def __init__(self, recorder: Recorder, *, dt_ms: float, step: int = 0) -> None:
        self._recorder, self._dt_ms, self.step = recorder, dt_ms, step
        self._spikes: list[tuple[SpikeRecord, Any]] = []
        self._traces: list[tuple[str, Any, dict[str, tuple[str, float]]]] = []
        self._weights: list[tuple[str, Any, str, float]] = []

    def spikes(self, population: str, monitor: Any) -> None:
        """Record all spikes that a `SpikeMonitor` sees."""
        self._spikes.append((SpikeRecord(self._recorder, population, len(monitor.source)), monitor))

    def trace(self, population: str, monitor: Any, variables: Mapping[str, tuple[str, float, str]]) -> None:
        """Record what a `StateMonitor` sees.

        Args:
            variables: name in the record, with its unit → variable of the monitor, size of that unit in SI units, and
                what it is: ``{"v_mv": ("v", mV, "membrane potential")}``.
        """
        every = round(float(monitor.clock.dt_) / MS / self._dt_ms)
        group = schema.traces(
            population,
            f"every_{every}",
            units=[int(unit) for unit in np.atleast_1d(monitor.record)],
            variables={name: text for name, (_, _, text) in variables.items()},
        )
        self._recorder.declare(group)
        known = {name: (variable, float(scale)) for name, (variable, scale, _) in variables.items()}
        self._traces.append((group.path, monitor, known))

    def weights(
        self, projection: str, synapses: Any, variable: str, *, pre: str, post: str, schedule: str, scale: float = 1.0
    ) -> None:
        """Record a snapshot of synapses now, and with every `snapshot`.

        Args:
            projection: its name.
            synapses: a `Synapses` that is connected.
            variable: of the synapses that is their weight; divided by `scale`, in SI units.
            pre, post: names of the populations.
            schedule: when, as a name.
        """
        group = schema.synapses(
            projection,
            schedule,
            post=(post, len(synapses.target)),
            pre=(pre, len(synapses.source)),
            pairs=(np.array(synapses.j), np.array(synapses.i)),
        )
        self._recorder.declare(group)
        self._weights.append((group.path, synapses, variable, float(scale)))

    def drain(self, stop_ms: float) -> None:
        """Take all that the monitors saw in the window that ends now, at `stop_ms`."""
        stop = round(stop_ms / self._dt_ms)
        for record, monitor in self._spikes:
            step_L, unit_L = drain_spikes(monitor, self._dt_ms)
            edges = (self.step * self._dt_ms, stop * self._dt_ms)
            record.put(*edges, step=stop, time_ms=step_L * self._dt_ms, unit=unit_L)
        for path, monitor, variables in self._traces:
            step_T, values = drain_trace(monitor, self._dt_ms, dict(variables.values()))
            rows = {name: values[variable][None] for name, (variable, _) in variables.items()}
            self._recorder.extend(path, {**rows, **self._clock(step_T)})
        self.step = stop
        self._recorder.reached(step=stop, epoch=0.0)

    def snapshot(self) -> None:
        """Record the weights as they are now."""
        for path, synapses, variable, scale in self._weights:
            weight_S = np.array(getattr(synapses, f"{variable}_")) / scale
            self._recorder.extend(path, {schema.WEIGHT: weight_S[None, None], **self._clock(np.array([self.step]))})

    def _clock(self, step_T: Array) -> dict[str, Array]:
        return {schema.STEP: step_T, schema.TIME_MS: step_T * self._dt_ms}
