"""Diehl & Cook's network that learns digits without labels: competition, an adaptive threshold, and spike timing."""

from __future__ import annotations

from typing import Literal

from neurosal.circuits.building import refuse, whole
from neurosal.data import DataSpec, RateCoded
from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    Circuit,
    Constant,
    ExponentialConductance,
    OneToOne,
    OneToOthers,
    Own,
    Population,
    Projection,
    Uniform,
)
from neurosal.plasticity import Combined, Normalised, TripletSTDP

EXCITATION, INHIBITION = "excitation", "inhibition"  # names of receptors


def diehl_cook(
    neurons: int = 100,
    *,
    data: str = "mnist",
    part: Literal["train", "validation", "test"] = "train",
    inputs: int = 784,
    max_rate_hz: float = 63.75,
    duration_ms: float = 350.0,
    pause_ms: float = 150.0,
    total_weight: float = 78.4,
    name: str = "diehl_cook",
) -> Circuit:
    """Images as Poisson spikes onto excitatory neurons, of which each inhibits all others through a partner.

    Excitatory neurons: ``100 ms dv/dt = -65 mV - v + g_e (0 mV - v) + g_i (-100 mV - v)`` with conductances in units of
    the leak's, ``g_e`` and ``g_i`` decaying in 1 and 2 ms; a spike where ``v > -72 mV + θ``, reset to -65 mV, 5 ms of
    refractory time, ``θ += 0.05 mV`` at a spike and ``10⁷ ms dθ/dt = -θ``, from 20 mV on. Inhibitory neurons: 10 ms,
    rest -60 mV, g_i towards -85 mV, threshold -40 mV, reset -45 mV, 2 ms.

    Plastic synapses (delays of 0 to 10 ms) follow ``w -= 10⁻⁴ o₁`` at an arrival and ``w += 10⁻² r₁ o₂`` at a spike of
    the target, w within 0 and 1; the traces r₁, o₁ (20 ms) and o₂ (40 ms) are set to 1, o₂ after it was read. At the
    begin of every image all weights onto a neuron are made to sum up to ``total_weight``, 0.1 an input (the authors'
    script has 78).

    Args:
        neurons: excitatory; there are as many inhibitory ones. 100, 400, 1600 and 6400 in the paper.
        data, part, inputs: the images that are shown, and how many pixels they have.
        max_rate_hz: rate of a white pixel; the authors' intensity is this over 31.875 Hz.
        duration_ms, pause_ms: of an image.
        total_weight: see above.
        name: of the circuit.

    Example:
        >>> circuit = diehl_cook(data="digits", inputs=64, total_weight=20.0)
        >>> circuit.projections["input_to_excitatory"].plasticity.parts[0].a3_plus
        0.01

    `neurosal.runner.classifying` trains and judges it.

    Reference:
        Diehl & Cook (2015), "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
        Frontiers in Computational Neuroscience 9:99.
    """
    refuse(whole(neurons=neurons, inputs=inputs))
    plasticity = Combined(
        parts=(
            TripletSTDP(a2_plus=0.0, a3_plus=0.01, a2_minus=1e-4, a3_minus=0.0, tau_plus_ms=20.0, tau_minus_ms=20.0,
                        tau_y_ms=40.0, pairing="nearest", w_min=0.0, w_max=1.0),
            Normalised(total=total_weight, every_ms=duration_ms + pause_ms),
        )
    )  # fmt: skip
    shown = RateCoded(
        data=DataSpec(name=data), part=part, max_rate_hz=max_rate_hz, duration_ms=duration_ms, pause_ms=pause_ms
    )
    excited = {
        reversal: (ExponentialConductance(tau_ms=1.0, reversal_mv=0.0, receptor=EXCITATION),
                   ExponentialConductance(tau_ms=2.0, reversal_mv=reversal, receptor=INHIBITION))
        for reversal in (-100.0, -85.0)
    }  # fmt: skip
    return Circuit(
        name=name,
        populations={
            "input": Population(size=inputs, model=shown),
            **_neurons(neurons),
        },
        projections={
            "input_to_excitatory": Projection(
                source="input", target="excitatory", synapse=excited[-100.0][0], sign="excitatory",
                weights=Own(init=Uniform(low=0.003, high=0.303)), delay_ms=Uniform(low=0.0, high=10.0),
                plasticity=plasticity,
            ),
            "excitatory_to_inhibitory": Projection(
                source="excitatory", target="inhibitory", wiring=OneToOne(), synapse=excited[-85.0][0],
                weights=Own(init=Constant(value=10.4)), sign="excitatory",
            ),
            "inhibitory_to_excitatory": Projection(
                source="inhibitory", target="excitatory", pathway="lateral", wiring=OneToOthers(),
                synapse=excited[-100.0][1], weights=Own(init=Constant(value=17.0)),
            ),
        },
    )  # fmt: skip


def _neurons(count: int) -> dict[str, Population]:
    """As many excitatory as inhibitory ones. Capacitances are such that conductances are in units of the leak's."""
    return {
        "excitatory": Population(
            size=count,
            model=AdaptiveLIF(
                tau_m_ms=100.0, capacitance_pf=100.0, e_leak_mv=-65.0, v_threshold_mv=-72.0, v_reset_mv=-65.0,
                refractory_ms=5.0, start_mv=-105.0, threshold_step_mv=0.05,
                tau_threshold_ms=1e7, start_adaptation_mv=20.0, method="exponential_euler",
            ),
        ),
        "inhibitory": Population(
            size=count,
            model=LIF(
                tau_m_ms=10.0, capacitance_pf=10.0, e_leak_mv=-60.0, v_threshold_mv=-40.0, v_reset_mv=-45.0,
                refractory_ms=2.0, start_mv=-100.0, method="exponential_euler",
            ),
        ),
    }  # fmt: skip
