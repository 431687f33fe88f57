"""Whether a contender computes what it is timed for: one step of it beside one written out by hand.

The reference is slow and shares no code with the engine or with autograd: it goes area by area, one after another.

Letters: K area, N sample, O and I units above and below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from neurosal.engine.network import Network
from neurosal.errors import NeurosalError
from neurosal.graph import Relay, Transpose

RATE = 1.0  # large enough for a change to stand out from the rounding of the weight
TOLERANCE = 1e-3  # of the length of a change; float32 sums differ by some 1e-6
# Of many activations some few lie so close to 0 that one sum is above it and the other below: each opens the gate of
# one unit for one sample. A sample in the wrong area differs in all units, by the root of their number more.
MANY, FEW = 1e4, 4
# However many activations there are, about 1e-6 of those of a layer do, which turns its errors by 1e-3; layers add up.
LEAST = 4e-3


@dataclass
class Path:
    """How error comes to a hidden population: from where, over which synapses [K, post, pre], and whether the last of
    them learn."""

    start: Literal["above", "output"]
    hops: list[Tensor]
    learns: bool = False

    def copy(self) -> Path:
        """The same, with last synapses of its own where they learn."""
        hops = [*self.hops[:-1], self.hops[-1].clone()] if self.learns else self.hops
        return Path(self.start, hops, self.learns)


@dataclass
class Net:
    """The numbers of a multi-layer perceptron: weights [K, O, I] and biases [K, O] from below to above, and a path of
    error for each hidden population (None where it is tied to the weights)."""

    weights: list[Tensor]
    biases: list[Tensor]
    paths: list[Path | None] = field(default_factory=list)

    def copy(self) -> Net:
        """The same numbers elsewhere; what does not learn is shared."""
        paths = [path and path.copy() for path in self.paths]
        return Net([w.clone() for w in self.weights], [b.clone() for b in self.biases], paths)

    def learning(self) -> dict[str, Tensor]:
        """What a step changes, by name."""
        found = {f"weight {layer + 1}": weight for layer, weight in enumerate(self.weights)}
        found |= {f"bias {layer + 1}": bias for layer, bias in enumerate(self.biases)}
        return found | {
            f"feedback {layer + 1}": path.hops[-1]
            for layer, path in enumerate(self.paths)
            if path is not None and path.learns
        }


class Numbers(Protocol):
    """All numbers that a step changes."""

    def copy(self) -> Numbers: ...
    def learning(self) -> dict[str, Tensor]: ...


class Refused(NeurosalError):
    """A contender that computes something else than it says."""


def by_hand(net: Net, x: Tensor, y: Tensor, area: Tensor, rate: float) -> dict[str, Tensor]:
    """Carry out one step of plain SGD on the mean cross-entropy, in `net` itself; returns how long each change is.

    Args:
        net: changed in place.
        x, y, area: inputs [N, I], labels [N], and the area of each sample [N].
        rate: η.
    """
    length = {name: torch.zeros((), dtype=torch.float64, device=x.device) for name in net.learning()}
    for k in area.unique().tolist():
        chosen = area == k
        h, labels = [x[chosen]], y[chosen]
        for layer, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
            a = h[-1] @ weight[k].T + bias[k]
            h.append(a if layer == len(net.weights) - 1 else a.clamp(min=0))
        error = torch.softmax(h[-1], 1)
        error[torch.arange(len(labels)), labels] -= 1
        errors, last = [error], {}
        for layer in reversed(range(len(net.weights) - 1)):
            path = net.paths[layer] if net.paths else None
            if path is None:
                came = errors[0] @ net.weights[layer + 1][k]
            else:
                came = errors[0] if path.start == "above" else errors[-1]
                for hop in path.hops:
                    last[layer] = came
                    came = came @ hop[k].T
            errors.insert(0, came * (h[layer + 1] > 0))
        changes = {}
        for layer, delta in enumerate(errors):
            changes[f"weight {layer + 1}"] = delta.T @ h[layer]
            changes[f"bias {layer + 1}"] = delta.sum(0)
        for layer, came in last.items():
            changes[f"feedback {layer + 1}"] = h[layer + 1].T @ came
        for name, values in net.learning().items():
            change = changes[name] * (rate / len(x))
            values[k] -= change
            length[name] += change.double().square().sum()
    return {name: square.sqrt() for name, square in length.items()}


def refuse_wrong(
    name: str,
    read: Callable[[], Numbers],
    learn: Callable[[float], object],
    hand: Callable[[Any, float], dict[str, Tensor]],
    *,
    gates: int,
    tolerance: float = TOLERANCE,
    pooled: bool = False,
) -> float:
    """Let a contender take one step, and compare what it changed with a step by hand.

    Args:
        name: of the contender.
        read: its numbers as they are now; they may be live.
        learn: one step at the rate that is given.
        hand: carries out that step in a copy of those numbers, and returns how long the change of each is.
        gates: samples times units of a layer, which says how many gates may hang on rounding.
        tolerance: difference of a change, over its length.
        pooled: the root mean square over all changes counts, not the largest: for rounding that scatters as much as
            some small changes are long.

    Returns:
        The largest difference, or the pooled one.

    Raises:
        Refused: naming the contender, where it differs and by how much.
    """
    with torch.no_grad():
        expected = read().copy()
        length = hand(expected, RATE)
    learn(RATE)
    worst, where, squares = 0.0, "", []
    with torch.no_grad():
        found = read().learning()
        for entry, values in expected.learning().items():
            # Both sides round what they write: that is no difference of theirs.
            rounding = torch.finfo(values.dtype).eps * values.double().norm()
            difference = ((values - found[entry]).double().norm() - rounding).clamp(min=0)
            off = float(difference / length[entry]) if length[entry] > 0 else float(difference)
            squares.append(off**2)
            if not off <= worst:  # also what is not a number
                worst, where = off, entry
    if pooled:
        worst = (sum(squares) / len(squares)) ** 0.5
    if gates > MANY:
        tolerance += max(FEW * gates**-0.5, LEAST)
    if not worst <= tolerance:
        raise Refused(f"bench: one step of {name} differs from the step by hand by {worst:.2g} in {where}; not timed")
    return worst


def refuse_wrong_net(
    name: str,
    read: Callable[[], Net],
    learn: Callable[[float], object],
    x: Tensor,
    y: Tensor,
    area: Tensor,
    tolerance: float = TOLERANCE,
) -> float:
    """`refuse_wrong` beside `by_hand`, for a batch x [N, I], y [N] and the area of each sample [N]."""
    gates = len(x) * min(bias.shape[-1] for bias in read().biases[:-1])

    def hand(net: Net, rate: float) -> dict[str, Tensor]:
        return by_hand(net, x, y, area, rate)

    return refuse_wrong(name, read, learn, hand, gates=gates, tolerance=tolerance)


def net_of(network: Network, populations: list[str], replica: int = 0) -> Net:
    """The live numbers of one replica of a network of ours."""
    circuit, weights = network.circuit, network.weights
    names = [f"{below}_to_{above}" for below, above in pairwise(populations)]
    paths: list[Path | None] = []
    for hidden in populations[1:-1]:
        (last,) = circuit.select(pathway="feedback", target=hidden)
        edge = circuit.projections[last]
        hops = [last]
        if isinstance(circuit.populations[edge.source].model, Relay):
            (first,) = circuit.select(pathway="feedback", target=edge.source)
            hops.insert(0, first)
        start = circuit.projections[hops[0]].source
        tied = isinstance(edge.weights, Transpose)
        above = populations[populations.index(hidden) + 1]
        direct = start == populations[-1] and start != above
        path = Path("output" if direct else "above", [weights[hop][replica] for hop in hops], edge.plasticity.plastic)
        paths.append(None if tied else path)
    return Net(
        [weights[name][replica] for name in names],
        [network.biases[f"{name}.bias"][replica] for name in populations[1:]],
        paths,
    )


def areas_of(network: Network, x: Tensor, population: str = "hidden1") -> Tensor:
    """The areas that a network's router chooses, [N], after a look at whether each is the one of the largest score.

    Raises:
        Refused: where another area fits a sample better.
    """
    area = network.signals(x)[population]["area"][0]
    (router,) = network.routers.values()
    u = x.double() - router["mean"][0].double()
    query = u @ router["weight"][0].double().T
    scores = (query / query.norm(dim=1, keepdim=True)) @ router["prototypes"][0].double().T
    missed = float((scores.max(1).values - scores.gather(1, area[:, None])[:, 0]).max())
    if missed > 1e-5:
        raise Refused(f"bench: the router of {population} leaves a better area by a score of {missed:.2g}; not timed")
    return area
