"""Bienenstock, Cooper and Munro: Hebb's rule above a threshold that slides with the unit's activity, its opposite
below."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.plasticity.delta import Reduction


class BCM(Plasticity):
    """``ΔW = (1/m) Σ_n y (y - θ) x_preᵀ`` and ``θ ← θ + (mean y² - θ) / τ``: units become selective.

    θ, one for each unit and area, is the running mean of y² over steps, this one included; it begins at the first
    batch's and averages over all batches until there are τ of them. With two orthogonal inputs, each shown half of the
    time, a linear unit comes to answer one of them by 2 and the other by 0. Needs no error.

    Args:
        time_constant: τ in training steps. A threshold much slower than the weights makes them oscillate.
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1.

    Example:
        >>> BCM(time_constant=20)
        BCM(time_constant=20.0)

    Reference:
        Bienenstock, Cooper & Munro (1982), "Theory for the development of neuron selectivity"; the form of Intrator &
        Cooper (1992), "Objective function formulation of the BCM theory of visual cortical plasticity".
    """

    kind: ClassVar[str] = "bcm"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity"})
    by_unit: ClassVar[bool] = True
    time_constant: float = Field(default=100.0, ge=1)
    reduction: Reduction = "batch"

    def program(self) -> Program:
        """``dw/dt = η y (y - θ) x`` and ``τ dθ/dt = y² - θ`` of rates y = post.r and x = pre.r, per ms, τ in ms.

        Until τ has passed θ is the mean since the start. It changes first, as in `update`.
        """
        return Program(
            variables={"threshold": 0.0, "elapsed": 0.0},
            constants={"rate": self.rate, "tau_ms": self.time_constant},
            each_step=(
                "elapsed = minimum(elapsed + dt_ms, tau_ms)",
                "threshold += dt_ms / elapsed * (post.r * post.r - threshold)",
                "w += rate * dt_ms * post.r * (post.r - threshold) * pre.r",
            ),
        )

    def init(self, weight: Any) -> dict[str, Any]:
        return {
            "threshold": weight.new_zeros(weight.shape[:3]),
            "count": weight.new_zeros(weight.shape[:2]),
        }

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        post_RNO = local.post_activity
        count_RK = state["count"] + local.active  # areas without samples keep their threshold
        share_RK1 = local.active[..., None] / count_RK.clamp(min=1, max=self.time_constant)[..., None]
        square_RKO = local.average(post_RNO * post_RNO)
        threshold_RKO = state["threshold"] + share_RK1 * (square_RKO - state["threshold"])
        post_RNO = post_RNO * (post_RNO - local.spread(threshold_RKO))
        return -local.correlate(post_RNO, local.pre_activity), {"threshold": threshold_RKO, "count": count_RK}
