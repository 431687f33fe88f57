"""Router plasticity: queries are pulled towards a prototype, usage is balanced."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.plasticity import RouterPlasticity


class Attract(RouterPlasticity):
    """``ΔP = mean_n (1/|P u|) (c_t - (c_t·q) q) uᵀ`` with ``t = argmax_k (s_k - β (K·usage_k - 1))``; prototypes stay
    frozen.

    Without the balance term β the map collapses onto one area. Our reconstruction of learned-frozen decoupled routing
    (SAL-R, inferred).

    Args:
        rate: step, as a factor on the optimiser's learning rate (.1).
        balance: β.
    """

    kind: ClassVar[str] = "attract"
    rate: float = Field(default=0.1, ge=0)
    balance: float = Field(default=0.1, ge=0)

    def update_router(self, state: dict[str, Any], seen: dict[str, Any], lr: Any) -> dict[str, Any]:
        query_RNr, areas = seen["query"], state["usage"].shape[-1]
        balanced_RNK = seen["scores"] - self.balance * (areas * state["usage"][:, None, :] - 1)
        target_RN = balanced_RNK.argmax(-1)
        prototype_RNr = state["prototypes"].gather(1, target_RN[..., None].expand(-1, -1, query_RNr.shape[-1]))
        pull_RNr = prototype_RNr - (prototype_RNr * query_RNr).sum(-1, keepdim=True) * query_RNr
        change_RrI = (pull_RNr / seen["norm"]).transpose(1, 2) @ seen["centred"] / query_RNr.shape[1]
        return {"weight": state["weight"] + lr * self.rate * change_RrI}
