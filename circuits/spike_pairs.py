"""Pairs of spikes at given lags: how the window of a plasticity is measured."""

from __future__ import annotations

from collections.abc import Iterable

from neurosal.circuits.building import refuse
from neurosal.errors import Problem
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialDrive,
    Modulation,
    OneToOne,
    Own,
    Plasticity,
    Population,
    Projection,
    SpikeTrain,
    Synapse,
)
from neurosal.plasticity import STDP, Fixed

KICK_MV = 1e6  # of a drive that is over within a step: v rises by 1e6 · dt / 50 τ_m


def spike_pairs(
    plasticity: Plasticity | None = None,
    *,
    lags_ms: Iterable[float] = tuple(range(-100, 101, 2)),
    pairs: int = 1,
    every_ms: float = 1000.0,
    weight: float = 0.5,
    dt_ms: float = 0.1,
    name: str = "spike_pairs",
) -> Circuit:
    """Synapses with a plasticity, one for each lag between a spike that arrives and a spike of the target.

    Synapses move no membrane: unit k of ``post`` spikes because ``drive`` makes it, ``lags_ms[k]`` after unit k of
    ``pre``. Simulate it with the same time step and record spikes and the weights of ``pre_to_post``; the analysis
    ``stdp_window`` draws what came of each pair.

    Args:
        plasticity: of the synapses; pair STDP with the constants of Bi & Poo's data if None.
        lags_ms: post less pre, in whole steps.
        pairs: how many each synapse gets; every_ms: how far apart.
        weight: first one.
        dt_ms: of the simulation.
        name: of the circuit.

    Example:
        >>> spike_pairs(lags_ms=(-10, 10)).populations["post"].extent
        (2,)
    """
    lags = [float(lag) for lag in lags_ms]
    longest = max(map(abs, lags), default=0.0)
    apart = 2 * longest if pairs > 1 else 0.0
    wrong = {
        "lags_ms": ("one lag at least", lags, not lags),
        "pairs": ("one or more", pairs, pairs < 1),
        "dt_ms": ("above 0", dt_ms, dt_ms <= 0),
        "every_ms": (f"more than {apart:g} ms, so that pairs stay apart", every_ms, every_ms <= apart),
    }
    refuse(Problem(place=place, expected=said, found=repr(found)) for place, (said, found, bad) in wrong.items() if bad)
    first_ms = 10.0 + longest
    rule = STDP(a_plus=0.777, a_minus=0.273, tau_plus_ms=16.8, tau_minus_ms=33.7, w_min=None)

    def train(shifts: list[float]) -> SpikeTrain:
        starts = [first_ms + pair * every_ms for pair in range(pairs)]
        spikes = sorted((start + shift, unit) for start in starts for unit, shift in enumerate(shifts))
        return SpikeTrain(times_ms=tuple(time for time, _ in spikes), units=tuple(unit for _, unit in spikes))

    def joined(source: str, synapse: Synapse, value: float, rule: Plasticity) -> Projection:
        return Projection(source=source, target="post", wiring=OneToOne(), synapse=synapse,
                          weights=Own(init=Constant(value=value)), plasticity=rule)  # fmt: skip

    return Circuit(
        name=name,
        populations={
            "pre": Population(size=len(lags), model=train([0.0] * len(lags))),
            "drive": Population(size=len(lags), model=train([lag - dt_ms for lag in lags])),  # felt a step later
            "post": Population(size=len(lags), model=LIF(refractory_ms=0.0)),
        },
        projections={
            "drive_to_post": joined("drive", ExponentialDrive(tau_ms=dt_ms / 50), KICK_MV, Fixed()),
            "pre_to_post": joined("pre", Modulation(variable="heard"), weight, plasticity or rule),
        },
    )
