"""Networks of Vogels & Abbott in the form of the benchmarks of Brette et al.: 4000 neurons, sparse and random."""

from __future__ import annotations

from neurosal.circuits.building import refuse, whole
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialConductance,
    ExponentialDrive,
    InhomogeneousPoisson,
    Model,
    OneToOne,
    Own,
    Population,
    Projection,
    Ramp,
    Sparse,
    Synapse,
    Uniform,
)


def cuba(
    excitatory: int = 3200,
    inhibitory: int = 800,
    *,
    probability: float = 0.02,
    excitatory_mv: float = 1.62,
    inhibitory_mv: float = -9.0,
    delay_ms: float = 0.1,
    name: str = "cuba",
) -> Circuit:
    """CUBA: current-based synapses, an asynchronous irregular state that keeps itself up at about 5.5 Hz.

    ``20 ms dv/dt = -49 mV - v + d_e + d_i``, ``5 ms dd_e/dt = -d_e``, ``10 ms dd_i/dt = -d_i``; a spike above -50 mV,
    reset to -60 mV, 5 ms of refractory time. The rest of the leak stands for the background: nothing else drives it.

    Args:
        excitatory, inhibitory: neurons.
        probability: of a synapse between any two.
        excitatory_mv, inhibitory_mv: what a spike adds to d_e and d_i.
        delay_ms: of every synapse.
        name: of the circuit.

    Example:
        >>> cuba().populations["excitatory"].units, cuba().projections["inhibitory_to_excitatory"].weights.init.value
        (3200, -9.0)

    Reference:
        Vogels & Abbott (2005), Journal of Neuroscience 25:10786; Brette et al. (2007), Journal of Computational
        Neuroscience 23:349, benchmark 2.
    """
    model = LIF(
        tau_m_ms=20.0,
        e_leak_mv=-49.0,
        v_threshold_mv=-50.0,
        v_reset_mv=-60.0,
        refractory_ms=5.0,
        start_mv=Uniform(low=-60.0, high=-50.0),
    )
    kinds: dict[str, tuple[Synapse, float]] = {
        "excitatory": (ExponentialDrive(tau_ms=5.0, receptor="excitatory"), excitatory_mv),
        "inhibitory": (ExponentialDrive(tau_ms=10.0, receptor="inhibitory"), inhibitory_mv),
    }
    return _recurrent(name, model, excitatory, inhibitory, probability, kinds, delay_ms)


def coba(
    excitatory: int = 3200,
    inhibitory: int = 800,
    *,
    probability: float = 0.02,
    excitatory_ns: float = 6.0,
    inhibitory_ns: float = 67.0,
    delay_ms: float = 0.1,
    kick_hz: float = 1200.0,
    kick_ms: float = 100.0,
    name: str = "coba",
) -> Circuit:
    """COBA: conductance-based synapses, an asynchronous irregular state that keeps itself up at about 19 Hz.

    ``200 pF dv/dt = 10 nS (-60 mV - v) + g_e (0 mV - v) + g_i (-80 mV - v)``, ``5 ms dg_e/dt = -g_e``, ``10 ms dg_i/dt
    = -g_i``; a spike above -50 mV, reset to -60 mV, 5 ms of refractory time.

    The silent state is stable too, so activity is kicked off: at first every neuron hears Poisson spikes through an
    excitatory synapse of its own, as many as recurrent ones will bring, and fewer and fewer until `kick_ms`; nothing
    drives the network later.

    Args:
        excitatory, inhibitory: neurons.
        probability: of a synapse between any two.
        excitatory_ns, inhibitory_ns: what a spike adds to g_e and g_i.
        delay_ms: of every synapse.
        kick_hz, kick_ms: rate of the kick at first, and how long it takes to fade.
        name: of the circuit.

    Example:
        >>> coba().projections["excitatory_to_inhibitory"].synapse.reversal_mv
        0.0

    Reference:
        Vogels & Abbott (2005), Journal of Neuroscience 25:10786; Brette et al. (2007), Journal of Computational
        Neuroscience 23:349, benchmark 1.
    """
    model = LIF(
        tau_m_ms=20.0,
        e_leak_mv=-60.0,
        capacitance_pf=200.0,
        v_threshold_mv=-50.0,
        v_reset_mv=-60.0,
        refractory_ms=5.0,
        start_mv=Uniform(low=-60.0, high=-50.0),
        method="exponential_euler",
    )
    excites = ExponentialConductance(tau_ms=5.0, reversal_mv=0.0, receptor="excitatory")
    inhibits = ExponentialConductance(tau_ms=10.0, reversal_mv=-80.0, receptor="inhibitory")
    kinds: dict[str, tuple[Synapse, float]] = {
        "excitatory": (excites, excitatory_ns),
        "inhibitory": (inhibits, inhibitory_ns),
    }
    circuit = _recurrent(name, model, excitatory, inhibitory, probability, kinds, delay_ms)
    if not kick_hz:
        return circuit
    kick = InhomogeneousPoisson(rate_hz=Ramp(first=kick_hz, last=0.0, end_ms=kick_ms))
    kicks = {
        f"kick_{target}_to_{target}": Projection(
            source=f"kick_{target}",
            target=target,
            wiring=OneToOne(),
            weights=Own(init=Constant(value=excitatory_ns)),
            synapse=excites,
        )
        for target in circuit.populations
    }
    sources = {f"kick_{target}": entry.replace(model=kick) for target, entry in circuit.populations.items()}
    return circuit.replace(populations={**circuit.populations, **sources}, projections={**circuit.projections, **kicks})


def _recurrent(
    name: str,
    model: Model,
    excitatory: int,
    inhibitory: int,
    probability: float,
    kinds: dict[str, tuple[Synapse, float]],
    delay_ms: float,
) -> Circuit:
    """Two populations of one model; both reach both, each through its own synapse."""
    refuse(whole(excitatory=excitatory, inhibitory=inhibitory))
    return Circuit(
        name=name,
        populations={
            "excitatory": Population(size=excitatory, model=model),
            "inhibitory": Population(size=inhibitory, model=model),
        },
        projections={
            f"{source}_to_{target}": Projection(
                source=source,
                target=target,
                pathway="lateral",
                wiring=Sparse(density=probability),
                weights=Own(init=Constant(value=weight)),
                synapse=synapse,
                delay_ms=delay_ms,
            )
            for source, (synapse, weight) in kinds.items()
            for target in ("excitatory", "inhibitory")
        },
    )
