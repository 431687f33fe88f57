"""From the input of a population to its activity, ``h = g f(norm(a))``, and its error back, ``δ = Jᵀ e``: the local
vector-Jacobian product in closed form, without autograd.

A `Transfer` is what a model does by itself. `bound` gives what a population does, with its own parameters, and with
the batch at hand. Letters: U unit of the population, rows [.., U].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurosal.engine import row_norms  # noqa: F401 - registers them
from neurosal.engine.activations import ACTIVATIONS, ActivationFunction
from neurosal.engine.blocks import ModuleOf
from neurosal.engine.dropping import Dropping
from neurosal.engine.normalising import Kept, Norm, Place, norm_of
from neurosal.graph import Block, Rate, RMSNorm

if TYPE_CHECKING:
    from neurosal.engine.sweep import Batch

aten = torch.ops.aten


@dataclass(frozen=True)
class Transfer:
    """What one population does to its input, and to the error that comes back.

    Args:
        value: from a to h and what the gate needs; it may overwrite a unless that is borrowed, and h may be a.
        gate: from e and what was kept to δ; it may overwrite e unless that is borrowed, and δ may be e.
    """

    value: Callable[[Tensor, bool], tuple[Tensor, Kept]]
    gate: Callable[[Tensor, Kept, bool], Tensor]


@dataclass(frozen=True)
class RootMeanSquare:
    """``n = ρ a`` with ``ρ = 1 / √(mean(a²) + ε)``; ``Jᵀ u = ρ (u - n mean(u n))``."""

    eps: float

    def statistics(self, a: Tensor) -> Tensor:
        """ρ, [.., 1]."""
        norm = torch.linalg.vector_norm(a, dim=-1, keepdim=True)
        return norm.square_().mul_(1 / a.shape[-1]).add_(self.eps).rsqrt_()

    def apply(self, a: Tensor, statistics: Tensor) -> Tensor:
        return a * statistics

    def pull(self, u: Tensor, a: Tensor, statistics: Tensor) -> Tensor:
        return self.pull_scaled(u, a, statistics, statistics)

    @staticmethod
    def pull_scaled(u: Tensor, a: Tensor, rho: Tensor, scale: Tensor) -> Tensor:
        """``Jᵀ (g u)`` with ``scale = g ρ``: g costs no pass over u."""
        shared = torch.linalg.vecdot(u, a).unsqueeze_(-1).mul_(rho).mul_(rho).mul_(scale)
        return u.mul_(scale).addcmul_(a, shared, value=-1 / a.shape[-1])


def is_plain(model: Rate) -> bool:
    """Whether a population does no more than its activation."""
    return model.norm is None and model.gain == 1 and not model.dropout and not isinstance(model, Block)


def transfer(model: Rate) -> Transfer:
    """What a population of this model does, where that depends on nothing else: no norm, or an RMS norm of units in a
    row without parameters."""
    function = ACTIVATIONS[model.activation]
    if model.norm is None:
        return _plain(function) if model.gain == 1 else _with_gain(function, model.gain)
    assert isinstance(model.norm, RMSNorm)
    norm = RootMeanSquare(model.norm.eps)
    if model.activation in ("relu", "linear"):
        return _scaled_rows(norm, model.gain, rectified=model.activation == "relu")
    return _normalised(function, norm, model.gain)


@dataclass(frozen=True)
class Bound:
    """What one population does in a batch, as `Transfer`."""

    value: Callable[[Tensor, bool, Batch], tuple[Tensor, Kept]]
    gate: Callable[[Tensor, Kept, bool, Batch], Tensor]
    norm: Norm | None = None


def bound(model: Rate, place: Place, dropping: Dropping | None = None) -> Bound:
    """What the population in a place does, and which units of it are silent while it learns."""
    norm = model.norm
    if isinstance(model, Block):
        found = _with_module(ACTIVATIONS[model.activation], ModuleOf(model, place), model, place)
    elif norm is None or (isinstance(norm, RMSNorm) and not norm.affine and len(place.extent) == 1):
        alone = transfer(model)
        found = Bound(
            lambda a, borrowed, _: alone.value(a, borrowed), lambda e, kept, borrowed, _: alone.gate(e, kept, borrowed)
        )
    else:
        found = _with_norm(ACTIVATIONS[model.activation], norm_of(norm, place), model)
    return found if dropping is None else _with_dropout(found, dropping)


def _with_module(function: ActivationFunction, module: ModuleOf, model: Block, place: Place) -> Bound:
    """A norm, if any, then a module, then the activation; the module may keep what it gives, so that nobody may write
    into it."""
    norm = None if model.norm is None else norm_of(model.norm, place)
    gain = model.gain

    def value(a: Tensor, borrowed: bool, batch: Batch) -> tuple[Tensor, Kept]:
        n, seen = (a, None) if norm is None else norm.apply(a, batch)
        m, inside = module.apply(n, batch)
        h = function.fresh(m)
        return (h if gain == 1 else h * gain), (seen, inside, m if function.keeps_input else h)

    def gate(e: Tensor, kept: Kept, borrowed: bool, batch: Batch) -> Tensor:
        seen, inside, read = kept
        u = function.gate(e, read)
        delta = module.pull(u if gain == 1 else u * gain, inside, batch)
        return delta if norm is None else norm.pull(delta, seen, batch)

    return Bound(value, gate, norm)


def _with_dropout(whole: Bound, dropping: Dropping) -> Bound:
    """Units that are silent for a sample, after all else; those that are not speak up for them."""
    factor = 1 / (1 - dropping.share)

    def value(a: Tensor, borrowed: bool, batch: Batch) -> tuple[Tensor, Kept]:
        h, kept = whole.value(a, borrowed, batch)
        if not batch.training:
            return h, (kept, None)
        mask = dropping.mask(batch, h)
        return (h * mask).mul_(factor), (kept, mask)

    def gate(e: Tensor, kept: Kept, borrowed: bool, batch: Batch) -> Tensor:
        before, mask = kept
        if mask is None:
            return whole.gate(e, before, borrowed, batch)
        return whole.gate((e * mask if borrowed else e.mul_(mask)).mul_(factor), before, False, batch)

    return Bound(value, gate, whole.norm)


def _with_norm(function: ActivationFunction, norm: Norm, model: Rate) -> Bound:
    """A norm, then the activation, in place: what a norm gives is a tensor of its own."""
    keeps_input, gain, rectified = function.keeps_input, model.gain, model.activation == "relu"
    value_of = function.value if gain == 1 or keeps_input else function.fresh

    def value(a: Tensor, borrowed: bool, batch: Batch) -> tuple[Tensor, Kept]:
        n, seen = norm.apply(a, batch)
        h = value_of(n)
        return (h if gain == 1 else h * gain), (seen, n if keeps_input else h)

    def gate(e: Tensor, kept: Kept, borrowed: bool, batch: Batch) -> Tensor:
        seen, read = kept
        if rectified and not borrowed:
            u = aten.threshold_backward.grad_input(e, read, 0, grad_input=e)
        else:
            u = function.gate(e, read)
        if gain != 1:
            u = u * gain if u is e and borrowed else u.mul_(gain)
        return norm.pull(u, seen, batch)

    return Bound(value, gate, norm)


def _plain(function: ActivationFunction) -> Transfer:
    keeps_input = function.keeps_input

    def value(a: Tensor, borrowed: bool) -> tuple[Tensor, Kept]:
        h = function.fresh(a) if borrowed else function.value(a)
        return h, a if keeps_input else h

    return Transfer(value, lambda e, kept, borrowed: function.gate(e, kept))


def _with_gain(function: ActivationFunction, gain: float) -> Transfer:
    def value(a: Tensor, borrowed: bool) -> tuple[Tensor, Kept]:
        h = function.fresh(a)
        return (h * gain if h is a else h.mul_(gain)), a

    def gate(e: Tensor, a: Tensor, borrowed: bool) -> Tensor:
        return function.gate(e, a if function.keeps_input else function.fresh(a)) * gain

    return Transfer(value, gate)


def _normalised(function: ActivationFunction, norm: RootMeanSquare, gain: float) -> Transfer:
    def value(a: Tensor, borrowed: bool) -> tuple[Tensor, Kept]:
        statistics = norm.statistics(a)
        h = function.value(norm.apply(a, statistics))
        return (h if gain == 1 else h.mul_(gain)), (a, statistics)

    def gate(e: Tensor, kept: tuple[Tensor, Tensor], borrowed: bool) -> Tensor:
        a, statistics = kept
        n = norm.apply(a, statistics)
        u = function.gate(e, n if function.keeps_input else function.value(n))
        return norm.pull(u * gain if u is e else u.mul_(gain), a, statistics)

    return Transfer(value, gate)


def _scaled_rows(norm: RootMeanSquare, gain: float, *, rectified: bool) -> Transfer:
    """A norm that scales rows, before a function that a positive scale passes: ``h = (g ρ) f(a)``, one pass less."""

    def value(a: Tensor, borrowed: bool) -> tuple[Tensor, Kept]:
        rho = norm.statistics(a)
        scale = rho if gain == 1 else rho * gain
        return (torch.relu(a).mul_(scale) if rectified else a * scale), (a, rho, scale)

    def gate(e: Tensor, kept: tuple[Tensor, Tensor, Tensor], borrowed: bool) -> Tensor:
        a, rho, scale = kept
        u = torch.empty_like(e) if borrowed else e
        if rectified:
            aten.threshold_backward.grad_input(e, a, 0, grad_input=u)
        elif borrowed:
            u.copy_(e)
        return norm.pull_scaled(u, a, rho, scale)

    return Transfer(value, gate)
