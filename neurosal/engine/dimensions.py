"""What the axes of a projection's weights are called where they are stored."""

from __future__ import annotations

from neurosal.graph import Broadcast, Circuit, Convolution, Reversed
from neurosal.record import schema


def weight_sizes(circuit: Circuit, projection: str) -> dict[str, int]:
    """Dimension → length of the weights of one replica and one area, in the projection's own direction and in order.

    Example:
        >>> from neurosal import circuits
        >>> weight_sizes(circuits.mlp(3, 4, 2), "hidden1_to_output")
        {'output': 2, 'hidden1': 4}
    """
    edge = circuit.projections[projection]
    post, pre = (circuit.populations[end].extent for end in (edge.target, edge.source))
    shape = edge.wiring.weight_shape(post, pre)
    wiring, backwards = edge.wiring, False
    while isinstance(wiring, Reversed):
        wiring, backwards = wiring.wiring, not backwards
    names: tuple[str, ...]
    if isinstance(wiring, Convolution):
        names = schema.kernel_dimensions(edge.target, edge.source, axes=wiring.space, groups=wiring.groups > 1)
    elif isinstance(wiring, Broadcast):
        ends = (schema.units_dimension, schema.channels_dimension)
        first, second = ends if backwards else ends[::-1]
        names = first(edge.target), second(edge.source)
    elif len(shape) == 1:
        names = (schema.units_dimension(edge.target),)
    else:
        names = schema.weight_dimensions(edge.target, edge.source)
    return dict(zip(names, shape, strict=True))
