"""Products in bfloat16; weights, their changes, sums and all that users see in float32.

A product of two bfloat16 numbers is exact in float32 (8 + 8 significant bits fit into 24) and is summed there, so that
only three things are rounded, each by at most `UNIT`: the rows, the weights, and what is written. With
``ŷ = Σ_i w_i x_i`` of n terms that means ``|ŷ - y| ≤ (2 u + u²) Σ_i |w_i x_i| + u |y|``, beside float32's own n 2⁻²⁴.

What is kept in which type:

- *weights, biases, the state of optimisers, plasticity and routers*: float32, always. A weight is narrowed when it is
  used, one replica and area at a time, into room for one; no narrow copy of all weights exists.
- *rows* (activity and error) of a population between dense projections: bfloat16, which halves what goes through
  memory. Of all others float32 (*wide*): inputs (routers and users see them as they came), the output (logits, loss
  and its δ), those with a norm, and both ends of what is no dense product: a constant skip, so that a residual stream
  adds up in float32, and lateral projections, which stay in float32 as a whole while activity settles. Wide rows are
  narrowed once a batch for all products that read them.
- *rows of a population with space*: bfloat16 too where it has a norm, hears from a skip or is pooled, as torch's own
  autocast has it: between two convolutions memory is what a step waits for. Norms take their statistics in float32 and
  round what they write, and a residual stream is rounded where a block adds to it.
- *the product of a change*: bfloat16 where the device writes no other, added into float32 weights in blocks that stay
  in the cache. Weights that share a product (Kolen-Pollack) get the same bits of it.

Letters: R replica, N sample, G = R·K groups, O and I units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurosal.engine import products
from neurosal.engine.grouped import correlate_groups, multiply_groups
from neurosal.engine.narrowing import InTypeOfEnds, NarrowSpace
from neurosal.engine.routing import Groups
from neurosal.engine.wiring import DenseBatched, DenseGrouped, DenseSingle, Flattened, Kernel, active, like_rows
from neurosal.graph import Broadcast, Convolution, Population, Projection, Reversed, Wiring
from neurosal.lower.plan import Plan

UNIT = 2.0**-8  # the largest relative error of rounding to bfloat16
EXACT = 256  # units of the output up to which its own product is float32: it costs little, and equal logits are rare
LARGE = 1 << 18  # entries of one weight from which replicas and areas are taken one after another
BLOCK = 1 << 19  # entries of a weight that take a change at a time: 2 MiB
SUMMED = 256  # rows that are widened at a time to be summed
WIDENED = 512  # rows that are widened at a time for the output's own product

WIDE = torch.float32
Steps = list[tuple[Tensor, Any, float]]  # weight, alpha (a number or one a replica), beta


class Precision:
    """In which type each signal of a plan is kept, and the kernels that go with it.

    Args:
        compute: the type of products; None for that of the weights, and then nothing here does anything.
    """

    def __init__(self, plan: Plan, compute: torch.dtype | None) -> None:
        self.plan, self.compute = plan, compute
        self.wide = frozenset(plan.circuit.populations) if compute is None else wide(plan)
        self._room: dict[tuple[str, torch.device], Tensor] = {}

    def stored(self, population: str) -> torch.dtype | None:
        """The type of the rows of a population; None for that of the weights."""
        return None if population in self.wide else self.compute

    def kernel(self, kernel: Kernel, projection: str) -> Kernel:
        """The functions of a projection, in stored orientation."""
        edge = self.plan.circuit.projections[projection]
        if self.compute is None or edge.pathway == "lateral":
            return kernel
        if not narrows(edge):
            ends = (self.stored(end) or WIDE for end in (edge.target, edge.source))
            return InTypeOfEnds(kernel, *ends) if moves(self.plan, edge) else kernel
        if isinstance(kernel, Flattened):
            return type(kernel)(self.kernel(kernel.inside, projection), kernel.post, kernel.pre)
        if form := NARROW.get(type(kernel)):
            return form(self, edge.target)
        return NarrowSpace(kernel, self, self.stored(edge.target) or WIDE)

    def room(self, use: str, like: Tensor) -> Tensor:
        """Room for a narrow tensor of that shape, the same one at each call: fresh memory costs more than a cast."""
        assert self.compute is not None
        key, count = (use, like.device), like.numel()
        found = self._room.get(key)
        if found is None or found.numel() < count:
            with torch.inference_mode(False):
                found = self._room[key] = torch.empty(count, dtype=self.compute, device=like.device)
        return found[:count].view(like.shape)

    def narrow(self, rows: Tensor) -> Tensor:
        """Rows in the type of products."""
        return rows if rows.dtype == self.compute else rows.to(self.compute)

    def weight(self, weight: Tensor) -> Tensor:
        """A weight [.., O, I], or its transpose, in the type of products; good until the next one is asked for."""
        if weight.is_contiguous():
            return self.room("weight", weight).copy_(weight)
        # Narrowed as it lies: a cast that transposes takes several times as long.
        return self.room("weight", weight.mT).copy_(weight.mT).mT


def wide(plan: Plan) -> frozenset[str]:
    """Populations whose rows stay in the type of the weights."""
    populations = plan.circuit.populations
    found = {*plan.circuit.inputs, plan.output.population}
    found |= {name for name, population in populations.items() if normed(population) and not population.spatial}
    for edge in plan.circuit.projections.values():
        if edge.pathway != "modulatory" and not (narrows(edge) or moves(plan, edge)):
            found |= {edge.source, edge.target}
    return frozenset(found)


def normed(population: Population) -> bool:
    """Whether what a population receives is normalised."""
    return getattr(population.model, "norm", None) is not None


def narrows(edge: Projection) -> bool:
    """Whether a projection's products are narrow: dense ones (masked ones too) and those over space, not lateral."""
    return edge.pathway != "lateral" and multiplies(edge.wiring)


def multiplies(wiring: Wiring) -> bool:
    """Whether a wiring is a product of which the narrow form is known."""
    if isinstance(wiring, Reversed):
        return multiplies(wiring.wiring)
    return isinstance(wiring, (Convolution, Broadcast)) or wiring.functions == "dense"


def moves(plan: Plan, edge: Projection) -> bool:
    """Whether a projection does little more than move signals of a population with space: skips and pooling, which
    take them in the type that they have."""
    populations = plan.circuit.populations
    if edge.pathway == "lateral" or not (edge.wiring.weightless or edge.wiring.kind == "one_to_one"):
        return False
    return populations[edge.source].spatial or populations[edge.target].spatial


class Narrow(Kernel):
    """Dense products in a narrow type.

    Args:
        target: population where what is applied arrives.
    """

    def __init__(self, precision: Precision, target: str) -> None:
        self.precision, self.compute = precision, precision.compute
        self.widens = target in precision.wide
        units = precision.plan.circuit.populations[target].units
        self.exact = target == precision.plan.output.population and units <= EXACT
        self.carries = None if self.exact else self.compute

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.times(weight.mT, pre, groups)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.times(weight.mT, pre, groups, bias)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return self.times(weight, post, groups)

    def times(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None = None) -> Tensor:
        """``rows W + b``, weights [.., from, to], in the type in which the target keeps its rows."""
        if self.exact:
            return self.plain(weight, rows, groups, bias)
        rows = self.precision.narrow(rows)
        if not self.widens:
            return self.product(weight, rows, groups, None if bias is None else bias.to(rows.dtype))
        out = self.product(weight, rows, groups, None).to(weight.dtype)
        if bias is None:
            return out
        return out.add_(bias if groups is None else like_rows(bias[groups.group_of_row], out))

    def plain(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        """The product in the type of the weights; rows in either type."""
        raise NotImplementedError

    def product(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        """The narrow product."""
        raise NotImplementedError

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        if not post.is_cuda:
            self.add_products(steps, *self.both(post, pre), groups)
            return
        change = self.correlate(post, pre, groups)
        for weight, alpha, beta in steps:
            if beta != 1:
                weight.mul_(beta if groups is None else active(groups, weight, beta))
            if isinstance(alpha, Tensor):
                each = alpha if groups is None else alpha.repeat_interleave(groups.areas)
                weight.add_(change * each.view(-1, *([1] * (weight.dim() - 1)) if weight.dim() == 3 else ()))
            else:
                weight.add_(change, alpha=alpha)

    def add_products(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        """`accumulate_` on the CPU, of narrow rows: a product at a time."""
        raise NotImplementedError

    def both(self, post: Tensor, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Both factors of a change, narrow."""
        return self.precision.narrow(post), self.precision.narrow(pre)


class NarrowSingle(Narrow):
    """One replica, one area."""

    def plain(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        if len(rows) <= WIDENED or rows.dtype == weight.dtype:
            return products.multiply(rows.to(weight.dtype), weight, bias)
        out = weight.new_empty(len(rows), weight.shape[1])
        for start in range(0, len(rows), WIDENED):
            some = slice(start, start + WIDENED)
            products.multiply_into(out[some], rows[some].to(weight.dtype), weight, bias)
        return out

    def product(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        return multiply(rows, self.precision.weight(weight), bias, wide=self.widens)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        post, pre = self.both(post, pre)
        return multiply(post.t(), pre, wide=True).to(WIDE)

    def add_products(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        out = torch.mm(post.t(), pre, out=self.precision.room("change", steps[0][0]))
        add_([(weight, numbers(alpha, 1)[0], beta) for weight, alpha, beta in steps], out)


class NarrowBatched(Narrow):
    """Many replicas, one area: replica by replica where weights are large."""

    def plain(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        rows = rows.to(weight.dtype)
        return torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias, rows, weight)

    def product(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        if together(weight):
            return multiply(rows, self.precision.weight(weight), bias, wide=self.widens)
        out = rows.new_empty(*rows.shape[:2], weight.shape[2])
        for replica, own in enumerate(weight):
            into(out[replica], rows[replica], self.precision.weight(own), None if bias is None else bias[replica, 0])
        return out

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        post, pre = self.both(post, pre)
        return multiply(post.mT, pre, wide=True).to(WIDE)

    def add_products(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        weights = [(weight, numbers(alpha, len(weight)), beta) for weight, alpha, beta in steps]
        for replica in range(len(post)):
            own = [(weight[replica], alphas[replica], beta) for weight, alphas, beta in weights]
            out = torch.mm(post[replica].t(), pre[replica], out=self.precision.room("change", own[0][0]))
            add_(own, out)


class NarrowGrouped(Narrow):
    """Areas: group by group where weights are large, so that one of them is narrow at a time."""

    def plain(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        assert groups is not None
        flat = rows.flatten(0, -2)
        if len(flat) <= WIDENED or flat.dtype == weight.dtype or flat.is_cuda:
            return like_rows(multiply_groups(flat.to(weight.dtype), weight, groups, bias), rows)
        out = weight.new_empty(len(flat), weight.shape[2])
        for group, start, end in groups.slices:
            own = None if bias is None else bias[group]
            products.multiply_into(out[start:end], flat[start:end].to(weight.dtype), weight[group], own)
        return like_rows(out, rows)

    def product(self, weight: Tensor, rows: Tensor, groups: Groups | None, bias: Tensor | None) -> Tensor:
        assert groups is not None
        flat = rows.flatten(0, -2)
        if together(weight):
            return like_rows(multiply_groups(flat, self.precision.weight(weight), groups, bias), rows)
        out = flat.new_empty(flat.shape[0], weight.shape[2])
        for group, start, end in groups.slices:
            own = None if bias is None else bias[group]
            into(out[start:end], flat[start:end], self.precision.weight(weight[group]), own)
        return like_rows(out, rows)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        post, pre = self.both(post.flatten(0, -2), pre.flatten(0, -2))
        return correlate_groups(post, pre, groups).to(WIDE)

    def add_products(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        assert groups is not None
        post, pre = post.flatten(0, -2), pre.flatten(0, -2)
        weights = [(weight, numbers(alpha, groups.replicas), beta) for weight, alpha, beta in steps]
        for group, start, end in groups.slices:
            own = [(weight[group], alphas[group // groups.areas], beta) for weight, alphas, beta in weights]
            out = torch.mm(post[start:end].t(), pre[start:end], out=self.precision.room("change", own[0][0]))
            add_(own, out)


NARROW: dict[type[Kernel], type[Narrow]] = {
    DenseSingle: NarrowSingle,
    DenseBatched: NarrowBatched,
    DenseGrouped: NarrowGrouped,
}


def together(weight: Tensor) -> bool:
    """Whether the weights of all replicas and areas are narrowed at once: small ones, and on a GPU, where launches
    count."""
    return weight.is_cuda or weight[0].numel() < LARGE


def multiply(left: Tensor, right: Tensor, bias: Tensor | None = None, *, wide: bool) -> Tensor:
    """The product of matrices [.., N, I] and [.., I, O], summed in float32, and written so where that is wanted and the
    device can."""
    function = torch.mm if left.dim() == 2 else torch.bmm
    if wide and left.is_cuda:
        return function(left, right, out_dtype=WIDE)
    if bias is None:
        return function(left, right)
    return torch.addmm(bias, left, right) if left.dim() == 2 else torch.baddbmm(bias, left, right)


def into(out: Tensor, rows: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """``out = rows W + b``."""
    if bias is None:
        torch.mm(rows, weight, out=out)
    else:
        torch.addmm(bias, rows, weight, out=out)


def add_(steps: list[tuple[Tensor, float, float]], change: Tensor) -> None:
    """``W = beta W + alpha change`` for each weight [O, I], in blocks that stay in the cache between the passes."""
    rows = max(1, BLOCK // change.shape[1])
    for start in range(0, len(change), rows):
        some = slice(start, start + rows)
        for weight, alpha, beta in steps:
            block = weight[some]
            if beta != 1:
                block.mul_(beta)
            block.add_(change[some], alpha=alpha)


def numbers(alpha: Any, replicas: int) -> list[float]:
    """A rate for each replica."""
    return [float(entry) for entry in alpha.tolist()] if isinstance(alpha, Tensor) else [alpha] * replicas


def sums_of(rows: Tensor, groups: Groups | None, like: Tensor, *, means: bool = False) -> Tensor:
    """Sums (means) of narrow rows over the samples of each replica and area, [R, K, U] in the type of `like`: widened a
    few at a time on the CPU, where all of them would be a copy in fresh memory."""
    sums = torch.zeros_like(like)
    flat, flat_GU = rows.flatten(0, -2), sums.flatten(0, 1)
    if not rows.is_cuda:
        samples = rows.shape[-2]
        slices = groups.slices if groups else [(r, r * samples, (r + 1) * samples) for r in range(len(flat) // samples)]
        for group, start, end in slices:
            for first in range(start, end, SUMMED):
                flat_GU[group] += flat[first : min(end, first + SUMMED)].sum(0, dtype=like.dtype)
    elif groups is None:
        sums += rows.sum(-2, dtype=like.dtype).view(sums.shape)
    else:
        flat_GU.index_add_(0, groups.group_of_row, flat.to(like.dtype))
    if means:
        assert groups is not None
        sums /= groups.counts_RK.clamp(min=1)[..., None]
    return sums
