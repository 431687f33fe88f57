"""Router plasticity: prototypes move online towards the samples they win, usage is balanced, labels are never seen."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.plasticity import RouterPlasticity


class OnlineBalanced(RouterPlasticity):
    """``c_t ← normalise(c_t + ρ (mean of the queries assigned to t - c_t))`` with ``t = argmax_k (s_k - β (K·usage_k -
    1))``.

    Competitive learning on the unit sphere with a conscience. P stays as it was drawn. Our reconstruction (SAL-R,
    inferred).

    Args:
        step: ρ for an area that won every sample of the batch; an area that won a share w of them moves by ``1 - (1 -
            ρ)^(K w)``.
        balance: β, the conscience.

    Reference:
        DeSieno (1988), "Adding a conscience to competitive learning".
    """

    kind: ClassVar[str] = "online_balanced"
    step: float = Field(default=0.02, gt=0, le=1)
    balance: float = Field(default=0.1, ge=0)

    def update_router(self, state: dict[str, Any], seen: dict[str, Any], lr: Any) -> dict[str, Any]:
        query_RNr, prototypes_RKr = seen["query"], state["prototypes"]
        areas = prototypes_RKr.shape[1]
        balanced_RNK = seen["scores"] - self.balance * (areas * state["usage"][:, None, :] - 1)
        won_RNK = balanced_RNK.new_zeros(balanced_RNK.shape).scatter_(-1, balanced_RNK.argmax(-1, keepdim=True), 1.0)
        count_RK1 = won_RNK.sum(1)[..., None]
        mean_RKr = won_RNK.transpose(1, 2) @ query_RNr / count_RK1.clamp(min=1)
        amount_RK1 = 1 - (1 - self.step) ** (areas * count_RK1 / query_RNr.shape[1])
        moved = prototypes_RKr + amount_RK1 * (mean_RKr - prototypes_RKr)
        # One that won nothing stays bit for bit: normalising it again would move its last bits.
        return {
            "prototypes": (moved / moved.norm(dim=-1, keepdim=True).clamp(min=1e-12)).where(
                count_RK1 > 0, prototypes_RKr
            )
        }
