"""The cortical microcircuit of Potjans & Diesmann: a square millimetre of early sensory cortex, layer by layer."""

from __future__ import annotations

from math import log1p, sqrt

from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialCurrent,
    FixedTotal,
    Normal,
    OneToOne,
    Own,
    Population,
    Projection,
    TruncatedNormal,
)
from neurosal.graph.emitters import PoissonSource
from neurosal.graph.value import shown

# Tables 4 and 5 of the paper: layers 2/3, 4, 5 and 6, each excitatory and inhibitory.
POPULATIONS = ("l23e", "l23i", "l4e", "l4i", "l5e", "l5i", "l6e", "l6i")
NEURONS = (20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948)
BACKGROUND = (1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100)  # inputs of a neuron from outside, 8 Hz each
PROBABILITIES = (  # of at least one synapse, of each target from each source
    (0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0),
    (0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0),
    (0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0),
    (0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0),
    (0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0),
    (0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0),
    (0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252),
    (0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443),
)
RATES_HZ = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)  # of the network at full size
TAU_M_MS, TAU_SYNAPSE_MS, CAPACITANCE_PF = 10.0, 0.5, 250.0
POTENTIAL_MV = 0.15  # what one excitatory spike moves the membrane by, at its highest
INHIBITION = -4.0  # an inhibitory weight over an excitatory one
BACKGROUND_HZ = 8.0


def microcircuit(
    scale: float = 0.1, *, synapse_scale: float | None = None, compensate: bool = True, name: str = "microcircuit"
) -> Circuit:
    """Eight populations of integrate-and-fire neurons with the connectivity of cortex: 77,169 neurons and 0.3 billion
    synapses at ``scale=1``. By default a tenth of the neurons with a tenth of the synapses each, as is usual for small
    machines; ask for ``scale=1`` to have the published network.

    ``10 ms dv/dt = -65 mV - v + I / 25 nS`` with currents of 0.5 ms; a spike above -50 mV, reset to -65 mV, 2 ms of
    refractory time.
    ``K = log(1 - p) / log(1 - 1 / (N_pre N_post))`` synapses join two populations at random. Weights are normal, 87.8 ±
    8.8 pA (0.15 mV), four times as much for inhibition, twice as much from layer 4 to 2/3; delays 1.5 ± 0.75 ms and,
    from inhibitory neurons, 0.75 ± 0.375 ms. Every neuron hears 1500 to 2900 Poisson inputs of 8 Hz.

    With fewer synapses (a share κ of each neuron's), weights grow by 1/√κ, which keeps the variance of what a neuron
    hears, and a constant current takes the place of the mean that is lost, ``(1 - √κ) τ (Σ K J ν + K_ext J ν_ext)``,
    with the published rates ν. What cannot be kept are correlations: they grow as 1/N.

    Args:
        scale: share of the neurons.
        synapse_scale: κ; None for as many as `scale`. With 1 every neuron keeps its full in-degree.
        compensate: whether weights and constant current make up for κ.
        name: of the circuit.

    Raises:
        CircuitError: unless both are above 0 and at most 1.

    Example:
        >>> microcircuit(scale=1).populations["l23e"].units
        20683
        >>> microcircuit().projections["l4e_to_l23e"].synapse.kind
        'exponential_current'

    Reference:
        Potjans & Diesmann (2014), "The cell-type specific cortical microcircuit", Cerebral Cortex 24:785; van Albada,
        Helias & Diesmann (2015), "Scalability of asynchronous networks is limited by one-to-one mapping between
        effective connectivity and correlations", PLoS Computational Biology 11:e1004490.
    """
    kept = scale if synapse_scale is None else synapse_scale
    problems = [
        Problem(place=place, expected="above 0, at most 1", found=shown(value))
        for place, value in (("scale", scale), ("synapse_scale", kept))
        if not 0 < value <= 1
    ]
    if problems:
        raise CircuitError(problems)
    sizes = [max(round(scale * neurons), 1) for neurons in NEURONS]
    growth = 1 / sqrt(kept) if compensate else 1.0
    populations = {
        population: Population(size=sizes[place], model=_model(_lost_pa(place, kept) if compensate else 0.0))
        for place, population in enumerate(POPULATIONS)
    }
    populations |= {
        f"background_{population}": Population(
            size=sizes[place],
            model=PoissonSource(rate_hz=BACKGROUND_HZ, merged=max(round(kept * BACKGROUND[place]), 1)),
        )
        for place, population in enumerate(POPULATIONS)
    }
    synapse = ExponentialCurrent(tau_ms=TAU_SYNAPSE_MS, receptor="synaptic")
    projections = {
        f"{POPULATIONS[source]}_to_{POPULATIONS[target]}": Projection(
            source=POPULATIONS[source],
            target=POPULATIONS[target],
            pathway="lateral",
            wiring=FixedTotal(synapses=max(round(kept * in_degree(target, source) * sizes[target]), 1)),
            weights=Own(init=_weights(growth * weight_pa(target, source))),
            synapse=synapse,
            sign="inhibitory" if source % 2 else "excitatory",
            delay_ms=_delays(0.75 if source % 2 else 1.5),
        )
        for source in range(len(POPULATIONS))
        for target in range(len(POPULATIONS))
        if PROBABILITIES[target][source]
    }
    projections |= {
        f"background_{population}_to_{population}": Projection(
            source=f"background_{population}",
            target=population,
            wiring=OneToOne(),
            weights=Own(init=Constant(value=growth * current_pa(POTENTIAL_MV))),
            synapse=synapse,
            delay_ms=1.5,
        )
        for population in POPULATIONS
    }
    return Circuit(name=name, populations=populations, projections=projections)


def in_degree(target: int, source: int) -> float:
    """Synapses that a neuron has from a population on average, at full size."""
    pairs = NEURONS[target] * NEURONS[source]
    return log1p(-PROBABILITIES[target][source]) / log1p(-1 / pairs) / NEURONS[target]


def weight_pa(target: int, source: int) -> float:
    """Mean weight from one population to another, at full size."""
    strength = INHIBITION if source % 2 else 2.0 if (target, source) == (0, 2) else 1.0
    return strength * current_pa(POTENTIAL_MV)


def current_pa(potential_mv: float) -> float:
    """The jump of a current that decays with τ_s and moves the membrane by that much at its highest.

    ``v(t) = (J / C) τ_m τ_s / (τ_m - τ_s) (exp(-t/τ_m) - exp(-t/τ_s))``, which is highest at ``log(τ_m / τ_s) τ_m τ_s /
    (τ_m - τ_s)``.
    """
    ratio, apart = TAU_M_MS / TAU_SYNAPSE_MS, TAU_M_MS - TAU_SYNAPSE_MS
    highest = ratio ** (-TAU_SYNAPSE_MS / apart) - ratio ** (-TAU_M_MS / apart)
    return potential_mv * CAPACITANCE_PF * apart / (TAU_M_MS * TAU_SYNAPSE_MS * highest)


def _lost_pa(target: int, kept: float) -> float:
    """The mean current that is lost with synapses whose weights grow by 1/√κ."""
    per_ms = [rate * 1e-3 for rate in RATES_HZ]
    recurrent = sum(
        weight_pa(target, source) * in_degree(target, source) * per_ms[source]
        for source in range(len(POPULATIONS))
        if PROBABILITIES[target][source]
    )
    outside = current_pa(POTENTIAL_MV) * BACKGROUND[target] * BACKGROUND_HZ * 1e-3
    return (1 - sqrt(kept)) * TAU_SYNAPSE_MS * (recurrent + outside)


def _model(bias_pa: float) -> LIF:
    return LIF(
        tau_m_ms=TAU_M_MS,
        e_leak_mv=-65.0,
        capacitance_pf=CAPACITANCE_PF,
        v_threshold_mv=-50.0,
        v_reset_mv=-65.0,
        refractory_ms=2.0,
        bias_pa=bias_pa,
        start_mv=Normal(mean=-58.0, std=10.0),
    )


def _weights(mean_pa: float) -> Normal:
    return Normal(mean=mean_pa, std=0.1 * abs(mean_pa))


def _delays(mean_ms: float) -> TruncatedNormal:
    """At least half a step of 0.1 ms, so that none is rounded to 0."""
    return TruncatedNormal(mean=mean_ms, std=0.5 * mean_ms, low=0.05)
