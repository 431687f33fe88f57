"""The three tensor functions of each kind of wiring: apply, pull and correlate; and one fused form, accumulate_.

Adding a kind of connection means writing these. A kernel works on rows in one of three forms, chosen once when a
network is compiled:

- *single* (one replica, one area): rows [N, I], weight [O, I];
- *batched* (many replicas, one area): rows [R, N, I], weight [R, O, I];
- *grouped* (areas): rows [N, I] or [R, N, I] sorted by (replica, area), weight [G, O, I] with G = R·K; nothing is
computed for areas not selected.

Rows of a population with space are [.., N, C, H, W] in place of [.., N, I]; how they lie in memory is the business of
the kernels (channels last): nothing else may assume more than shape and strides say.

`Reversed` runs any of them backwards with its own weights, stored forward: that is every feedback projection and every
    tie.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.grouped import accumulate_groups, correlate_groups, multiply_groups
from neurosal.engine.products import Step, accumulate, correlate, each_by_onednn, multiply, multiply_each
from neurosal.engine.routing import Groups
from neurosal.graph import Wiring
from neurosal.graph.wiring import Extent

Steps = list[Step]


def like_rows(flat: Tensor, rows: Tensor) -> Tensor:
    """[R·N, U] with the leading axes of `rows` ([N, ..] or [R, N, ..])."""
    return flat if rows.dim() == 2 else flat.view(*rows.shape[:-1], flat.shape[-1])


def active(groups: Groups, weight: Tensor, factor: float) -> Tensor:
    """`factor` in areas with samples and 1 elsewhere, shaped to scale a weight [G, ...]."""
    return torch.where(groups.active_RK.flatten(), weight.new_full((), factor), 1.0).view(
        -1, *([1] * (weight.dim() - 1))
    )


class Kernel:
    """Functions of one wiring in one form. ``weight`` is in the stored orientation [.., post, pre]; `groups` is None
    unless grouped."""

    keeps = False  # whether going back depends on what was chosen on the way there, as in max pooling
    # The types of rows that it takes; None: as they are kept.
    compute: torch.dtype | None = None  # for changes
    carries: torch.dtype | None = None  # to apply and pull

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        """Post-synaptic input: ``W pre``."""
        raise TypeError(f"{type(self).__name__} has no apply")

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        """The other way: ``Wᵀ post``."""
        raise TypeError(f"{type(self).__name__} has no pull")

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        """``Σ_n post preᵀ`` in the shape of the weight."""
        raise TypeError(f"{type(self).__name__} has no correlate")

    def apply_keeping(self, pre: Tensor) -> tuple[Tensor, Any]:
        """As `apply` without a weight, and what `pull_kept` needs; only where it `keeps`."""
        raise TypeError(f"{type(self).__name__} keeps nothing")

    def pull_kept(self, post: Tensor, kept: Any) -> Tensor:
        """The other way, by what was kept."""
        raise TypeError(f"{type(self).__name__} keeps nothing")

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        """``b + W pre``: bias [U], [R, 1, U], or [G, U] with groups."""
        rows = self.apply(weight, pre, groups)
        if groups is None:
            return rows.add_(bias)
        return rows.add_(bias[groups.group_of_row].view(*rows.shape[: rows.dim() - bias.dim() + 1], *bias.shape[1:]))

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        """``W = beta W + alpha Σ_n post preᵀ`` for each (W, alpha, beta), only in areas with samples. The product is
        computed once."""
        change = self.correlate(post, pre, groups)
        for weight, alpha, beta in steps:
            if beta != 1:
                weight.mul_(beta if groups is None else active(groups, weight, beta))
            weight.add_(change, alpha=alpha)


class DenseSingle(Kernel):
    """Dense, one replica, one area."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return multiply(pre, weight.t())

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return multiply(post, weight)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return correlate(post, pre)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return multiply(pre, weight.t(), bias)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        accumulate(steps, post, pre)


class DenseBatched(Kernel):
    """Dense, many replicas, one area: one batched product whatever R is; replica by replica where oneDNN makes up for
    the calls."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return multiply_each(pre, weight.mT)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return multiply_each(post, weight)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return multiply_each(post.mT, pre)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return multiply_each(pre, weight.mT, bias)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        if each_by_onednn(pre, post.shape[2]):
            for replica in range(len(post)):
                own = [(weight[replica], alpha, beta) for weight, alpha, beta in steps]
                accumulate(own, post[replica], pre[replica])
        elif len(steps) > 1:
            super().accumulate_(steps, post, pre, groups)
        else:
            weight, alpha, beta = steps[0]
            weight.baddbmm_(post.mT, pre, alpha=alpha, beta=beta)


class DenseGrouped(Kernel):
    """Dense with areas: a grouped product over the groups that have samples."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        return like_rows(multiply_groups(pre.flatten(0, -2), weight.mT, groups), pre)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        return like_rows(multiply_groups(post.flatten(0, -2), weight, groups), post)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        return like_rows(multiply_groups(pre.flatten(0, -2), weight.mT, groups, bias), pre)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        return correlate_groups(post.flatten(0, -2), pre.flatten(0, -2), groups)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        assert groups is not None
        accumulate_groups(steps, post.flatten(0, -2), pre.flatten(0, -2), groups)


class OneToOneRows(Kernel):
    """One-to-one in every form: an elementwise product; weights [U], [R, 1, U] or [G, U]."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return pre * (weight if groups is None else like_rows(weight[groups.group_of_row], pre))

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return self.apply(weight, post, groups)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        product = post * pre
        if groups is None:
            return product.sum(-2, keepdim=product.dim() == 3)
        return product.new_zeros(groups.counts_RK.numel(), product.shape[-1]).index_add_(
            0, groups.group_of_row, product.flatten(0, -2)
        )


class Reversed(Kernel):
    """A wiring run backwards: what it applies is the pull of the wiring it reverses."""

    def __init__(self, forward: Kernel) -> None:
        self.forward, self.compute, self.carries = forward, forward.compute, forward.carries
        # Bound here rather than called through: a call a product is what small networks notice.
        self.apply = forward.pull  # type: ignore[assignment,method-assign]
        self.pull = forward.apply  # type: ignore[assignment,method-assign]

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.forward.correlate(pre, post, groups)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        self.forward.accumulate_(steps, pre, post, groups)


class Flattened(Kernel):
    """A wiring of units between populations of which one has space: their rows are [.., N, C, H, W] outside and
    [.., N, U] inside."""

    def __init__(self, inside: Kernel, post: Extent, pre: Extent) -> None:
        self.inside, self.post, self.pre, self.compute, self.carries = inside, post, pre, inside.compute, inside.carries

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return shaped(self.inside.apply(weight, flat(pre, self.pre), groups), self.post)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return shaped(self.inside.pull(weight, flat(post, self.post), groups), self.pre)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.inside.correlate(flat(post, self.post), flat(pre, self.pre), groups)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        if len(self.post) > 1:  # the bias is one a channel
            return super().affine(bias, weight, pre, groups)
        return self.inside.affine(bias, weight, flat(pre, self.pre), groups)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        self.inside.accumulate_(steps, flat(post, self.post), flat(pre, self.pre), groups)


class DenseOverSpace(Flattened):
    """`Flattened` for dense wiring: what arrives at places lies there with its channels last, as all rows with space
    do. The weights are put into that order, since they are fewer than the rows of a batch."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        rows = flat(pre, self.pre)
        if len(self.post) == 1:
            return self.inside.apply(weight, rows, groups)
        return _channels_last(self.inside.apply(_places_first(weight, self.post, -2), rows, groups), self.post)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        rows = flat(post, self.post)
        if len(self.pre) == 1:
            return self.inside.pull(weight, rows, groups)
        return _channels_last(self.inside.pull(_places_first(weight, self.pre, -1), rows, groups), self.pre)


def _places_first(weight: Tensor, extent: Extent, axis: int) -> Tensor:
    """A weight whose units along an axis (-1 or -2) stand by places and then by channels."""
    apart = weight.unflatten(axis, (extent[0], -1))
    return apart.transpose(axis, axis - 1).flatten(axis - 1, axis)


def _channels_last(rows: Tensor, extent: Extent) -> Tensor:
    """Rows [.., units] that stand by places and then by channels, as [.., *extent]; a view."""
    return rows.unflatten(-1, (*extent[1:], extent[0])).movedim(-1, -len(extent))


def flat(rows: Tensor, extent: Extent) -> Tensor:
    """Rows [.., *extent] as [.., units], channels, rows, columns."""
    return rows.flatten(-len(extent)) if len(extent) > 1 else rows


def shaped(rows: Tensor, extent: Extent) -> Tensor:
    """Rows [.., units] as [.., *extent]."""
    return rows.unflatten(-1, extent) if len(extent) > 1 else rows


Maker = Callable[[Any, Extent, Extent, str], Kernel]

KERNELS: dict[str, dict[str, Kernel]] = {
    "dense": {"single": DenseSingle(), "batched": DenseBatched(), "grouped": DenseGrouped()},
    "one_to_one": {"single": OneToOneRows(), "batched": OneToOneRows(), "grouped": OneToOneRows()},
}
MAKERS: dict[str, Maker] = {}


def register_wiring(
    kind: str,
    single: Kernel | None = None,
    batched: Kernel | None = None,
    grouped: Kernel | None = None,
    *,
    make: Maker | None = None,
) -> None:
    """Teach the engine a kind of wiring (its description is a subclass of `neurosal.graph.Wiring` with the same kind).

    Args:
        single, batched, grouped: functions of units, the same for all sizes; rows are [.., N, units] always.
        make: in place of them, for wiring that knows of space: from the wiring, the post- and the pre-synaptic extent
            and the form to its functions.
    """
    if make is not None:
        MAKERS[kind] = make
        return
    assert single is not None
    assert batched is not None
    assert grouped is not None
    KERNELS[kind] = {"single": single, "batched": batched, "grouped": grouped}


def make_kernel(wiring: Wiring, post: Extent, pre: Extent, form: str) -> Kernel:
    """The functions of a wiring between populations of these extents, in one form."""
    if (make := MAKERS.get(wiring.kind)) is not None:
        return make(wiring, post, pre, form)
    forms = KERNELS.get(wiring.functions)
    assert forms is not None, f"no tensor functions are registered for wiring {wiring.kind!r}: call register_wiring"
    found = forms[form]
    if prod(map(len, (post, pre))) == 1:
        return found
    return (DenseOverSpace if wiring.functions == "dense" else Flattened)(found, post, pre)
