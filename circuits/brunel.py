"""Brunel's sparsely connected network of excitatory and inhibitory neurons, and the rate that theory gives it."""

from __future__ import annotations

from typing import Any

from neurosal.circuits.building import refuse, whole
from neurosal.graph import LIF, Circuit, Constant, FixedInDegree, Jump, OneToOne, Own, Population, Projection
from neurosal.graph.emitters import PoissonSource

TAU_MS, THRESHOLD_MV, REFRACTORY_MS = 20.0, 20.0, 2.0


def brunel(
    excitatory: int = 10_000,
    inhibitory: int = 2_500,
    *,
    inputs: int = 1_000,
    weight_mv: float = 0.1,
    inhibition: float = 5.0,
    drive: float = 2.0,
    delay_ms: float = 1.5,
    reset_mv: float = 10.0,
    name: str = "brunel",
) -> Circuit:
    """Leaky integrate-and-fire neurons that hear jumps of their potential, excitatory and inhibitory.

    ``20 ms dv/dt = -v``, ``v += J`` at the spikes of C_E excitatory synapses, ``v -= g J`` at those of C_I inhibitory
    ones, a spike above 20 mV, 2 ms of refractory time. Defaults are model A's of the paper, in its asynchronous
    irregular state.

    Each neuron also hears C_E Poisson trains of its own, of ``ν_ext = η θ / (J C_E τ)`` spikes a second: at η = 1 they
    alone bring the mean potential to threshold. `neurosal.stats.diffusion_rates` has the rate in theory.

    Args:
        excitatory, inhibitory: neurons.
        inputs: C_E; there are C_I = C_E · inhibitory / excitatory inhibitory synapses (rounded).
        weight_mv: J.
        inhibition: g.
        drive: η.
        delay_ms: of every synapse between neurons.
        reset_mv: v after a spike.
        name: of the circuit.

    Example:
        >>> circuit = brunel()
        >>> circuit.populations["background_excitatory"].model.rate_hz
        20.0
        >>> circuit.projections["inhibitory_to_excitatory"].wiring.inputs
        250

    Reference:
        Brunel (2000), "Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons", Journal
        of Computational Neuroscience 8:183.
    """
    refuse(whole(excitatory=excitatory, inhibitory=inhibitory, inputs=inputs))
    model = LIF(
        tau_m_ms=TAU_MS,
        e_leak_mv=0.0,
        v_threshold_mv=THRESHOLD_MV,
        v_reset_mv=reset_mv,
        refractory_ms=REFRACTORY_MS,
        start_mv=0.0,
    )
    sizes = {"excitatory": excitatory, "inhibitory": inhibitory}
    heard = {
        "excitatory": (inputs, weight_mv),
        "inhibitory": (max(round(inputs * inhibitory / excitatory), 1), -inhibition * weight_mv),
    }
    rate_hz = drive * THRESHOLD_MV / (weight_mv * inputs * TAU_MS) * 1e3
    projections = {
        f"{source}_to_{target}": Projection(
            source=source,
            target=target,
            pathway="lateral",
            wiring=FixedInDegree(inputs=synapses),
            weights=Own(init=Constant(value=weight)),
            synapse=Jump(),
            delay_ms=delay_ms,
        )
        for source, (synapses, weight) in heard.items()
        for target in sizes
    }
    background = {f"background_{target}": target for target in sizes}
    once: dict[str, Any] = {"wiring": OneToOne(), "weights": Own(init=Constant(value=weight_mv)), "synapse": Jump()}
    projections |= {
        f"{source}_to_{target}": Projection(source=source, target=target, **once)
        for source, target in background.items()
    }
    trains = PoissonSource(rate_hz=rate_hz, merged=inputs)
    return Circuit(
        name=name,
        populations={
            **{population: Population(size=size, model=model) for population, size in sizes.items()},
            **{source: Population(size=sizes[target], model=trains) for source, target in background.items()},
        },
        projections=projections,
    )


def brunel_small(name: str = "brunel_small") -> Circuit:
    """A fifth of Brunel's network with the same fluctuations: 2000 and 500 neurons with 200 and 50 synapses each that
    are √5 times as strong, and reset to rest. In theory both populations fire at 45.7 Hz.

    Example:
        >>> circuit = brunel_small()
        >>> round(circuit.projections["excitatory_to_excitatory"].weights.init.value, 4)
        0.2236

    Reference:
        Brunel (2000), Journal of Computational Neuroscience 8:183.
    """
    return brunel(2_000, 500, inputs=200, weight_mv=0.1 * 5**0.5, reset_mv=0.0, name=name)
