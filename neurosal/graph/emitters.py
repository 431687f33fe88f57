"""Sources of spikes: Poisson with constant or changing rates, regular, and given."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from neurosal.errors import CircuitError, Problem
from neurosal.graph.spiking import Emitter
from neurosal.graph.waveforms import Waveform

FEW = 0.02  # spikes a slot, below which it is cheaper to draw their places than every slot

Rates = Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...]


class PoissonSource(Emitter):
    """Independent Poisson spike trains: in each step a unit spikes with probability ``rate · dt``.

    Args:
        rate_hz: of every unit, or one for each.
        merged: how many independent trains of that rate each unit stands for; it may then spike several times a step
            (binomial).

    Example:
        >>> PoissonSource(rate_hz=(5.0, 80.0)).rate_hz
        (5.0, 80.0)
    """

    kind: ClassVar[str] = "poisson"
    rare: ClassVar[frozenset[str]] = frozenset({"merged"})
    rate_hz: Rates = 10.0
    merged: int = Field(default=1, gt=0)

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        return _one_by_one(*self.counted(units, first, steps, dt_ms, random))

    def counted(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any, Any]:
        import numpy as np

        rate = np.asarray(self.rate_hz)
        _fits(rate, units, "rate_hz", self)
        chance = _chance(rate, dt_ms, self)
        if chance.ndim == 0 and chance < FEW:
            return _placed(float(chance), self.merged, units, first, steps, random)
        return _drawn(np.broadcast_to(chance, (steps, units)), self.merged, first, random)


class InhomogeneousPoisson(Emitter):
    """Poisson spike trains whose rate changes: in step n a unit spikes with probability ``rate(n dt) · dt``.

    Args:
        rate_hz: `Samples` for a table (times, or times × units), `Sine`, `Steps` or `Ramp`; negative rates count as 0.
        merged: as of `PoissonSource`.

    Example:
        >>> from neurosal.graph import Sine
        >>> InhomogeneousPoisson(rate_hz=Sine(mean=20.0, amplitude=20.0, frequency_hz=5.0)).rate_hz.kind
        'sine'
    """

    kind: ClassVar[str] = "inhomogeneous_poisson"
    rare: ClassVar[frozenset[str]] = frozenset({"merged"})
    rate_hz: Waveform
    merged: int = Field(default=1, gt=0)

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        return _one_by_one(*self.counted(units, first, steps, dt_ms, random))

    def counted(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any, Any]:
        import numpy as np

        rate = np.maximum(self.rate_hz.at(np.arange(first, first + steps) * dt_ms), 0.0)
        if rate.shape[1] > 1:
            _fits(rate[0], units, "rate_hz", self)
        return _drawn(np.broadcast_to(_chance(rate, dt_ms, self), (steps, units)), self.merged, first, random)


class RegularTrain(Emitter):
    """Every unit spikes at ``start_ms``, and then every ``interval_ms``; each time is rounded to the nearest step.

    Args:
        interval_ms, start_ms: of every unit, or one for each.

    Example:
        >>> RegularTrain(interval_ms=2.0, start_ms=1.0).spikes(1, 0, 60, 0.1, None)[0]
        array([10, 30, 50])
    """

    kind: ClassVar[str] = "regular_train"
    interval_ms: Annotated[float, Field(gt=0)] | tuple[Annotated[float, Field(gt=0)], ...] = 10.0
    start_ms: Rates = 0.0

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        import numpy as np

        every, start = np.asarray(self.interval_ms), np.asarray(self.start_ms)
        _fits(every, units, "interval_ms", self)
        _fits(start, units, "start_ms", self)
        every, start = np.broadcast_to(every, (units,)), np.broadcast_to(start, (units,))
        low = np.maximum(np.floor((first * dt_ms - start) / every).astype("int64") - 1, 0)
        count = int(np.ceil(steps * dt_ms / every.min())) + 4 if units else 0
        time = start[:, None] + (low[:, None] + np.arange(count)) * every[:, None]
        step = np.rint(time / dt_ms).astype("int64")
        unit = np.broadcast_to(np.arange(units)[:, None], step.shape)
        here = (step >= first) & (step < first + steps)
        return _sorted(step[here], unit[here])


class SpikeTrain(Emitter):
    """Given spikes: unit ``units[k]`` spikes at ``times_ms[k]``, rounded to the nearest step.

    Args:
        times_ms, units: of each spike, in any order; arrays of numpy may be given.
        path: an npz file with the arrays ``times_ms`` and ``units`` in their place, for long recordings.

    Example:
        >>> SpikeTrain(times_ms=(3.0, 1.0), units=(0, 2)).spikes(3, 0, 40, 0.1, None)
        (array([10, 30]), array([2, 0]))
    """

    kind: ClassVar[str] = "spike_train"
    rare: ClassVar[frozenset[str]] = frozenset({"path"})
    times_ms: tuple[Annotated[float, Field(ge=0)], ...] = ()
    units: tuple[Annotated[int, Field(ge=0)], ...] = ()
    path: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _arrays(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in fields.items()}

    @model_validator(mode="after")
    def _as_many(self) -> SpikeTrain:
        if len(self.times_ms) != len(self.units):
            raise ValueError("as many units as times")
        if self.path is not None and self.times_ms:
            raise ValueError("either spikes or the path of a file of them")
        return self

    @cached_property
    def _spikes(self) -> tuple[Any, Any]:
        """Times and units as arrays, in the order of time."""
        import numpy as np

        if self.path is None:
            time, unit = np.asarray(self.times_ms, "float64"), np.asarray(self.units, "int64")
        else:
            time, unit = read_spikes(Path(self.path))
        order = np.argsort(time, kind="stable")
        return time[order], unit[order]

    @property
    def last_ms(self) -> float:
        """The time of the last spike; 0 without any.

        Example:
            >>> SpikeTrain(times_ms=(3.0, 1.0), units=(0, 2)).last_ms
            3.0
        """
        time, _ = self._spikes
        return float(time[-1]) if len(time) else 0.0

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        return given(*self._spikes, units, first, steps, dt_ms, self)


def read_spikes(path: Path) -> tuple[Any, Any]:
    """Times in ms, float64 [L], and units, int64 [L], of a file of spikes.

    Raises:
        CircuitError: where there is no such file, or not these arrays in it.
    """
    import numpy as np

    place = f"spike_train {path}"
    if not path.is_file():
        raise CircuitError(Problem(place=place, expected="an npz file of spikes", found="no such file"))
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in ("times_ms", "units")}
    except (OSError, ValueError) as wrong:
        raise CircuitError(Problem(place=place, expected="an npz file of spikes", found=str(wrong))) from None
    shapes = {array.shape for array in arrays.values()}
    if len(arrays) != 2 or len(shapes) != 1 or len(next(iter(shapes))) != 1:
        found = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items()) or "neither"
        raise CircuitError(Problem(place=place, expected="arrays times_ms and units, of one length", found=found))
    return arrays["times_ms"].astype("float64"), arrays["units"].astype("int64")


def given(time_L: Any, unit_L: Any, units: int, first: int, steps: int, dt_ms: float, model: Any) -> tuple[Any, Any]:
    """The spikes of a block out of all, which lie in the order of time.

    Raises:
        CircuitError: for spikes of units that the population does not have, and before time 0.
    """
    import numpy as np

    if len(unit_L) and (unit_L.max() >= units or unit_L.min() < 0 or time_L[0] < 0):
        found = f"units {unit_L.min()} to {unit_L.max()}, from {time_L[0]:g} ms on"
        expected = f"spikes of units 0 to {units - 1}, from 0 ms on"
        raise CircuitError(Problem(place=f"{model.kind}.spikes", expected=expected, found=found))
    low, high = np.searchsorted(time_L, [(first - 1) * dt_ms, (first + steps + 1) * dt_ms])
    step_L, unit_L = np.rint(time_L[low:high] / dt_ms).astype("int64"), unit_L[low:high]
    here = (step_L >= first) & (step_L < first + steps)
    return _sorted(step_L[here], unit_L[here])


def poisson(chance: Any, first: int, random: Any) -> tuple[Any, Any]:
    """Spikes of steps × units that each have one with their own probability.

    Args:
        chance: [steps, units].
    """
    step, unit, _ = _drawn(chance, 1, first, random)
    return step, unit


def _sorted(step_L: Any, unit_L: Any) -> tuple[Any, Any]:
    import numpy as np

    order = np.lexsort((unit_L, step_L))
    return step_L[order], unit_L[order]


def _fits(values: Any, units: int, field: str, model: Emitter) -> None:
    if values.ndim and values.shape != (units,):
        expected = f"one number, or one for each of {units} units"
        raise CircuitError(Problem(place=f"{model.kind}.{field}", expected=expected, found=f"{len(values)} numbers"))


def _chance(rate: Any, dt_ms: float, model: Emitter) -> Any:
    """Of a spike in a step."""
    chance = rate * (dt_ms * 1e-3)
    if (chance > 1).any():
        raise CircuitError(
            Problem(place=f"{model.kind}.rate_hz", expected=f"at most {1e3 / dt_ms:g} Hz, a spike a step",
                    found=f"{rate.max():g} Hz", remedy="Take shorter steps, or several merged trains.")
        )  # fmt: skip
    return chance


def _placed(chance: float, merged: int, units: int, first: int, steps: int, random: Any) -> tuple[Any, Any, Any]:
    """Each of steps × units × merged slots has a spike with the same probability: how many, then which."""
    import numpy as np

    slots = steps * units * merged
    taken = random.choice(slots, size=random.binomial(slots, chance), replace=False, shuffle=False) if slots else []
    place = np.sort(np.asarray(taken, "int64"))
    repeats = None
    if merged > 1:
        place //= merged
        begin = np.flatnonzero(np.diff(place, prepend=-1))
        place, repeats = place[begin], np.diff(begin, append=len(place))
    return place // units + first, place % units, repeats


def _drawn(chance: Any, merged: int, first: int, random: Any) -> tuple[Any, Any, Any]:
    """Every slot by itself."""
    import numpy as np

    if merged == 1:
        step, unit = np.nonzero(random.random(chance.shape) < chance)
        return step + first, unit, None
    counts = random.binomial(merged, chance)
    step, unit = np.nonzero(counts)
    return step + first, unit, counts[step, unit]


def _one_by_one(step_K: Any, unit_K: Any, repeats: Any) -> tuple[Any, Any]:
    """Every spike by itself."""
    return (step_K, unit_K) if repeats is None else (step_K.repeat(repeats), unit_K.repeat(repeats))
