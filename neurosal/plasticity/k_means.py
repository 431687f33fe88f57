"""Router plasticity: prototypes are fitted to training inputs once, before training, and then frozen."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.plasticity import RouterPlasticity


class KMeans(RouterPlasticity):
    """Spherical k-means on the queries q of training inputs: assign to ``argmax c_k·q``, move ``c_k`` to the normalised
    mean, repeat.

    Starts from the random prototypes; one that wins nothing is put on the query worst served. Our reconstruction
    (SAL-R, inferred).

    Args:
        iterations: how often to assign and move.
    """

    kind: ClassVar[str] = "k_means"
    needs_data: ClassVar[bool] = True
    iterations: int = Field(default=25, gt=0)

    def fit_router(self, state: dict[str, Any], centred: Any, seeds: list[int]) -> dict[str, Any]:
        projected = centred @ state["weight"].transpose(1, 2)
        query_RNr = projected / projected.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        prototypes_RKr = state["prototypes"]
        for _ in range(self.iterations):
            scores_RNK = query_RNr @ prototypes_RKr.transpose(1, 2)
            best_RN, choice_RN = scores_RNK.max(-1)
            won_RNK = scores_RNK.new_zeros(scores_RNK.shape).scatter_(-1, choice_RN[..., None], 1.0)
            total_RKr = won_RNK.transpose(1, 2) @ query_RNr
            empty_RK1 = won_RNK.sum(1)[..., None] == 0
            worst = best_RN.argsort(-1)[:, : prototypes_RKr.shape[1]]
            spare_RKr = query_RNr.gather(1, worst[..., None].expand(-1, -1, query_RNr.shape[-1]))
            spare_RKr = spare_RKr if spare_RKr.shape[1] == prototypes_RKr.shape[1] else prototypes_RKr
            total_RKr = spare_RKr.where(empty_RK1, total_RKr)
            prototypes_RKr = total_RKr / total_RKr.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return {"prototypes": prototypes_RKr}
