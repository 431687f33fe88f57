"""Normalisation sample by sample: layer, group and RMS norms.

Rows are [N, C, space..] for one replica and [R, N, C, space..] for more. torch's kernels take one scale a channel; so
where replicas lie side by side among the channels, or there is one, they do all, and else the scales of the replicas
are applied by themselves. Letters: R replica, N sample, C channel (or unit).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurosal.engine.normalising import Kept, Place, fold, image, register_normalisation, unfold
from neurosal.graph import GroupNorm, LayerNorm, RMSNorm

if TYPE_CHECKING:
    from neurosal.engine.sweep import Batch

aten = torch.ops.aten


class GroupNormalised:
    """``n = γ (a - μ) / √(σ² + ε) + β``, μ and σ² of each sample and group of channels; a layer norm has one group."""

    def __init__(self, description: GroupNorm | LayerNorm, place: Place) -> None:
        self.eps, self.place = description.eps, place
        self.groups = description.groups if isinstance(description, GroupNorm) else 1
        self.scale, self.shift = place.entry("scale"), place.entry("shift")

    def apply(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        place = self.place
        if (folded := fold(a, place)) is not None:
            n, mean, deviation = self._normalise(folded, self.scale, self.shift, place.replicas)
            return _lying_as(unfold(n, place), a), (a, mean, deviation)
        ones, zeros = self._neutral(a)
        n, mean, deviation = self._normalise(image(a.flatten(0, 1)), ones, zeros, 1)
        n = _lying_as(n.reshape(a.shape), a)
        if self.scale is not None and self.shift is not None:
            n = torch.addcmul(place.spread(self.shift), n, place.spread(self.scale)).to(a.dtype)
        return n, (a, mean, deviation)

    def pull(self, u: Tensor, kept: Kept, batch: Batch) -> Tensor:
        place = self.place
        a, mean, deviation = kept
        wanted = [True, place.learns and self.scale is not None, place.learns and self.shift is not None]
        if (folded := fold(a, place)) is not None:
            own = fold(u, place)
            own = fold(torch.empty_like(a).copy_(u), place) if own is None else own
            assert own is not None
            delta, scaled, shifted = self._pull(own, folded, mean, deviation, self.scale, place.replicas, wanted)
            place.propose(batch, "scale", scaled if wanted[1] else None)
            place.propose(batch, "shift", shifted if wanted[2] else None)
            return _lying_as(unfold(delta, place), a)
        if wanted[1] or wanted[2]:
            place.propose(batch, "scale", (u * self._whitened(a, mean, deviation)).sum(place.samples))
            place.propose(batch, "shift", u.sum(place.samples, dtype=place.dtype))
        w = u if self.scale is None else (u * place.spread(self.scale)).to(a.dtype)
        rows, own = image(a.flatten(0, 1)), image(w.flatten(0, 1))
        delta = self._pull(own, rows, mean, deviation, self._neutral(a)[0], 1, [True, False, False])[0]
        return _lying_as(delta.reshape(a.shape), a)

    def _neutral(self, a: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """A scale and a shift of no effect, for narrow rows: by their type torch tells in which to keep statistics."""
        if a.dtype == self.place.dtype:
            return None, None
        ones = torch.ones(self.place.extent[0], dtype=self.place.dtype, device=a.device)
        return ones, torch.zeros_like(ones)

    # torch's kernels -------------------------------------------------------------------------------------------------

    def _normalise(
        self, rows: Tensor, scale: Tensor | None, shift: Tensor | None, folded: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self._is_layer(rows):
            return aten.native_layer_norm(rows, [rows.shape[1]], scale, shift, self.eps)
        samples, channels, places = rows.shape[0], rows.shape[1], prod(rows.shape[2:])
        return aten.native_group_norm(rows, scale, shift, samples, channels, places, folded * self.groups, self.eps)

    def _pull(
        self,
        u: Tensor,
        rows: Tensor,
        mean: Tensor,
        deviation: Tensor,
        scale: Tensor | None,
        folded: int,
        wanted: list[bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        if self._is_layer(rows):
            return aten.native_layer_norm_backward(u, rows, [rows.shape[1]], mean, deviation, scale, scale, wanted)
        samples, channels, places = rows.shape[0], rows.shape[1], prod(rows.shape[2:])
        u = u if u.stride() == rows.stride() else torch.empty_like(rows).copy_(u)
        return aten.native_group_norm_backward(
            u, rows, mean, deviation, scale, samples, channels, places, folded * self.groups, wanted
        )

    def _is_layer(self, rows: Tensor) -> bool:
        return rows.dim() == 2 and self.groups == 1

    def _whitened(self, a: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """(a - μ) / √(σ² + ε) of rows that are not folded."""
        parts = a.unflatten(2, (self.groups, -1))
        shape = (*a.shape[:2], self.groups, *([1] * (parts.dim() - 3)))
        return ((parts - mean.view(shape)) * deviation.view(shape)).reshape(a.shape)


class RootMeanSquared:
    """``n = γ ρ a`` with ``ρ = 1 / √(mean(a²) + ε)``; ``Jᵀ u = ρ (w - a ρ² mean(w a))`` with ``w = γ u``."""

    def __init__(self, description: RMSNorm, place: Place) -> None:
        self.eps, self.place, self.scale = description.eps, place, place.entry("scale")
        self.axes = tuple(range(-len(place.extent), 0))
        self.units = prod(place.extent)

    def apply(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        rho = torch.linalg.vector_norm(a, dim=self.axes, keepdim=True, dtype=self.place.dtype)
        rho = rho.square_().mul_(1 / self.units).add_(self.eps).rsqrt_()
        n = a * rho
        n = n if self.scale is None else n.mul_(self.place.spread(self.scale))
        return n.to(a.dtype), (a, rho)

    def pull(self, u: Tensor, kept: Kept, batch: Batch) -> Tensor:
        a, rho = kept
        if self.scale is not None and self.place.learns:
            self.place.propose(batch, "scale", (u.to(self.place.dtype) * a).mul_(rho).sum(self.place.samples))
        w = u if self.scale is None else u * self.place.spread(self.scale)
        shared = (w * a).sum(self.axes, keepdim=True, dtype=self.place.dtype).mul_(rho).mul_(rho).mul_(rho)
        return torch.addcmul(w * rho, a, shared, value=-1 / self.units).to(u.dtype)


def _lying_as(rows: Tensor, like: Tensor) -> Tensor:
    """Rows in the order in memory of others, of which torch's kernels know only some."""
    return rows if rows.stride() == like.stride() else torch.empty_like(like, dtype=rows.dtype).copy_(rows)


register_normalisation(LayerNorm.kind, GroupNormalised)
register_normalisation(GroupNorm.kind, GroupNormalised)
register_normalisation(RMSNorm.kind, RootMeanSquared)
