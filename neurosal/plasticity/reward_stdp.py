"""Reward-modulated STDP: pairs of spikes leave a trace at the synapse, and reward turns it into change."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Bounded


class RewardSTDP(Bounded):
    """``z ← z exp(-dt/τ_z) + ξ/τ_z`` and ``Δw = ν dt (r - r₀) z`` in every step (MSTDPET), where ξ is the change that
    pair STDP would make: at a spike of the target A₊ times the trace of arrivals, at an arrival -A₋ times that of the
    target. Without eligibility ``Δw = ν (r - r₀) ξ`` at each spike (MSTDP).

    r is a signal at the target: what a `Modulation` projection brings, or any state variable of it. A step's change
    takes z and r as they are at its end, spikes of the step counted.

    Args:
        nu: ν, times ``rate``.
        a_plus, a_minus, tau_plus_ms, tau_minus_ms: of pair STDP (all pairs).
        tau_eligibility_ms: τ_z; None for none.
        signal: name of r at the target.
        baseline: r₀, such as the reward that is expected.
        w_min, w_max: hard bounds.

    Example:
        >>> RewardSTDP(nu=0.1).program().each_step
        ('w = maximum(w + nu * dt_ms * (post.reward - baseline) * z, w_min)',)

    Reference:
        Florian (2007), Neural Computation 19:1468; Izhikevich (2007), Cerebral Cortex 17:2443.
    """

    kind: ClassVar[str] = "reward_stdp"
    nu: float = 0.01
    a_plus: float = 1.0
    a_minus: float = 1.0
    tau_plus_ms: float = Field(default=20.0, gt=0)
    tau_minus_ms: float = Field(default=20.0, gt=0)
    tau_eligibility_ms: float | None = Field(default=25.0, gt=0)
    signal: str = "reward"
    baseline: float = 0.0

    @field_validator("signal")
    @classmethod
    def _a_name(cls, signal: str) -> str:
        if not signal.isidentifier():
            raise ValueError("a name such as reward")
        return signal

    @classmethod
    def dopamine(
        cls, a_plus: float = 1.0, a_minus: float = 1.5, nu: float = 0.01, w_max: float | None = 4.0
    ) -> RewardSTDP:
        """``dc/dt = -c/τ_c + STDP``, ``ds/dt = ν c d`` with τ_c = 1 s and the signal ``dopamine`` (Izhikevich 2007): c
        is τ_z z, so amplitudes are times τ_c here."""
        tau_ms = 1000.0
        return cls(nu=nu, a_plus=a_plus * tau_ms, a_minus=a_minus * tau_ms, tau_eligibility_ms=tau_ms, w_max=w_max,
                   signal="dopamine")  # fmt: skip

    def program(self) -> Program:
        decays = {"plus": Decay("tau_plus_ms"), "minus": Decay("tau_minus_ms")}
        names = ("a_plus", "a_minus", "tau_plus_ms", "tau_minus_ms", "baseline")
        constants = {name: getattr(self, name) for name in names} | {"nu": self.nu * self.rate} | self.limits()
        reward = f"(post.{self.signal} - baseline)"
        if self.tau_eligibility_ms is None:
            return Program(
                variables={"plus": 0.0, "minus": 0.0},
                decays=decays,
                constants=constants,
                on_pre=(self.change("-", f"nu * {reward} * a_minus * minus"), "plus += 1"),
                on_post=(self.change("+", f"nu * {reward} * a_plus * plus"), "minus += 1"),
            )
        return Program(
            variables={"plus": 0.0, "minus": 0.0, "z": 0.0},
            decays=decays | {"z": Decay("tau_eligibility_ms")},
            constants=constants | {"tau_eligibility_ms": self.tau_eligibility_ms},
            on_pre=("z -= a_minus * minus / tau_eligibility_ms", "plus += 1"),
            on_post=("z += a_plus * plus / tau_eligibility_ms", "minus += 1"),
            each_step=(self.change("+", f"nu * dt_ms * {reward} * z"),),
        )
