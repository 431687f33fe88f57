"""Oja's rule: Hebb's, with a decay that keeps each unit's weights at length one."""

from __future__ import annotations

from typing import Any, ClassVar

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.plasticity.delta import Reduction


class Oja(Plasticity):
    """``ΔW = (1/m) Σ_n (y_post x_preᵀ - y_post² ⊙ W)``: each linear unit comes to the first principal component of its
    input, at length one.

    Units that hear the same come to the same component: lateral inhibition (`AntiHebbian`) keeps them apart. Needs no
    error; the input is taken to have mean zero.

    Args:
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1.

    Example:
        >>> Oja(rate=0.5)
        Oja(rate=0.5)

    Reference:
        Oja (1982), "A simplified neuron model as a principal component analyzer".
    """

    kind: ClassVar[str] = "oja"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity"})
    reduction: Reduction = "batch"

    def program(self) -> Program:
        """``dw/dt = η y (x - y w)`` of rates y = post.r and x = pre.r, per ms."""
        return Program(constants={"rate": self.rate}, each_step=("w += rate * dt_ms * post.r * (pre.r - post.r * w)",))

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        post_RNO = local.post_activity
        strength_RKO = local.total(post_RNO * post_RNO)
        return local.by_post(strength_RKO) * local.weight - local.correlate(post_RNO, local.pre_activity), state
