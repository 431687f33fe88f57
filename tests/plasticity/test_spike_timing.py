"""Closed forms of spike timing, to 1e-12: sums over pairs and triplets of spikes, on the slow reference and on engines.

The sums here know spikes and time constants only; they share nothing with programs or engines.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal import circuits, rules
from neurosal.graph import Plasticity
from neurosal.plasticity import STDP, InhibitorySTDP, RewardSTDP, SpikeAlignment, TripletSTDP
from tests.plasticity.protocols import ENGINES, Protocol
from tests.reference.numerics import Array

ENGINE = pytest.mark.parametrize("engine", ENGINES)
exp = np.exp
Times = list[int]
SCIENCE: dict[str, Any] = {"a_plus": 0.777, "a_minus": 0.273, "tau_plus_ms": 16.8, "tau_minus_ms": 33.7, "w_min": None}


def change(engine: str, protocol: Protocol) -> Array:
    return getattr(protocol, engine)()["w"] - protocol.weight


def trains(seed: int, synapses: int = 12, steps: int = 200, share: float = 0.06) -> tuple[list[Times], list[Times]]:
    """Spikes at random, many of them in the same steps."""
    random = np.random.default_rng(seed)
    arrived, fired = (
        [sorted(random.choice(np.arange(1, steps), size=random.poisson(share * steps), replace=False).tolist())
         for _ in range(synapses)]
        for _ in range(2)
    )  # fmt: skip
    fired = [sorted({*mine, *other[::3]} - {0}) for mine, other in zip(fired, arrived, strict=True)]
    return arrived, fired


# The window of a pair -------------------------------------------------------------------------------------------------


@ENGINE
@pytest.mark.parametrize("pairing", ["all", "nearest", "nearest_pre_centred", "nearest_immediate"])
def test_the_window_of_single_pairs_from_minus_to_plus_100_ms(engine: str, pairing: str) -> None:
    lags = np.arange(-100, 101)
    protocol = Protocol(
        STDP(**SCIENCE, pairing=pairing), arrivals=[[150]] * len(lags), fired=[[150 + lag] for lag in lags.tolist()],
        steps=300,
    )  # fmt: skip
    expected = np.where(lags >= 0, 0.777 * exp(-lags / 16.8), -0.273 * exp(lags / 33.7))
    found = change(engine, protocol)
    assert abs(found - expected).max() < 1e-12
    assert found[110].round(5) == 0.42846  # +10 ms
    assert found[90].round(5) == -0.20290  # -10 ms
    assert found[100] == pytest.approx(0.777, abs=1e-14)  # coincident: the arrival counts before the spike


@ENGINE
@pytest.mark.parametrize("delay", [0, 3])
def test_the_window_counts_from_arrival_not_from_the_source(engine: str, delay: int) -> None:
    protocol = Protocol(STDP(**SCIENCE), arrivals=[[20], [20]], fired=[[30], [10]], steps=50, delay=delay)
    assert change(engine, protocol) == pytest.approx([0.777 * exp(-10 / 16.8), -0.273 * exp(-10 / 33.7)], abs=1e-13)


@ENGINE
def test_half_a_millisecond_is_half_a_millisecond(engine: str) -> None:
    protocol = Protocol(STDP(**SCIENCE), arrivals=[[20], [30]], fired=[[30], [20]], steps=50, dt_ms=0.05)
    assert change(engine, protocol) == pytest.approx([0.777 * exp(-0.5 / 16.8), -0.273 * exp(-0.5 / 33.7)], abs=1e-13)


# Sums over spikes -----------------------------------------------------------------------------------------------------


def over_pairs(arrived: Times, fired: Times) -> float:
    """All pairs; an arrival in the step of a spike comes before it."""
    grown = sum(0.777 * exp(-(f - a) / 16.8) for a in arrived for f in fired if f >= a)
    return grown - sum(0.273 * exp(-(a - f) / 33.7) for a in arrived for f in fired if f < a)


def over_nearest(arrived: Times, fired: Times) -> float:
    """Each spike with the last one of the other side."""
    total = 0.0
    for f in fired:
        total += 0.777 * exp(-(f - max(earlier)) / 16.8) if (earlier := [a for a in arrived if a <= f]) else 0.0
    for a in arrived:
        total -= 0.273 * exp(-(a - max(earlier)) / 33.7) if (earlier := [f for f in fired if f < a]) else 0.0
    return total


def over_pre_centred(arrived: Times, fired: Times) -> float:
    """Each arrival with the last spike before it and the next one from it on."""
    total = 0.0
    for a in arrived:
        total -= 0.273 * exp(-(a - max(earlier)) / 33.7) if (earlier := [f for f in fired if f < a]) else 0.0
        total += 0.777 * exp(-(min(later) - a) / 16.8) if (later := [f for f in fired if f >= a]) else 0.0
    return total


def over_immediate(arrived: Times, fired: Times) -> float:
    """Neighbours only, in the order in which spikes count."""
    order = sorted([(a, 0) for a in arrived] + [(f, 1) for f in fired])
    total = 0.0
    for (first, side), (second, other) in itertools.pairwise(order):
        if side == 0 and other == 1:
            total += 0.777 * exp(-(second - first) / 16.8)
        elif side == 1 and other == 0:
            total -= 0.273 * exp(-(second - first) / 33.7)
    return total


@ENGINE
@pytest.mark.parametrize(("pairing", "by_hand"), [
    ("all", over_pairs), ("nearest", over_nearest), ("nearest_pre_centred", over_pre_centred),
    ("nearest_immediate", over_immediate),
])  # fmt: skip
def test_trains_of_spikes_sum_over_their_pairs(engine: str, pairing: str, by_hand: Callable[..., float]) -> None:
    arrived, fired = trains(1)
    protocol = Protocol(STDP(**SCIENCE, pairing=pairing), arrivals=arrived, fired=fired, steps=205)
    expected = [by_hand(a, f) for a, f in zip(arrived, fired, strict=True)]
    assert abs(change(engine, protocol) - expected).max() < 1e-12
    assert abs(np.array(expected)).min() > 1e-3


def over_triplets(rule: TripletSTDP, arrived: Times, fired: Times) -> float:
    """Every pair, and every spike of the same side strictly before the later one of it."""

    def trace(times: Times, now: int, tau: float, same_step: bool) -> float:
        seen = [t for t in times if t < now or (same_step and t == now)]
        if rule.pairing == "nearest":
            seen = seen[-1:]
        return sum(exp(-(now - t) / tau) for t in seen)

    total = 0.0
    for f in fired:
        slow = trace(fired, f, rule.tau_y_ms, False)
        total += trace(arrived, f, rule.tau_plus_ms, True) * (rule.a2_plus + rule.a3_plus * slow)
    for a in arrived:
        slow = trace(arrived, a, rule.tau_x_ms, False)
        total -= trace(fired, a, rule.tau_minus_ms, False) * (rule.a2_minus + rule.a3_minus * slow)
    return total


@ENGINE
@pytest.mark.parametrize("to", ["visual_cortex", "visual_cortex_minimal", "visual_cortex_nearest", "hippocampus",
                                "hippocampus_minimal", "hippocampus_nearest"])  # fmt: skip
def test_trains_of_spikes_sum_over_their_triplets(engine: str, to: str) -> None:
    arrived, fired = trains(2)
    rule = TripletSTDP.fitted(to, w_min=None)
    expected = [over_triplets(rule, a, f) for a, f in zip(arrived, fired, strict=True)]
    found = change(engine, Protocol(rule, arrivals=arrived, fired=fired, steps=205))
    assert abs(found - expected).max() < 1e-12
    pairs = rule.replace(a3_plus=0.0, a3_minus=0.0)
    assert max(abs(over_triplets(pairs, a, f) - e) for a, f, e in zip(arrived, fired, expected, strict=True)) > 1e-3


def test_pairs_at_a_higher_rate_grow_more_by_triplets_and_not_by_pairs() -> None:
    """What triplets are for: 60 pairs 10 ms apart, at 1 and at 40 Hz (figure 6 of Pfister & Gerstner)."""
    grown = {}
    for every in (1000, 25):
        arrived = [100 + every * k for k in range(60)]
        for rule in (TripletSTDP(w_min=None), STDP(**SCIENCE)):
            protocol = Protocol(rule, [arrived], [[a + 10 for a in arrived]], steps=arrived[-1] + 50)
            grown[rule.kind, every] = change("by_event", protocol)[0]
    assert abs(grown["triplet_stdp", 1000]) < 0.01
    assert grown["triplet_stdp", 25] > 0.25
    assert grown["stdp", 25] < grown["stdp", 1000]


# Bounds ---------------------------------------------------------------------------------------------------------------


def weights_by_hand(rule: STDP, arrived: Times, fired: Times, weight: float, sign: int = 0) -> float:
    """Step by step, with the powers and bounds written out; traces as sums over all spikes before."""
    low, high = (-np.inf if rule.w_min is None else rule.w_min), (np.inf if rule.w_max is None else rule.w_max)
    low, high = (max(low, 0.0), high) if sign > 0 else (low, min(high, 0.0)) if sign < 0 else (low, high)

    def place() -> float:
        return (weight - rule.w_min) / (rule.w_max - rule.w_min) if rule.mu_plus or rule.mu_minus else 0.0

    for now in sorted({*arrived, *fired}):
        if now in arrived:
            trace = sum(exp(-(now - f) / rule.tau_minus_ms) for f in fired if f < now)
            factor = place() ** rule.mu_minus if rule.mu_minus else 1.0
            weight = min(max(weight - rule.a_minus * factor * trace, low), high)
        if now in fired:
            trace = sum(exp(-(now - a) / rule.tau_plus_ms) for a in arrived if a <= now)
            factor = (1 - place()) ** rule.mu_plus if rule.mu_plus else 1.0
            weight = min(max(weight + rule.a_plus * factor * trace, low), high)
    return weight


@ENGINE
@pytest.mark.parametrize("rule", [
    STDP(a_plus=0.3, a_minus=0.2, w_max=1.0),
    STDP(a_plus=0.3, a_minus=0.2, w_min=-0.5, w_max=0.8, mu_plus=1.0, mu_minus=1.0),
    STDP(a_plus=0.3, a_minus=0.2, w_max=1.0, mu_plus=0.4, mu_minus=0.4),
    STDP.gutig(0.02, w_max=2.0, learning_rate=0.05),
    STDP.van_rossum(0.05, 0.2, w_max=2.0),
    STDP(a_plus=0.3, a_minus=0.2, rate=0.5),
    STDP(a_plus=-0.1, a_minus=-0.2, w_max=0.7),
], ids=lambda rule: f"{rule.mu_plus}-{rule.mu_minus}-{rule.w_min}-{rule.w_max}-{rule.rate}")  # fmt: skip
def test_soft_and_hard_bounds_step_by_step(engine: str, rule: STDP) -> None:
    arrived, fired = trains(3)
    plain = rule.replace(a_plus=rule.a_plus * rule.rate, a_minus=rule.a_minus * rule.rate, rate=1.0)
    expected = [weights_by_hand(plain, a, f, 0.5) for a, f in zip(arrived, fired, strict=True)]
    found = getattr(Protocol(rule, arrivals=arrived, fired=fired, steps=205), engine)()["w"]
    assert abs(found - expected).max() < 1e-12
    assert len({round(w, 9) for w in expected}) > 3


@ENGINE
@pytest.mark.parametrize(("sign", "weight"), [("excitatory", 0.5), ("inhibitory", -0.5)])
def test_a_sign_stops_plasticity_at_zero(engine: str, sign: str, weight: float) -> None:
    arrived, fired = trains(4)
    rule = STDP(a_plus=0.3, a_minus=0.3, w_min=None)
    expected = [
        weights_by_hand(rule, a, f, weight, 1 if weight > 0 else -1) for a, f in zip(arrived, fired, strict=True)
    ]
    protocol = Protocol(rule, arrivals=arrived, fired=fired, steps=205, weight=weight, sign=sign)
    found = getattr(protocol, engine)()["w"]
    assert abs(found - expected).max() < 1e-12
    assert (found * weight >= 0).all()


def test_what_bounds_cannot_mean_is_refused() -> None:
    for fields in ({"w_min": 1.0, "w_max": 1.0}, {"mu_plus": 0.5}, {"mu_minus": 1.0, "w_min": None, "w_max": 1.0},
                   {"a_plus": -1.0, "mu_plus": 1.0, "w_max": 1.0}):  # fmt: skip
        with pytest.raises(ns.CircuitError, match="STDP"):
            STDP(**fields)
    with pytest.raises(ns.CircuitError, match="w_min below 0"):
        InhibitorySTDP(negative=True)
    with pytest.raises(ns.CircuitError, match="a name such as reward"):
        RewardSTDP(signal="the reward")


# Inhibition -----------------------------------------------------------------------------------------------------------


@ENGINE
@pytest.mark.parametrize("negative", [False, True])
def test_inhibition_sums_over_pairs_of_both_orders_and_loses_alpha_an_arrival(engine: str, negative: bool) -> None:
    arrived, fired = trains(5)
    rule = InhibitorySTDP(eta=0.02, target_hz=10, tau_ms=20, negative=negative, w_min=None)
    expected = [
        0.02 * (sum(exp(-abs(f - a) / 20) for a in times for f in spikes) - 2 * 0.010 * 20 * len(times))
        for times, spikes in zip(arrived, fired, strict=True)
    ]
    found = change(engine, Protocol(rule, arrivals=arrived, fired=fired, steps=205))
    assert abs(found - (-1 if negative else 1) * np.array(expected)).max() < 1e-12


@ENGINE
@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 20.0])
def test_inhibition_is_at_rest_at_the_target_rate(engine: str, rate_hz: float) -> None:
    """One arrival at each phase of a regular train, once it has gone on for long: its mean change is
    η (p coth(dt / 2τ) - 2 ρ₀ τ) with p spikes a step, 0 where p = ρ₀ dt up to (dt/2τ)²/3 of it."""
    period = round(1000 / rate_hz)
    fired = list(range(1, 1000, period))
    start = 500 - 500 % period + 1
    rule = InhibitorySTDP(eta=1.0, target_hz=10, tau_ms=8.0, w_min=None)
    arrivals = [[start + phase] for phase in range(period)]
    protocol = Protocol(rule, arrivals=arrivals, fired=[fired] * period, steps=1000)
    expected = 1 / np.tanh(1 / 16) / period - 2 * 0.010 * 8
    assert change(engine, protocol).mean() == pytest.approx(expected, abs=1e-12)
    assert np.sign(round(expected, 3)) == np.sign(rate_hz - 10)


# Reward ---------------------------------------------------------------------------------------------------------------


@ENGINE
def test_the_trace_of_eligibility_is_its_kernel(engine: str) -> None:
    """A pair leaves A₊ exp(-Δt/τ₊) / τ_z at its post spike, which fades with τ_z."""
    lags, now = np.array([0, 5, 40, -5, -40]), 200
    rule = RewardSTDP(a_plus=1.5, a_minus=0.5, tau_plus_ms=12.0, tau_minus_ms=30.0, tau_eligibility_ms=25.0, w_min=None)
    protocol = Protocol(rule, arrivals=[[100]] * 5, fired=[[100 + lag] for lag in lags.tolist()], steps=now,
                        reward=((0,), 1e-3))  # fmt: skip
    found = getattr(protocol, engine)()["z"]
    later = 100 + np.maximum(lags, 0)
    pair = np.where(lags >= 0, 1.5 * exp(-lags / 12), -0.5 * exp(lags / 30))
    assert abs(found - pair / 25 * exp(-(now - later) / 25)).max() < 1e-15


@ENGINE
@pytest.mark.parametrize("baseline", [0.0, 0.25])
def test_reward_turns_eligibility_into_change_in_every_step(engine: str, baseline: float) -> None:
    """ν dt Σ (r - r₀) z over steps: geometric sums."""
    rule = RewardSTDP(nu=0.3, tau_eligibility_ms=25.0, baseline=baseline, w_min=None)
    protocol = Protocol(rule, arrivals=[[20]], fired=[[26]], steps=300, dt_ms=0.5, reward=((60,), 10.0))
    z = exp(-3 / 20) / 25  # at step 26; 3 ms between the spikes
    share, both = exp(-0.5 / 25), exp(-0.5 * (1 / 25 + 1 / 10))
    at_reward = z * share ** (60 - 26)
    rewarded = at_reward * (1 - both ** (300 - 60)) / (1 - both)
    punished = baseline * z * (1 - share ** (300 - 26)) / (1 - share)
    assert change(engine, protocol)[0] == pytest.approx(0.3 * 0.5 * (rewarded - punished), abs=1e-14)


@ENGINE
def test_reward_without_eligibility_acts_at_the_spikes(engine: str) -> None:
    rule = RewardSTDP(nu=0.3, a_minus=0.5, tau_eligibility_ms=None, w_min=None)
    protocol = Protocol(rule, arrivals=[[20], [30]], fired=[[26], [23]], steps=60, reward=((10,), 40.0))
    expected = [0.3 * exp(-16 / 40) * exp(-6 / 20), -0.3 * exp(-20 / 40) * 0.5 * exp(-7 / 20)]
    assert abs(change(engine, protocol) - expected).max() < 1e-14


def test_dopamine_is_eligibility_of_a_second_that_is_not_divided_by_its_time() -> None:
    rule = RewardSTDP.dopamine(nu=1.0, w_max=None)
    program = rule.program()
    assert program.constants["a_plus"] / program.constants["tau_eligibility_ms"] == 1.0
    assert "post.dopamine" in program.each_step[0]


# Alignment ------------------------------------------------------------------------------------------------------------


@ENGINE
def test_alignment_is_hebbian_for_the_way_back_and_cancels_what_is_the_same_both_ways(engine: str) -> None:
    lags = np.arange(-50, 51)
    rule = SpikeAlignment(a=0.1, tau_ms=7.0)
    protocol = Protocol(rule, arrivals=[[100]] * 101, fired=[[100 + lag] for lag in lags.tolist()], steps=200)
    found = change(engine, protocol)
    expected = np.where(lags < 0, 0.1 * exp(lags / 7), -0.1 * exp(-(lags + 1) / 7))
    assert abs(found - expected).max() < 1e-13
    far = 0.1 * exp(-51 / 7)  # the one term of the sum over all lags that has no partner here
    assert found.sum() == pytest.approx(-far, abs=1e-12)


@ENGINE
def test_decay_of_alignment_takes_a_share_of_the_weight_at_each_arrival(engine: str) -> None:
    rule = SpikeAlignment(a=0.1, tau_ms=7.0, decay=0.05, rate=2.0)
    arrivals = [[50], [50, 70, 90], [100]]
    found = change(engine, Protocol(rule, arrivals=arrivals, fired=[[], [], [86]], steps=200, weight=0.5))
    expected = [0.5 * 0.9, 0.5 * 0.9**3, 0.5 * 0.9 + 0.2 * exp(-14 / 7)]  # a times rate is 0.2
    np.testing.assert_allclose(found + 0.5, expected, rtol=1e-13)


def test_members_round_trip_and_are_found_by_kind() -> None:
    for kind in ("stdp", "triplet_stdp", "inhibitory_stdp", "reward_stdp", "voltage_stdp", "spike_alignment",
                 "synaptic_scaling"):  # fmt: skip
        member = Plasticity.members[kind]()
        assert Plasticity.from_dict(member.to_dict()) == member


def test_circuits_that_are_trained_refuse_rules_of_time() -> None:
    trained = circuits.mlp(4, 5, 3)
    edge = trained.projections["input_to_hidden1"].replace(plasticity=STDP())
    with pytest.raises(ns.CircuitError, match="a plasticity of circuits that are trained, found stdp"):
        ns.check(rules.shallow(trained.with_projections(input_to_hidden1=edge)))
