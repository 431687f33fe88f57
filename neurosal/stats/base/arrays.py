"""What all statistics of plain arrays share: numpy or torch, float64, and axes."""

from __future__ import annotations

import sys
from typing import Any

import numpy

Axis = int | tuple[int, ...]
DEGREES = 180 / numpy.pi


def namespace(array: Any) -> Any:
    """The module whose functions take this array: torch for a tensor, else numpy."""
    root = type(array).__module__.partition(".")[0]
    return sys.modules["torch"] if root == "torch" else numpy


def wide(array: Any) -> Any:
    """`array` in float64, where angles and ratios are computed: at 10 bits of precision an angle is degrees off."""
    return array.double() if namespace(array) is not numpy else numpy.asarray(array, dtype=numpy.float64)


def norm(array: Any, *, axis: Axis) -> Any:
    """Euclidean norm over `axis`, safe from overflow of the squares."""
    array = wide(array)
    functions = namespace(array)
    top = functions.amax(functions.abs(array), axis)
    scale = functions.where((top > 0) & (top < functions.inf), top, 1.0)
    return scale * root_of_squares(array / kept(scale, axis), axis)


def direction(array: Any, axis: Axis) -> Any:
    """Unit vectors over `axis`; NaN for a vector that is zero or not finite."""
    functions = namespace(array)
    top = kept(functions.amax(functions.abs(array), axis), axis)
    scaled = array / functions.where((top > 0) & (top < functions.inf), top, functions.nan)
    return scaled / kept(root_of_squares(scaled, axis), axis)


def root_of_squares(array: Any, axis: Axis) -> Any:
    """Euclidean norm over `axis` of numbers whose squares are in range."""
    return (array * array).sum(axis) ** 0.5


def kept(reduced: Any, axis: Axis) -> Any:
    """`reduced` with the axes over which it was reduced put back at length 1."""
    functions = namespace(reduced)
    axes = (axis,) if isinstance(axis, int) else axis
    for position in in_order(axes, reduced.ndim + len(axes)):
        reduced = (
            functions.unsqueeze(reduced, position) if functions is not numpy else numpy.expand_dims(reduced, position)
        )
    return reduced


def in_order(axes: tuple[int, ...], dimensions: int) -> list[int]:
    """Axes counted from 0, ascending."""
    return sorted(position % dimensions for position in axes)
