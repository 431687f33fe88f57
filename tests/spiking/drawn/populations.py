"""Neurons, rates and sources of spikes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from neurosal.data.coding import LatencyCoded, RateCoded, RecordedSpikes
from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    AdEx,
    Emitter,
    Homeostatic,
    InhomogeneousPoisson,
    Izhikevich,
    LeakyIntegrator,
    LeakyRate,
    PoissonSource,
    Population,
    RegularTrain,
    SpikeTrain,
    TimedReadout,
)
from tests.spiking.drawn.numbers import between, each, many, waveforms

METHODS = ("exact", "exact", "exponential_euler", "euler", "rk4")


def some(draw: st.DrawFn, **fields: st.SearchStrategy[Any]) -> dict[str, Any]:
    """About half of some fields; the others keep what they are."""
    return {name: draw(strategy) for name, strategy in fields.items() if draw(st.booleans())}


def _given(draw: st.DrawFn, units: int, mv: float, pa: float) -> dict[str, Any]:
    """What drives a membrane beside its synapses."""
    wave = st.integers(0, 3).map(lambda number: number == 0)
    found = some(draw, bias_pa=each(0, pa, units))
    if draw(wave):
        found["injected_mv"] = draw(waveforms(-mv / 2, mv / 2, units))
    if draw(wave):
        found["injected_pa"] = draw(waveforms(-pa, pa, units))
    return found


def _leaky(draw: st.DrawFn, units: int) -> dict[str, Any]:
    fields = some(
        draw, tau_m_ms=each(5, 30, units), e_leak_mv=each(-75, -65, units), capacitance_pf=each(100, 300, units),
        start_mv=each(-75, -51, units), bias_mv=each(10, 26, units), method=st.sampled_from(METHODS),
    )  # fmt: skip
    return fields | _given(draw, units, 20.0, 150.0)


def _spiking(draw: st.DrawFn, units: int) -> dict[str, Any]:
    return _leaky(draw, units) | some(
        draw, v_threshold_mv=each(-56, -48, units), v_reset_mv=each(-70, -58, units),
        refractory_ms=st.sampled_from([0.0, 0.1, 0.34, 1.0, 5.0]), reset=st.just("subtract"), clamped=st.just(False),
    )  # fmt: skip


def _adaptive(draw: st.DrawFn, units: int) -> AdaptiveLIF:
    return AdaptiveLIF(**_spiking(draw, units), **some(
        draw, threshold_step_mv=st.one_of(st.just(0.0), each(0.5, 4, units)), tau_threshold_ms=each(5, 50, units),
        start_adaptation_mv=each(0, 2, units), coupling_ns=each(0, 4, units), current_step_pa=each(0, 40, units),
        tau_current_ms=each(5, 50, units),
    ))  # fmt: skip


def _adex(draw: st.DrawFn, units: int) -> AdEx:
    fields: dict[str, Any] = {"bias_pa": draw(each(300, 900, units))} | some(
        draw, capacitance_pf=each(150, 300, units), g_leak_ns=each(10, 30, units), e_leak_mv=each(-72, -68, units),
        v_rheobase_mv=each(-52, -49, units), slope_mv=each(1, 3, units), v_cut_mv=between(-40, 20),
        v_reset_mv=each(-72, -58, units), refractory_ms=st.sampled_from([0.1, 1.0]), coupling_ns=each(0, 5, units),
        tau_w_ms=each(30, 200, units), current_step_pa=each(0, 90, units), start_mv=each(-72, -55, units),
        start_w_pa=each(0, 50, units), method=st.just("rk4"), bias_mv=each(0, 5, units),
    )  # fmt: skip
    return AdEx(**{**_given(draw, units, 5.0, 150.0), **fields})


def _izhikevich(draw: st.DrawFn, units: int) -> Izhikevich:
    fields = _given(draw, units, 2.0, 5.0) | some(
        draw, a_per_ms=each(0.02, 0.1, units), b_per_ms=each(0.2, 0.26, units), c_mv=each(-65, -50, units),
        d_mv_per_ms=each(0, 8, units), curvature_per_mv_ms=between(0.035, 0.045), slope_per_ms=between(4.9, 5.1),
        offset_mv_per_ms=between(138, 142), v_peak_mv=between(25, 35), capacitance_pf=each(0.8, 2, units),
        tau_ms=each(0.8, 2, units), start_mv=each(-70, -60, units), start_u_mv_per_ms=each(-16, -12, units),
        method=st.just("rk4"), bias_mv=each(0, 5, units),
    )  # fmt: skip
    if {"start_mv", "b_per_ms"} & {*fields}:
        fields.setdefault("start_u_mv_per_ms", -14.0)
    return Izhikevich(**fields)


def _homeostatic(draw: st.DrawFn, units: int) -> Homeostatic:
    of: Any = LIF(**_spiking(draw, units)) if draw(st.booleans()) else _adaptive(draw, units)
    return Homeostatic(of=of, **some(draw, target_hz=between(5, 50), eta_mv=between(0.05, 1), start_mv=between(-2, 2)))


def _rate(draw: st.DrawFn, units: int) -> LeakyRate:
    fields = some(
        draw, tau_ms=each(3, 20, units), activation=st.sampled_from(["relu", "tanh", "sigmoid"]),
        bias=each(-0.2, 0.5, units), start=each(-0.5, 0.5, units), injected=waveforms(-1.0, 1.0, units),
    )  # fmt: skip
    return LeakyRate(**fields)


@st.composite
def populations(draw: st.DrawFn) -> Population:
    """Units that compute: neurons, a membrane that never spikes, or rates."""
    shape = draw(st.sampled_from([4, 4, 6, 3, (2, 2), (1, 2, 3)]))
    units = int(np.prod(shape))
    model: Any
    kinds = ["lif", "lif", "lif", "adaptive", "adaptive", "adex", "izhikevich", "homeostatic", "silent", "silent"]
    match draw(st.sampled_from([*kinds, "rate", "rate"])):
        case "lif":
            model = LIF(**_spiking(draw, units))
        case "adaptive":
            model = _adaptive(draw, units)
        case "adex":
            model = _adex(draw, units)
        case "izhikevich":
            model = _izhikevich(draw, units)
        case "homeostatic":
            model = _homeostatic(draw, units)
        case "silent":
            fields = _leaky(draw, units)
            if draw(st.booleans()):
                model = TimedReadout(**{**fields, "e_leak_mv": draw(st.sampled_from([0.0, -70.0]))})
            else:
                model = LeakyIntegrator(**fields)
        case _:
            model = _rate(draw, units)
    extent: dict[str, Any] = {"size": shape} if isinstance(shape, int) else {"shape": shape}
    return Population(model=model, **extent)


# Sources -------------------------------------------------------------------------------------------------------------


@cache
def recorded() -> str:
    """A file of spikes of four units, one each in a step at most."""
    folder = Path(tempfile.mkdtemp(prefix="neurosal_spikes_"))
    grid = np.arange(0.0, 100.0, 1.5)
    times_ms = grid + np.random.default_rng(0).uniform(0.0, 0.7, (4, len(grid)))
    np.savez(folder / "spikes.npz", times_ms=times_ms.ravel(), units=np.repeat(np.arange(4), len(grid)))
    return str(folder / "spikes.npz")


def _shown(draw: st.DrawFn) -> dict[str, Any]:
    fields = some(draw, part=st.sampled_from(["validation", "test"]), first=st.integers(1, 20), count=st.integers(1, 5),
                  order=st.just("shuffled"), order_seed=st.integers(1, 5))  # fmt: skip
    split = {"train": 0.6, "validation": 0.2, "test": 0.2}
    return {**fields, "data": {"name": "digits", "split": split}, "duration_ms": draw(between(3, 9)),
            "pause_ms": draw(st.sampled_from([0.0, 2.0]))}  # fmt: skip


@st.composite
def sources(draw: st.DrawFn) -> Population:
    """A source of spikes."""
    units = draw(st.sampled_from([4, 6, 5]))
    model: Any
    match draw(st.sampled_from(["poisson", "poisson", "inhomogeneous", "regular", "train", "rate_coded",
                                "latency_coded", "recorded", "file"])):  # fmt: skip
        case "poisson":
            rate: Any = st.one_of(between(50, 400), many(20, 400, units))
            model = PoissonSource(rate_hz=draw(rate), **some(draw, merged=st.integers(2, 4)))
        case "inhomogeneous":
            wave = draw(waveforms(-50.0, 400.0, units))
            model = InhomogeneousPoisson(rate_hz=wave, **some(draw, merged=st.integers(2, 4)))
        case "regular":
            every, start = (st.one_of(between(low, high), many(low, high, units)) for low, high in ((1, 9), (0, 3)))
            model = RegularTrain(interval_ms=draw(every), **some(draw, start_ms=start))
        case "train":
            pairs = draw(st.lists(st.tuples(between(0, 19), st.integers(0, units - 1)), min_size=1, max_size=60))
            model = SpikeTrain(times_ms=tuple(time for time, _ in pairs), units=tuple(unit for _, unit in pairs))
        case "rate_coded":
            units, model = 64, RateCoded(**_shown(draw), max_rate_hz=draw(between(100, 300)))
        case "latency_coded":
            units, model = 64, LatencyCoded(**_shown(draw), **some(
                draw, coding=st.just("logarithmic"), threshold=between(0.05, 0.3), latest_ms=between(2, 5),
                tau_ms=between(1, 5),
            ))  # fmt: skip
        case "recorded":
            units, model = 4, RecordedSpikes(name=recorded())
        case _:
            units, model = 4, SpikeTrain(path=recorded())
    return Population(size=units, model=model)


def once_a_step(model: Any) -> bool:
    """Whether a unit sends one spike a step at most: Brian2 refuses plastic synapses of all others."""
    if not isinstance(model, Emitter):
        return True
    if isinstance(model, SpikeTrain) and model.path is None:
        return False
    return getattr(model, "merged", 1) == 1


def noise(rate_hz: float) -> Population:
    """Poisson spikes."""
    return Population(size=4, model=PoissonSource(rate_hz=rate_hz))
