"""Weight mirror: feedback synapses learn the forward weights from the response to noise, and never read them."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.plasticity import Plasticity
from neurosal.plasticity.delta import Reduction


class WeightMirror(Plasticity):
    """``ΔB = (1/m) Σ_n ξ_post y_preᵀ - λ B``: the noise ξ of the population where the feedback ends, times the response
    y where it starts.

    With white noise of variance σ² and a linear response the mean of the product is ``σ² Wᵀ``, so that B turns to the
    direction of Wᵀ from any start. Synapses change only while noise drives the population where they end
    (`Circuit.driven_at`); in ordinary training they stay bit for bit.

    Args:
        centred: subtract the mean response over the batch (of each area), which a response that is not zero on average
            (sigmoid, relu, biases) would turn into noise of B; a batch of one sample then changes nothing. False takes
            the equation as printed.
        decay: λ; the weights settle at about ``σ² Wᵀ / λ`` and do not grow without bound.
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1.

    Example:
        >>> WeightMirror(decay=0.5)
        WeightMirror(decay=0.5)

    Reference:
        Akrout et al. (2019), "Deep learning without weight transport", arXiv 1904.05391, eq. 7.
    """

    kind: ClassVar[str] = "weight_mirror"
    needs: ClassVar[frozenset[str]] = frozenset({"post_activity", "pre_activity"})
    while_driven: ClassVar[bool] = True
    centred: bool = True
    decay: float = Field(default=0.0, ge=0)
    reduction: Reduction = "batch"

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        response = local.centred(local.pre_activity) if self.centred else local.pre_activity
        change = -local.correlate(local.post_activity, response)
        return (change + self.decay * local.weight if self.decay else change), state
