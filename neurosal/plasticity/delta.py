"""The delta rule: error where the synapse ends, times activity where it starts."""

from __future__ import annotations

from typing import ClassVar, Literal

from neurosal.graph.plasticity import Plasticity, Signal

Reduction = Literal["batch", "area", "sum"]


class Delta(Plasticity):
    """``ΔW = (1/m) Σ_n δ_post h_preᵀ``, the change of every forward weight in the family of feedback alignment.

    Args:
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1 (a
            larger step: compare with the rate times the batch size).

    Reference:
        Rumelhart, Hinton & Williams (1986); with separate feedback Lillicrap et al. (2016).
    """

    kind: ClassVar[str] = "delta"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_error"})
    product: ClassVar[tuple[Signal, Signal] | None] = ("post_error", "pre_activity")
    reduction: Reduction = "batch"
