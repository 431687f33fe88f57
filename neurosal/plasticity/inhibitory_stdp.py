"""Inhibitory STDP: inhibition grows where its target is active together with it, until the target has a given rate."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Bounded


class InhibitorySTDP(Bounded):
    """At an arrival ``w += η (x_post - α)`` with ``α = 2 ρ₀ τ``, at a spike of the target ``w += η x_pre``; both traces
    count spikes and decay with τ.

    With independent spikes inhibition is at rest where the target's rate is ρ₀. Pairs count the same in both orders.

    Args:
        eta: η, in the weight's unit, times ``rate``.
        target_hz: ρ₀.
        tau_ms: τ.
        negative: whether inhibition is written as weights below 0, as with currents and jumps: then ``w`` falls where
            it would grow. With conductances it is not.
        w_min, w_max: hard bounds; where inhibition is negative give w_min and w_max = 0.

    Example:
        >>> InhibitorySTDP(target_hz=5, tau_ms=20, w_max=30).program().constants["alpha"]
        0.2

    Reference:
        Vogels, Sprekeler, Zenke, Clopath & Gerstner (2011), Science 334:1569.
    """

    kind: ClassVar[str] = "inhibitory_stdp"
    eta: float = Field(default=0.01, ge=0)
    target_hz: float = Field(default=5.0, ge=0)
    tau_ms: float = Field(default=20.0, gt=0)
    negative: bool = False

    @model_validator(mode="after")
    def _bounds_of_its_side(self) -> InhibitorySTDP:
        if self.negative and ((self.w_min or 0) >= 0) and self.w_min is not None:
            raise ValueError("w_min below 0, or none, where inhibition is negative")
        return self

    def program(self) -> Program:
        grows = "-" if self.negative else "+"
        return Program(
            variables={"x_pre": 0.0, "x_post": 0.0},
            decays={"x_pre": Decay("tau_ms"), "x_post": Decay("tau_ms")},
            constants={
                "eta": self.eta * self.rate,
                "alpha": 2 * self.target_hz * self.tau_ms / 1000,
                "tau_ms": self.tau_ms,
                **self.limits(),
            },
            on_pre=(self.change(grows, "eta * (x_post - alpha)"), "x_pre += 1"),
            on_post=(self.change(grows, "eta * x_pre"), "x_post += 1"),
        )
