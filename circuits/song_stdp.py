"""Competition of synapses by spike timing: Song, Miller & Abbott's neuron."""

from __future__ import annotations

from neurosal.circuits.building import refuse, whole
from neurosal.graph import (
    LIF,
    Circuit,
    ExponentialConductance,
    Own,
    PoissonSource,
    Population,
    Projection,
    Uniform,
)
from neurosal.plasticity import STDP

CAPACITANCE_PF, TAU_M_MS = 200.0, 10.0  # 20 nS of leak


def song_stdp(
    inputs: int = 1000,
    *,
    rate_hz: float = 15.0,
    largest: float = 0.01,
    amplitude: float = 0.01,
    depression: float = 1.05,
    name: str = "song_stdp",
) -> Circuit:
    """One neuron, Poisson inputs, and additive pair STDP that divides them into strong and weak ones.

    ``10 ms dv/dt = -74 mV - v + g (0 mV - v)``, ``5 ms dg/dt = -g``, a spike above -54 mV, reset to -60 mV. Weights
    start anywhere between 0 and g_max and stay there; a pair changes them by ``A exp(-|Δt| / 20 ms)``, with ``A₋ = 1.05
    A₊``: inputs that cause no spikes lose, until the neuron fires at times that single inputs decide.

    After 100 s the mean weight is about .47 g_max and the distribution begins to have two modes, at 0 and at g_max.

    Args:
        inputs: Poisson inputs.
        rate_hz: of each.
        largest: g_max over the leak's conductance.
        amplitude: A₊ over g_max.
        depression: A₋ over A₊.
        name: of the circuit.

    Example:
        >>> song_stdp().projections["input_to_neuron"].plasticity.w_max
        0.2

    Reference:
        Song, Miller & Abbott (2000), "Competitive Hebbian learning through spike-timing-dependent synaptic plasticity",
        Nature Neuroscience 3:919; constants as in the example that ships with Brian2.
    """
    refuse(whole(inputs=inputs))
    largest_ns = largest * CAPACITANCE_PF / TAU_M_MS
    return Circuit(
        name=name,
        populations={
            "input": Population(size=inputs, model=PoissonSource(rate_hz=rate_hz)),
            "neuron": Population(
                size=1,
                model=LIF(
                    tau_m_ms=TAU_M_MS,
                    capacitance_pf=CAPACITANCE_PF,
                    e_leak_mv=-74.0,
                    v_threshold_mv=-54.0,
                    v_reset_mv=-60.0,
                    refractory_ms=0.0,
                    start_mv=-60.0,
                    method="exponential_euler",
                ),
            ),
        },
        projections={
            "input_to_neuron": Projection(
                source="input",
                target="neuron",
                weights=Own(init=Uniform(low=0.0, high=largest_ns)),
                synapse=ExponentialConductance(tau_ms=5.0, reversal_mv=0.0),
                plasticity=STDP(
                    a_plus=amplitude * largest_ns,
                    a_minus=depression * amplitude * largest_ns,
                    tau_plus_ms=20.0,
                    tau_minus_ms=20.0,
                    w_min=0.0,
                    w_max=largest_ns,
                ),
            )
        },
    )
