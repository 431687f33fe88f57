"""Feedback that learns to be the transpose of what goes forward, from the timing of spikes alone."""

from __future__ import annotations

from neurosal.circuits.building import refuse, whole
from neurosal.graph import LIF, Circuit, Constant, Jump, Normal, OneToOne, Own, PoissonSource, Population, Projection
from neurosal.plasticity import SpikeAlignment


def spike_alignment(
    lower: int = 8,
    upper: int = 8,
    *,
    deviation_mv: float = 2.0,
    amplitude_mv: float = 0.02,
    tau_ms: float = 10.0,
    decay: float = 4e-4,
    noise_hz: float = 500.0,
    noise_mv: float = 2.0,
    bias_mv: float = 14.0,
    name: str = "spike_alignment",
) -> Circuit:
    """Two populations that excite and inhibit each other at random, and noise of its own for each unit.

    Forward synapses stay; feedback synapses begin as strangers to them and follow `SpikeAlignment`. Units spike with 75
    Hz; the angle between feedback and the transpose of forward weights falls from chance to about 25° in half a minute
    and stays near 29°. It does not come to 0: paths through third units and the reset after a spike make influence
    something else than weight. Without ``decay``, which is ours, feedback grows past the forward weights without end;
    with it, it settles at their length.

    Args:
        lower, upper: units.
        deviation_mv: of the weights of both ways, of mean 0.
        amplitude_mv, tau_ms, decay: of the plasticity.
        noise_hz, noise_mv: Poisson spikes that each unit gets, and what each adds.
        bias_mv: constant drive; the threshold is 15 mV above rest.
        name: of the circuit.

    Example:
        >>> spike_alignment().projections["upper_to_lower"].plasticity
        SpikeAlignment(a=0.02, decay=0.0004)

    Reference:
        Gierlich, Baumbach, Kungl, Max & Petrovici (2025), arXiv 2503.02642.
    """
    refuse(whole(lower=lower, upper=upper))
    cell = LIF(tau_m_ms=10.0, e_leak_mv=-70.0, v_threshold_mv=-55.0, v_reset_mv=-70.0, bias_mv=bias_mv)
    noise = PoissonSource(rate_hz=noise_hz)
    weights = Own(init=Normal(mean=0.0, std=deviation_mv))
    kicks = Own(init=Constant(value=noise_mv))
    return Circuit(
        name=name,
        populations={
            "lower_noise": Population(size=lower, model=noise),
            "upper_noise": Population(size=upper, model=noise),
            "lower": Population(size=lower, model=cell),
            "upper": Population(size=upper, model=cell),
        },
        projections={
            **{
                f"{end}_noise_to_{end}": Projection(
                    source=f"{end}_noise", target=end, wiring=OneToOne(), synapse=Jump(), weights=kicks
                )
                for end in ("lower", "upper")
            },
            "lower_to_upper": Projection(source="lower", target="upper", synapse=Jump(), weights=weights),
            "upper_to_lower": Projection(
                source="upper",
                target="lower",
                pathway="feedback",
                synapse=Jump(),
                weights=weights,
                plasticity=SpikeAlignment(a=amplitude_mv, tau_ms=tau_ms, decay=decay),
            ),
        },
    )
