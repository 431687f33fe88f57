"""Normalisation of what a population receives, and the error back through it, in closed form.

Adding a normalisation means registering a function that makes one of a description and a `Place`. Rows are
[N, C, space..] for one replica and [R, N, C, space..] for more; none of their order in memory is assumed. Letters: R
replica, N sample, C channel (or unit), S space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from neurosal.errors import DataError, Problem
from neurosal.graph import BatchNorm, Circuit, Normalisation

if TYPE_CHECKING:
    from neurosal.engine.sweep import Batch

aten = torch.ops.aten
LARGE = 1 << 12  # numbers of one replica from which a call a replica takes less time than elementary operations on all
Kept = Any  # what a norm needs for the way back, as the way there gave it


@dataclass(frozen=True, kw_only=True)
class Place:
    """The population in which a norm works.

    Args:
        name: of the population.
        extent: (units,) or (channels, rows, columns).
        replicas: R.
        learns: whether the changes of its parameters are asked for.
        parameters: "scale", "shift" → live tensor [R, 1, C], where the norm has them.
        statistics: "mean", "variance" → live tensor [R, C], where the norm keeps them.
        device, dtype: of parameters.
        plainly: whether to write everything out in elementary operations, which a compiler fuses.
    """

    name: str
    extent: tuple[int, ...]
    replicas: int = 1
    learns: bool = True
    parameters: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)
    device: torch.device | None = None
    dtype: torch.dtype | None = None
    plainly: bool = False

    def spread(self, values_RC: Tensor) -> Tensor:
        """One value a replica and channel, shaped to broadcast against rows."""
        space = [1] * (len(self.extent) - 1)
        if self.replicas == 1:
            return values_RC.reshape(-1, *space)
        return values_RC.reshape(self.replicas, 1, -1, *space)

    @property
    def samples(self) -> tuple[int, ...]:
        """Axes of rows over which a channel has one value: samples and space."""
        first = int(self.replicas > 1)
        return first, *range(first + 2, first + 1 + len(self.extent))

    def entry(self, key: str) -> Tensor | None:
        """A parameter, flat: [R·C]."""
        found = self.parameters.get(key)
        return None if found is None else found.view(-1)

    def propose(self, batch: Batch, key: str, change: Tensor | None) -> None:
        """Leave the change of a parameter, summed over samples, for the learner."""
        if change is not None and self.learns and key in self.parameters:
            batch.own[f"{self.name}.{key}"] = change.reshape(self.parameters[key].shape)


class Norm(Protocol):
    """One normalisation in one place."""

    def apply(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        """``n = norm(a)``, a new tensor, and what `pull` needs; a stays as it is."""

    def pull(self, u: Tensor, kept: Kept, batch: Batch) -> Tensor:
        """``Jᵀ u`` with the Jacobian of the norm at a, a new tensor or u itself overwritten; changes of the norm's
        parameters are proposed on the way (`Place.propose`)."""


Maker = Callable[[Any, Place], Norm]
NORMALISATIONS: dict[str, Maker] = {}


def register_normalisation(kind: str, make: Maker) -> None:
    """Teach the engine a normalisation: from its description (a subclass of `neurosal.graph.Normalisation` with that
    kind) and the place where it works to its functions."""
    NORMALISATIONS[kind] = make


def norm_of(description: Normalisation, place: Place) -> Norm:
    """The functions of a normalisation in a place."""
    make = NORMALISATIONS.get(description.kind)
    assert make is not None, f"no functions for norm {description.kind!r}: call register_normalisation"
    return make(description, place)


def fold(rows: Tensor, place: Place) -> Tensor | None:
    """Rows as [N, R·C, space..] where that needs no copy: of one replica, and of replicas that lie side by side among
    the channels. One axis of space becomes two, as in `image`."""
    if place.replicas == 1:
        return image(rows)
    if len(place.extent) == 1 or rows.stride(0) != rows.shape[2] * rows.stride(2):
        return None
    return image(rows.movedim(0, 1).flatten(1, 2))


def unfold(rows: Tensor, place: Place) -> Tensor:
    """Back from `fold`."""
    rows = rows.squeeze(2) if len(place.extent) == 2 else rows
    return rows if place.replicas == 1 else rows.unflatten(1, (place.replicas, -1)).movedim(1, 0)


def image(rows: Tensor) -> Tensor:
    """Rows [N, C, L] as [N, C, 1, L], for which torch has channels last; others as they are."""
    return rows.unsqueeze(2) if rows.dim() == 3 else rows


# Batch ---------------------------------------------------------------------------------------------------------------


class BatchNormalised:
    """``n = γ (a - μ) / √(σ² + ε) + β`` per channel, μ and σ² of the batch in training and running ones else.

    torch's own kernels where one call sees what belongs together: one replica, or replicas whose channels lie side by
    side in memory. Replicas that lie one after another take a call each; small ones without space, a step that is
    compiled, and batches of which other processes have a part are written out.
    """

    def __init__(self, description: BatchNorm, place: Place) -> None:
        self.eps, self.momentum, self.place = description.eps, description.momentum, place
        self.mean, self.variance = place.statistics["mean"], place.statistics["variance"]

    def apply(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        if batch.training:
            self._refuse_one(batch)
        if self._written_out(a, batch):
            return self._apply_plainly(a, batch)
        place = self.place
        scale, shift = place.entry("scale"), place.entry("shift")
        running = (None, None) if batch.training else (self.mean.view(-1), self.variance.view(-1))
        if (folded := fold(a, place)) is not None:
            out, mean, deviation = aten.native_batch_norm(
                folded, scale, shift, *running, batch.training, 0.0, self.eps
            )  # deviation: its inverse
            n = unfold(out, place)
        else:
            n = torch.empty_like(a)
            mean, deviation = (self._like_statistics(a) for _ in range(2))
            for replica, part in self._parts():
                own = [None if each is None else each[part] for each in (scale, shift, *running)]
                rows, out = image(a[replica]), image(n[replica])
                if rows.is_contiguous(memory_format=torch.channels_last) or rows.is_contiguous():
                    into = {"out": out, "save_mean": mean[part], "save_invstd": deviation[part]}
                    aten.native_batch_norm.out(rows, *own, batch.training, 0.0, self.eps, **into)
                    continue
                found = aten.native_batch_norm(rows, *own, batch.training, 0.0, self.eps)  # out= takes no other order
                out.copy_(found[0])
                if batch.training:
                    mean[part], deviation[part] = found[1:]
        if not batch.training:
            return n, (a, None, None)
        batch.moments[place.name] = mean, deviation
        return n, (a, mean, deviation)

    def pull(self, u: Tensor, kept: Kept, batch: Batch) -> Tensor:
        a, mean, deviation = kept
        if self._written_out(a, batch):
            return self._pull_plainly(u, a, mean, deviation, batch)
        place, trained = self.place, mean is not None
        scale = place.entry("scale")
        running = (None, None) if trained else (self.mean.view(-1), self.variance.view(-1))
        wanted = [True, place.learns and scale is not None, place.learns and "shift" in place.parameters]
        if (folded := fold(a, place)) is not None:
            own = fold(u, place)
            own = fold(torch.empty_like(a).copy_(u), place) if own is None else own
            delta, scaled, shifted = aten.native_batch_norm_backward(
                own, folded, scale, *running, mean, deviation, trained, self.eps, wanted
            )
            delta = unfold(delta, place)
        else:
            delta, parts = torch.empty_like(u), []
            for replica, part in self._parts():
                given = [None if each is None else each[part] for each in (scale, *running, mean, deviation)]
                found, *sums = aten.native_batch_norm_backward(
                    image(u[replica]), image(a[replica]), *given, trained, self.eps, wanted
                )
                image(delta[replica]).copy_(found)
                parts.append(sums)
            scaled, shifted = (
                torch.cat([sums[index] for sums in parts]) if wanted[index + 1] else None for index in range(2)
            )
        place.propose(batch, "scale", scaled)
        place.propose(batch, "shift", shifted)
        return delta

    # How rows lie ----------------------------------------------------------------------------------------------------

    def _parts(self) -> Iterator[tuple[int, slice]]:
        """Each replica, and where its channels are among those of all."""
        channels = self.place.extent[0]
        for replica in range(self.place.replicas):
            yield replica, slice(replica * channels, (replica + 1) * channels)

    def _like_statistics(self, a: Tensor) -> Tensor:
        return torch.empty(self.mean.numel(), dtype=self.mean.dtype, device=a.device)

    # Written out -----------------------------------------------------------------------------------------------------

    def _written_out(self, a: Tensor, batch: Batch) -> bool:
        place = self.place
        if place.plainly or (batch.together is not None and batch.training):
            return True
        alone = place.replicas > 1 and len(place.extent) == 1
        return alone and (a.is_cuda or a[0].numel() < LARGE)

    def _apply_plainly(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        place, dtype = self.place, self.mean.dtype
        if not batch.training:
            mean, variance = self.mean, self.variance
        elif batch.together is None:
            variance, mean = torch.var_mean(a.to(dtype), place.samples, correction=0)
        else:  # of all processes: first the mean, so that nothing cancels
            count = self._count(batch)
            mean = batch.together.total(a.sum(place.samples, dtype=dtype) / count)
            centred = a.to(dtype) - place.spread(mean)
            variance = batch.together.total(centred.square_().sum(place.samples) / count)
        deviation = (variance + self.eps).rsqrt()
        if batch.training:
            batch.moments[place.name] = mean.reshape(-1), deviation.reshape(-1)
        scale, shift = place.entry("scale"), place.entry("shift")
        factor = deviation.reshape(-1) if scale is None else deviation.reshape(-1) * scale
        offset = (
            -mean.reshape(-1) * factor if shift is None else torch.addcmul(shift, mean.reshape(-1), factor, value=-1)
        )
        n = torch.addcmul(place.spread(offset), a.to(dtype), place.spread(factor)).to(a.dtype)
        return n, (a, mean if batch.training else None, deviation)

    def _pull_plainly(self, u: Tensor, a: Tensor, mean: Tensor | None, deviation: Tensor, batch: Batch) -> Tensor:
        place, dtype = self.place, self.mean.dtype
        scale, wide = place.entry("scale"), u.to(dtype)
        factor = deviation.reshape(-1) if scale is None else deviation.reshape(-1) * scale
        if mean is None and not (place.learns and place.parameters):
            return (wide * place.spread(factor)).to(u.dtype)
        centre = self.mean if mean is None else mean
        whitened = torch.addcmul(place.spread(-centre * deviation), a.to(dtype), place.spread(deviation))
        shifted, scaled = wide.sum(place.samples), (wide * whitened).sum(place.samples)
        place.propose(batch, "scale", scaled)
        place.propose(batch, "shift", shifted)
        if mean is None:
            return (wide * place.spread(factor)).to(u.dtype)
        if batch.together is not None:
            shifted, scaled = batch.together.total(torch.stack([shifted, scaled])).unbind()
        count = self._count(batch)
        along = whitened.mul_(place.spread(scaled / count)).add_(place.spread(shifted / count))
        return torch.sub(wide, along, out=along).mul_(place.spread(factor)).to(u.dtype)

    # Numbers ---------------------------------------------------------------------------------------------------------

    def _count(self, batch: Batch) -> int:
        """Values of a channel in the whole batch."""
        return batch.whole * prod(self.place.extent[1:])

    def _refuse_one(self, batch: Batch) -> None:
        if self._count(batch) < 2:
            raise DataError(_one_value(f"population {self.place.name!r}"))

    def track(self, batch: Batch) -> None:
        """Move the running statistics towards those of the batch."""
        found = batch.moments.get(self.place.name)
        if found is None:
            return
        count = self._count(batch)
        mean, deviation = (tensor.view(self.mean.shape) for tensor in found)
        variance = deviation.pow(-2).sub_(self.eps).clamp_(min=0).mul_(count / (count - 1))
        self.mean.lerp_(mean, self.momentum)
        self.variance.lerp_(variance, self.momentum)


def _one_value(place: str) -> Problem:
    return Problem(
        place=place,
        expected="batches with more than one value a channel, to normalise by (norm: batch)",
        found="one sample",
        remedy="Let no batch have one sample, or take a norm of single samples (layer, group, rms).",
    )


def refuse_one_sample(circuit: Circuit, place: str) -> None:
    """Refuse data of which a batch has one sample, before the first step, where populations could not normalise it.

    Raises:
        DataError: naming the place.
    """
    for population in circuit.populations.values():
        if isinstance(getattr(population.model, "norm", None), BatchNorm) and prod(population.extent[1:]) == 1:
            raise DataError(_one_value(place))


register_normalisation(BatchNorm.kind, BatchNormalised)
