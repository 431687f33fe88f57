"""Intrinsic homeostasis: a unit moves its own threshold until it spikes at a given rate."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field, field_validator

from neurosal.graph.dynamics import Dynamics, names_in, renamed
from neurosal.graph.models import Model
from neurosal.graph.spiking import Dynamical

THRESHOLD, MOVED = "v_threshold_mv", "theta_mv"


class Homeostatic(Dynamical):
    """A model whose threshold is higher by θ: ``dθ/dt = -η ρ₀`` all the time, and each spike adds η to θ.

    What spikes add and what time takes away balance exactly at ρ₀: over any T, ``Δθ = η (spikes - ρ₀ T)``, so the rate
    comes to ρ₀ whatever drives the unit, as fast as η says.

    Args:
        of: a model with a threshold ``v_threshold_mv``; where its equations have it too, it moves there as well.
        target_hz: ρ₀.
        eta_mv: η.
        start_mv: first θ.

    Example:
        >>> from neurosal.graph import LIF
        >>> Homeostatic(of=LIF(), target_hz=10.0).dynamics().threshold
        'v_mv > v_threshold_mv + theta_mv'

    Reference:
        Desai, Rutherford & Turrigiano (1999), Nature Neuroscience 2:515; the rule is that of Querlioz, Bichler, Dollfus
        & Gamrat (2013), IEEE Transactions on Nanotechnology 12:288, in continuous time.
    """

    kind: ClassVar[str] = "homeostatic"
    carries: ClassVar[frozenset[str]] = frozenset({"spikes"})
    of: Model
    target_hz: float = Field(default=10.0, gt=0)
    eta_mv: float = Field(default=0.1, gt=0)
    start_mv: float = 0.0

    @field_validator("of")
    @classmethod
    def _with_threshold(cls, of: Model) -> Model:
        if not isinstance(of, Dynamical):
            raise ValueError(f"a model that equations say, not {of.kind}")
        dynamics = of.dynamics()
        if THRESHOLD not in names_in(dynamics.threshold or "0") or MOVED in dynamics.equations:
            raise ValueError(f"a model that spikes above {THRESHOLD} and moves it by nothing else, not {of.kind}")
        return of

    def dynamics(self) -> Dynamics:
        assert isinstance(self.of, Dynamical)
        plain, moved = self.of.dynamics(), {THRESHOLD: f"{THRESHOLD} + {MOVED}"}
        equations = {name: renamed(text, moved) for name, text in plain.equations.items()}
        return replace(
            plain,
            equations={**equations, MOVED: "-fall_mv_per_ms"},
            constants={**plain.constants, "fall_mv_per_ms": self.eta_mv * self.target_hz / 1000, "eta_mv": self.eta_mv},
            start={**plain.start, MOVED: self.start_mv},
            threshold=renamed(plain.threshold, moved),
            reset=(*(renamed(text, moved) for text in plain.reset), f"{MOVED} += eta_mv"),
        )
