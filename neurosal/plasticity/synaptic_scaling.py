"""Synaptic scaling: a unit that is too active weakens all its synapses by the same factor, a silent one strengthens
them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Bounded


class SynapticScaling(Bounded):
    """``dw/dt = β w (ρ₀ - ρ)``, in steps: every T ``w += β T w (ρ₀ - ρ)``, where ρ is the target's rate in Hz, averaged
    with τ. Weights keep their ratios.

    Args:
        target_hz: ρ₀.
        beta_per_hz_s: β, the relative change a second for each Hz off, times ``rate``.
        tau_ms: τ; ρ begins at ρ₀.
        every_ms: T.
        w_min, w_max: hard bounds.

    Example:
        >>> SynapticScaling(target_hz=10).program().on_post
        ('activity += 1000 / tau_ms',)

    Reference:
        Turrigiano, Leslie, Desai, Rutherford & Nelson (1998), Nature 391:892; van Rossum, Bi & Turrigiano (2000),
        Journal of Neuroscience 20:8812.
    """

    kind: ClassVar[str] = "synaptic_scaling"
    target_hz: float = Field(default=5.0, ge=0)
    beta_per_hz_s: float = Field(default=0.01, ge=0)
    tau_ms: float = Field(default=10_000.0, gt=0)
    every_ms: float = Field(default=100.0, gt=0)

    def program(self) -> Program:
        return Program(
            variables={"activity": self.target_hz},
            decays={"activity": Decay("tau_ms")},
            constants={
                "target": self.target_hz,
                "share": self.beta_per_hz_s * self.rate * self.every_ms / 1000,
                "tau_ms": self.tau_ms,
                **self.limits(),
            },
            on_post=("activity += 1000 / tau_ms",),
            at_intervals=(self.change("+", "share * w * (target - activity)"),),
            every_ms=self.every_ms,
        )
