"""Which synapses a wiring has, drawn from the stream of each projection: bool, in the shape of the weight."""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.graph import Dense, EdgeList, FixedInDegree, FixedOutDegree, Projection, Sparse, Wiring
from neurosal.graph.convolution import density_of
from neurosal.lower.streams import stream


def leaves_out(edge: Projection) -> bool:
    """Whether the wiring of a projection may leave synapses out."""
    wiring = edge.wiring
    if not isinstance(wiring, Dense):
        return density_of(wiring) < 1 or hasattr(wiring, "connect")
    return type(wiring) is not Dense or (edge.source == edge.target and not wiring.allow_autapses)


def connect(wiring: Wiring, shape: tuple[int, ...], recurrent: bool, generator: torch.Generator) -> Tensor:
    """The synapses of one replica and one area, in the shape of its weight, [post, pre] or that of a kernel.

    Args:
        recurrent: whether the population projects to itself, so that the diagonal holds autapses.

    Wiring of others brings a method ``connect(post, pre, generator)``.
    """
    if (density := density_of(wiring)) < 1:
        return torch.rand(shape, generator=generator) < density
    post, pre = shape
    diagonal = torch.zeros(post, pre, dtype=torch.bool)
    if recurrent and not getattr(wiring, "allow_autapses", False):
        diagonal.fill_diagonal_(True)
    match wiring:
        case Sparse():
            present = torch.rand(post, pre, generator=generator) < wiring.density
        case FixedInDegree() | FixedOutDegree():
            inward = isinstance(wiring, FixedInDegree)
            order = torch.rand(post, pre, generator=generator).masked_fill_(diagonal, 2.0)  # autapses come last
            count, axis = (wiring.inputs, 1) if isinstance(wiring, FixedInDegree) else (wiring.outputs, 0)
            chosen = order.topk(count, dim=axis, largest=False).indices
            present = torch.zeros(post, pre, dtype=torch.bool).scatter_(1 if inward else 0, chosen, True)
        case EdgeList():
            ends = torch.tensor(wiring.edges)
            present = torch.zeros(post, pre, dtype=torch.bool)
            present[ends[:, 1], ends[:, 0]] = True
        case Dense():
            present = torch.ones(post, pre, dtype=torch.bool)
        case _:
            present = wiring.connect(post, pre, generator)  # type: ignore[attr-defined]
    return present & ~diagonal


def connect_areas(edge: Projection, name: str, seed: int, areas: int, across: str, shape: tuple[int, ...]) -> Tensor:
    """The synapses of one replica: bool [K, *shape]. Area 0 is the same draw whether there are one or many."""
    generator, recurrent = stream(seed, name, "wiring"), edge.source == edge.target
    first = connect(edge.wiring, shape, recurrent, generator)
    if areas == 1 or across == "same":
        return first.expand(areas, *shape)
    others = [connect(edge.wiring, shape, recurrent, generator) for _ in range(areas - 1)]
    return torch.stack([first, *others])
