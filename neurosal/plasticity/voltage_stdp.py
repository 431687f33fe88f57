"""Voltage-based STDP: the target's potential, not its spikes, says how synapses change."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Bounded


class VoltageSTDP(Bounded):
    """At an arrival ``w -= A_LTD [ū₋ - θ₋]₊``; all the time ``dw/dt = A_LTP x̄ [u - θ₊]₊ [ū₊ - θ₋]₊``, where ū₋ and ū₊
    are the target's potential u filtered with τ₋ and τ₊, and x̄ arrivals filtered with τ_x (each adds 1/τ_x).

    u is taken at the end of a step, after a reset. Models whose spikes have no shape (LIF) are above θ₊ only at the
    spike itself: with ``spike_mv`` the target counts as having been there for ``spike_ms`` when it spikes.

    Args:
        a_ltd_per_mv, a_ltp_per_mv_mv: A_LTD and A_LTP (per mV, per mV²), both times ``rate``.
        theta_minus_mv, theta_plus_mv: θ₋ and θ₊.
        tau_minus_ms, tau_plus_ms, tau_x_ms: τ₋, τ₊, τ_x.
        start_mv: first ū₋ and ū₊.
        spike_mv, spike_ms: peak and length of a spike without a shape; None for models that have one.
        w_min, w_max: hard bounds.

    The amplitude of depression is fixed; in the paper it follows the target's mean depolarisation over a second.

    Example:
        >>> VoltageSTDP().program().on_pre
        ('w = maximum(w - a_ltd * maximum(u_minus - theta_minus, 0), w_min)', 'x += 1 / tau_x_ms')

    Reference:
        Clopath, Büsing, Vasilaki & Gerstner (2010), Nature Neuroscience 13:344; constants of visual cortex.
    """

    kind: ClassVar[str] = "voltage_stdp"
    a_ltd_per_mv: float = Field(default=14e-5, ge=0)
    a_ltp_per_mv_mv: float = Field(default=8e-5, ge=0)
    theta_minus_mv: float = -70.6
    theta_plus_mv: float = -45.3
    tau_minus_ms: float = Field(default=10.0, gt=0)
    tau_plus_ms: float = Field(default=7.0, gt=0)
    tau_x_ms: float = Field(default=15.0, gt=0)
    start_mv: float = -70.6
    spike_mv: float | None = None
    spike_ms: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _peak_above_threshold(self) -> VoltageSTDP:
        if self.spike_mv is not None and self.spike_mv <= self.theta_plus_mv:
            raise ValueError("spike_mv above theta_plus_mv")
        return self

    def program(self) -> Program:
        constants = {
            "a_ltd": self.a_ltd_per_mv * self.rate,
            "a_ltp": self.a_ltp_per_mv_mv * self.rate,
            "theta_minus": self.theta_minus_mv,
            "theta_plus": self.theta_plus_mv,
            "tau_minus_ms": self.tau_minus_ms,
            "tau_plus_ms": self.tau_plus_ms,
            "tau_x_ms": self.tau_x_ms,
            **self.limits(),
        }
        gate = "x * maximum(u_plus - theta_minus, 0)"
        on_post: tuple[str, ...] = ()
        if self.spike_mv is not None:
            constants |= {"spike_mv": self.spike_mv, "spike_ms": self.spike_ms}
            on_post = (
                self.change("+", f"a_ltp * spike_ms * (spike_mv - theta_plus) * {gate}"),
                "u_minus = spike_mv + (u_minus - spike_mv) * exp(-spike_ms / tau_minus_ms)",
                "u_plus = spike_mv + (u_plus - spike_mv) * exp(-spike_ms / tau_plus_ms)",
            )
        return Program(
            variables={"u_minus": self.start_mv, "u_plus": self.start_mv, "x": 0.0},
            decays={"x": Decay("tau_x_ms")},
            constants=constants,
            on_pre=(self.change("-", "a_ltd * maximum(u_minus - theta_minus, 0)"), "x += 1 / tau_x_ms"),
            on_post=on_post,
            each_step=(
                self.change("+", f"a_ltp * dt_ms * maximum(post.v_mv - theta_plus, 0) * {gate}"),
                "u_minus = post.v_mv + (u_minus - post.v_mv) * exp(-dt_ms / tau_minus_ms)",
                "u_plus = post.v_mv + (u_plus - post.v_mv) * exp(-dt_ms / tau_plus_ms)",
            ),
        )
