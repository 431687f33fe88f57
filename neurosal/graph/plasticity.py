"""The contract of local plasticity. Members live in `neurosal.plasticity`, one file each, or in other packages."""

from __future__ import annotations

from math import inf
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field

from neurosal.graph.dynamics import Program
from neurosal.graph.value import Kinded

Signal = Literal["pre_activity", "post_activity", "pre_error", "post_error"]


class Local(Protocol):
    """What a synapse can see. Tensors carry replicas R first, then samples N and units; asking for what is not there is
    a bug.

    ``correlate(post, pre)`` sums the product of two signals over samples into the shape of the weight, with the
    reduction of the plasticity; ``total(rows)`` sums one signal in the same way, [R, K, units]. ``average(rows)`` is
    the mean over samples whatever the reduction, [R, K, units], and ``centred(rows)`` what is left of each sample
    without it. Synapses of several areas see the samples of each area by themselves: ``spread(values)`` gives each
    sample the values [R, K, units] of its area, and ``active`` says which areas have samples, [R, K].
    ``by_post(values)`` broadcasts values [R, K, post] against the weight, summed over places where these share it.
    """

    @property
    def pre_activity(self) -> Any: ...
    @property
    def post_activity(self) -> Any: ...
    @property
    def pre_error(self) -> Any: ...
    @property
    def post_error(self) -> Any: ...
    @property
    def weight(self) -> Any: ...

    @property
    def active(self) -> Any: ...

    def correlate(self, post: Any, pre: Any) -> Any: ...
    def total(self, rows: Any) -> Any: ...
    def average(self, rows: Any) -> Any: ...
    def spread(self, values: Any) -> Any: ...
    def centred(self, rows: Any) -> Any: ...
    def by_post(self, values: Any) -> Any: ...


class Plasticity(Kinded):
    """How the weights of a projection change: two pure functions with explicit state.

    ``product`` names the post- and pre-synaptic signal whose correlation *is* the change, where the change has that
    form. Projections with
    the same product share it: it is computed once. A member with another form leaves it None and overrides `update`.
    Synapses with ``while_driven`` change only while noise drives the population where they end (`Source.driven`). A
    member with ``by_unit`` remembers a number for each post-synaptic unit, which units that share their weights with
    those at other places do not have.
    """

    family: ClassVar[str] = "plasticity"
    needs: ClassVar[frozenset[str]] = frozenset()
    product: ClassVar[tuple[Signal, Signal] | None] = None
    plastic: ClassVar[bool] = True
    for_router: ClassVar[bool] = False
    while_driven: ClassVar[bool] = False
    by_unit: ClassVar[bool] = False

    rate: float = Field(default=1.0, ge=0, description="factor on the optimiser's learning rate")

    def program(self) -> Program | None:
        """What happens at a synapse of spikes, or of rates in continuous time; None where this is not for those."""
        return None

    def bounds(self) -> tuple[float, float]:
        """Between which weights stay in continuous time, and first weights must lie: lowest and highest, infinite where
        there is none."""
        return -inf, inf

    @property
    def trains(self) -> bool:
        """Whether it has a change for batches of samples, as trained circuits need it."""
        return self.product is not None or type(self).update is not Plasticity.update

    def init(self, weight: Any) -> dict[str, Any]:
        """State beside the weights, as named tensors; most rules need none."""
        return {}

    def update(self, local: Local, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The proposed change, with the sign of a gradient (the optimiser subtracts it), and the new state."""
        assert self.product is not None, f"{type(self).__name__} has no product and no update of its own"
        post, pre = self.product
        return local.correlate(getattr(local, post), getattr(local, pre)), state


class RouterPlasticity(Plasticity):
    """How a router's projection P and prototypes C change. It sees no error: no task signal enters a route.

    ``update_router`` gets and returns a dict of tensors, all with replicas first: ``weight`` [R, rank, I],
        ``prototypes`` [R, K, rank], ``usage``
    [R, K]; ``seen`` holds ``centred`` u [R, N, I], ``query`` q [R, N, rank], ``norm`` |P u| [R, N, 1], ``scores`` s [R,
    N, K].
    """

    for_router: ClassVar[bool] = True
    usage_rate: float = Field(default=0.01, gt=0, le=1, description="rate of the running average of area usage")
    needs_data: ClassVar[bool] = False

    def update_router(self, state: dict[str, Any], seen: dict[str, Any], lr: Any) -> dict[str, Any]:
        """The changed entries of `state`. `lr` is the optimiser's rate of this step, a number or a tensor [R, 1, 1]."""
        return {}

    def fit_router(self, state: dict[str, Any], centred: Any, seeds: list[int]) -> dict[str, Any]:
        """The changed entries of `state` after seeing training inputs (u, [R, N, I]) once, before training (if
        ``needs_data``)."""
        return {}
