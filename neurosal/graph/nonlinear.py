"""Neurons whose spikes grow out of their own equations: AdEx and Izhikevich's, with their published constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph.dynamics import Dynamics
from neurosal.graph.spiking import Driven, Number, Positive
from neurosal.graph.value import shown


class Published(Driven):
    """A model with named sets of published constants."""

    sets: ClassVar[Mapping[str, Mapping[str, float]]] = {}

    @classmethod
    def published(cls, name: str, **changes: Any) -> Self:
        """The model with the published constants of that name.

        Args:
            changes: other fields, or other values.

        Raises:
            CircuitError: for an unknown name, with near ones.
        """
        if name not in cls.sets:
            raise CircuitError(
                Problem(place=f"{cls.__name__}.published", expected=f"one of {', '.join(cls.sets)}", found=shown(name),
                        remedy=near(name, cls.sets))
            )  # fmt: skip
        return cls(**{**cls.sets[name], **changes})


_ADEX = ("capacitance_pf", "g_leak_ns", "e_leak_mv", "v_rheobase_mv", "slope_mv", "coupling_ns", "tau_w_ms",
         "current_step_pa", "v_reset_mv", "bias_pa")  # fmt: skip


class AdEx(Published):
    """Adaptive exponential integrate-and-fire:
    ``C dv/dt = -g_L (v - E_L) + g_L Δ_T exp((v - V_T) / Δ_T) - w + current + g_L drive`` and
    ``τ_w dw/dt = a (v - E_L) - w``; a spike where v exceeds the cut; then v is reset and ``w += b``.

    On the right v counts at most as the cut, above which it is never at the start of a step: within a step of
    Runge-Kutta the last rise of a spike then stays finite, and moves w no further than a spike does. Integrated by
    Euler's method unless said otherwise.

    `published` knows "brette_gerstner_2005" (regular spiking; the defaults) and the firing patterns of Naud et al.
    (2008) with their currents: "tonic", "adaptation", "initial_burst", "regular_bursting", "delayed_accelerating",
    "delayed_regular_bursting", "transient", "irregular". They were made for steps of 0.1 ms or less.

    Args:
        capacitance_pf, g_leak_ns, e_leak_mv: C, g_L, E_L.
        v_rheobase_mv, slope_mv: V_T, Δ_T.
        v_cut_mv, v_reset_mv, refractory_ms: of the spike.
        coupling_ns, tau_w_ms, current_step_pa: a, τ_w, b.
        bias_mv, bias_pa, injected_mv, injected_pa: as of `LIF`.
        start_mv, start_w_pa: first values; None for E_L.
        method: of a step.

    Example:
        >>> AdEx.published("tonic").bias_pa
        500.0

    Reference:
        Brette & Gerstner (2005), Journal of Neurophysiology 94:3637; Naud, Marcille, Clopath & Gerstner (2008),
        Biological Cybernetics 99:335, table 1.
    """

    kind: ClassVar[str] = "adex"
    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})
    rare: ClassVar[frozenset[str]] = Driven.rare | {"start_w_pa"}
    sets: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "brette_gerstner_2005": {},
        **{
            name: dict(zip(_ADEX, values, strict=True))
            for name, values in {
                "tonic": (200.0, 10.0, -70.0, -50.0, 2.0, 2.0, 30.0, 0.0, -58.0, 500.0),
                "adaptation": (200.0, 12.0, -70.0, -50.0, 2.0, 2.0, 300.0, 60.0, -58.0, 500.0),
                "initial_burst": (130.0, 18.0, -58.0, -50.0, 2.0, 4.0, 150.0, 120.0, -50.0, 400.0),
                "regular_bursting": (200.0, 10.0, -58.0, -50.0, 2.0, 2.0, 120.0, 100.0, -46.0, 210.0),
                "delayed_accelerating": (200.0, 12.0, -70.0, -50.0, 2.0, -10.0, 300.0, 0.0, -58.0, 300.0),
                "delayed_regular_bursting": (100.0, 10.0, -65.0, -50.0, 2.0, -10.0, 90.0, 30.0, -47.0, 110.0),
                "transient": (100.0, 10.0, -65.0, -50.0, 2.0, 10.0, 90.0, 100.0, -47.0, 180.0),
                "irregular": (100.0, 12.0, -60.0, -50.0, 2.0, -11.0, 130.0, 30.0, -48.0, 160.0),
            }.items()
        },
    }
    capacitance_pf: Positive = 281.0
    g_leak_ns: Positive = 30.0
    e_leak_mv: Number = -70.6
    v_rheobase_mv: Number = -50.4
    slope_mv: Positive = 2.0
    v_cut_mv: float = 20.0
    v_reset_mv: Number = -70.6
    refractory_ms: float = Field(default=0.0, ge=0)
    coupling_ns: Number = 4.0
    tau_w_ms: Positive = 144.0
    current_step_pa: Number = 80.5
    start_mv: Number | None = None
    start_w_pa: Number = 0.0
    method: Literal["euler", "rk4"] = "euler"

    def dynamics(self) -> Dynamics:
        drive, current = self._sum("drive_mv"), self._sum("current_pa")
        upswing = "slope_mv * exp((minimum(v_mv, v_cut_mv) - v_rheobase_mv) / slope_mv)"
        return Dynamics(
            equations={
                "v_mv": f"(g_leak_ns * (e_leak_mv - v_mv + {upswing} + {drive}) - w_pa + {current}) / capacitance_pf",
                "w_pa": "(coupling_ns * (minimum(v_mv, v_cut_mv) - e_leak_mv) - w_pa) / tau_w_ms",
            },
            constants=self._constants(*_ADEX[:-1], "v_cut_mv"),
            start={"v_mv": "e_leak_mv" if self.start_mv is None else self.start_mv, "w_pa": self.start_w_pa},
            threshold="v_mv > v_cut_mv",
            reset=("v_mv = v_reset_mv", "w_pa += current_step_pa"),
            refractory_ms=self.refractory_ms,
            held=frozenset({"v_mv"}),
            method=self.method,
            timed=self._given(),
            ports=("drive_mv", "current_pa"),
        )


class Izhikevich(Published):
    """Izhikevich's simple model: ``dv/dt = 0.04 v² + 5 v + 140 - u + I`` and ``du/dt = a (b v - u)``; a spike where v
    reaches 30 mV; then ``v = c`` and ``u += d``.

    I is ``current / C + drive / τ``, with C = 1 pF and τ = 1 ms: a current of 10 pA, or a drive of 10 mV, is the
    published I = 10. Euler's method, with v and u both from the start of the step (the published script makes two half
    steps of 0.5 ms for v, then one for u with the new v; it is not reproduced).

    `published` knows "regular_spiking" (the defaults), "intrinsically_bursting", "chattering", "fast_spiking",
    "low_threshold", "thalamo_cortical" and "resonator".

    Args:
        curvature_per_mv_ms, slope_per_ms, offset_mv_per_ms: 0.04, 5, 140.
        a_per_ms, b_per_ms: recovery.
        v_peak_mv, c_mv, d_mv_per_ms: of the spike.
        capacitance_pf, tau_ms: C and τ, which scale the input.
        bias_mv, bias_pa, injected_mv, injected_pa: as of `LIF`.
        start_mv, start_u_mv_per_ms: first v, and u (None for b v, where both are numbers).
        method: of a step.

    Example:
        >>> Izhikevich.published("fast_spiking").a_per_ms
        0.1

    Reference:
        Izhikevich (2003), IEEE Transactions on Neural Networks 14:1569, figure 2.
    """

    kind: ClassVar[str] = "izhikevich"
    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})
    rare: ClassVar[frozenset[str]] = Driven.rare | {
        "curvature_per_mv_ms", "slope_per_ms", "offset_mv_per_ms", "v_peak_mv", "capacitance_pf", "tau_ms",
    }  # fmt: skip
    sets: ClassVar[Mapping[str, Mapping[str, float]]] = {
        name: dict(zip(("a_per_ms", "b_per_ms", "c_mv", "d_mv_per_ms"), values, strict=True))
        for name, values in {
            "regular_spiking": (0.02, 0.2, -65.0, 8.0),
            "intrinsically_bursting": (0.02, 0.2, -55.0, 4.0),
            "chattering": (0.02, 0.2, -50.0, 2.0),
            "fast_spiking": (0.1, 0.2, -65.0, 2.0),
            "low_threshold": (0.02, 0.25, -65.0, 2.0),
            "thalamo_cortical": (0.02, 0.25, -65.0, 0.05),
            "resonator": (0.1, 0.26, -65.0, 2.0),
        }.items()
    }
    a_per_ms: Number = 0.02
    b_per_ms: Number = 0.2
    c_mv: Number = -65.0
    d_mv_per_ms: Number = 8.0
    curvature_per_mv_ms: float = 0.04
    slope_per_ms: float = 5.0
    offset_mv_per_ms: float = 140.0
    v_peak_mv: float = 30.0
    capacitance_pf: Positive = 1.0
    tau_ms: Positive = 1.0
    start_mv: Number = -65.0
    start_u_mv_per_ms: Number | None = None
    method: Literal["euler", "rk4"] = "euler"

    @model_validator(mode="after")
    def _first_recovery(self) -> Self:
        drawn = not isinstance(self.start_mv, float) or not isinstance(self.b_per_ms, float)
        if drawn and self.start_u_mv_per_ms is None:
            raise ValueError("start_u_mv_per_ms given where start_mv or b_per_ms is drawn for each unit")
        return self

    def dynamics(self) -> Dynamics:
        first_u = self.start_u_mv_per_ms
        if first_u is None:
            assert isinstance(self.start_mv, float)
            assert isinstance(self.b_per_ms, float)
            first_u = self.b_per_ms * self.start_mv
        rise = "curvature_per_mv_ms * v_mv * v_mv + slope_per_ms * v_mv + offset_mv_per_ms - u_mv_per_ms"
        given = f"({self._sum('current_pa')}) / capacitance_pf + ({self._sum('drive_mv')}) / tau_ms"
        names = ("a_per_ms", "b_per_ms", "c_mv", "d_mv_per_ms", "curvature_per_mv_ms", "slope_per_ms",
                 "offset_mv_per_ms", "v_peak_mv", "capacitance_pf", "tau_ms")  # fmt: skip
        return Dynamics(
            equations={
                "v_mv": f"{rise} + {given}",
                "u_mv_per_ms": "a_per_ms * (b_per_ms * v_mv - u_mv_per_ms)",
            },
            constants=self._constants(*names),
            start={"v_mv": self.start_mv, "u_mv_per_ms": first_u},
            threshold="v_mv >= v_peak_mv",
            reset=("v_mv = c_mv", "u_mv_per_ms += d_mv_per_ms"),
            method=self.method,
            timed=self._given(),
            ports=("drive_mv", "current_pa"),
        )
