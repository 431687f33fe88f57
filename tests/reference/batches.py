"""Random batches from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosal.graph import Circuit
from tests.reference.numerics import Array

LOSSES = ("cross_entropy", "mse", "bce")


class Batch:
    """Inputs by population and targets, as arrays with replicas first and as what `Network` takes."""

    def __init__(self, x: dict[str, Array], y: Array) -> None:
        self.arrays, self.targets = x, y

    @property
    def x(self) -> Any:
        """A tensor, or tensors by input where there are several."""
        import torch

        tensors = {name: torch.from_numpy(value) for name, value in self.arrays.items()}
        return tensors if len(tensors) > 1 else next(iter(tensors.values()))

    @property
    def y(self) -> Any:
        import torch

        return torch.from_numpy(self.targets)

    def replica(self, r: int) -> Batch:
        """The batch of one replica."""
        return Batch({name: value[r : r + 1] for name, value in self.arrays.items()}, self.targets[r : r + 1])

    def ordered(self, order: list[int]) -> Batch:
        """The same samples in another order."""
        return Batch({name: value[:, order] for name, value in self.arrays.items()}, self.targets[:, order])


def batch_for(
    circuit: Circuit, seed: int = 0, *, replicas: int = 2, samples: int = 6, loss: str = "cross_entropy"
) -> Batch:
    """Normal inputs, and targets that fit the loss; each replica sees its own samples."""
    random = np.random.default_rng(seed)
    outputs = circuit.populations[circuit.output].units
    x = {name: random.normal(size=(replicas, samples, circuit.populations[name].units)) for name in circuit.inputs}
    if loss == "cross_entropy":
        return Batch(x, random.integers(outputs, size=(replicas, samples)))
    target = (
        random.normal(size=(replicas, samples, outputs))
        if loss == "mse"
        else random.uniform(size=(replicas, samples, outputs))
    )
    return Batch(x, target)


def batches_for(circuit: Circuit, count: int, **options: Any) -> list[Batch]:
    """As many different batches."""
    return [batch_for(circuit, seed, **options) for seed in range(count)]
