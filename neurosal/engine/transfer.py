"""From the input of a population to its activity, ``h = g f(norm(a))``, and its error back, ``δ = Jᵀ e``: the local
vector-Jacobian product in closed form, without autograd.

Adding a normalisation means registering its three functions, as `RootMeanSquare` has them. Letters: U unit of the
population, rows [.., U].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from neurosal.engine.activations import ACTIVATIONS, ActivationFunction
from neurosal.graph import Normalisation, Rate, RMSNorm

aten = torch.ops.aten
Kept = Any  # what a gate needs, as the value of the same transfer gave it


@dataclass(frozen=True)
class Transfer:
    """What one population does to its input, and to the error that comes back.

    Args:
        value: from a to h and what the gate needs; it may overwrite a unless that is borrowed, and h may be a.
        gate: from e and what was kept to δ; it may overwrite e unless that is borrowed, and δ may be e.
    """

    value: Callable[[Tensor, bool], tuple[Tensor, Kept]]
    gate: Callable[[Tensor, Kept, bool], Tensor]


class Norm(Protocol):
    """The functions of one normalisation."""

    def statistics(self, a: Tensor) -> Tensor:
        """What the other two need of a, small beside it."""

    def apply(self, a: Tensor, statistics: Tensor) -> Tensor:
        """n = norm(a), a new tensor."""

    def pull(self, u: Tensor, a: Tensor, statistics: Tensor) -> Tensor:
        """``Jᵀ u`` with the Jacobian of the norm at a; it may overwrite u."""


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


NORMALISATIONS: dict[str, Callable[[Any], Norm]] = {RMSNorm.kind: lambda norm: RootMeanSquare(norm.eps)}


def register_normalisation(kind: str, functions: Callable[[Any], Norm]) -> None:
    """Teach the engine a normalisation: from its description (a subclass of `neurosal.graph.Normalisation` with that
    kind) to its functions."""
    NORMALISATIONS[kind] = functions


def norm_of(description: Normalisation) -> Norm:
    """The functions of a normalisation."""
    functions = NORMALISATIONS.get(description.kind)
    assert functions is not None, f"no functions for norm {description.kind!r}: call register_normalisation"
    return functions(description)


def is_plain(model: Rate) -> bool:
    """Whether a population does no more than its activation."""
    return model.norm is None and model.gain == 1


def transfer(model: Rate) -> Transfer:
    """What a population of this model does."""
    function = ACTIVATIONS[model.activation]
    if isinstance(model.norm, RMSNorm) and model.activation in ("relu", "linear"):
        return _scaled_rows(RootMeanSquare(model.norm.eps), model.gain, rectified=model.activation == "relu")
    if model.norm is not None:
        return _normalised(function, norm_of(model.norm), model.gain)
    return _plain(function) if is_plain(model) else _with_gain(function, model.gain)


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


def _normalised(function: ActivationFunction, norm: Norm, gain: float) -> Transfer:
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
