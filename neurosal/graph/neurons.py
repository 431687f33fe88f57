"""Linear neurons: leaky integrate-and-fire, with adaptation of threshold and current, and one that never spikes.

Their equations are linear, so a step is exact however long it is. Conductance synapses make them products of states;
then ``method`` must name how a step is made.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from neurosal.graph.dynamics import Dynamics, Method
from neurosal.graph.spiking import Driven, Number, Positive

_MEMBRANE = "(e_leak_mv - v_mv + {drive}) / tau_m_ms + ({current}) / capacitance_pf"
_RESETS = {"set": "v_mv = v_reset_mv", "subtract": "v_mv -= v_threshold_mv - v_reset_mv"}


class Leaky(Driven):
    """What leaky membranes share.

    Args:
        tau_m_ms, e_leak_mv, capacitance_pf: of the membrane: a number, or an initialiser that draws one a unit.
        start_mv: first v; None for E_L.
        method: of a step; "exact" where all synapses are linear and τ_m and C are the same for all units, otherwise
            "exponential_euler".
    """

    rare: ClassVar[frozenset[str]] = Driven.rare | {"method"}
    tau_m_ms: Positive = 20.0
    e_leak_mv: Number = -70.0
    capacitance_pf: Positive = 200.0
    start_mv: Number | None = None
    method: Method = "exact"

    def _membrane(self) -> str:
        return _MEMBRANE.format(drive=self._sum("drive_mv"), current=self._sum("current_pa"))

    def _first(self) -> Number | str:
        return "e_leak_mv" if self.start_mv is None else self.start_mv


class LeakyIntegrator(Leaky):
    """A leaky membrane that never spikes, as for reading out: ``τ_m dv/dt = E_L - v + drive + τ_m current / C``.

    Args:
        tau_m_ms, e_leak_mv, capacitance_pf, start_mv, method: as of `LIF`.
        bias_mv, bias_pa, injected_mv, injected_pa: as of `LIF`.

    Example:
        >>> LeakyIntegrator(tau_m_ms=10.0, e_leak_mv=0.0).dynamics().equations["v_mv"]
        '(e_leak_mv - v_mv + drive_mv) / tau_m_ms + (current_pa) / capacitance_pf'
    """

    kind: ClassVar[str] = "leaky_integrator"
    carries: ClassVar[frozenset[str]] = frozenset({"activity"})

    def dynamics(self) -> Dynamics:
        return Dynamics(
            equations={"v_mv": self._membrane()},
            constants=self._constants("tau_m_ms", "e_leak_mv", "capacitance_pf"),
            start={"v_mv": self._first()},
            method=self.method,
            timed=self._given(),
            ports=("drive_mv", "current_pa"),
        )


class LIF(Leaky):
    """Leaky integrate-and-fire: ``dv/dt = (E_L - v + drive) / τ_m + current / C``, a spike where v exceeds the
    threshold; then v is reset and, in refractory time, held. Integrated exactly where synapses are linear.

    ``drive`` is all that arrives in mV (current times resistance), ``current`` all that arrives in pA, bias and what is
    injected included. A step of current I from rest gives ``v = E_L + R I (1 - exp(-t/τ_m))`` with ``R = τ_m/C``, and
    spikes every ``t_ref + τ_m log((R I + E_L - V_r) / (R I + E_L - V_t))`` if they cannot fall between steps.

    Args:
        tau_m_ms, e_leak_mv, capacitance_pf: of the membrane: a number, or an initialiser that draws one a unit.
        v_threshold_mv, v_reset_mv: of the spike, likewise.
        refractory_ms: for how long after a spike there is no other.
        reset: "set" puts v to V_r; "subtract" lowers it by ``V_t - V_r``, so that what exceeded the threshold stays.
        clamped: whether v stands still in refractory time and loses what arrives; else it goes on, and only spikes are
            held back.
        bias_mv, bias_pa: constant drive and current.
        injected_mv, injected_pa: drive and current over time.
        start_mv: first v; None for E_L.
        method: of a step; "exact" where all synapses are linear and τ_m and C are the same for all units, otherwise
            "exponential_euler".

    Example:
        >>> LIF(bias_pa=300.0).dynamics().threshold
        'v_mv > v_threshold_mv'

    Reference:
        Lapicque (1907); Gerstner, Kistler, Naud & Paninski (2014), Neuronal Dynamics, chapter 1.
    """

    kind: ClassVar[str] = "lif"
    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})
    rare: ClassVar[frozenset[str]] = Leaky.rare | {"reset", "clamped"}
    v_threshold_mv: Number = -50.0
    v_reset_mv: Number = -60.0
    refractory_ms: float = Field(default=2.0, ge=0)
    reset: Literal["set", "subtract"] = "set"
    clamped: bool = True

    def dynamics(self) -> Dynamics:
        return Dynamics(
            equations={"v_mv": self._membrane()},
            constants=self._constants("tau_m_ms", "e_leak_mv", "capacitance_pf", "v_threshold_mv", "v_reset_mv"),
            start={"v_mv": self._first()},
            threshold="v_mv > v_threshold_mv",
            reset=(_RESETS[self.reset],),
            refractory_ms=self.refractory_ms,
            held=frozenset({"v_mv"}) if self.clamped else frozenset(),
            method=self.method,
            timed=self._given(),
            ports=("drive_mv", "current_pa"),
        )


class AdaptiveLIF(LIF):
    """`LIF` whose threshold or input adapts to its own spikes: a spike where ``v > V_t + ϑ``, with
    ``τ_ϑ dϑ/dt = -ϑ`` and ``ϑ += step`` at a spike; and ``C dv/dt = … - w`` with ``τ_w dw/dt = a (v - E_L) - w`` and
    ``w += b`` at a spike. Both go on in refractory time. A part that never differs from 0 is left out.

    The threshold of Bellec et al., ``A = v_th + β a`` with ``a ← ρ a + z``, has ϑ = β a, ``ρ = exp(-dt/τ_ϑ)`` and
    ``step = β / ρ`` (here ϑ decays in the step after the spike, there not). The θ of Diehl & Cook is
    ``step = 0.05 mV, τ_ϑ = 10⁷ ms, start_adaptation_mv = 20, v_threshold_mv = -72``.

    With ``reset="subtract"`` v falls by ``V_t - V_r``, whatever ϑ is, as in Bellec et al.

    Args:
        threshold_step_mv, tau_threshold_ms: of ϑ.
        start_adaptation_mv: first ϑ.
        coupling_ns: a, how w follows the membrane.
        current_step_pa, tau_current_ms: b and τ_w.

    Example:
        >>> sorted(AdaptiveLIF(threshold_step_mv=2.0).dynamics().equations)
        ['adaptation_mv', 'v_mv']

    Reference:
        Bellec et al. (2020), Nature Communications 11:3625, arXiv 1901.09049; Diehl & Cook (2015), Frontiers in
        Computational Neuroscience 9:99.
    """

    kind: ClassVar[str] = "adaptive_lif"
    threshold_step_mv: Number = 1.0
    tau_threshold_ms: Positive = 100.0
    start_adaptation_mv: Number = 0.0
    coupling_ns: Number = 0.0
    current_step_pa: Number = 0.0
    tau_current_ms: Positive = 100.0
    rare: ClassVar[frozenset[str]] = LIF.rare | {"start_adaptation_mv", "coupling_ns", "current_step_pa"}

    def dynamics(self) -> Dynamics:
        plain = super().dynamics()
        equations, constants, start = dict(plain.equations), dict(plain.constants), dict(plain.start)
        reset, threshold = list(plain.reset), plain.threshold
        if (self.threshold_step_mv, self.start_adaptation_mv) != (0.0, 0.0):
            equations["adaptation_mv"] = "-adaptation_mv / tau_threshold_ms"
            constants |= self._constants("threshold_step_mv", "tau_threshold_ms")
            start["adaptation_mv"] = self.start_adaptation_mv
            threshold += " + adaptation_mv"
            reset.append("adaptation_mv += threshold_step_mv")
        if (self.coupling_ns, self.current_step_pa) != (0.0, 0.0):
            pull = "coupling_ns * (v_mv - e_leak_mv) - w_pa" if self.coupling_ns != 0.0 else "-w_pa"
            equations["v_mv"] += " - w_pa / capacitance_pf"
            equations["w_pa"] = f"({pull}) / tau_current_ms"
            constants |= self._constants("coupling_ns", "current_step_pa", "tau_current_ms")
            reset.append("w_pa += current_step_pa")
        return Dynamics(
            equations=equations,
            constants=constants,
            start=start,
            threshold=threshold,
            reset=tuple(reset),
            refractory_ms=plain.refractory_ms,
            held=plain.held,
            method=plain.method,
            timed=plain.timed,
            ports=plain.ports,
        )
