"""First values of weights, drawn in float32 from the stream of each projection, whatever the type and device of the
network."""

from __future__ import annotations

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
    weight = torch.empty(shape)
    match init:
        case Constant():
            return weight.fill_(init.value)
        case Normal():
            return weight.normal_(init.mean, init.std, generator=generator)
        case Uniform():
            return weight.uniform_(init.low, init.high, generator=generator)
        case XavierNormal() | KaimingNormal():
            return weight.normal_(0.0, init.deviation(fan_in, fan_out), generator=generator)
        case XavierUniform() | KaimingUniform():
            limit = 3**0.5 * init.deviation(fan_in, fan_out)
            return weight.uniform_(-limit, limit, generator=generator)
        case Orthogonal():
            return torch.nn.init.orthogonal_(weight, gain=init.gain, generator=generator)
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
    return drawn(shape, fan_in, fan_out, generator)


def draw_areas(
    weights: Own, name: str, seed: int, areas: int, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> Tensor:
    """Weights of one replica: [K, *shape]. Area 0 is the same draw whether there are one or many areas."""
    generator = stream(seed, name)
    first = draw(weights.init, shape, fan_in, fan_out, generator)
    if areas == 1:
        return first[None]
    if weights.across_areas == "same":
        return first.expand(areas, *shape)
    return torch.stack([first, *(draw(weights.init, shape, fan_in, fan_out, generator) for _ in range(areas - 1))])
