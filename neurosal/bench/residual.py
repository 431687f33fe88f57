"""The residual net of `circuits.residual_mlp`: ours, plain torch's, and one step of it written out by hand.

Letters: N sample, O and I units above and below, L blocks. A block is ``h ← h + b + W s relu(rms(h))``; the read-out is
``V rms(h) + c``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosal import library
from neurosal.bench.agreement import refuse_wrong
from neurosal.bench.contenders import FORMS, LEARNING_RATE, Contender, at_rate
from neurosal.bench.works import Cost, Feedback
from neurosal.engine.network import Network, compile
from neurosal.graph import Circuit, Transpose
from neurosal.rules import bp, dfa, kp
from neurosal.settings.optimizers import SGD

EPSILON, SCALE = 1e-5, 0.3
RULES: dict[str, tuple[Callable[[Circuit], Circuit], Feedback]] = {
    "bp": (bp, "tied"),
    "kp": (kp, "learned"),
    "dfa": (dfa, "direct"),
}


@dataclass(frozen=True)
class ResidualWork:
    """One training step of a residual net on a random batch."""

    blocks: int
    width: int
    batch: int
    classes: int = 10

    def __str__(self) -> str:
        return f"{self.blocks} residual blocks of width {self.width}, batch {self.batch}"

    def circuit(self) -> Circuit:
        """The feedforward circuit."""
        # The catalogue's door, so that nothing here knows who builds circuits.
        build: Any = library.find("circuits", "residual_mlp")
        made: Circuit = build(self.width, self.width, self.classes, blocks=self.blocks, branch_scale=SCALE)
        return made

    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs [N, I] and labels."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.batch, self.width, generator=generator)
        return x, torch.randint(0, self.classes, (self.batch,), generator=generator)

    def cost(self, feedback: Feedback) -> Cost:
        """Products of every layer forward and for its change, and back through every block (chain) or from the output
        to every stream (direct); bytes as in `works.cost`, with a stream and a hidden signal for each block, and what
        both keep."""
        square, output = self.width**2, self.width * self.classes
        forward = (self.blocks + 1) * square + output
        back = (self.blocks + 1) * output if feedback == "direct" else self.blocks * square + output
        learned = back if feedback == "learned" else 0
        operations = 2.0 * self.batch * (2 * forward + back)
        signals = self.batch * (2 * self.width + (2 * self.blocks + 1) * 6 * self.width + 3 * self.classes)
        return Cost(operations, 4.0 * (3 * forward + back + 2 * learned), 4.0 * signals)


@dataclass
class ResidualNet:
    """Weights [O, I] and biases of stream0, the blocks and the read-out. Feedback: none where it is tied to them, one
    [I, O] for each block and the read-out (chain), or one [width, classes] for each stream (direct)."""

    weights: list[Tensor]
    biases: list[Tensor]
    feedback: list[Tensor] = field(default_factory=list)
    direct: bool = False
    learns: bool = False

    def copy(self) -> ResidualNet:
        """The same numbers elsewhere."""
        weights, biases, back = ([w.clone() for w in part] for part in (self.weights, self.biases, self.feedback))
        return ResidualNet(weights, biases, back, self.direct, self.learns)

    def learning(self) -> dict[str, Tensor]:
        """What a step changes, by name."""
        found = {f"weight {layer}": weight for layer, weight in enumerate(self.weights)}
        found |= {f"bias {layer}": bias for layer, bias in enumerate(self.biases)}
        if self.learns:
            found |= {f"feedback {layer + 1}": weight for layer, weight in enumerate(self.feedback)}
        return found


def rms(h: Tensor) -> Tensor:
    """``h / √(mean(h²) + ε)``."""
    return h / (h.square().mean(1, keepdim=True) + EPSILON).sqrt()


def rms_back(error: Tensor, h: Tensor) -> Tensor:
    """The error before `rms`, of the one behind it: ``(e - n mean(n e)) / √(mean(h²) + ε)``."""
    n = rms(h)
    return (error - n * (n * error).mean(1, keepdim=True)) / (h.square().mean(1, keepdim=True) + EPSILON).sqrt()


def by_hand(net: ResidualNet, x: Tensor, y: Tensor, rate: float) -> dict[str, Tensor]:
    """Carry out one step of plain SGD on the mean cross-entropy in `net` itself; returns how long each change is."""
    streams, hidden = [x @ net.weights[0].T + net.biases[0]], [x]
    for weight, bias in zip(net.weights[1:-1], net.biases[1:-1], strict=True):
        hidden.append(SCALE * rms(streams[-1]).clamp(min=0))
        streams.append(streams[-1] + hidden[-1] @ weight.T + bias)
    hidden.append(rms(streams[-1]))
    output = torch.softmax(hidden[-1] @ net.weights[-1].T + net.biases[-1], 1)
    output[torch.arange(len(y)), y] -= 1
    if net.direct:
        errors = [output @ back.T for back in net.feedback]
    else:
        back = net.feedback or [weight.T for weight in net.weights[1:]]
        errors = [rms_back(output @ back[-1].T, streams[-1])]
        for layer in reversed(range(len(streams) - 1)):
            through = SCALE * (errors[0] @ back[layer].T) * (streams[layer] > 0)
            errors.insert(0, errors[0] + rms_back(through, streams[layer]))
    length, values = {}, net.learning()
    for layer, (error, below) in enumerate(zip([*errors, output], hidden, strict=True)):
        changes = {f"weight {layer}": error.T @ below, f"bias {layer}": error.sum(0)}
        if net.learns and layer:
            changes[f"feedback {layer}"] = below.T @ error
        for name, change in changes.items():
            values[name] -= change * (rate / len(x))
            length[name] = change.double().norm() * (rate / len(x))
    return length


def ours(work: ResidualWork, rule: str, *, device: str = "cpu", **options: Any) -> Contender:
    """Our step under a rule."""
    make, feedback = RULES[rule]
    network = compile(make(work.circuit()), device=device, **options)
    x, y = (tensor.to(device) for tensor in work.data())
    optimizer = SGD(lr=LEARNING_RATE)

    def check() -> float:
        read = partial(net_of, network, work.blocks)
        return _check(rule, read, lambda rate: network.step(x, y, optimizer=SGD(lr=rate)), x, y)

    return Contender(rule, lambda: network.step(x, y, optimizer=optimizer), check, work.cost(feedback))


def _check(name: str, read: Any, learn: Callable[[float], object], x: Tensor, y: Tensor) -> float:
    hand = partial(_hand, x=x, y=y)
    return refuse_wrong(name, read, learn, hand, gates=x.numel())


def _hand(net: ResidualNet, rate: float, *, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    return by_hand(net, x, y, rate)


def net_of(network: Network, blocks: int) -> ResidualNet:
    """The live numbers of a network of ours."""
    names = ["input_to_stream0", *(f"hidden{k}_to_stream{k}" for k in range(1, blocks + 1)), "final_to_output"]
    ends = [*(f"stream{k}" for k in range(blocks + 1)), "output"]
    weights, biases = network.weights, network.biases
    direct = "output_to_stream0" in network.circuit.projections
    if direct:
        back = [f"output_to_{end}" for end in ends[:-1]]
    else:
        back = [*(f"stream{k}_to_hidden{k}" for k in range(1, blocks + 1)), "output_to_final"]
    edges = [network.circuit.projections[name] for name in back]
    tied = isinstance(edges[0].weights, Transpose)
    return ResidualNet(
        [weights[name][0, 0] for name in names],
        [biases[f"{end}.bias"][0, 0] for end in ends],
        [] if tied else [weights[name][0, 0] for name in back],
        direct,
        edges[0].plasticity.plastic,
    )


class TorchResidual(nn.Module):
    """The same net in plain torch, as one would write it."""

    def __init__(self, work: ResidualWork) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Linear(work.width, work.width)
            self.blocks = nn.ModuleList([nn.Linear(work.width, work.width) for _ in range(work.blocks)])
            self.last = nn.Linear(work.width, work.classes)
        self.width = (work.width,)
        self.block: Callable[[Tensor, Tensor, Tensor], Tensor] = self.one_block

    def one_block(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """What is compiled: one block, once for all of them."""
        return h + functional.linear(SCALE * functional.rms_norm(h, self.width, eps=EPSILON).relu(), weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        for layer in self.blocks:
            h = self.block(h, layer.weight, layer.bias)  # type: ignore[arg-type]
        out: Tensor = self.last(functional.rms_norm(h, self.width, eps=EPSILON))
        return out

    def net(self) -> ResidualNet:
        """The live numbers."""
        layers = [self.first, *self.blocks, self.last]
        return ResidualNet([layer.weight.detach() for layer in layers], [layer.bias.detach() for layer in layers])


def theirs(work: ResidualWork, form: str, *, compiled: bool = False, device: str = "cpu") -> Contender:
    """Torch backpropagation; compiled block by block, since a graph of 128 takes minutes to compile."""
    model = TorchResidual(work).to(device)
    if compiled:
        model.block = torch.compile(model.one_block)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, **FORMS[form])
    x, y = (tensor.to(device) for tensor in work.data())

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    name = f"torch backprop ({form}{', compiled' if compiled else ''})"

    def check() -> float:
        return _check(name, model.net, partial(at_rate, step, [optimizer]), x, y)

    return Contender(name, step, check, work.cost("tied"), family="torch backprop", rival=True)
