"""Samples that take time: an input that plays each sample to a circuit of spiking units, and a read-out whose value is
judged step by step. Such circuits are trained by unrolling a sample's steps (docs/eprop.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from neurosal.graph.models import Source
from neurosal.graph.neurons import LeakyIntegrator

if TYPE_CHECKING:
    from neurosal.graph.circuit import Circuit


class TimedSource(Source):
    """Plays samples as spikes. A sample is a list of frames, each with a value from 0 to 1 for every unit; while one
    is shown, a unit of value x spikes regularly at ``x`` times the rate: after step n it has spiked
    ``floor(1/2 + Σ x rate dt)`` times. Frames of 0 and 1 that last one step, at a spike a step, are the spikes
    themselves.

    Args:
        dt_ms: time step of the circuit.
        frames: how many a sample has; its features are those of the first frame, then of the second, and so on.
        frame_ms: how long each is shown.
        rate_hz: of a unit with value 1.
        silent_ms: time without any spike after the last frame.

    Example:
        >>> TimedSource(frames=8, frame_ms=5.0, silent_ms=10.0).steps
        50
    """

    kind: ClassVar[str] = "timed_source"
    rare: ClassVar[frozenset[str]] = Source.rare | {"silent_ms"}
    dt_ms: float = Field(default=1.0, gt=0)
    frames: int = Field(default=1, gt=0)
    frame_ms: float = Field(default=1.0, gt=0)
    rate_hz: float = Field(default=1000.0, gt=0)
    silent_ms: float = Field(default=0.0, ge=0)

    @property
    def frame_steps(self) -> int:
        """Steps for which a frame is shown."""
        return max(1, round(self.frame_ms / self.dt_ms))

    @property
    def steps(self) -> int:
        """Steps of a sample."""
        return self.frames * self.frame_steps + round(self.silent_ms / self.dt_ms)

    def features(self, units: int) -> int:
        return self.frames * units


class TimedReadout(LeakyIntegrator):
    """A leaky integrator that is read while a sample is played: ``y ← κ y + Σ W z`` with ``κ = exp(-dt/τ_m)``. Its loss
    is the mean over the steps of a window at the end, and its answer the mean of y over them.

    Error passes a spike as if that were a function of the distance of v from the threshold A, ``∂z/∂v = ψ``,
    ``ψ = (damping / θ) max(0, 1 - |v - A| / θ)``, θ from rest to threshold; 0 in refractory time.

    Args:
        tau_m_ms, e_leak_mv, capacitance_pf, start_mv, method, bias_mv, bias_pa, injected_mv, injected_pa: as of
            `LeakyIntegrator`.
        window_ms: how long; None for the whole sample.
        targets: "sample", one target for all steps of the window; "step", one for each (rows of the target one after
            the other).
        damping: of ψ.
        through_reset: whether error passes the jump of the reset, too. The gradient that passes both this and recurrent
            synapses is whole; e-prop passes neither.

    Reference:
        Bellec et al. (2020), Nature Communications 11:3625, arXiv 1901.09049.
    """

    kind: ClassVar[str] = "timed_readout"
    carries: ClassVar[frozenset[str]] = frozenset({"activity", "error"})
    rare: ClassVar[frozenset[str]] = LeakyIntegrator.rare | {"damping", "through_reset"}
    e_leak_mv: float = 0.0
    window_ms: float | None = Field(default=None, gt=0)
    targets: Literal["sample", "step"] = "sample"
    damping: float = Field(default=0.3, gt=0)
    through_reset: bool = False


@dataclass(frozen=True)
class Timing:
    """When things happen while a sample is played.

    Attributes:
        dt_ms: time step.
        steps: of a sample.
        window: how many of them, at the end, are judged.
        each: whether each of these has a target of its own.
    """

    dt_ms: float
    steps: int
    window: int
    each: bool


def timing_of(circuit: Circuit) -> Timing | None:
    """The timing of a circuit whose samples take time; None for all others.

    Example:
        >>> from neurosal import circuits
        >>> timing_of(circuits.mlp(4, 3, 2)) is None
        True
    """
    models = [population.model for population in circuit.populations.values()]
    sources = [model for model in models if isinstance(model, TimedSource)]
    if not sources:
        return None
    dt_ms, steps = sources[0].dt_ms, sources[0].steps
    readouts = [model for model in models if isinstance(model, TimedReadout)]
    each = bool(readouts) and readouts[0].targets == "step"
    asked = readouts[0].window_ms if readouts else None
    window = steps if asked is None else min(steps, max(1, round(asked / dt_ms)))
    return Timing(dt_ms, steps, window, each)


def targets_of(circuit: Circuit) -> int:
    """How many numbers the target of a sample has, where targets are numbers."""
    units, timing = circuit.populations[circuit.output].units, timing_of(circuit)
    return units * timing.window if timing is not None and timing.each else units
