"""Rates of networks of integrate-and-fire neurons in the diffusion approximation: many small inputs as white noise."""

from __future__ import annotations

from typing import Any

import numpy

from neurosal.errors import NeurosalError, Problem

Array = numpy.ndarray[Any, Any]
HIGHEST = 26.0  # (threshold - mean) / deviation from which exp(u²) leaves float64: such units do not fire


def siegert_rate(
    mean_mv: Any, deviation_mv: Any, *, tau_m_ms: float, threshold_mv: float, reset_mv: float, refractory_ms: float
) -> Array:
    """Rate of a leaky integrate-and-fire neuron whose potential, were there no threshold, would be a normal process
    with that mean and √2 times less than that deviation.

    ``1 / ν = τ_rp + τ_m √π ∫_{(V_r - μ)/σ}^{(θ - μ)/σ} exp(u²) (1 + erf u) du``

    Args:
        mean_mv, deviation_mv: μ and σ; ``σ² = τ_m Σ J² ν`` over the inputs, Brunel's σ. Deviations above 0.
        tau_m_ms, refractory_ms: τ_m and τ_rp.
        threshold_mv, reset_mv: θ and V_r, on the scale of the mean.

    Returns:
        Hz, float64 in the shape of mean and deviation.

    Example:
        >>> rate = siegert_rate(20.0, 5.0, tau_m_ms=20.0, threshold_mv=20.0, reset_mv=10.0, refractory_ms=2.0)
        >>> round(float(rate), 2)
        27.34

    Reference: Siegert, On the first passage time probability problem, Physical Review 81 (1951); in this form Brunel
        (2000), Journal of Computational Neuroscience 8:183.
    """
    from scipy.integrate import quad
    from scipy.special import erfcx

    mean, deviation = numpy.broadcast_arrays(numpy.asarray(mean_mv, float), numpy.asarray(deviation_mv, float))
    low, high = (reset_mv - mean) / deviation, (threshold_mv - mean) / deviation
    found = numpy.zeros(mean.shape)
    for place in numpy.ndindex(mean.shape):
        if high[place] < HIGHEST:
            # exp(u²) (1 + erf u) is erfcx(-u), which neither overflows nor cancels for negative u.
            area = quad(lambda u: float(erfcx(-u)), low[place], high[place], epsabs=0, epsrel=1e-11, limit=500)[0]
            found[place] = 1e3 / (refractory_ms + tau_m_ms * numpy.pi**0.5 * area)
    return found


def diffusion_rates(
    inputs: Any,
    weight_mv: Any,
    *,
    tau_m_ms: float,
    threshold_mv: float,
    reset_mv: float,
    refractory_ms: float,
    external_rate_hz: Any = 0.0,
    external_weight_mv: Any = 0.0,
    rest_mv: Any = 0.0,
) -> Array:
    """Stationary rates of populations that hear each other: each is the `siegert_rate` of

    ``μ = V_rest + τ_m (Σ K J ν + J_ext ν_ext)`` and ``σ² = τ_m (Σ K J² ν + J_ext² ν_ext)``.

    It holds for jumps of the potential that are small beside the way to threshold, arrive at random and are many, and
    says nothing about whether that state is stable.

    Args:
        inputs: K, synapses from each population that a neuron of each has, [post, pre].
        weight_mv: J of these, [post, pre].
        tau_m_ms, threshold_mv, reset_mv, refractory_ms: of all neurons.
        external_rate_hz, external_weight_mv: all spikes a second that a neuron hears from outside, and their J; a
            number, or one for each population.
        rest_mv: to which the potential decays; a number, or one for each population.

    Returns:
        Hz, [population].

    Raises:
        NeurosalError: when no solution is found.

    Example:
        >>> rates = diffusion_rates(  # Brunel's network, g = 5, η = 2: see `neurosal.circuits.brunel_small`
        ...     [[200, 50], [200, 50]], np.array([[1, -5], [1, -5]]) * 0.1 * 5**0.5,
        ...     tau_m_ms=20.0, threshold_mv=20.0, reset_mv=0.0, refractory_ms=2.0,
        ...     external_rate_hz=8944.27, external_weight_mv=0.1 * 5**0.5)
        >>> rates.round(1).tolist()
        [45.7, 45.7]

    Reference: Brunel (2000), Journal of Computational Neuroscience 8:183.
    """
    from scipy.optimize import root

    many, weight = numpy.asarray(inputs, float), numpy.asarray(weight_mv, float)
    count = len(many)
    outside = numpy.broadcast_to(numpy.asarray(external_rate_hz, float), count) * 1e-3
    force = numpy.broadcast_to(numpy.asarray(external_weight_mv, float), count)

    def answered(rate_hz: Array) -> Array:
        rate = numpy.maximum(rate_hz, 0.0) * 1e-3
        mean = rest_mv + tau_m_ms * ((many * weight) @ rate + force * outside)
        variance = tau_m_ms * ((many * weight**2) @ rate + force**2 * outside)
        return siegert_rate(
            mean, numpy.maximum(variance, 1e-12) ** 0.5, tau_m_ms=tau_m_ms, threshold_mv=threshold_mv,
            reset_mv=reset_mv, refractory_ms=refractory_ms,
        )  # fmt: skip

    # As a network that follows its input slowly would: from silence to the state that it comes to by itself.
    rates = numpy.zeros(count)
    for _ in range(400):
        rates += 0.05 * (answered(rates) - rates)
    found = root(lambda rate: answered(rate) - rate, rates, tol=1e-10)
    if not found.success or (found.x < 0).any():
        raise NeurosalError(
            Problem(
                place="stats.diffusion_rates",
                expected="rates that sustain themselves",
                found=f"none near {', '.join(f'{rate:.4g}' for rate in rates)} Hz",
                remedy="The network may oscillate or run away: weaken what excites, or strengthen inhibition.",
            )
        )
    return numpy.asarray(found.x)
