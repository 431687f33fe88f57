"""Projections: the edges of a circuit, each with synapses of its own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from neurosal.graph.plasticity import Plasticity
from neurosal.graph.value import Value
from neurosal.graph.weights import Own, Weights
from neurosal.graph.wiring import Dense, Wiring

Pathway = Literal["feedforward", "feedback", "lateral", "modulatory"]


def _usual_plasticity(pathway: str, wiring: Wiring | None) -> Plasticity:
    """Delta for feedforward and lateral synapses; feedback and routers stay as they were made, and wiring without
    weights has nothing to change."""
    plastic = pathway in ("feedforward", "lateral") and not (wiring is not None and wiring.weightless)
    member = Plasticity.members["delta" if plastic else "fixed"]()
    assert isinstance(member, Plasticity)
    return member


class Projection(Value):
    """Synapses from one population to another, along one pathway.

    Weights are stored ``[post, pre]`` of the projection's own direction; in a compiled network ``[R, K, post, pre]``.
    Feedforward projections carry activity, feedback projections carry error, modulatory ones choose areas. Without a
    plasticity, feedforward weights learn by the delta rule and all others stay as they were made. Wiring without
    weights (pooling, shortcuts) takes neither weights nor plasticity.

    Feedback from the output may carry the ``target`` in place of the error: one-hot for labels, its values else. It
    reaches populations as an error does, ``e = B y``, but is none, so no symmetry is measured along it.
    """

    source: str
    target: str
    pathway: Pathway = "feedforward"
    wiring: Wiring = Field(default_factory=Dense)
    weights: Weights = Field(default_factory=Own)
    plasticity: Plasticity = Field(
        default_factory=lambda fields: _usual_plasticity(fields.get("pathway", ""), fields.get("wiring"))
    )

    carries: Literal["error", "target"] = "error"

    def to_dict(self) -> dict[str, Any]:
        """As of every value; what feedback carries is said only where it is the target, and weights only of wiring
        that has them."""
        fields = super().to_dict()
        if self.carries == "error":
            del fields["carries"]
        if self.wiring.weightless and self.weights == Own():
            del fields["weights"]
        return fields

    @property
    def tied_to(self) -> str | None:
        """The projection whose weights this one depends on at every moment, or None."""
        return getattr(self.weights, "of", None) if self.weights.kind in ("transpose", "sign_of") else None
