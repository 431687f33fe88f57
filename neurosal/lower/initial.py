"""First values of weights, drawn in float32 from the stream of each projection, whatever the type and device of the
network."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import (
    Constant,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Orthogonal,
    Own,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.streams import stream


def draw(init: Initialiser, shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator) -> Tensor:
    """One weight of one replica and one area, float32.

    Args:
        shape: of the weight, post-synaptic axis first.
        fan_in, fan_out: pre- and post-synaptic units of the projection's own direction.
    """
    return draw_into(torch.empty(shape), init, fan_in, fan_out, generator)


def draw_into(
    weight: Tensor, init: Initialiser, fan_in: int, fan_out: int, generator: torch.Generator, lead: int = 0
) -> Tensor:
    """`draw` into a tensor that is there: on the CPU, contiguous and float32, so that the numbers are the same.

    Args:
        lead: axes before the post-synaptic one, along which weights stand that have nothing to do with each other.
    """
    match init:
        case Constant():
            return weight.fill_(init.value)
        case Normal():
            return weight.normal_(init.mean, init.std, generator=generator)
        case TruncatedNormal():
            low, high = (-inf if init.low is None else init.low), (inf if init.high is None else init.high)
            return torch.nn.init.trunc_normal_(weight, init.mean, init.std, low, high, generator=generator)
        case Uniform():
            return weight.uniform_(init.low, init.high, generator=generator)
        case XavierNormal() | KaimingNormal():
            return weight.normal_(0.0, init.deviation(fan_in, fan_out), generator=generator)
        case XavierUniform() | KaimingUniform():
            limit = 3**0.5 * init.deviation(fan_in, fan_out)
            return weight.uniform_(-limit, limit, generator=generator)
        case Orthogonal():
            for one in weight.flatten(0, lead - 1) if lead else (weight,):
                torch.nn.init.orthogonal_(one, gain=init.gain, generator=generator)
            return weight
    drawn = getattr(init, "draw", None)
    if drawn is None:
        raise CircuitError(
            Problem(
                place=f"initialiser {init.kind}",
                expected="an initialiser that this version can draw, or one with a method draw",
                found=type(init).__name__,
                remedy=near(init.kind, Initialiser.members),
            )
        )
    return weight.copy_(drawn(tuple(weight.shape), fan_in, fan_out, generator))


def draw_areas(
    weights: Own, name: str, seed: int, areas: int, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> Tensor:
    """Weights of one replica: [K, *shape]. Area 0 is the same draw whether there are one or many areas."""
    return draw_areas_into(torch.empty(areas, *shape), weights, name, seed, fan_in, fan_out)


def draw_areas_into(
    stored: Tensor,
    weights: Own,
    name: str,
    seed: int,
    fan_in: int,
    fan_out: int,
    *,
    turns: tuple[int, int] | None = None,
    lead: int = 0,
    first: int = 0,
) -> Tensor:
    """`draw_areas` into storage of any type and device, area by area: beside it there is one area's weight at most, and
    none where storage can be drawn into as it is.

    Args:
        stored: [K, *weight_shape].
        turns: axes of one area's weight that storage has exchanged (post and pre); None where it has them as drawn.
        lead: as in `draw_into`.
        first: number of the first of these areas; those before it are drawn too, one at a time, and forgotten.
    """
    generator = stream(seed, name)
    direct = turns is None and stored.dtype is torch.float32 and stored.device.type == "cpu" and stored.is_contiguous()
    own = stored if turns is None else stored.transpose(turns[0] + 1, turns[1] + 1)
    shape = own.shape[1:]
    scratch = stored.new_empty(0) if direct else torch.empty(shape)
    if first and weights.across_areas != "same":
        forgotten = torch.empty(shape)
        for _ in range(first):
            draw_into(forgotten, weights.init, fan_in, fan_out, generator, lead)
    for area, target in enumerate(own):
        if area and weights.across_areas == "same":
            target.copy_(own[0])
        elif direct:
            draw_into(target, weights.init, fan_in, fan_out, generator, lead)
        else:
            draw_into(scratch, weights.init, fan_in, fan_out, generator, lead)
            target.copy_(scratch)
    return stored
