"""What is timed: one training step of a multi-layer perceptron on a batch, for R replicas or with K areas; and what it
must cost at least.

Letters: R replica, K area, N sample, I and O units below and above, r routing dimension.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from neurosal.engine.network import compile
from neurosal.graph import Circuit, Population, Projection, Rate, Source
from neurosal.rules import sal

Feedback = Literal["tied", "fixed", "learned", "direct", "direct learned", "signs", "relay"]
EXPANSION = 10  # units of a relay over those of the population it hears from
SIGNAL = 20.0  # length of a sample's own direction in the routing space; that of the noise beside it is about 6


@dataclass(frozen=True)
class Work:
    """One training step on a random batch.

    Args:
        sizes: units from input to output.
        batch: N.
        replicas: R.
        areas: K.
        usage: how many samples choose each area: as many each ("even"), or in proportion to 1, 1/2, 1/3, ...
            ("skewed").
    """

    sizes: tuple[int, ...]
    batch: int
    replicas: int = 1
    areas: int = 1
    usage: Literal["even", "skewed"] = "even"

    def __str__(self) -> str:
        seeds = f", {self.replicas} seeds" if self.replicas > 1 else ""
        areas = f", {self.areas} areas, {self.usage} usage" if self.areas > 1 else ""
        return f"{'-'.join(map(str, self.sizes))}, batch {self.batch}{seeds}{areas}"

    @property
    def populations(self) -> list[str]:
        """Names from input to output."""
        return ["input", *(f"hidden{index}" for index in range(1, len(self.sizes) - 1)), "output"]

    def circuit(self) -> Circuit:
        """The feedforward circuit, without areas: a rule adds those."""
        models = [Source(), *([Rate()] * (len(self.sizes) - 2)), Rate(activation="linear")]
        populations = {
            name: Population(size=size, model=model)
            for name, size, model in zip(self.populations, self.sizes, models, strict=True)
        }
        projections = {f"{a}_to_{b}": Projection(source=a, target=b) for a, b in pairwise(self.populations)}
        return Circuit(name="bench", populations=populations, projections=projections)

    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs [R, N, I] ([N, I] for one replica) and labels. With areas, inputs that the router itself sends to the
        areas in the given numbers: noise, and in each sample what its area's prototype stands for."""
        generator = torch.Generator().manual_seed(0)
        lead = (self.batch,) if self.replicas == 1 else (self.replicas, self.batch)
        x = torch.randn(*lead, self.sizes[0], generator=generator)
        y = torch.randint(0, self.sizes[-1], lead, generator=generator)
        if self.areas > 1:
            assert self.replicas == 1
            weight_rI, prototypes_Kr = self.router()
            meant_N = torch.arange(self.areas).repeat_interleave(torch.tensor(self.counts()))
            meant_N = meant_N[torch.randperm(self.batch, generator=generator)]
            x += SIGNAL * (prototypes_Kr @ torch.linalg.pinv(weight_rI).T)[meant_N]
        return x, y

    def router(self) -> tuple[Tensor, Tensor]:
        """Projection [r, I] and prototypes [K, r] of the router of `sal`, as they are drawn for seed 0."""
        small = Work((self.sizes[0], 2, 2), 1)  # what a router starts from does not hang on what it serves
        tensors = compile(sal(small.circuit(), areas=self.areas), device="cpu").routers["route_hidden1"]
        return tensors["weight"][0].clone(), tensors["prototypes"][0].clone()

    def counts(self) -> list[int]:
        """Samples of each area."""
        shares = [1.0 if self.usage == "even" else 1 / (area + 1) for area in range(self.areas)]
        ends, total = [0], 0.0
        for share in shares:
            total += share
            ends.append(round(self.batch * total / sum(shares)))
        return [end - start for start, end in pairwise(ends)]


@dataclass(frozen=True)
class Cost:
    """What a step cannot do without: operations of its products, and bytes that its weights and signals move."""

    operations: float
    weight_bytes: float
    signal_bytes: float

    @property
    def bytes(self) -> float:
        """All that is moved."""
        return self.weight_bytes + self.signal_bytes

    def floor(self, matrix_rate: float, copy_rate: float) -> float:
        """Seconds below which no step comes: ``max(operations / matrix rate, bytes / copy rate)``."""
        return max(self.operations / matrix_rate, self.bytes / copy_rate)


def cost(work: Work, feedback: Feedback = "tied", *, momentum: bool = False, width: int = 4) -> Cost:
    """The cost of one step.

    Products: forward ``Σ I O``; the change as much; the error back through every layer but the first, ``Σ I O``, or
    ``Σ I O_output`` from the output to each hidden population (direct), or over a relay ρ times as wide. Kolen-Pollack
    takes the product of the change for its feedback, and so adds none.

    Bytes: each weight is read forward, and read and written by its change (3), and read once more by the error: itself
    where it is tied or gives its sign, its feedback's own where not; learned feedback is read and written too, and a
    velocity with each weight that changes. Areas that no sample chooses are not touched. Signals: an input is read
    twice, a hidden activity and its error are each written once and read twice.

    Args:
        work: sizes, batch, replicas and areas.
        feedback: where errors come back through.
        momentum: whether there is a velocity.
        width: bytes of a number.
    """
    layers = list(pairwise(work.sizes))
    forward = sum(below * above for below, above in layers)
    above_first = forward - layers[0][0] * layers[0][1]
    hidden, output = sum(work.sizes[1:-1]), work.sizes[-1]
    relay = EXPANSION * sum(above * above for _, above in layers[1:])
    back = {"direct": hidden * output, "direct learned": hidden * output, "relay": relay + EXPANSION * above_first}.get(
        feedback, above_first
    )
    change = forward + {"direct learned": hidden * output, "relay": EXPANSION * above_first}.get(feedback, 0)
    learned = {"learned": above_first, "direct learned": hidden * output, "relay": EXPANSION * above_first}.get(
        feedback, 0
    )
    weights = 3 * forward + back + 2 * learned + (2 * (forward + learned) if momentum else 0)
    used = work.replicas * sum(count > 0 for count in work.counts()) if work.areas > 1 else work.replicas
    samples = work.batch * work.replicas
    signals = samples * (2 * work.sizes[0] + 6 * hidden + 3 * output)
    return Cost(2.0 * samples * (forward + back + change), float(width * used * weights), float(width * signals))
