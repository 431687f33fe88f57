"""Steps of SGD, Adam and AdamW for the weights of one replica and one area."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.reference.numerics import Array


def setting(optimizer: dict[str, Any], name: str, replica: int, default: float = 0.0) -> float:
    """A rate of one replica: a number, or the entry of a list."""
    value = optimizer.get(name, default)
    return float(value[replica]) if isinstance(value, (list, tuple)) else float(value)


def move(
    weight: Array, change: Array, state: dict[str, Any], optimizer: dict[str, Any], replica: int, rate: float = 1.0
) -> Array:
    """The weight after one step; `state` (of this replica and area) is changed in place."""
    lr, decay = setting(optimizer, "lr", replica) * rate, setting(optimizer, "weight_decay", replica)
    if optimizer["kind"] == "sgd":
        return _sgd(
            weight,
            change,
            state,
            lr,
            decay,
            setting(optimizer, "momentum", replica),
            bool(optimizer.get("nesterov", False)),
        )
    beta1, beta2 = setting(optimizer, "beta1", replica), setting(optimizer, "beta2", replica)
    if optimizer["kind"] == "adamw":
        weight = weight - lr * decay * weight
    else:
        change = change + decay * weight
    state["t"] = state.get("t", 0) + 1
    state["m"] = beta1 * state.get("m", np.zeros_like(weight)) + (1 - beta1) * change
    state["v"] = beta2 * state.get("v", np.zeros_like(weight)) + (1 - beta2) * change**2
    mean = state["m"] / (1 - beta1 ** state["t"])
    square = state["v"] / (1 - beta2 ** state["t"])
    return np.asarray(weight - lr * mean / (np.sqrt(square) + setting(optimizer, "eps", replica)))


def _sgd(
    weight: Array, change: Array, state: dict[str, Any], lr: float, decay: float, momentum: float, nesterov: bool
) -> Array:
    gradient = change + decay * weight
    if momentum:
        state["velocity"] = momentum * state.get("velocity", np.zeros_like(weight)) + gradient
        gradient = gradient + momentum * state["velocity"] if nesterov else state["velocity"]
    return np.asarray(weight - lr * gradient)
