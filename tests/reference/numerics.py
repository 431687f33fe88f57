"""Activations with their derivatives, and losses with theirs: one sample at a time, float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def activate(kind: str, a: Array) -> Array:
    """h = f(a), unit by unit."""
    return np.array([_activate(kind, value) for value in a])


def slope(kind: str, a: Array) -> Array:
    """f'(a), unit by unit."""
    return np.array([_slope(kind, value) for value in a])


def transferred(model: dict[str, Any], a: Array) -> Array:
    """h = g f(norm(a)) of one population."""
    return np.asarray(model.get("gain", 1.0) * activate(model["activation"], _normed(model, a)))


def transferred_back(model: dict[str, Any], a: Array, e: Array) -> Array:
    """The transposed Jacobian of `transferred` at a, written out as a matrix, times e."""
    inner = np.diag(model.get("gain", 1.0) * slope(model["activation"], _normed(model, a)))
    if model.get("norm") is None:
        return np.asarray(inner @ e)
    size = _size(model, a)
    jacobian = np.array(
        [[(i == j) / size - a[i] * a[j] / (len(a) * size**3) for j in range(len(a))] for i in range(len(a))]
    )
    return np.asarray((inner @ jacobian).T @ e)


def _normed(model: dict[str, Any], a: Array) -> Array:
    return a if model.get("norm") is None else np.asarray(a / _size(model, a))


def _size(model: dict[str, Any], a: Array) -> float:
    assert model["norm"]["kind"] == "rms"
    return math.sqrt(sum(value * value for value in a) / len(a) + model["norm"]["eps"])


def _activate(kind: str, a: float) -> float:
    if kind == "linear":
        return a
    if kind == "relu":
        return max(a, 0.0)
    if kind == "tanh":
        return math.tanh(a)
    if kind == "sigmoid":
        return (1 + math.tanh(a / 2)) / 2  # does not overflow
    if kind == "gelu":
        return a * _normal_cdf(a)
    if kind == "elu":
        return a if a > 0 else math.expm1(a)
    if kind == "softplus":
        return max(a, 0.0) + math.log1p(math.exp(-abs(a)))
    raise ValueError(kind)


def _slope(kind: str, a: float) -> float:
    if kind == "linear":
        return 1.0
    if kind == "relu":
        return 1.0 if a > 0 else 0.0
    if kind == "tanh":
        return 1 - math.tanh(a) ** 2
    if kind == "sigmoid":
        h = _activate(kind, a)
        return h * (1 - h)
    if kind == "gelu":
        return _normal_cdf(a) + a * math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    if kind == "elu":
        return 1.0 if a > 0 else math.exp(a)
    if kind == "softplus":
        return _activate("sigmoid", a)
    raise ValueError(kind)


def _normal_cdf(a: float) -> float:
    return (1 + math.erf(a / math.sqrt(2))) / 2


def loss(kind: str, h: Array, target: Array | int) -> tuple[float, Array]:
    """Loss of one sample and its derivative with respect to the output's activity h."""
    if kind == "cross_entropy":
        shifted = np.exp(h - h.max())
        share = shifted / shifted.sum()
        wanted = np.zeros_like(h)
        wanted[int(target)] = 1
        return float(-np.log(share[int(target)])), share - wanted
    wanted = np.asarray(target, dtype=float)
    if kind == "mse":
        return float(np.mean((h - wanted) ** 2)), 2 * (h - wanted) / h.size
    if kind == "bce":
        value = [max(v, 0.0) - v * t + math.log1p(math.exp(-abs(v))) for v, t in zip(h, wanted, strict=True)]
        return float(np.mean(value)), np.array(
            [_activate("sigmoid", v) - t for v, t in zip(h, wanted, strict=True)]
        ) / h.size
    raise ValueError(kind)
