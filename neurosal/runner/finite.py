"""Replicas whose numbers stop being finite: found, named, put back to their last good state and held there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.feeding import Samples
from neurosal.engine.network import Network


class Finite:
    """Looks whether numbers are finite, and keeps what to fall back to.

    Attributes:
        failures: replica that stopped → what is said of it.
    """

    def __init__(self, network: Network, replicas: Mapping[str, list[Any]]) -> None:
        self.network, self.replicas = network, replicas
        self.good: dict[str, Tensor] = {}
        self.failures: dict[int, str] = {}

    def keep(self) -> None:
        """What a replica falls back to from now on."""
        self.good = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def check(self, step: int, loss: Tensor | None, batch: tuple[Samples, Tensor], kind: str) -> None:
        """Freeze replicas whose numbers are no longer finite, at their last good state."""
        tensors = (*self.network.weights.full.values(), *self.network.biases.values())
        finite = torch.isfinite(torch.stack([t.flatten(1).sum(1) for t in tensors])).all(0)
        if loss is not None:
            finite &= torch.isfinite(loss)
        if bool(finite.all()):
            return
        for replica in (~finite).nonzero()[:, 0].tolist():
            if replica not in self.failures:
                self._stop(replica, step, batch, kind)

    def _stop(self, replica: int, step: int, batch: tuple[Samples, Tensor], kind: str) -> None:
        varied = ", ".join(f"{name} {values[replica]}" for name, values in self.replicas.items())
        where = self._first_bad(replica, *batch, kind)
        self.failures[replica] = (
            f"replica {replica} ({varied}) stopped being finite by step {step}, first in {where}; "
            "its last good state was kept and the others went on"
        )
        self.network.freeze_replicas([replica], self.good)

    def _first_bad(self, replica: int, x: Samples, y: Tensor, loss: str) -> str:
        """The projection whose weights, or else the population whose activity, is the first that is not finite."""
        for name in self.network.circuit.layers():
            for projection in self.network.circuit.select(pathway="feedforward", target=name):
                if not bool(torch.isfinite(self.network.weights[projection][replica]).all()):
                    return f"projection {projection!r}"
        for name, weight in self.network.weights.items():
            if not bool(torch.isfinite(weight[replica]).all()):
                return f"projection {name!r}"
        signals = self.network.signals(x, y, loss)
        for name in self.network.circuit.layers():
            if not bool(torch.isfinite(signals[name]["activity"][replica]).all()):
                incoming = ", ".join(map(repr, self.network.circuit.select(pathway="feedforward", target=name)))
                return f"the activity of {name!r} (projection {incoming})" if incoming else f"the input {name!r}"
        return "the loss"
