"""The ways to write areas in plain torch with autograd, as mixtures of experts are written: our rivals.

All of them route inside the timed step (centre, project, compare with prototypes), and none of them learns its router;
ours does. Counts of samples are the same at every step, so that compiled forms meet no new shape: to their advantage.

Letters: K area, N sample, O and I units above and below, C samples of the fullest area, r routing dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosal.bench.agreement import Net, refuse_wrong_net
from neurosal.bench.contenders import FORMS, LEARNING_RATE, Contender, at_rate
from neurosal.bench.works import Work, cost

LARGEST = 2 << 30  # bytes of gathered weights, above which that way is left out
DEAREST = 1.0  # seconds of operations at 1e11 a second, above which the masked way is left out


class Routed(nn.Module):
    """Weights and the choice of areas. Members say how the areas that were chosen are met."""

    projection: Tensor
    prototypes: Tensor
    mean: Tensor
    way = ""
    separate = False  # whether each area's weights are tensors of their own
    compiles = True  # whether there is something to compile

    def __init__(self, work: Work, device: str = "cpu") -> None:
        super().__init__()
        self.areas = work.areas
        generator = torch.Generator().manual_seed(1)
        shapes = [(work.areas, above, below) for below, above in zip(work.sizes, work.sizes[1:], strict=False)]
        weights = [torch.randn(shape, generator=generator).mul_(shape[-1] ** -0.5).to(device) for shape in shapes]
        biases = [torch.randn(shape[:-1], generator=generator).mul_(0.1).to(device) for shape in shapes]
        self.layers = len(shapes)
        if self.separate:
            self.weight = nn.ParameterList([nn.Parameter(part.clone()) for weight in weights for part in weight])
            self.bias = nn.ParameterList([nn.Parameter(part.clone()) for bias in biases for part in bias])
        else:
            self.weight = nn.ParameterList([nn.Parameter(weight) for weight in weights])
            self.bias = nn.ParameterList([nn.Parameter(bias) for bias in biases])
        projection_rI, prototypes_Kr = work.router()
        self.register_buffer("projection", projection_rI.to(device))
        self.register_buffer("prototypes", prototypes_Kr.to(device))
        self.register_buffer("mean", torch.zeros(work.sizes[0], device=device))

    def of(self, entries: nn.ParameterList, layer: int, area: int) -> Tensor:
        """The weight or bias of one layer and area, where they are separate."""
        return entries[layer * self.areas + area]

    def choose(self, x: Tensor) -> Tensor:
        """The area of each sample, [N]: as our router chooses."""
        with torch.no_grad():
            query = functional.normalize((x - self.mean) @ self.projection.T, dim=1)
            return (query @ self.prototypes.T).argmax(1)

    def loss(self, x: Tensor, y: Tensor, *, compiled: bool = False) -> Tensor:
        """Mean cross-entropy, with the choice of areas."""
        inside = self.compiled_loss if compiled else self.routed_loss
        return inside(x, y, *self.prepare(self.choose(x)))

    def prepare(self, area: Tensor) -> tuple[object, ...]:
        """What the choice means for this way; outside of what is compiled."""
        return (area,)

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        """Mean cross-entropy for a choice of areas; what is compiled."""
        raise NotImplementedError

    @cached_property
    def compiled_loss(self) -> Callable[..., Tensor]:
        """`routed_loss`, compiled for the shapes that it meets; counting samples stays outside."""
        return torch.compile(self.routed_loss)

    def net(self) -> Net:
        """The live numbers, for the check."""
        if not self.separate:
            return Net([w.detach() for w in self.weight], [b.detach() for b in self.bias])
        weights, biases = (
            [self._stacked(kind, layer) for layer in range(self.layers)] for kind in (self.weight, self.bias)
        )
        return Net(weights, biases)

    def _stacked(self, entries: nn.ParameterList, layer: int) -> Tensor:
        return torch.stack([self.of(entries, layer, area).detach() for area in range(self.areas)])


class LoopIndexed(Routed):
    """Layer by layer, area by area: pick the samples, multiply, put them back."""

    way, separate = "loop, index", True
    compiles = False  # its K products a layer each pick rows that were counted just before

    def prepare(self, area: Tensor) -> tuple[object, ...]:
        return ([(area == k).nonzero()[:, 0] for k in range(self.areas)],)

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        (rows,) = prepared
        h = x
        for layer in range(self.layers):
            weights, biases = self.weight, self.bias
            out = h.new_empty(len(h), self.of(biases, layer, 0).shape[0])
            for k, chosen in enumerate(rows):  # type: ignore[arg-type,var-annotated]
                if len(chosen):
                    part = functional.linear(h[chosen], self.of(weights, layer, k), self.of(biases, layer, k))
                    out = out.index_copy_(0, chosen, part)
            h = out if layer == self.layers - 1 else out.relu()
        return functional.cross_entropy(h, y)


class LoopSorted(Routed):
    """Samples sorted once, and the whole net of each area on its slice."""

    way, separate = "loop, sorted", True

    def prepare(self, area: Tensor) -> tuple[object, ...]:
        order = area.argsort(stable=True)
        return order, torch.bincount(area, minlength=self.areas).tolist()

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        return self._by(one_area, x, y, *prepared)

    @cached_property
    def compiled_loss(self) -> Callable[..., Tensor]:
        # The net of one area, compiled once for all: K of them in one graph take minutes to compile, and gain no more.
        return partial(self._by, torch.compile(one_area))

    def _by(self, net: Callable[..., Tensor], x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        order, counts = prepared
        assert isinstance(order, Tensor)
        logits = [
            net(part, *(self.of(kind, layer, k) for kind in (self.weight, self.bias) for layer in range(self.layers)))
            for k, part in enumerate(x[order].split(counts))
            if len(part)
        ]
        return functional.cross_entropy(torch.cat(logits), y[order])


def one_area(h: Tensor, *numbers: Tensor) -> Tensor:
    """The net of one area: its weights, then its biases."""
    weights, biases = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        h = functional.linear(h, weight, bias)
        h = h if layer == len(weights) - 1 else h.relu()
    return h


class Padded(Routed):
    """Samples laid out once as [K, C, I] with zeros behind them, and one batched product a layer."""

    way = "padded bmm"

    def prepare(self, area: Tensor) -> tuple[object, ...]:
        order = area.argsort(stable=True)
        counts = torch.bincount(area, minlength=self.areas)
        capacity, sorted_area = int(counts.max()), area[order]
        starts = counts.cumsum(0) - counts
        slot = sorted_area * capacity + torch.arange(len(area), device=area.device) - starts[sorted_area]
        return order, slot, capacity

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        order, slot, capacity = prepared
        assert isinstance(slot, Tensor)
        assert isinstance(capacity, int)
        h = x.new_zeros(self.areas * capacity, x.shape[1]).index_copy(0, slot, x[order])  # type: ignore[index]
        h = h.view(self.areas, capacity, -1)
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            h = torch.baddbmm(bias[:, None], h, weight.mT)
            h = h if layer == self.layers - 1 else h.relu()
        return functional.cross_entropy(h.flatten(0, 1)[slot], y[order])  # type: ignore[index]


class Grouped(Routed):
    """Samples sorted once, and torch's own grouped product."""

    way = "grouped_mm"
    compiles = False  # torch 2.13 compiles it in bfloat16 only

    def prepare(self, area: Tensor) -> tuple[object, ...]:
        order = area.argsort(stable=True)
        return order, torch.bincount(area, minlength=self.areas)

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        order, counts = prepared
        assert isinstance(order, Tensor)
        assert isinstance(counts, Tensor)
        h, ends = x[order], counts.cumsum(0).to(torch.int32)
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            h = grouped_product(h, weight, ends) + bias.repeat_interleave(counts, 0, output_size=len(x))
            h = h if layer == self.layers - 1 else h.relu()
        return functional.cross_entropy(h, y[order])


def grouped_product(h: Tensor, weight_KOI: Tensor, ends: Tensor) -> Tensor:
    """torch's grouped product; rows of weights must come in multiples of 16 bytes, so narrow outputs are padded."""
    units = weight_KOI.shape[1]
    if missing := -units % 4:
        weight_KOI = functional.pad(weight_KOI, (0, 0, 0, missing))
    out = functional.grouped_mm(h, weight_KOI.mT, offs=ends)
    return out[:, :units].contiguous() if missing else out


class Masked(Routed):
    """Every area for every sample, and all but one of them thrown away."""

    way = "masked dense"

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        (area,) = prepared
        assert isinstance(area, Tensor)
        mask = functional.one_hot(area, self.areas).T[..., None].to(x.dtype)
        h = x
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            h = ((h @ weight.mT + bias[:, None]) * mask).sum(0)
            h = h if layer == self.layers - 1 else h.relu()
        return functional.cross_entropy(h, y)


class Gathered(Routed):
    """The weights of each sample's area, copied for it."""

    way = "gathered weights"

    def routed_loss(self, x: Tensor, y: Tensor, *prepared: object) -> Tensor:
        (area,) = prepared
        assert isinstance(area, Tensor)
        h = x
        for layer, (weight, bias) in enumerate(zip(self.weight, self.bias, strict=True)):
            h = torch.baddbmm(bias[area][..., None], weight[area], h[..., None])[..., 0]
            h = h if layer == self.layers - 1 else h.relu()
        return functional.cross_entropy(h, y)


WAYS: tuple[type[Routed], ...] = (LoopSorted, LoopIndexed, Padded, Grouped, Masked, Gathered)


def left_out(way: type[Routed], work: Work) -> str | None:
    """Why a way is not tried for a work, or None."""
    widest = max(below * above for below, above in zip(work.sizes, work.sizes[1:], strict=False))
    if way is Gathered and (size := 4 * work.batch * widest) > LARGEST:
        return f"{way.way}: left out, {size / 2**30:.0f} GiB of weights for one layer of one batch"
    operations = 6 * work.areas * work.batch * sum(a * b for a, b in zip(work.sizes, work.sizes[1:], strict=False))
    if way is Masked and operations / 1e11 > DEAREST:
        return f"{way.way}: left out, {work.areas} × the operations of one area ({operations / 1e9:,.0f} GFLOP a step)"
    return None


def area_net(way: type[Routed], work: Work, device: str = "cpu") -> Routed:
    """The net of one way, with its running mean where ours has it after the first step."""
    net = way(work, device)
    net.mean.copy_(work.data()[0].mean(0))
    return net


def contender(net: Routed, work: Work, form: str, *, compiled: bool = False, device: str = "cpu") -> Contender:
    """One variant of a way: a form of SGD, eager or compiled. Variants may share a net."""
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, **FORMS[form])
    x, y = (tensor.to(device) for tensor in work.data())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        net.loss(x, y, compiled=compiled).backward()
        optimizer.step()

    name = f"torch {net.way} ({form}{', compiled' if compiled else ''})"

    def check() -> float:
        learn: Callable[[float], object] = partial(at_rate, step, [optimizer])
        return refuse_wrong_net(name, net.net, learn, x, y, net.choose(x))

    return Contender(name, step, check, cost(work), family=f"torch {net.way}", rival=True)
