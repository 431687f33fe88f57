"""How a population fires, summed up window by window in memory that does not grow with time.

Letters: R replicas, U units, K units of a sample, L events, B bins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurosal.record import schema
from neurosal.stats.base.activity import over

SAMPLE = 100  # units whose counts are correlated, evenly spaced over a population
RECENT_MS = 100.0  # what "in the last windows" covers at least
# Of one unit, side by side: step of the last spike; how many intervals, their sum and that of their squares, in steps,
# which as whole numbers are exact.
UNIT: np.dtype[Any] = np.dtype([("last", "i8"), ("intervals", "i8"), ("sum", "f8"), ("squares", "f8")])

Array = np.ndarray[Any, Any]


def ordered(numbers: Array) -> Array:
    """What sorts some whole numbers, and leaves equal ones in their order. Small ones are sorted digit by digit, which
    takes numpy a tenth of the time.

    Example:
        >>> ordered(np.array([2, 0, 2, 1])).tolist()
        [1, 3, 0, 2]
    """
    small = not len(numbers) or (numbers.min() >= 0 and numbers.max() < 2**16)
    found: Array = np.argsort(numbers.astype("uint16") if small else numbers, kind="stable")
    return found


class Firing:
    """The spikes of one population so far, in numbers.

    Args:
        replicas, units: how many.
        dt_ms: time step.
        bin_ms: of counts.
        settle_ms: left out at the beginning.
        window_ms: of the windows that come.
        summing: what makes the sums in place of numpy, to the same numbers. Called with those of units, all others by
            name, the place of each unit in the sample, and the steps of bins and of the settling time, it gives a
            function of the first step of the bin that is not full, how many bins are by then, steps and units of
            spikes, and where those of each replica begin and the last ones end.

    Example:
        >>> firing = Firing(1, 2, dt_ms=1.0)
        >>> firing.add(0, 100, np.array([10, 20, 40]), np.array([0, 0, 0]), np.array([0, 0, 1]))
        >>> firing.result()["rate_hz"], firing.result()["last_spike_ms"]
        (array([15.]), array([40.]))
    """

    def __init__(self, replicas: int, units: int, *, dt_ms: float, bin_ms: float = 5.0, settle_ms: float = 0.0,
                 window_ms: float = 100.0, summing: Callable[..., Any] | None = None) -> None:  # fmt: skip
        self.replicas, self.units, self.dt_ms = replicas, units, dt_ms
        self.bin, self.settle = max(1, round(bin_ms / dt_ms)), round(settle_ms / dt_ms)
        chosen = np.unique(np.linspace(0, units - 1, min(units, SAMPLE)).round().astype("int64"))
        self._place = np.full(units, -1)
        self._place[chosen] = np.arange(len(chosen))
        kept = len(chosen)
        of_units = np.zeros(replicas * units, UNIT)
        of_units["last"] = -1
        self._tensors: dict[str, Array] = {
            **{name: of_units[name] for name in UNIT.names or ()},
            "events": np.zeros(replicas, "int64"),  # from the very start
            "spikes": np.zeros(replicas, "int64"),  # since the settling time
            "pending": np.zeros((replicas, kept + 1)),  # counts of the bin that is not full; the last of all units
            "counts": np.zeros((replicas, kept + 1)),
            "products": np.zeros((replicas, kept, kept)),
            "population_squares": np.zeros(replicas),
            "recent": np.zeros((replicas, max(1, round(RECENT_MS / window_ms))), "int64"),
            "recent_steps": np.zeros(max(1, round(RECENT_MS / window_ms)), "int64"),
            "done": np.array([self.settle, 0], "int64"),  # first step of the bin that is not full; full bins
        }
        self._stop = 0
        self._summing = summing and summing(of_units, self._tensors, self._place, self.bin, self.settle)

    def add(self, start: int, stop: int, step: Array, replica: Array, unit: Array) -> None:
        """The spikes of a window of steps, replica by replica, in order of steps in each."""
        assert (replica[1:] >= replica[:-1]).all(), "spikes come replica by replica"
        tensors = self._tensors
        recent, of = tensors["recent"], tensors["recent_steps"]
        recent[:, :-1], of[:-1] = recent[:, 1:].copy(), of[1:].copy()
        begin = np.searchsorted(replica, np.arange(self.replicas + 1, dtype=replica.dtype))
        recent[:, -1], of[-1] = np.diff(begin), stop - start
        self._stop = stop
        tensors["events"] += recent[:, -1]
        if start < self.settle:
            later = step >= self.settle
            np.maximum.at(tensors["last"], replica[~later] * self.units + unit[~later], step[~later])
            step, replica, unit = step[later], replica[later], unit[later]
            begin = np.searchsorted(replica, np.arange(self.replicas + 1, dtype=replica.dtype))
        tensors["spikes"] += np.diff(begin)
        first, bins = (int(number) for number in tensors["done"])
        full = max(0, stop - first) // self.bin
        tensors["done"][:] = first + full * self.bin, bins + full
        if self._summing:
            self._summing(first, full, step, unit, begin)
        else:
            self._add(first, full, step, replica, unit)

    def _add(self, first: int, full: int, step: Array, replica: Array, unit: Array) -> None:
        """Intervals, and counts in bins."""
        kept, tensors = self._place.max() + 1, self._tensors
        order = ordered(unit)
        order = order[ordered(replica[order])]
        self._add_intervals(step[order], replica[order] * self.units + unit[order])
        bin_L = (step - first) // self.bin
        counts = np.zeros((self.replicas, kept + 1, full + 1))
        place_L = self._place[unit]
        seen = place_L >= 0
        np.add.at(counts, (replica[seen], place_L[seen], bin_L[seen]), 1)
        counts[:, kept] = np.bincount(replica * (full + 1) + bin_L, minlength=self.replicas * (full + 1)).reshape(
            self.replicas, full + 1
        )
        counts[:, :, 0] += tensors["pending"]
        tensors["pending"][:] = counts[:, :, full]
        whole = counts[:, :, :full]
        tensors["counts"] += whole.sum(-1)
        tensors["products"] += whole[:, :kept] @ whole[:, :kept].swapaxes(1, 2)
        tensors["population_squares"] += (whole[:, kept] ** 2).sum(-1)

    def _add_intervals(self, step: Array, who: Array) -> None:
        """Spikes by unit, and of each in order of steps."""
        tensors = self._tensors
        begins = np.ones(len(who), bool)
        begins[1:] = who[1:] != who[:-1]
        before = np.empty_like(step)
        before[1:] = step[:-1]
        before[begins] = tensors["last"][who[begins]]
        known = before >= self.settle
        interval = (step - before)[known].astype("float64")
        of, size = who[known], len(tensors["last"])
        tensors["intervals"] += np.bincount(of, minlength=size)
        tensors["sum"] += np.bincount(of, interval, minlength=size)
        tensors["squares"] += np.bincount(of, interval * interval, minlength=size)
        ends = np.ones(len(who), bool)
        ends[:-1] = begins[1:]
        tensors["last"][who[ends]] = step[ends]

    def result(self) -> dict[str, Array]:
        """The variables of `schema.firing`, [R] each."""
        tensors, nan = self._tensors, np.nan
        seconds = max(0, self._stop - self.settle) * self.dt_ms * 1e-3
        rate = tensors["spikes"] / (self.units * seconds) if seconds else np.full(self.replicas, nan)
        last = tensors["last"].reshape(self.replicas, -1).max(-1)
        recent = tensors["recent_steps"].sum() * self.dt_ms * 1e-3 * self.units
        return {
            schema.RATE_HZ: rate,
            schema.INTERVAL_CV: self._regularity(),
            schema.CORRELATION: self._correlation(),
            schema.POPULATION_FANO: self._fano(),
            schema.EVENTS: tensors["events"].astype("float64"),
            schema.LAST_SPIKE_MS: np.where(last >= 0, last * self.dt_ms, nan),
            schema.RECENT_RATE_HZ: tensors["recent"].sum(-1) / recent if recent else np.full(self.replicas, nan),
        }

    def _regularity(self) -> Array:
        count = self._tensors["intervals"].reshape(self.replicas, -1).astype("float64")
        count = np.where(count >= 2, count, np.nan)
        mean = self._tensors["sum"].reshape(self.replicas, -1) / count
        spread = self._tensors["squares"].reshape(self.replicas, -1) / count - mean**2
        found = np.maximum(spread, 0) ** 0.5 / np.where(mean > 0, mean, np.nan)
        known = np.isfinite(found)
        return over(np.where(known, found, 0).sum(-1), known.sum(-1).astype("float64"))

    def _correlation(self) -> Array:
        bins = int(self._tensors["done"][1])
        if bins < 2:
            return np.full(self.replicas, np.nan)
        mean = self._tensors["counts"][:, :-1] / bins
        covariance = self._tensors["products"] / bins - mean[:, :, None] * mean[:, None, :]
        deviation = np.sqrt(np.maximum(np.einsum("rkk->rk", covariance), 0))
        varies = deviation > 1e-9
        weight = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
        together = np.einsum("rj,rjk,rk->r", weight, covariance, weight)
        count = varies.sum(-1).astype("float64")
        return over(together - count, count * (count - 1))

    def _fano(self) -> Array:
        bins = int(self._tensors["done"][1])
        if bins < 2:
            return np.full(self.replicas, np.nan)
        mean = self._tensors["counts"][:, -1] / bins
        variance = (self._tensors["population_squares"] / bins - mean**2) * bins / (bins - 1)
        return over(variance, mean)

    # Going on --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """All that a resumed simulation needs."""
        return {**self._tensors, "stop": np.array([self._stop], "int64")}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """What `state` gave."""
        for name, tensor in self._tensors.items():
            tensor[...] = state[name]
        self._stop = int(np.asarray(state["stop"])[0])
