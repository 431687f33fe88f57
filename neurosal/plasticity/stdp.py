"""Pair STDP: what fires just before its target grows, what fires just after shrinks."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from neurosal.graph.dynamics import Decay, Program
from neurosal.plasticity.timing import Pairing, SpikeTiming, scaled


class STDP(SpikeTiming):
    """``Δw = A₊ (1-x)^μ₊ exp(-Δt/τ₊)`` for each pair with Δt = t_post - t_pre ≥ 0, ``Δw = -A₋ x^μ₋ exp(Δt/τ₋)`` for
    each with Δt < 0; x is the weight's place between its bounds (`SpikeTiming`).

    t_pre is the time at which the spike arrives. Arrivals of a step are handled before spikes of the target in the same
    step, so that a coincident pair has Δt = 0 and grows by A₊.

    Args:
        a_plus, a_minus: A₊ and A₋ in the weight's unit, both times ``rate``; less than 0 turns that side round.
        tau_plus_ms, tau_minus_ms: τ₊ and τ₋.
        pairing: "all" pairs of spikes; "nearest", each spike with the last one of the other side;
            "nearest_pre_centred", each pre spike with the last and the next post spike; "nearest_immediate", only pairs
            between which there is no spike of either side (the schemes of Morrison et al., figure 7).
        mu_plus, mu_minus, w_min, w_max: soft and hard bounds.

    Example:
        >>> STDP(a_plus=0.777, a_minus=0.273, tau_plus_ms=16.8, tau_minus_ms=33.7).program().on_post
        ('w = maximum(w + a_plus * plus, w_min)', 'minus += 1')

    Reference:
        Song, Miller & Abbott (2000), Nature Neuroscience 3:919; Gütig, Aharonov, Rotter & Sompolinsky (2003), Journal
        of Neuroscience 23:3697; Morrison, Diesmann & Gerstner (2008), Biological Cybernetics 98:459.
    """

    kind: ClassVar[str] = "stdp"
    a_plus: float = 0.005
    a_minus: float = 0.00525
    tau_plus_ms: float = Field(default=20.0, gt=0)
    tau_minus_ms: float = Field(default=20.0, gt=0)
    pairing: Pairing = "all"

    @model_validator(mode="after")
    def _turned_round_only_additively(self) -> STDP:
        if (self.a_plus < 0 and self.mu_plus) or (self.a_minus < 0 and self.mu_minus):
            raise ValueError("amplitudes above 0 where bounds are soft")
        return self

    @classmethod
    def song(cls, w_max: float) -> STDP:
        """Additive, amplitudes .005 and 1.05 · .005 of w_max, 20 ms (Song, Miller & Abbott 2000)."""
        return cls(a_plus=0.005 * w_max, a_minus=1.05 * 0.005 * w_max, w_max=w_max)

    @classmethod
    def van_rossum(cls, a_plus: float, fraction: float, w_max: float) -> STDP:
        """Growth by a fixed amount, loss of a fraction of the weight (van Rossum, Bi & Turrigiano 2000).

        Args:
            a_plus: amount, in the weight's unit.
            fraction: of the weight that a pair takes at most.
            w_max: hard bound above.
        """
        return cls(a_plus=a_plus, a_minus=fraction * w_max, mu_minus=1.0, w_max=w_max)

    @classmethod
    def gutig(cls, mu: float, w_max: float, learning_rate: float = 0.005, alpha: float = 1.05) -> STDP:
        """``λ (1-x)^μ`` and ``λ α x^μ`` of w_max, 20 ms (Gütig et al. 2003); mu from 0 (additive) to 1."""
        return cls(a_plus=learning_rate * w_max, a_minus=alpha * learning_rate * w_max, mu_plus=mu, mu_minus=mu,
                   w_max=w_max)  # fmt: skip

    def program(self) -> Program:
        constants = scaled({"a_plus": self.a_plus, "a_minus": self.a_minus}, self.rate)
        after_pre, after_post = {
            "all": (("plus += 1",), ("minus += 1",)),
            "nearest": (("plus = 1",), ("minus = 1",)),
            "nearest_pre_centred": (("plus += 1",), ("minus = 1", "plus = 0")),
            "nearest_immediate": (("plus = 1", "minus = 0"), ("minus = 1", "plus = 0")),
        }[self.pairing]
        return Program(
            variables={"plus": 0.0, "minus": 0.0},
            decays={"plus": Decay("tau_plus_ms"), "minus": Decay("tau_minus_ms")},
            constants={
                **constants,
                "tau_plus_ms": self.tau_plus_ms,
                "tau_minus_ms": self.tau_minus_ms,
                **self.limits(),
            },
            on_pre=(self.shrunk("a_minus * minus"), *after_pre),
            on_post=(self.grown("a_plus * plus"), *after_post),
        )
