"""Projections: the edges of a circuit, each with synapses of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from neurosal.graph.initialisers import Initialiser
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.short_term import ShortTerm
from neurosal.graph.synapses import Synapse
from neurosal.graph.value import Value
from neurosal.graph.weights import Own, Weights
from neurosal.graph.wiring import Dense, Wiring

Pathway = Literal["feedforward", "feedback", "lateral", "modulatory"]


def _usual_plasticity(fields: Mapping[str, Any]) -> Plasticity:
    """Delta for feedforward and lateral synapses; feedback, routers and synapses of spikes stay as they were made, and
    wiring without weights has nothing to change."""
    wiring = fields.get("wiring")
    plastic = fields.get("pathway") in ("feedforward", "lateral") and fields.get("synapse") is None
    plastic = plastic and not (wiring is not None and wiring.weightless)
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

    Between populations in continuous time a projection says what its ``synapse`` does; only there are the fields below
    of use, and without a plasticity such weights stay as they were made.

    Args:
        synapse: what a spike does where it arrives, and the unit of the weights.
        delay_ms: from a spike to its arrival, rounded to steps; an initialiser draws one for each synapse.
        sign: of every weight, for good (Dale): draws of the other sign become 0, and plasticity stops at 0.
        short_term: facilitation and depression of what a synapse transmits.
    """

    source: str
    target: str
    pathway: Pathway = "feedforward"
    wiring: Wiring = Field(default_factory=Dense)
    weights: Weights = Field(default_factory=Own)
    synapse: Synapse | None = None
    delay_ms: Annotated[float, Field(ge=0)] | Initialiser = 0.0
    sign: Literal["excitatory", "inhibitory"] | None = None
    short_term: ShortTerm | None = None
    plasticity: Plasticity = Field(default_factory=_usual_plasticity)

    carries: Literal["error", "target"] = "error"

    def to_dict(self) -> dict[str, Any]:
        """As of every value; what feedback carries is said only where it is the target, and weights only of wiring
        that has them."""
        fields = super().to_dict()
        if self.carries == "error":
            del fields["carries"]
        if self.delay_ms == 0:
            del fields["delay_ms"]
        if self.wiring.weightless and self.weights == Own():
            del fields["weights"]
        return fields

    @property
    def tied_to(self) -> str | None:
        """The projection whose weights this one depends on at every moment, or None."""
        return getattr(self.weights, "of", None) if self.weights.kind in ("transpose", "sign_of") else None
