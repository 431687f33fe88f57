"""Spike-based alignment: a synapse becomes as strong as the one that goes the other way, told by spike timing only."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Bounded


class SpikeAlignment(Bounded):
    """``Δw = +A exp(-|Δt|/τ)`` for each pair in which the target spikes *before* the source, ``Δw = -A exp(-|Δt|/τ)``
    for each in which it spikes after: Hebbian for the synapse that goes the other way, anti-Hebbian for this one.

    The sum over pairs measures by how much spikes of the target raise the source's rate (the reciprocal synapse) beyond
    how much spikes of the source raise the target's (this synapse). What is the same in both orders cancels: chance,
    common input, whatever the rates. So w is at rest where both influences are equal, and noise in both populations is
    what makes them show. On feedback synapses alone, B comes to Wᵀ for like units; on both, each moves half of the way.

    A target's spike in the step in which a spike arrives cannot follow from it, and counts as one step later: chance
    pairs then cancel exactly in discrete time as well.

    This is our reading of the paper's summary (spike timing, noise, an interplay of Hebbian and anti-Hebbian change
    that corrects the asymmetry of effective reciprocal connections), not its code.

    Args:
        a: A, in the weight's unit, times ``rate``.
        tau_ms: τ, a few membrane time constants or less: longer windows collect chance pairs.
        w_min, w_max: hard bounds; none by default.

    Example:
        >>> SpikeAlignment().program().on_pre
        ('w += a * after', 'before += 1')

    Reference:
        Gierlich, Baumbach, Kungl, Max & Petrovici (2025), "Spike-based alignment learning solves the weight transport
        problem", arXiv 2503.02642.
    """

    kind: ClassVar[str] = "spike_alignment"
    w_min: float | None = None
    a: float = Field(default=0.01, ge=0)
    tau_ms: float = Field(default=10.0, gt=0)

    def program(self) -> Program:
        return Program(
            variables={"before": 0.0, "after": 0.0},
            decays={"before": Decay("tau_ms"), "after": Decay("tau_ms")},
            constants={"a": self.a * self.rate, "tau_ms": self.tau_ms, **self.limits()},
            on_pre=(self.change("+", "a * after"), "before += 1"),
            on_post=(self.change("-", "a * exp(-dt_ms / tau_ms) * before"), "after += 1"),
        )
