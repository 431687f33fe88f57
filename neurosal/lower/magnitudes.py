"""Magnitudes of sign-symmetric feedback that are drawn anew for every step.

A stream of numpy for each (seed, name, step), because a large part of such a step is spent here: it draws several times
faster than torch's generator, and starting one costs little. Distributions that only torch can draw take torch's.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from neurosal.graph import (
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.initial import draw
from neurosal.lower.streams import stream

Numbers = np.ndarray[Any, np.dtype[np.float32]]


def redrawn(
    init: Initialiser, name: str, seed: int, step: int, shape: tuple[int, ...], fan_in: int, fan_out: int
) -> Numbers:
    """Absolute values of a draw for one replica and one step, float32, of that shape.

    Example:
        >>> first, again = (redrawn(XavierUniform(), "back", 0, 7, (2, 3), 3, 2) for _ in range(2))
        >>> bool((first == again).all()), bool((first == redrawn(XavierUniform(), "back", 0, 8, (2, 3), 3, 2)).any())
        (True, False)
    """
    match init:
        case XavierUniform() | KaimingUniform():
            return _uniform(seed, name, step, shape, 0.0, 3**0.5 * init.deviation(fan_in, fan_out))
        case Uniform():
            return _uniform(seed, name, step, shape, init.low, init.high)
        case XavierNormal() | KaimingNormal():
            return _normal(seed, name, step, shape, 0.0, init.deviation(fan_in, fan_out))
        case Normal():
            return _normal(seed, name, step, shape, init.mean, init.std)
    drawn = draw(init, shape, fan_in, fan_out, stream(seed, name, "magnitudes", step))
    return np.abs(drawn.numpy())


def _random(seed: int, name: str, step: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/magnitudes/{step}".encode()).digest()
    return np.random.Generator(np.random.SFC64(np.frombuffer(digest, dtype=np.uint32).tolist()))


def _uniform(seed: int, name: str, step: int, shape: tuple[int, ...], low: float, high: float) -> Numbers:
    """Of a symmetric distribution only the positive half, which has the same absolute values."""
    values = _random(seed, name, step).random(shape, dtype=np.float32)
    values *= np.float32(high - low)
    if low:
        values += np.float32(low)
        np.abs(values, out=values)
    return values


def _normal(seed: int, name: str, step: int, shape: tuple[int, ...], mean: float, deviation: float) -> Numbers:
    values = _random(seed, name, step).standard_normal(shape, dtype=np.float32)
    values *= np.float32(deviation)
    values += np.float32(mean)
    return np.abs(values, out=values)
