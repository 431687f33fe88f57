"""What rules need to know of wiring over space: where synapses can be left out, and which relay fits a convolution."""

from __future__ import annotations

from neurosal.graph import (
    Broadcast,
    Conv1d,
    Conv2d,
    Convolution,
    Dense,
    Population,
    Projection,
    Relay,
    Reversed,
    Sparse,
    Wiring,
)
from neurosal.graph.wiring import Extent


def thinned(wiring: Wiring, density: float) -> Wiring:
    """The wiring with that share of its synapses; as it is where none can be left out (one-to-one, pooling)."""
    if isinstance(wiring, Dense):
        return Sparse(density=density)
    straight = wiring.wiring if isinstance(wiring, Reversed) else wiring
    return wiring.thinned(density) if isinstance(straight, (Convolution, Broadcast)) else wiring


def relay_of(extent: Extent, areas: int) -> Population:
    """An error relay of that extent."""
    return Population(**({"shape": extent} if len(extent) > 1 else {"size": extent[0]}), model=Relay(), areas=areas)


def relay_between(forward: Projection, target: Population, expansion: float) -> tuple[Extent, Wiring, Wiring] | None:
    """A relay on the way back of a projection: its extent, and the wiring of the hops into it and out of it.

    Along a dense projection the relay has ρ times the units of the population it hears from, and both hops are dense.
    Along a convolution it has ρ times its channels at the same places: the first hop is a 1×1 convolution, the second
    has the kernel, the stride and the padding of the forward one, and both keep to its groups.

    Args:
        forward: the projection.
        target: the population where it ends.
        expansion: ρ.

    Returns:
        None for wiring that has no room for an expansion.
    """
    if isinstance(forward.wiring, Dense):
        return (max(1, round(expansion * target.units)),), Dense(), Dense()
    if not isinstance(forward.wiring, (Conv1d, Conv2d)):
        return None
    channels, *places = target.extent
    wiring, groups = forward.wiring.replace(density=1.0), forward.wiring.groups
    size = groups * max(1, round(expansion * channels / groups))
    return (size, *places), type(wiring)(kernel=1, groups=groups).reversed(), wiring.reversed()


def transposed_onto(extent: Extent, kernel: int) -> tuple[Extent, Wiring]:
    """A transposed convolution onto a population whose kernels lie side by side, and the grid of places it starts from.

    Example:
        >>> transposed_onto((16, 30, 30), 4)[0]  # 8 kernels of 4 hold 30 places, one of them cut off at either border
        (8, 8)
    """
    places = extent[1:]
    grid = tuple(-(-size // kernel) for size in places)
    padding = tuple(-(-(kernel * count - size) // 2) for size, count in zip(places, grid, strict=True))
    if len(places) == 1:
        return grid, Conv1d(kernel=kernel, stride=kernel, padding=padding[0]).reversed()
    rows, columns = padding
    return grid, Conv2d(kernel=kernel, stride=kernel, padding=rows if rows == columns else (rows, columns)).reversed()
