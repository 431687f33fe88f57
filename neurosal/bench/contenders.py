"""Who is timed: our step under each rule, and torch backpropagation of the same net on the same batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from neurosal.engine.network import Network, compile
from neurosal.errors import NeurosalError
from neurosal.graph import Circuit, Population, Projection, Rate, Source
from neurosal.rules import bp, dfa, fa, kp, pfa, sal, shallow
from neurosal.settings.optimizers import SGD

LEARNING_RATE = 1e-3
RULES: dict[str, Callable[[Circuit], Circuit]] = {
    "bp": bp, "shallow": shallow, "fa": fa, "dfa": dfa, "kp": kp, "pfa": pfa, "sal": sal,
}  # fmt: skip
Step = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """One training step of a multi-layer perceptron on a random batch, for R replicas."""

    sizes: tuple[int, ...]
    batch: int
    replicas: int = 1

    def __str__(self) -> str:
        seeds = f", {self.replicas} seeds" if self.replicas > 1 else ""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}{seeds}"

    def circuit(self) -> Circuit:
        """The feedforward circuit."""
        names = ["input", *(f"hidden{index}" for index in range(1, len(self.sizes) - 1)), "output"]
        models = [Source(), *([Rate()] * (len(self.sizes) - 2)), Rate(activation="linear")]
        populations = {
            name: Population(size=size, model=model)
            for name, size, model in zip(names, self.sizes, models, strict=True)
        }
        projections = {f"{a}_to_{b}": Projection(source=a, target=b) for a, b in pairwise(names)}
        return Circuit(name="bench", populations=populations, projections=projections)

    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs [R, N, I] ([N, I] for one replica) and labels."""
        generator = torch.Generator().manual_seed(0)
        lead = (self.batch,) if self.replicas == 1 else (self.replicas, self.batch)
        x = torch.randn(*lead, self.sizes[0], generator=generator)
        return x, torch.randint(0, self.sizes[-1], lead, generator=generator)

    def operations(self) -> int:
        """Floating-point operations of the products of one backpropagation step (forward, error, change)."""
        forward = sum(a * b for a, b in pairwise(self.sizes))
        error = forward - self.sizes[0] * self.sizes[1]
        return 2 * self.batch * self.replicas * (2 * forward + error)


def ours(work: Work, rule: str) -> Step:
    """Our step."""
    network = compile(RULES[rule](work.circuit()), seeds=range(work.replicas), device="cpu")
    x, y = work.data()
    optimizer = SGD(lr=LEARNING_RATE)
    return lambda: network.step(x, y, optimizer=optimizer)


def theirs(work: Work, *, fused: bool) -> Step:
    """Torch backpropagation with torch.optim.SGD: one model for each replica, one after another."""
    models = [torch_model(work) for _ in range(work.replicas)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, fused=fused) for model in models]
    x, y = work.data()
    batches = [(x, y)] if work.replicas == 1 else list(zip(x, y, strict=True))

    def step() -> None:
        for model, optimizer, (inputs, labels) in zip(models, optimizers, batches, strict=True):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()

    return step


def torch_model(work: Work) -> torch.nn.Sequential:
    """The same net as plain torch."""
    layers: list[torch.nn.Module] = []
    for wide, narrow in pairwise(work.sizes):
        layers += [torch.nn.Linear(wide, narrow), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def agree(work: Work) -> None:
    """Refuse to time what computes something else: one bp step must give the weights that autograd gives.

    Raises:
        NeurosalError: when it does not.
    """
    single = Work(work.sizes, work.batch)
    network: Network = compile(bp(single.circuit()), device="cpu")
    model = torch_model(single)
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for layer, name in zip(linear, single.circuit().projections, strict=True):
            layer.weight.copy_(network.weights[name][0, 0])
            layer.bias.zero_()
    x, y = single.data()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    network.step(x, y, optimizer=SGD(lr=1.0))
    for layer, name in zip(linear, single.circuit().projections, strict=True):
        off = float((network.weights[name][0, 0] - layer.weight.detach()).abs().max())
        if off > 1e-4:
            raise NeurosalError(f"bench: one step of bp differs from autograd by {off:.2g} in {name}; nothing is timed")
