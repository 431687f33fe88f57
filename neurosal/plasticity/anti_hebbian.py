"""Anti-Hebbian lateral inhibition: what fires together comes to inhibit each other."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.plasticity.delta import Reduction


class AntiHebbian(Plasticity):
    """``ΔL = -(1/m) Σ_n (y_post y_preᵀ - p²)``: lateral synapses inhibit until the units they join are uncorrelated, or
    active together as often as independent units with rate p are.

    A dense lateral projection joins no unit to itself, so that only what lies off the diagonal changes. Needs no error.
    Synapses keep no sign: units that are less often active together than asked for come to excite each other.

    Args:
        target: p, the rate at which units should be active; 0 decorrelates signals of mean zero.
        centred: subtract the mean over the batch (of each area), which decorrelates signals of any mean.
        reduction: m: "batch" divides by the samples in the batch, "area" by those of the selected area, "sum" by 1.

    Example:
        >>> AntiHebbian(target=0.125)
        AntiHebbian(target=0.125)

    Reference:
        Földiák (1989), "Adaptive network for optimal linear feature extraction" (p = 0).
        Földiák (1990), "Forming sparse representations by local anti-Hebbian learning".
    """

    kind: ClassVar[str] = "anti_hebbian"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity"})
    target: float = Field(default=0.0, ge=0)
    centred: bool = False
    reduction: Reduction = "batch"

    def program(self) -> Program | None:
        """``dw/dt = -η (y x - p²)`` of rates y = post.r and x = pre.r, per ms; None where centred: in continuous time
        there is no batch to take a mean of."""
        if self.centred:
            return None
        constants = {"rate": self.rate, "square": self.target**2}
        return Program(constants=constants, each_step=("w -= rate * dt_ms * (post.r * pre.r - square)",))

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        post_RNO = local.post_activity
        change = local.correlate(local.centred(post_RNO) if self.centred else post_RNO, local.pre_activity)
        if self.target:
            change = change - self.target**2 * local.by_post(local.total(post_RNO.new_ones(post_RNO.shape)))
        return change, state
