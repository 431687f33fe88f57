"""The network's tangent kernel, projection by projection, from backward sweeps of its backpropagation form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from neurosal.engine.network import Network
from neurosal.runner.fixed import FixedSamples
from neurosal.runner.moment import Moment, Signals
from neurosal.stats import base

SAMPLES = 64  # first training samples between which kernels are taken, where a probe does not say


class Tangent:
    """Kernels between the first training samples: one sweep for each output, no gradient of a single sample is made."""

    def __init__(self, network: Network, fixed: FixedSamples, reference: Callable[[], Network]) -> None:
        self.network, self.fixed, self._reference = network, fixed, reference

    def kernel(self, projection: str, moment: Moment, samples: int | None) -> Tensor:
        """The part of a dense projection's weights, [R, N, N] in float64. Samples in different areas change different
        weights, and have no product."""
        count = samples or SAMPLES
        edge = self.network.circuit.projections[projection]
        signals = moment.once(("activity", count), lambda: Signals(self.network.signals(self.fixed.part.first(count))))
        jacobians = moment.once(("jacobians", count), lambda: self._jacobians(count))
        kernel: Tensor = base.tangent_kernel(jacobians[edge.target], signals[edge.source]["activity"])
        area = signals[edge.target].get("area")
        return kernel if area is None else kernel * (area[:, :, None] == area[:, None, :])

    def kernels(self, projection: str, moment: Moment, samples: int | None) -> tuple[Tensor, Tensor]:
        """Now and at the start."""
        now = self.kernel(projection, moment, samples)
        return now, self.fixed.at_start(f"kernel/{samples or SAMPLES}/{projection}", now)

    def labels(self, samples: int | None) -> Tensor:
        """Classes of the samples, [R, N]."""
        labels = self.fixed.part.labels
        assert labels is not None
        return labels[: samples or SAMPLES].to(self.network.device).expand(self.network.replicas, -1)

    def _jacobians(self, count: int) -> dict[str, Tensor]:
        """Population → ∂(output activity)/∂(its total input), [R, output, N, units]."""
        network, x = self._reference(), self.fixed.part.first(count)
        output = network.predict(x)
        units = output.shape[-1]
        found: dict[str, list[Tensor]] = {}
        for unit in range(units):
            # The mean of squares over outputs has 2 (h − y)/units as its derivative: here 1 at one output, 0 elsewhere.
            target = output.clone()
            target[..., unit] -= units / 2
            for name, signals in Signals(network.signals(x, target, loss="mse")).items():
                if "error" in signals:
                    found.setdefault(name, []).append(signals["error"].double())
        return {name: torch.stack(some, 1) for name, some in found.items()}
