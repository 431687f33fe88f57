"""A circuit's gradient by torch autograd, for any feedforward graph with ties, areas held fixed; relays and feedback
are not there for it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FUNCTIONS: dict[str, Any] = {
    "linear": lambda a: a,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "elu": torch.nn.functional.elu,
    "softplus": torch.nn.functional.softplus,
}


def gradients(
    circuit: dict[str, Any],
    weights: dict[str, Tensor],
    biases: dict[str, Tensor],
    x: dict[str, Tensor],
    y: Tensor,
    loss: str,
    areas: dict[str, Tensor] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss [R], and its gradient by owner of the synapses and by ``population.bias``.

    Args:
        weights: own weights, [R, K, ...].  x: per input, [R, N, I].  y: [R, N, ...].  areas: per population, [R, N].
    """
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    offsets = {name: value.clone().requires_grad_() for name, value in biases.items()}
    populations = circuit["populations"]
    edges = {name: p for name, p in circuit["projections"].items() if p["pathway"] == "feedforward"}
    output = next(
        name
        for name, p in populations.items()
        if p["model"]["kind"] == "rate" and all(edge["source"] != name for edge in edges.values())
    )

    def matrix(name: str, r: int, k: int) -> Tensor:
        origin = circuit["projections"][name]["weights"]
        if origin["kind"] == "transpose":
            tied = matrix(origin["of"], r, k)
            return tied if tied.dim() == 1 else tied.T
        return leaves[name][r, min(k, leaves[name].shape[1] - 1)]

    known: dict[tuple[str, int, int], Tensor] = {}

    def activity(name: str, r: int, n: int) -> Tensor:
        if (name, r, n) not in known:
            known[name, r, n] = compute(name, r, n)
        return known[name, r, n]

    def compute(name: str, r: int, n: int) -> Tensor:
        model = populations[name]["model"]
        if model["kind"] == "source":
            return x[name][r, n]
        k = int(areas[name][r, n]) if areas and name in areas else 0
        a = offsets[name][r, k] if model["bias"] else torch.zeros((), dtype=torch.float64)
        for edge, fields in edges.items():
            if fields["target"] == name:
                weight, h = matrix(edge, r, k), activity(fields["source"], r, n)
                a = a + (weight * h if weight.dim() == 1 else weight @ h)
        if model.get("norm") is not None:
            assert model["norm"]["kind"] == "rms"
            a = a / (a.pow(2).mean() + model["norm"]["eps"]).sqrt()
        return model.get("gain", 1.0) * FUNCTIONS[model["activation"]](a)

    rows = torch.stack([torch.stack([activity(output, r, n) for n in range(y.shape[1])]) for r in range(y.shape[0])])
    losses = torch.stack([_mean(row, target, loss) for row, target in zip(rows, y, strict=True)])
    named = {**leaves, **{f"{name}.bias": value for name, value in offsets.items()}}
    found = torch.autograd.grad(losses.sum(), list(named.values()), allow_unused=True)
    return losses.detach(), {name: value for name, value in zip(named, found, strict=True) if value is not None}


def _mean(row: Tensor, target: Tensor, loss: str) -> Tensor:
    """The loss of one replica, a mean over its samples."""
    functional = torch.nn.functional
    if loss == "cross_entropy":
        return functional.cross_entropy(row, target)
    if loss == "mse":
        return functional.mse_loss(row, target)
    return functional.binary_cross_entropy_with_logits(row, target)
