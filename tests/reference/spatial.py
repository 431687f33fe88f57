"""A circuit with space by torch autograd, for any feedforward graph of convolutions, pooling, skips and norms; feedback
is not there for it. Written against the description (plain dicts), replica by replica, in contiguous memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tests.reference.autograd import FUNCTIONS

Fields = dict[str, Any]


def pair(value: Any, axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def convolved(wiring: Fields, weight: Tensor, x: Tensor) -> Tensor:
    """By hand: pad, then sum over kernel positions of shifted, strided inputs."""
    axes = x.dim() - 2
    kernel, stride, dilation = (pair(wiring[key], axes) for key in ("kernel", "stride", "dilation"))
    if wiring["padding"] == "same":
        totals = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        edges = [(total // 2, total - total // 2) for total in totals]
    else:
        edges = [(more, more) for more in pair(wiring["padding"], axes)]
    for axis, (before, after) in enumerate(edges, start=2):
        x = padded(x, axis, before, after, wiring["padding_mode"])
    groups = wiring["groups"]
    if groups == 1:
        weight = weight[None]
    x = x.unflatten(1, (groups, x.shape[1] // groups))
    total: Any = 0
    for place in torch.cartesian_prod(*(torch.arange(size) for size in kernel)).reshape(-1, axes).tolist():
        part = x
        for axis in range(axes):
            span = x.shape[axis + 3] - dilation[axis] * (kernel[axis] - 1)
            start = place[axis] * dilation[axis]
            part = part.narrow(axis + 3, start, span)
            part = part.index_select(axis + 3, torch.arange(0, span, stride[axis]))
        tap = weight[(slice(None), slice(None), slice(None), *place)]
        total = total + torch.einsum("goi,ngi...->ngo...", tap, part)
    return torch.flatten(total, 1, 2)


def padded(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    size = x.shape[axis]
    places = torch.arange(-before, size + after)
    if mode == "zeros":
        kept = (places >= 0) & (places < size)
        shape = [1] * x.dim()
        shape[axis] = -1
        return x.index_select(axis, places.clamp(0, size - 1)) * kept.view(shape)
    if mode == "reflect":
        places = places.abs()
        places = torch.where(places >= size, 2 * (size - 1) - places, places)
    elif mode == "replicate":
        places = places.clamp(0, size - 1)
    else:
        places = places % size
    return x.index_select(axis, places)


def normed(norm: Fields, a: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """``norm(a)`` in training, channels in axis 1."""
    kind, eps = norm["kind"], norm["eps"]
    space = tuple(range(2, a.dim()))
    if kind == "rms":
        n = a / (a.pow(2).mean(tuple(range(1, a.dim())), keepdim=True) + eps).sqrt()
    elif kind == "group":
        rows = a.reshape(a.shape[0], norm["groups"], -1)
        n = centred(rows, (2,), eps).reshape(a.shape)
    else:
        n = centred(a, (0, *space) if kind == "batch" else (1, *space), eps)
    view = (1, -1, *[1] * len(space))
    n = n if scale is None else n * scale.view(view)
    return n if shift is None else n + shift.view(view)


def centred(a: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    gap = a - a.mean(axes, keepdim=True)
    return gap / (gap.pow(2).mean(axes, keepdim=True) + eps).sqrt()


def carried(wiring: Fields, weight: Tensor | None, x: Tensor, extent: tuple[int, ...]) -> Tensor:
    """What arrives at a population of this extent along one projection."""
    kind, n = wiring["kind"], x.shape[0]
    if kind in ("conv1d", "conv2d"):
        assert weight is not None
        return convolved(wiring, weight, x)
    if kind == "dense":
        assert weight is not None
        return (x.reshape(n, -1) @ weight.T).reshape(n, *extent)
    if kind == "one_to_one":
        assert weight is not None
        return x * weight.reshape(extent)
    if kind == "broadcast":
        assert weight is not None
        return (x.reshape(n, -1) @ weight.T).reshape(n, extent[0], *[1] * (len(extent) - 1)).expand(n, *extent)
    if kind == "flatten":
        return x.reshape(n, -1)
    if kind == "global_avg_pool":
        return x.reshape(n, x.shape[1], -1).mean(-1)
    if kind == "shortcut":
        kept = x[:, :, :: wiring["stride"], :: wiring["stride"]]
        more = extent[0] - x.shape[1]
        return functional.pad(kept, (0, 0, 0, 0, more // 2, more - more // 2))
    pool = {"avg_pool2d": functional.avg_pool2d, "max_pool2d": functional.max_pool2d}[kind]
    return pool(x, wiring["kernel"], wiring["stride"], wiring["padding"])


def outcome(
    circuit: Fields,
    tensors: dict[str, Tensor],
    x: dict[str, Tensor],
    extents: dict[str, tuple[int, ...]],
    *,
    everything: bool = False,
) -> Any:
    """Output activity in training of one replica, [N, units]; or the activity of every population, by name.

    Args:
        tensors: weights by projection, and ``population.bias``, ``.scale``, ``.shift``; without replica and area.
        x: per input, [N, *extent].
    """
    edges = {name: edge for name, edge in circuit["projections"].items() if edge["pathway"] == "feedforward"}
    known = dict(x)

    def activity(name: str) -> Tensor:
        if name not in known:
            model, extent = circuit["populations"][name]["model"], extents[name]
            arriving = [
                carried(edge["wiring"], tensors.get(label), activity(edge["source"]), extent)
                for label, edge in edges.items()
                if edge["target"] == name
            ]
            a = torch.stack(arriving).sum(0)
            if model["bias"]:
                a = a + tensors[f"{name}.bias"].view(1, -1, *[1] * (len(extent) - 1))
            if model.get("norm") is not None:
                a = normed(model["norm"], a, tensors.get(f"{name}.scale"), tensors.get(f"{name}.shift"))
            known[name] = model.get("gain", 1.0) * FUNCTIONS[model["activation"]](a)
        return known[name]

    output = next(
        name
        for name, population in circuit["populations"].items()
        if population["model"]["kind"] == "rate" and all(edge["source"] != name for edge in edges.values())
    )
    rows = activity(output).flatten(1)
    return known if everything else rows


def loss_of(rows: Tensor, y: Tensor, loss: str) -> Tensor:
    if loss == "cross_entropy":
        return functional.cross_entropy(rows, y)
    if loss == "mse":
        return functional.mse_loss(rows, y)
    return functional.binary_cross_entropy_with_logits(rows, y)
