"""Projections: the edges of a circuit, each with synapses of its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neurosal.graph.plasticity import Plasticity
from neurosal.graph.value import Value
from neurosal.graph.weights import Own, Weights
from neurosal.graph.wiring import Dense, Wiring

Pathway = Literal["feedforward", "feedback", "lateral", "modulatory"]


def _delta() -> Plasticity:
    member = Plasticity.members["delta"]()
    assert isinstance(member, Plasticity)
    return member


class Projection(Value):
    """Synapses from one population to another, along one pathway.

    Weights are stored ``[post, pre]`` of the projection's own direction; in a compiled network ``[R, K, post, pre]``.
    Feedforward projections carry activity, feedback projections carry error (``carries="target"``: the target instead),
    modulatory ones choose areas.
    """

    source: str
    target: str
    pathway: Pathway = "feedforward"
    wiring: Wiring = Field(default_factory=Dense)
    weights: Weights = Field(default_factory=Own)
    plasticity: Plasticity = Field(default_factory=_delta)

    @property
    def tied_to(self) -> str | None:
        """The projection whose weights this one depends on at every moment, or None."""
        return getattr(self.weights, "of", None) if self.weights.kind in ("transpose", "sign_of") else None
