"""Storage of weights and biases: one full tensor [R, K, post, pre] each, the form in which kernels read it, and the
view that users see.

Feedback weights are stored as the transpose (forward orientation), so that a reciprocal pair has one memory layout and
shares its products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor

from neurosal.engine import convolution, pooling, turning  # noqa: F401  (each registers functions of wiring)
from neurosal.engine.blocks import draw_modules
from neurosal.engine.lesions import Lesions, still_synapses
from neurosal.engine.precision import Precision
from neurosal.engine.signs import Signs
from neurosal.engine.wiring import Kernel, Reversed, make_kernel
from neurosal.errors import near
from neurosal.graph import Copy, Own, SignOf, Wiring
from neurosal.lower.connectivity import connect_areas, leaves_out
from neurosal.lower.initial import draw_areas_into
from neurosal.lower.plan import Plan

Held = Callable[[int], tuple[int, int]]  # of so many areas, the first that is held here, and the one after the last


def all_areas(areas: int) -> tuple[int, int]:
    """All of them."""
    return 0, areas


def begin_own(key: str, tensor: Tensor) -> Tensor:
    """Put what a population has of its own where it starts, in place: scales and variances at 1, all else at 0."""
    with torch.no_grad():
        return tensor.fill_(float(key in ("scale", "variance")))


class Parameters(Mapping[str, Tensor]):
    """Weights by projection, live, ``[R, K, post, pre]`` ([R, K, unit] for one-to-one wiring); ties included, biases
    not."""

    def __init__(
        self,
        plan: Plan,
        seeds: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
        share: Parameters | None = None,
        compute: torch.dtype | None = None,
        held: Held | None = None,
    ) -> None:
        """Draw first values; with `share`, storage of the same name is that of the other network; with `held`, only
        some of so many areas are held here, the others by other processes."""
        self.held: Held = held or all_areas
        self.precision = Precision(plan, compute)
        self.plan, self.circuit, self.replicas, self.device = plan, plan.circuit, len(seeds), device
        self.seeds = seeds
        self.full: dict[str, Tensor] = {}  # owner → [R, K, O, I], forward orientation
        self.areas = {name: self.circuit.areas_of(owner) for name, owner in plan.owners.items()}
        owned = [name for name, owner in plan.owners.items() if owner == name]
        # Copies are made from what they copy, so they come last.
        for name in sorted(owned, key=lambda name: isinstance(self.circuit.projections[name].weights, Copy)):
            shared = None if share is None else share.full.get(name)
            self.full[name] = self._first_values(name, seeds, device, dtype) if shared is None else shared
        self.biases: dict[str, Tensor] = (
            share.biases
            if share is not None
            else {
                f"{name}.{key}": begin_own(
                    key, torch.empty(self.replicas, self.count(population.areas), *shape, device=device, dtype=dtype)
                )
                for name, population in self.circuit.populations.items()
                for key, shape in population.parameters.items()
            }
        )
        if share is None:
            draw_modules(self, seeds)
        self.statistics: dict[str, Tensor] = (  # of norms: "{population}.mean" → [R, C]
            share.statistics
            if share is not None
            else {
                f"{name}.{key}": begin_own(key, torch.empty(self.replicas, *shape, device=device, dtype=dtype))
                for name, population in self.circuit.populations.items()
                for key, shape in population.statistics.items()
            }
        )
        self.signs: Signs = Signs(self, seeds, None if share is None else share.signs)
        self.lesions: Lesions = Lesions() if share is None else share.lesions
        self.wired = self._wired(seeds, share)  # as masks, what the wiring leaves out
        self.masks: dict[str, Tensor] = {}  # key of the storage → [R, K, O, I], where something is missing
        self.moves: dict[str, Tensor] = {}  # storage → where it may change, while units are silenced
        self.refresh()
        self._drawn = {name: _version(tensor) for name, tensor in self.full.items()}

    def refresh(self) -> None:
        """Take over wiring and lesions: absent synapses become exactly 0."""
        self.masks = dict(self.wired)
        for key in self.lesions.masks.keys() & {self.mask_key(name) for name in self}:
            lesion = self.lesions.masks[key]
            self.masks[key] = self.wired[key] * lesion if key in self.wired else lesion
        self.moves = still_synapses(self, self.lesions.silenced)
        self.signs.refresh(self.masks)
        with torch.no_grad():
            for key, mask in self.masks.items():
                if key in self.full:
                    self.full[key].masked_fill_(mask == 0, 0.0)

    def _wired(self, seeds: tuple[int, ...], share: Parameters | None) -> dict[str, Tensor]:
        """Masks of wiring that leaves synapses out, for synapses that a projection has of its own."""
        found: dict[str, Tensor] = {}
        for name in sorted(self, key=lambda name: isinstance(self.circuit.projections[name].weights, Copy)):
            edge = self.circuit.projections[name]
            if not leaves_out(edge) or self.mask_key(name) != name:
                continue
            if share is not None and name in share.wired:
                found[name] = share.wired[name]
                continue
            full = self.full[self.plan.owners[name]]
            of = getattr(edge.weights, "of", None)
            if of is not None and edge.wiring == self.circuit.projections[of].wiring.reversed():
                # What starts as the transpose is wired as it; signs come with the wiring of what they are the signs of.
                origin = found.get(self.mask_key(of)) if isinstance(edge.weights, Copy) else None
                if origin is not None:
                    mask = torch.empty_like(full)
                    self.oriented(name, mask).copy_(self.oriented(of, origin).transpose(*self.axes(of)))
                    found[name] = mask
                continue
            mask = torch.empty_like(full)
            shape = tuple(self.oriented(name, full).shape[2:])
            drawn = [connect_areas(edge, name, seed, full.shape[1], self.across(name), shape) for seed in seeds]
            self.oriented(name, mask).copy_(torch.stack(drawn))
            found[name] = mask
        return found

    def across(self, name: str) -> str:
        """Whether the areas of a projection start from one draw."""
        weights = self.circuit.projections[self.plan.owners[name]].weights
        while isinstance(weights, Copy):
            weights = self.circuit.projections[self.plan.owners[weights.of]].weights
        return weights.across_areas if isinstance(weights, Own) else "independent"

    def redraw(self, step: int) -> None:
        """Draw what is drawn anew for every step."""
        self.signs.redraw(step, self.masks)

    @property
    def any(self) -> Tensor:
        """Some tensor of the network's type on its device."""
        return next(iter([*self.full.values(), *self.biases.values()]))

    def mask_key(self, name: str) -> str:
        """Under which name the mask of a projection is kept: its own for synapses of its own and for sign-symmetric
        ones, the tie's where it reads the very synapses of another."""
        return name if isinstance(self.circuit.projections[name].weights, SignOf) else self.plan.owners[name]

    def mask_of(self, name: str) -> Tensor | None:
        """Where synapses of this projection are, [R, K, post, pre], or None where none is missing."""
        mask = self.masks.get(self.mask_key(name))
        return None if mask is None else self.oriented(name, mask)

    def _first_values(
        self, name: str, seeds: tuple[int, ...], device: torch.device, dtype: torch.dtype, key: str = ""
    ) -> Tensor:
        """What an owner starts from, in storage; with a key from another stream."""
        shape = self.stored_wiring(name).weight_shape(*self.extents(name))
        full = torch.empty(self.replicas, self.count(self.areas[name]), *shape, device=device, dtype=dtype)
        return self.begin(name, seeds, into=full, key=key)

    def begin(
        self, name: str, seeds: tuple[int, ...], *, into: Tensor, key: str = "", replicas: Iterable[int] | None = None
    ) -> Tensor:
        """Put what an owner starts from into storage, replica by replica and area by area, in place.

        Args:
            key: takes another stream.  replicas: only these; None all.
        """
        edge = self.circuit.projections[name]
        first = self.held(self.areas[name])[0] if self.areas[name] > 1 else 0
        for replica in range(self.replicas) if replicas is None else replicas:
            if isinstance(edge.weights, Copy):
                origin = self.oriented(edge.weights.of, self.full[self.plan.owners[edge.weights.of]])[replica]
                own = self.oriented(name, into)[replica]
                post, pre = self.axes(name)
                own.copy_(origin.transpose(post - 1, pre - 1) if self.is_matrix(name) else origin)
                continue
            assert isinstance(edge.weights, Own)
            stream = f"{name}/{key}" if key else name
            draw_areas_into(
                into[replica], edge.weights, stream, seeds[replica], *self.fans(name),
                turns=self.turns(name), lead=edge.wiring.axes[0], first=first,
            )  # fmt: skip
        return into

    def begin_anew(self, seeds: tuple[int, ...], replicas: Iterable[int]) -> None:
        """First values of all weights of some replicas, drawn again in place."""
        replicas = list(replicas)
        with torch.no_grad():
            for name, full in self.full.items():  # in the order in which they were drawn: copies come last
                self.begin(name, seeds, into=full, replicas=replicas)
        self.refresh()

    def count(self, areas: int) -> int:
        """How many of so many areas are held here."""
        if areas == 1:
            return 1
        start, end = self.held(areas)
        return end - start

    @property
    def untouched(self) -> bool:
        """Whether weights are as they were drawn, as far as torch counts changes."""
        return all(_version(tensor) == self._drawn[name] for name, tensor in self.full.items())

    def fans(self, name: str) -> tuple[int, int]:
        """Pre- and post-synaptic units of a projection, in its own direction."""
        edge, populations = self.circuit.projections[name], self.circuit.populations
        return edge.wiring.fans(populations[edge.target].extent, populations[edge.source].extent)

    # Orientation -----------------------------------------------------------------------------------------------------

    def stored_wiring(self, name: str) -> Wiring:
        """The wiring of a projection in the orientation in which its weights are stored."""
        wiring = self.circuit.projections[name].wiring
        return wiring.reversed() if name in self.plan.reversed else wiring

    def extents(self, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Extents of the post- and the pre-synaptic population, in the orientation in which weights are stored."""
        edge, populations = self.circuit.projections[name], self.circuit.populations
        post, pre = populations[edge.target].extent, populations[edge.source].extent
        return (pre, post) if name in self.plan.reversed else (post, pre)

    def is_matrix(self, name: str) -> bool:
        """Whether weights join post- to pre-synaptic units or channels, so that a transpose is another matter."""
        return len(self.stored_wiring(name).weight_shape(*self.extents(name))) > 1

    def axes(self, name: str) -> tuple[int, int]:
        """Post- and pre-synaptic axis of a projection's weights [R, K, ...]; the same in storage, exchanged."""
        post, pre = self.circuit.projections[name].wiring.axes
        return post + 2, pre + 2

    def turns(self, name: str) -> tuple[int, int] | None:
        """Axes of one area's weight that storage has exchanged."""
        turned = name in self.plan.reversed and self.is_matrix(name)
        return self.circuit.projections[name].wiring.axes if turned else None

    # For kernels -----------------------------------------------------------------------------------------------------

    def form(self, name: str) -> str:
        """In which form kernels run this projection: single, batched or grouped."""
        return "grouped" if self.areas.get(name, 1) > 1 else "single" if self.replicas == 1 else "batched"

    def internal(self, owner: str) -> Tensor:
        """The storage of an owner as kernels read it; a view."""
        return self.inner(owner, self.full[owner])

    def internal_bias(self, population: str) -> Tensor | None:
        """The bias as kernels read it: [U], [R, 1, U] or [G, U]; of a population with space [C, 1, 1], ..."""
        bias = self.biases.get(f"{population}.bias")
        if bias is None:
            return None
        inner = bias.flatten(0, 1) if bias.shape[1] > 1 else bias[0, 0] if self.replicas == 1 else bias
        space = len(self.circuit.populations[population].extent) - 1
        return inner.view(*inner.shape, *([1] * space)) if space else inner

    def kernel(self, name: str) -> Kernel:
        """The functions that read this projection's storage in its own direction."""
        forward = self.stored_kernel(name)
        return Reversed(forward) if name in self.plan.reversed else forward

    def stored_kernel(self, name: str, form: str | None = None) -> Kernel:
        """The functions of a projection in the orientation in which its weights are stored, as its own form runs them
        or in another."""
        made = make_kernel(self.stored_wiring(name), *self.extents(name), form or self.form(name))
        return self.precision.kernel(made, name)

    def kernel_between(self, name: str, source: str) -> Kernel:
        """The functions of a feedback projection, if it came from another population of the same places."""
        post, pre = self.circuit.populations[source].extent, self.extents(name)[1]
        made = make_kernel(self.stored_wiring(name), post, pre, self.form(name))
        return Reversed(self.precision.kernel(made, name))

    # For users -------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.plan.owners:
            raise KeyError(f"{name!r} is no projection with weights. {near(name, self.plan.owners)}")
        weight = self.oriented(name, self.full[self.plan.owners[name]])
        scale = self.signs.used.get(name)
        if scale is None:
            return weight
        return weight.sign().mul_(scale if isinstance(scale, float) else self.oriented(name, scale))

    def inner(self, name: str, full: Tensor) -> Tensor:
        """A tensor in the storage of this projection's owner, as kernels read it; a view."""
        match self.form(name):
            case "grouped":
                return full.flatten(0, 1)
            case "single":
                return full[0, 0]
        return full if full.dim() == 3 else full[:, 0]

    def oriented(self, name: str, full: Tensor) -> Tensor:
        """A tensor in the storage of this projection's owner, as the projection's own [R, K, post, pre]; a view."""
        return full.transpose(*self.axes(name)) if name in self.plan.reversed and full.dim() > 3 else full

    def __iter__(self) -> Iterator[str]:
        return iter(self.plan.owners)

    def __len__(self) -> int:
        return len(self.plan.owners)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {list(self[name].shape)}" for name in self) or "no weights"


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to; -1 of one that was made in inference mode, as those of a twin may be, where
    nobody counts."""
    return -1 if tensor.is_inference() else tensor._version
