"""Hebb's rule: what fires together, wires together."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.plasticity.delta import Reduction


class Hebbian(Plasticity):
    """``ΔW = (1/m) Σ_n y_post x_preᵀ - λ W``; centred, the covariance of y and x in place of their product.

    Without decay a linear layer grows without bound along the eigenvectors of the input's correlations C, by ``W ← W
    (I + η C)`` a step. Needs no error.

    Args:
        centred: subtract the mean over the batch (of each area): Sejnowski's covariance rule.
        decay: λ.
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1.

    Example:
        >>> Hebbian(centred=True, decay=0.1)
        Hebbian(centred=True, decay=0.1)

    Reference:
        Hebb (1949), "The organization of behavior"; Sejnowski (1977), "Storing covariance with nonlinearly interacting
        neurons".
    """

    kind: ClassVar[str] = "hebbian"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity"})
    centred: bool = False
    decay: float = Field(default=0.0, ge=0)
    reduction: Reduction = "batch"

    def program(self) -> Program | None:
        """``dw/dt = η (y x - λ w)`` of rates y = post.r and x = pre.r, per ms; None where centred: in continuous time
        there is no batch to take a mean of."""
        if self.centred:
            return None
        constants = {"rate": self.rate, "decay": self.decay}
        return Program(constants=constants, each_step=("w += rate * dt_ms * (post.r * pre.r - decay * w)",))

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        post = local.centred(local.post_activity) if self.centred else local.post_activity
        change = -local.correlate(post, local.pre_activity)
        return (change + self.decay * local.weight if self.decay else change), state
