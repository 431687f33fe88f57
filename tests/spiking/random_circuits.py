"""Random small circuits in continuous time, for property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    AdEx,
    AlphaConductance,
    AlphaCurrent,
    Circuit,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    FixedInDegree,
    FixedOutDegree,
    Izhikevich,
    Jump,
    LogNormal,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    TsodyksMarkram,
    Uniform,
)
from neurosal.plasticity import STDP, Fixed, InhibitorySTDP, SpikeAlignment, TripletSTDP, VoltageSTDP

SIZES = {"mv": 6.0, "pa": 250.0, "ns": 4.0}  # of weights, by the unit of the synapse


@st.composite
def models(draw: st.DrawFn) -> Any:
    """A neuron with constants near the usual ones."""
    base = {
        "bias_mv": draw(st.floats(10, 26)),
        "start_mv": Uniform(low=-70, high=-50),
        "refractory_ms": draw(st.sampled_from([0.0, 0.1, 0.34, 2.0])),
        "method": "exponential_euler",
    }
    kind = draw(st.sampled_from(["lif", "lif", "subtract", "moving", "adaptive", "adex", "izhikevich"]))
    match kind:
        case "subtract":
            return LIF(**base, reset="subtract")
        case "moving":
            return LIF(**base, clamped=False)
        case "adaptive":
            return AdaptiveLIF(**base, threshold_step_mv=draw(st.floats(0.5, 4)), tau_threshold_ms=20)
        case "adex":
            return AdEx(bias_pa=draw(st.floats(200, 900)))
        case "izhikevich":
            return Izhikevich()
    return LIF(**base)


def synapses() -> st.SearchStrategy[Any]:
    """A synapse of spikes."""
    tau = st.floats(1, 12)
    return st.one_of(
        st.just(Jump()),
        st.builds(ExponentialDrive, tau_ms=tau),
        st.builds(ExponentialCurrent, tau_ms=tau),
        st.builds(AlphaCurrent, tau_ms=tau),
        st.builds(ExponentialConductance, tau_ms=tau, reversal_mv=st.sampled_from([0.0, -80.0])),
        st.builds(AlphaConductance, tau_ms=tau),
    )


@st.composite
def projections(draw: st.DrawFn, source: str, target: str, sizes: dict[str, int]) -> Projection:
    """Synapses of any kind, delay, sign and plasticity between two populations."""
    synapse = draw(synapses())
    size = SIZES[synapse.unit]
    wiring = draw(
        st.one_of(
            st.builds(Sparse, density=st.floats(0.2, 1)),
            st.builds(FixedInDegree, inputs=st.integers(1, sizes[source] - 1)),
            st.builds(FixedOutDegree, outputs=st.integers(1, sizes[target] - 1)),
        )
    )
    plasticity = draw(
        st.sampled_from(
            [
                Fixed(),
                Fixed(),
                STDP(a_plus=0.05 * size, a_minus=0.06 * size, w_min=-size, w_max=size),
                STDP(a_plus=0.1 * size, a_minus=0.05 * size, pairing="nearest", w_min=None),
                STDP(a_plus=0.1 * size, a_minus=0.05 * size, mu_plus=1, mu_minus=0.3, w_min=-size, w_max=size),
                TripletSTDP(a2_plus=0.05 * size, a3_plus=0.05 * size, a2_minus=0.05 * size, w_min=None),
                InhibitorySTDP(eta=0.05 * size, w_min=None),
                SpikeAlignment(a=0.05 * size),
                VoltageSTDP(spike_mv=20.0, w_min=None),
            ]
        )
    )
    sign = draw(st.sampled_from([None, "excitatory", "inhibitory"]))
    init: Any = Uniform(low=-size, high=size)
    if source == "noise":  # which is to make spikes
        sign, init = None, Uniform(low=size, high=3 * size)
    elif sign != "inhibitory" and draw(st.booleans()):
        init = LogNormal(log_mean=0.0, log_std=0.5)
    delay = draw(st.one_of(st.sampled_from([0.0, 0.1, 0.25, 1.0, 3.0]), st.just(Uniform(low=0.0, high=2.5))))
    return Projection(
        source=source, target=target, synapse=synapse, wiring=wiring, weights=Own(init=init), delay_ms=delay,
        sign=sign, plasticity=plasticity, short_term=draw(st.sampled_from([None, None, TsodyksMarkram()])),
    )  # fmt: skip


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    """A source, one to three populations, and synapses between any of them; each population hears the source."""
    names = ["first", "second", "third"][: draw(st.integers(1, 3))]
    populations = {"noise": Population(size=5, model=PoissonSource(rate_hz=draw(st.floats(100, 400))))}
    populations |= {name: Population(size=draw(st.integers(3, 7)), model=draw(models())) for name in names}
    sizes = {name: population.units for name, population in populations.items()}
    ends = [("noise", name) for name in names]
    ends += draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=3))
    made = {
        f"{number}_{source}_to_{target}": draw(projections(source, target, sizes))
        for number, (source, target) in enumerate(ends)
    }
    return Circuit(name="random", populations=populations, projections=made)
