"""Populations in continuous time: models given by equations, and sources of spikes."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

from neurosal.graph.dynamics import Dynamics
from neurosal.graph.initialisers import Initialiser
from neurosal.graph.models import Model


class Dynamical(Model):
    """A model that equations say; members say which in `dynamics`."""

    def dynamics(self) -> Dynamics:
        """The equations, with their constants and first values."""
        raise NotImplementedError(f"{type(self).__name__} says no equations")


class Emitter(Model):
    """A source of spikes that nothing reaches. Which spikes it sends is drawn, or read, before they are needed."""

    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        """Spikes of a block of steps.

        Args:
            units: of the population.
            first: number of the first step of the block.
            steps: how many.
            dt_ms: of the simulation.
            random: a ``numpy.random.Generator`` of this population, replica and block.

        Returns:
            steps [L] (counted from the beginning of the simulation) and units [L] (int64), sorted by step, then unit.
            A unit may be there twice in one step.
        """
        raise NotImplementedError(f"{type(self).__name__} emits nothing")


class LIF(Dynamical):
    """Leaky integrate-and-fire: ``τ_m dv/dt = E_L - v + drive`` and ``C dv/dt = … + current``, a spike where v exceeds
    the threshold; then v is reset and, in refractory time, held. Integrated exactly where synapses are linear.

    ``drive`` is all that arrives in mV (current times resistance), ``current`` all that arrives in pA, bias included.

    Args:
        tau_m_ms, e_leak_mv, capacitance_pf: of the membrane.
        v_threshold_mv, v_reset_mv, refractory_ms: of the spike.
        bias_mv, bias_pa: constant drive and current; an initialiser draws one for each unit.
        start_mv: first v; None for E_L.
    """

    kind: ClassVar[str] = "lif"
    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})
    tau_m_ms: float = Field(default=20.0, gt=0)
    e_leak_mv: float = -70.0
    capacitance_pf: float = Field(default=200.0, gt=0)
    v_threshold_mv: float = -50.0
    v_reset_mv: float = -60.0
    refractory_ms: float = Field(default=2.0, ge=0)
    bias_mv: float | Initialiser = 0.0
    bias_pa: float | Initialiser = 0.0
    start_mv: float | Initialiser | None = None

    def dynamics(self) -> Dynamics:
        names = ("tau_m_ms", "e_leak_mv", "capacitance_pf", "v_threshold_mv", "v_reset_mv", "bias_mv", "bias_pa")
        return Dynamics(
            equations={
                "v_mv": "(e_leak_mv - v_mv + bias_mv + drive_mv) / tau_m_ms + (bias_pa + current_pa) / capacitance_pf"
            },
            constants={name: getattr(self, name) for name in names},
            start={"v_mv": self.e_leak_mv if self.start_mv is None else self.start_mv},
            threshold="v_mv > v_threshold_mv",
            reset=("v_mv = v_reset_mv",),
            refractory_ms=self.refractory_ms,
            held=frozenset({"v_mv"}),
            method="exact",
            ports=("drive_mv", "current_pa"),
        )


class PoissonSource(Emitter):
    """Independent Poisson spike trains: in each step a unit spikes with probability ``rate · dt``.

    Args:
        rate_hz: of every unit.
        merged: how many independent trains of that rate each unit stands for; it may then spike several times a step
            (binomial).
    """

    kind: ClassVar[str] = "poisson"
    rare: ClassVar[frozenset[str]] = frozenset({"merged"})
    rate_hz: float = Field(default=10.0, ge=0)
    merged: int = Field(default=1, gt=0)

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        import numpy as np

        counts = random.binomial(self.merged, self.rate_hz * dt_ms * 1e-3, size=(steps, units))
        step, unit = np.nonzero(counts)
        repeats = counts[step, unit]
        return np.repeat(step + first, repeats), np.repeat(unit, repeats)


class SpikeTrain(Emitter):
    """Spikes at given times: unit ``units[k]`` spikes at ``times_ms[k]``, rounded to the nearest step."""

    kind: ClassVar[str] = "spike_train"
    times_ms: tuple[float, ...] = ()
    units: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _as_many(self) -> SpikeTrain:
        if len(self.times_ms) != len(self.units):
            raise ValueError("as many units as times")
        return self

    def spikes(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any]:
        import numpy as np

        step_L = np.rint(np.asarray(self.times_ms) / dt_ms).astype("int64")
        unit_L = np.asarray(self.units, "int64")
        order = np.lexsort((unit_L, step_L))
        step_L, unit_L = step_L[order], unit_L[order]
        here = (step_L >= first) & (step_L < first + steps)
        return step_L[here], unit_L[here]
