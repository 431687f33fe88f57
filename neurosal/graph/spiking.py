"""Populations in continuous time: models that equations say, and sources of spikes. Members: `neurons`, `nonlinear`,
`rates`, `emitters`, and the sources of `neurosal.data` that show images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Dynamics, Timed
from neurosal.graph.initialisers import Initialiser
from neurosal.graph.models import Model
from neurosal.graph.waveforms import Waveform

Positive = Annotated[float, Field(gt=0)] | Initialiser  # one number for all units, or one drawn for each
Number = float | Initialiser


class Dynamical(Model):
    """A model that equations say; members say which in `dynamics`."""

    def dynamics(self) -> Dynamics:
        """The equations, with their constants and first values."""
        raise NotImplementedError(f"{type(self).__name__} says no equations")


class Driven(Dynamical):
    """A model whose membrane takes drive in mV (current times resistance) and current in pA.

    Synapses add to its ports ``drive_mv`` and ``current_pa``; so do its own constants and waveforms.

    Args:
        bias_mv, bias_pa: constant drive and current; an initialiser draws one for each unit.
        injected_mv, injected_pa: drive and current over time, for all units or for each; None for none.
    """

    rare: ClassVar[frozenset[str]] = frozenset({"bias_mv", "bias_pa"})
    bias_mv: Number = 0.0
    bias_pa: Number = 0.0
    injected_mv: Waveform | None = None
    injected_pa: Waveform | None = None

    def _given(self) -> dict[str, Timed]:
        """What is injected, by the name that it has in the equations."""
        fields = {"injected_mv": self.injected_mv, "injected_pa": self.injected_pa}
        return {name: wave.timed() for name, wave in fields.items() if wave is not None}

    def _sum(self, port: str) -> str:
        """All that a port takes, as text; a bias of 0 is left out.

        Args:
            port: "drive_mv" or "current_pa".
        """
        unit = port.rpartition("_")[2]
        names = [name for name in (f"bias_{unit}", f"injected_{unit}") if getattr(self, name) not in (None, 0.0)]
        return " + ".join((*names, port))

    def _constants(self, *names: str) -> dict[str, float | Initialiser]:
        return {name: getattr(self, name) for name in (*names, "bias_mv", "bias_pa")}


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

    def counted(self, units: int, first: int, steps: int, dt_ms: float, random: Any) -> tuple[Any, Any, Any]:
        """The same spikes, those of one unit in one step together.

        Returns:
            steps [K], units [K] and how many spikes each of these is, [K], or None where each is one.
        """
        import numpy as np

        step_L, unit_L = self.spikes(units, first, steps, dt_ms, random)
        again = (step_L[1:] == step_L[:-1]) & (unit_L[1:] == unit_L[:-1])
        if not again.any():
            return step_L, unit_L, None
        begin_K = np.flatnonzero(np.r_[True, ~again])
        return step_L[begin_K], unit_L[begin_K], np.diff(begin_K, append=len(step_L))
