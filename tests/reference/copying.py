"""Copies a compiled network's numbers into the references, so that random streams need no second implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosal.graph import Circuit
from tests.reference.interpreter import Custom, Interpreter
from tests.reference.numerics import Array


def array(tensor: Any) -> Array:
    """A copy in float64 that the network cannot reach."""
    return np.array(tensor.detach().cpu().double().numpy(), copy=True)


def own_weights(network: Any, circuit: Circuit) -> dict[str, Array]:
    """Weights of projections that have synapses of their own."""
    return {
        name: array(network.weights[name])
        for name, edge in circuit.projections.items()
        if edge.pathway != "modulatory" and edge.weights.kind in ("own", "copy")
    }


def magnitudes(network: Any, circuit: Circuit) -> dict[str, Array]:
    """Magnitudes of sign-symmetric projections that draw theirs, where the weights that give the signs are not 0."""
    return {
        name: abs(array(network.weights[name]))
        for name, edge in circuit.projections.items()
        if edge.weights.kind == "sign_of" and edge.weights.magnitudes != "uniform"
    }


def own_biases(network: Any) -> dict[str, Array]:
    """Biases by population."""
    return {name.removesuffix(".bias"): array(value) for name, value in network.biases.items()}


def interpreter_of(
    network: Any,
    circuit: Circuit,
    *,
    loss: str = "cross_entropy",
    optimizer: Any = None,
    custom: Mapping[str, Custom] | None = None,
) -> Interpreter:
    """An interpreter that starts where the network stands."""
    routers = {name: {key: array(value) for key, value in state.items()} for name, state in network.routers.items()}
    return Interpreter(
        circuit.to_dict(),
        own_weights(network, circuit),
        own_biases(network),
        routers,
        loss,
        None if optimizer is None else optimizer.to_dict(),
        custom,
        magnitudes(network, circuit),
        {name: array(mask) for name, mask in network.masks.items()},
    )


def distance(network: Any, reference: Interpreter) -> float:
    """Largest difference between a network's numbers and its reference's: weights, biases and routers."""
    gaps = [abs(array(network.weights[name]) - value).max() for name, value in reference.weights.items()]
    gaps += [abs(array(network.biases[f"{name}.bias"]) - value).max() for name, value in reference.biases.items()]
    gaps += [
        abs(array(network.routers[name][key][r]) - getattr(router, key)).max()
        for name, routers in reference.routers.items()
        for r, router in enumerate(routers)
        for key in ("weight", "prototypes", "mean", "usage", "count")
    ]
    return float(np.nan_to_num(np.array(gaps), nan=np.inf).max())
