"""Plasticity and short-term plasticity, in sizes that do something within some tens of milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from hypothesis import strategies as st

from neurosal.graph import Plasticity, ShortTerm, TsodyksMarkram
from neurosal.plasticity import (
    BCM,
    STDP,
    AntiHebbian,
    Combined,
    Fixed,
    Gated,
    Hebbian,
    InhibitorySTDP,
    Normalised,
    Oja,
    RewardSTDP,
    SpikeAlignment,
    SynapticScaling,
    TripletSTDP,
    VoltageSTDP,
)
from tests.spiking.drawn.numbers import between
from tests.spiking.drawn.populations import some

RATE = st.sampled_from([0.5, 1.5])
TAU = between(2, 40)


class Place:
    """A synapse that plasticity acts at.

    Args:
        low, high: of its first weights.
        size: of a weight that does something.
        arrivals, spikes, rates, membrane: whether spikes arrive there, its target spikes, both ends have rates, its
            target has a potential.
        signals: names of what plasticity may read at its target.
    """

    def __init__(self, low: float, high: float, size: float, arrivals: bool, spikes: bool, rates: bool, membrane: bool,
                 signals: Sequence[str]) -> None:  # fmt: skip
        self.low, self.high, self.size = low, high, size
        self.arrivals, self.spikes, self.rates, self.membrane = arrivals, spikes, rates, membrane
        self.signals = list(signals)


def short_terms() -> st.SearchStrategy[ShortTerm | None]:
    """Facilitation and depression."""
    made = st.builds(
        TsodyksMarkram, utilisation=between(0.1, 1), tau_facilitation_ms=st.one_of(st.none(), between(5, 200)),
        tau_depression_ms=between(5, 200),
    )  # fmt: skip
    return st.one_of(st.none(), st.none(), made)


def _bounds(draw: st.DrawFn, place: Place, both: bool = False) -> dict[str, float | None]:
    """Bounds that hold for the first weights, or of draws without ends for most of them."""
    low = -place.size if place.low == -inf else place.low
    high = 2 * place.size if place.high == inf else place.high
    below = min(low, 0.0) - draw(st.sampled_from([0.0, 0.3])) * place.size
    above = max(high, 0.0) + draw(st.sampled_from([0.1, 0.4])) * place.size
    return {
        "w_min": below if both or draw(st.integers(0, 2)) else None,
        "w_max": above if both or draw(st.booleans()) else None,
    }


def _amplitudes(draw: st.DrawFn, place: Place, *names: str, of: float = 0.1) -> dict[str, float]:
    return {name: draw(between(0.01, 1)) * of * place.size for name in names}


def _spike_timing(draw: st.DrawFn, place: Place, triplet: bool) -> Plasticity:
    soft = some(draw, mu_plus=st.sampled_from([0.4, 1.0]), mu_minus=st.sampled_from([0.3, 1.0]))
    fields: dict[str, Any] = {**soft, **_bounds(draw, place, both=bool(soft)), **some(draw, rate=RATE,
                              tau_plus_ms=TAU, tau_minus_ms=TAU)}  # fmt: skip
    if triplet:
        fields |= _amplitudes(draw, place, "a2_plus", "a3_plus", "a2_minus", "a3_minus", of=0.05)
        fields |= some(draw, tau_x_ms=TAU, tau_y_ms=TAU, pairing=st.just("nearest"))
        return TripletSTDP(**fields)
    fields |= _amplitudes(draw, place, "a_plus", "a_minus")
    if not soft and draw(st.booleans()):
        fields["a_minus"] = -fields["a_minus"]
    pairings = ["nearest", "nearest_pre_centred", "nearest_immediate"]
    return STDP(**fields, **some(draw, pairing=st.sampled_from(pairings)))


def _inhibitory(draw: st.DrawFn, place: Place) -> Plasticity:
    bounds = _bounds(draw, place)
    negative = draw(st.booleans()) and (bounds["w_min"] is None or bounds["w_min"] < 0)
    return InhibitorySTDP(**_amplitudes(draw, place, "eta"), negative=negative, **bounds,
                          **some(draw, target_hz=between(0, 100), tau_ms=TAU, rate=RATE))  # fmt: skip


def _alignment(draw: st.DrawFn, place: Place) -> Plasticity:
    more = some(draw, tau_ms=TAU, rate=RATE, decay=between(0, 0.2))
    return SpikeAlignment(**_amplitudes(draw, place, "a"), **_bounds(draw, place), **more)


def _voltage(draw: st.DrawFn, place: Place) -> Plasticity:
    fields = some(
        draw, theta_minus_mv=between(-75, -60), theta_plus_mv=between(-58, -45), tau_minus_ms=TAU, tau_plus_ms=TAU,
        tau_x_ms=TAU, start_mv=between(-75, -60), spike_ms=between(0.5, 2), rate=RATE,
    )  # fmt: skip
    fields |= some(draw, spike_mv=between(0, 30)) if place.spikes else {}
    fields |= _amplitudes(draw, place, "a_ltd_per_mv", of=1e-3) | _amplitudes(draw, place, "a_ltp_per_mv_mv", of=1e-4)
    return VoltageSTDP(**fields, **_bounds(draw, place))


def _reward(draw: st.DrawFn, place: Place) -> Plasticity:
    signal = draw(st.sampled_from(place.signals))
    scale = 0.01 if signal.endswith("mv") else 1.0
    return RewardSTDP(
        nu=draw(between(0.1, 1)) * place.size * scale, signal=signal, **_bounds(draw, place),
        **some(draw, a_plus=between(-1, 1), a_minus=between(-1, 2), tau_plus_ms=TAU, tau_minus_ms=TAU, rate=RATE,
               tau_eligibility_ms=st.one_of(st.none(), st.none(), between(5, 40)), baseline=between(-1, 1)),
    )  # fmt: skip


def _normalised(draw: st.DrawFn, place: Place, factor: bool) -> Plasticity:
    every = some(draw, every_ms=st.sampled_from([0.1, 1.0, 3.3, 7.0]))
    if factor:
        total = draw(between(1, 5)) * place.size
        return Normalised(total=total if place.low >= 0 else -total, **every)
    return Normalised(total=draw(between(-3, 3)) * place.size or 1.0, by="amount", **_bounds(draw, place), **every,
                      **some(draw, rate=RATE))  # fmt: skip


def _scaling(draw: st.DrawFn, place: Place) -> Plasticity:
    return SynapticScaling(
        beta_per_hz_s=draw(between(0.01, 0.5)), **_bounds(draw, place),
        **some(draw, target_hz=between(0, 50), tau_ms=between(20, 200), rate=RATE,
               every_ms=st.sampled_from([0.1, 1.0, 2.5, 7.0])),
    )  # fmt: skip


def _of_rates(draw: st.DrawFn) -> Plasticity:
    rate = {"rate": draw(between(0.001, 0.03))}
    match draw(st.sampled_from(["hebbian", "oja", "bcm", "anti"])):
        case "hebbian":
            return Hebbian(**rate, **some(draw, decay=between(0, 1)))
        case "oja":
            return Oja(**rate)
        case "bcm":
            return BCM(**rate, **some(draw, time_constant=between(1, 20)))
    return AntiHebbian(**rate, **some(draw, target=between(0, 0.5)))


@st.composite
def single(draw: st.DrawFn, place: Place, factor: bool = True) -> Plasticity:
    """One plasticity.

    Args:
        factor: whether it may be the normalisation that multiplies, which needs weights of one sign.
    """
    kinds = ["fixed", "amount"]
    kinds += ["factor"] * (factor and (place.low > 0 or place.high < 0))
    kinds += ["scaling"] * place.spikes
    kinds += ["rates"] * 5 * place.rates
    if place.arrivals and place.spikes:
        kinds += ["stdp", "stdp", "triplet", "inhibitory", "alignment"]
        kinds += ["reward"] * 3 * bool(place.signals)
    kinds += ["voltage"] * (place.arrivals and place.membrane)
    match draw(st.sampled_from(kinds)):
        case "stdp":
            return _spike_timing(draw, place, triplet=False)
        case "triplet":
            return _spike_timing(draw, place, triplet=True)
        case "inhibitory":
            return _inhibitory(draw, place)
        case "alignment":
            return _alignment(draw, place)
        case "voltage":
            return _voltage(draw, place)
        case "reward":
            return _reward(draw, place)
        case "amount":
            return _normalised(draw, place, factor=False)
        case "factor":
            return _normalised(draw, place, factor=True)
        case "scaling":
            return _scaling(draw, place)
        case "rates":
            return _of_rates(draw)
    return Fixed()


@st.composite
def plasticities(draw: st.DrawFn, place: Place) -> Plasticity:
    """One, one that a signal opens and closes, or several together."""
    match draw(st.sampled_from(["one", "one", "one", "gated", "several"])):
        case "gated" if place.signals:
            signal = draw(st.sampled_from(place.signals))
            rate = {"rate": 0.01} if signal.endswith("mv") else some(draw, rate=RATE)
            return Gated(of=draw(single(place, factor=False)), signal=signal, **rate)
        case "several":
            parts = draw(st.lists(single(place, factor=False), min_size=1, max_size=3))
            intervals = [part for part in parts if hasattr(part, "every_ms")]
            parts = [part.replace(every_ms=2.0) if part in intervals else part for part in parts]
            return Combined(parts=tuple(parts), **some(draw, rate=RATE))
    return draw(single(place))
