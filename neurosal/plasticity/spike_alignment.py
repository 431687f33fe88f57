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

    Effective influence is not weight alone (third units, the reset after a spike), so that w need not stop where the
    weights are equal. With ``decay`` each arrival also takes a share of w, ``Δw = -λ w``: the weight decay that keeps
    weight mirrors (Akrout et al. 2019) from growing without end, put on spikes by us.

    This is our reading of the paper's summary (spike timing, noise, an interplay of Hebbian and anti-Hebbian change
    that corrects the asymmetry of effective reciprocal connections), not its code.

    Args:
        a: A, in the weight's unit, times ``rate``.
        tau_ms: τ, a few membrane time constants or less: longer windows collect chance pairs.
        decay: λ, times ``rate``; 0 for none.
        w_min, w_max: hard bounds; none by default.

    Example:
        >>> SpikeAlignment().program().on_pre
        ('w += a * after', 'before += 1')

    Reference:
        Gierlich, Baumbach, Kungl, Max & Petrovici (2025), "Spike-based alignment learning solves the weight transport
        problem", arXiv 2503.02642; Akrout, Wilson, Humphreys, Lillicrap & Tweed (2019), "Deep learning without weight
        transport", arXiv 1904.05391.
    """

    kind: ClassVar[str] = "spike_alignment"
    w_min: float | None = None
    a: float = Field(default=0.01, ge=0)
    tau_ms: float = Field(default=10.0, gt=0)
    decay: float = Field(default=0.0, ge=0, lt=1)

    def program(self) -> Program:
        constants = {"a": self.a * self.rate, "tau_ms": self.tau_ms, **self.limits()}
        grows = "a * after"
        if self.decay:
            constants["decay"] = self.decay * self.rate
            grows = "(a * after - decay * w)"
        return Program(
            variables={"before": 0.0, "after": 0.0},
            decays={"before": Decay("tau_ms"), "after": Decay("tau_ms")},
            constants=constants,
            on_pre=(self.change("+", grows), "before += 1"),
            on_post=(self.change("-", "a * exp(-dt_ms / tau_ms) * before"), "after += 1"),
        )
