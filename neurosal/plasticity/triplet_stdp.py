"""Triplet STDP: pairs, and pairs that a third spike before them makes stronger."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import SpikeTiming, scaled

# Pfister & Gerstner (2006), tables 3 (visual cortex) and 4 (hippocampal culture), all with τ₊ 16.8 and τ₋ 33.7 ms:
# A₂⁺, A₃⁺, A₂⁻, A₃⁻, τ_x, τ_y, pairing. Where A₃⁻ is 0 the slow pre trace is not used, and τ_x is that of the full fit.
_FITS: dict[str, tuple[float, float, float, float, float, float, Literal["all", "nearest"]]] = {
    "visual_cortex": (5e-10, 6.2e-3, 7e-3, 2.3e-4, 101.0, 125.0, "all"),
    "visual_cortex_minimal": (0.0, 6.5e-3, 7.1e-3, 0.0, 101.0, 114.0, "all"),
    "visual_cortex_nearest": (8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, 714.0, 40.0, "nearest"),
    "visual_cortex_nearest_minimal": (0.0, 5e-2, 8e-3, 0.0, 714.0, 40.0, "nearest"),
    "hippocampus": (6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, 946.0, 27.0, "all"),
    "hippocampus_minimal": (5.3e-3, 8e-3, 3.5e-3, 0.0, 946.0, 40.0, "all"),
    "hippocampus_nearest": (4.6e-3, 9.1e-3, 3e-3, 7.5e-9, 575.0, 47.0, "nearest"),
}


class TripletSTDP(SpikeTiming):
    """At a spike of the target ``w += r₁ (A₂⁺ + A₃⁺ o₂)``, at an arrival ``w -= o₁ (A₂⁻ + A₃⁻ r₂)``, where traces r₁,
    r₂ of arrivals decay with τ₊, τ_x, and o₁, o₂ of spikes of the target with τ₋, τ_y; the slow ones r₂ and o₂ are
    taken just before the spike itself counts.

    Args:
        a2_plus, a3_plus, a2_minus, a3_minus: in the weight's unit, all times ``rate``. The published ones are relative
            to the first weight.
        tau_plus_ms, tau_minus_ms, tau_x_ms, tau_y_ms: of r₁, o₁, r₂, o₂.
        pairing: "all" spikes add 1 to a trace, or the "nearest" one sets it to 1.
        mu_plus, mu_minus, w_min, w_max: soft and hard bounds.

    Example:
        >>> TripletSTDP.fitted("visual_cortex_minimal").a3_plus
        0.0065

    Reference:
        Pfister & Gerstner (2006), Journal of Neuroscience 26:9673.
    """

    kind: ClassVar[str] = "triplet_stdp"
    a2_plus: float = 0.0
    a3_plus: float = 6.5e-3
    a2_minus: float = 7.1e-3
    a3_minus: float = 0.0
    tau_plus_ms: float = Field(default=16.8, gt=0)
    tau_minus_ms: float = Field(default=33.7, gt=0)
    tau_x_ms: float = Field(default=101.0, gt=0)
    tau_y_ms: float = Field(default=114.0, gt=0)
    pairing: Literal["all", "nearest"] = "all"

    @classmethod
    def fitted(cls, to: str, weight: float = 1.0, **fields: float | None) -> TripletSTDP:
        """A published fit.

        Args:
            to: "visual_cortex", "visual_cortex_minimal", "visual_cortex_nearest", "visual_cortex_nearest_minimal",
                "hippocampus", "hippocampus_minimal" or "hippocampus_nearest".
            weight: what 1 stands for in the published amplitudes, in the weight's unit.
            fields: bounds and others to set.

        Raises:
            KeyError: for another name.
        """
        *amplitudes, tau_x, tau_y, pairing = _FITS[to]
        names = ("a2_plus", "a3_plus", "a2_minus", "a3_minus")
        sized = {name: weight * float(value) for name, value in zip(names, amplitudes, strict=True)}
        return cls(**{**sized, "tau_x_ms": tau_x, "tau_y_ms": tau_y, "pairing": pairing, **fields})

    def program(self) -> Program:
        amplitudes = {name: getattr(self, name) for name in ("a2_plus", "a3_plus", "a2_minus", "a3_minus")}
        taus = {name: getattr(self, name) for name in ("tau_plus_ms", "tau_minus_ms", "tau_x_ms", "tau_y_ms")}
        counts = "+= 1" if self.pairing == "all" else "= 1"
        return Program(
            variables={"r1": 0.0, "r2": 0.0, "o1": 0.0, "o2": 0.0},
            decays={
                "r1": Decay("tau_plus_ms"),
                "r2": Decay("tau_x_ms"),
                "o1": Decay("tau_minus_ms"),
                "o2": Decay("tau_y_ms"),
            },
            constants={**scaled(amplitudes, self.rate), **taus, **self.limits()},
            on_pre=(self.shrunk("o1 * (a2_minus + a3_minus * r2)"), f"r1 {counts}", f"r2 {counts}"),
            on_post=(self.grown("r1 * (a2_plus + a3_plus * o2)"), f"o1 {counts}", f"o2 {counts}"),
        )
