"""The residual network of convolutions that is timed: our step under a rule, and torch backpropagation of the same net
on the same batch; each is compared with `spatial.by_hand` first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from neurosal import library
from neurosal.bench.agreement import refuse_wrong
from neurosal.bench.contenders import FORMS, LEARNING_RATE, Contender, at_rate
from neurosal.bench.spatial import SpatialNet, by_hand, multiply_adds, net_of
from neurosal.bench.torch_resnet import TorchResNet, loss_of
from neurosal.bench.works import Cost
from neurosal.engine.network import compile
from neurosal.graph import Circuit, Relay
from neurosal.rules import bp, dfa, fa, kp, pfa, usf
from neurosal.settings.optimizers import SGD

MOMENTUM = 0.9  # as in the study of these rules
EXPANSION = 10
RULES: dict[str, Callable[[Circuit], Circuit]] = {
    "bp": bp,
    "kp": kp,
    "dfa": dfa,
    "dfa, broadcast": partial(dfa, space="broadcast"),
    f"pfa, ρ = {EXPANSION}": partial(pfa, expansion=EXPANSION),
    "fa": fa,
    "usf": usf,
}
# Of the length of a change, after 19 convolutions with batch norm: gates that rounding opens change what comes below
# them; measured .016 at batch 32.
DEEP = 0.05
# With products in bfloat16, pooled over all changes: measured .2 at batch 32, as under autocast, .3 in tiny nets.
# What is left out differs by 1, what is unrelated by 1.4.
DEEP_NARROW = 0.5


@dataclass(frozen=True)
class ImageWork:
    """One training step of ResNet-20 on a random batch of images.

    Args:
        batch: N.
        replicas: R, each with images of its own.
        side: rows and columns.
        width: channels of the first stage.
    """

    batch: int
    replicas: int = 1
    side: int = 32
    width: int = 16

    def __str__(self) -> str:
        seeds = f", {self.replicas} seeds" if self.replicas > 1 else ""
        small = f", {self.width} channels, {self.side} × {self.side}" if (self.width, self.side) != (16, 32) else ""
        return f"ResNet-20{small}, batch {self.batch}{seeds}"

    def circuit(self) -> Circuit:
        """The feedforward circuit."""
        # The catalogue's door, so that nothing here knows who builds circuits.
        build: Any = library.find("circuits", "resnet20")
        made: Circuit = build(shape=(3, self.side, self.side), width=self.width)
        return made

    def data(self) -> tuple[Tensor, Tensor]:
        """Images [N, C, H, W] ([R, N, C, H, W] for several replicas) and labels."""
        generator = torch.Generator().manual_seed(0)
        lead = (self.batch,) if self.replicas == 1 else (self.replicas, self.batch)
        x = torch.randn(*lead, 3, self.side, self.side, generator=generator)
        return x, torch.randint(0, 10, lead, generator=generator)


def cost(circuit: Circuit, work: ImageWork) -> Cost:
    """What a step cannot do without.

    Products: every plastic forward projection twice (activity, change), every feedback projection once. A plastic
    second hop takes one more for its change; yet a linear relay can be contracted, after which the way back costs what
    it costs without one, and a product of weights a step. The floor has the cheaper of the two.

    Bytes: a learned weight is read forward, and read and written by its change, with a velocity; signals of every
    population are each written once and read twice, activity and error.
    """
    samples = work.batch * work.replicas
    relays = {name for name, population in circuit.populations.items() if isinstance(population.model, Relay)}
    operations = weights = 0.0
    for edge in circuit.projections.values():
        adds = multiply_adds(circuit, edge)
        post, pre = (circuit.populations[name].extent for name in (edge.target, edge.source))
        own = prod(edge.wiring.weight_shape(post, pre)) if adds else 0
        weights += own * (5 if edge.plasticity.plastic else 1)
        if edge.pathway == "feedforward":
            operations += 2 * samples * adds * (2 if edge.plasticity.plastic else 1)
        elif relays.isdisjoint((edge.source, edge.target)):
            operations += 2 * samples * adds
        elif edge.source in relays:
            operations += _over_relay(circuit, edge.source, samples)
    units = sum(p.units for name, p in circuit.populations.items() if name not in relays and name not in circuit.inputs)
    inputs = sum(circuit.populations[name].units for name in circuit.inputs)
    return Cost(operations, 4.0 * work.replicas * weights, 4.0 * samples * (6 * units + 2 * inputs))


def _over_relay(circuit: Circuit, relay: str, samples: int) -> float:
    """Operations of the way over a relay, as it stands or contracted, whichever are fewer."""
    ((_, into),) = circuit.select(pathway="feedback", target=relay).items()
    ((_, out),) = circuit.select(pathway="feedback", source=relay).items()
    stands = 2.0 * samples * (multiply_adds(circuit, into) + 2 * multiply_adds(circuit, out))
    sends, size = circuit.populations[into.source].extent[0], circuit.populations[relay].extent[0]
    one = multiply_adds(circuit, out) * sends / size  # of a projection without the expansion
    post, pre = (circuit.populations[name].extent for name in (out.target, out.source))
    products = 2 * 2.0 * prod(out.wiring.weight_shape(post, pre)) * sends  # R B, and Bᵀ grad W
    return min(stands, 2.0 * samples * one + products)


def ours(work: ImageWork, rule: str, *, device: str = "cpu", label: str | None = None, **options: Any) -> Contender:
    """Our step under a rule; options are those of `compile`."""
    network = compile(RULES[rule](work.circuit()), seeds=range(work.replicas), device=device, **options)
    x, y = (tensor.to(device) for tensor in work.data())
    if work.replicas == 1:
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = SGD(lr=LEARNING_RATE, momentum=MOMENTUM)
    compute = getattr(torch, options.get("compute") or "float32")

    def check() -> float:
        worst = 0.0
        network.restart()  # no velocity from steps before
        for replica in sorted({0, work.replicas - 1}):
            one = (x, y) if work.replicas == 1 else (x[replica], y[replica])

            def learn(rate: float) -> object:
                return network.step(x, y, optimizer=SGD(lr=rate, momentum=MOMENTUM))

            worst = max(worst, _check(label or rule, partial(net_of, network, replica), learn, *one, compute))
            network.restart()  # nor from that of the check
        return worst

    def step() -> object:
        return network.step(x, y, optimizer=optimizer)

    return Contender(label or rule, step, check, cost(network.circuit, work), compute=compute)


def one_after_another(work: ImageWork, rule: str, *, device: str = "cpu") -> Contender:
    """As many networks of one replica as the work has, which step one after another."""
    alone = [ours(ImageWork(work.batch, 1, work.side, work.width), rule, device=device) for _ in range(work.replicas)]

    def step() -> None:
        for one in alone:
            one.step()

    name = f"{rule}, {work.replicas} runs one after another"
    return Contender(name, step, lambda: max(one.check() for one in alone), cost(RULES[rule](work.circuit()), work))


def theirs(
    work: ImageWork,
    form: str,
    *,
    compiled: bool = False,
    channels_last: bool = True,
    autocast: str | None = None,
    device: str = "cpu",
) -> Contender:
    """Torch backpropagation with torch.optim.SGD: one model for each replica, one after another."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    models = [TorchResNet(width=work.width).to(device) for _ in range(work.replicas)]
    for model in models:
        model.to(memory_format=layout)  # type: ignore[call-overload]  # which torch's types leave out
    options: dict[str, Any] = {"lr": LEARNING_RATE, "momentum": MOMENTUM, **FORMS[form]}
    optimizers = [torch.optim.SGD(model.parameters(), **options) for model in models]
    x, y = (tensor.to(device) for tensor in work.data())
    batches = [(x, y)] if work.replicas == 1 else list(zip(x, y, strict=True))
    batches = [(images.contiguous(memory_format=layout), labels) for images, labels in batches]
    losses = [loss_of(model, compiled=compiled, autocast=autocast) for model in models]

    def step() -> None:
        for loss, optimizer, (images, labels) in zip(losses, optimizers, batches, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss(images, labels).backward()
            optimizer.step()

    circuit = bp(work.circuit())
    what = [form, *(["channels first"] if not channels_last else []), *(["compiled"] if compiled else [])]
    name = f"torch {'autocast' if autocast else 'backprop'} ({', '.join(what)})"
    compute = getattr(torch, autocast or "float32")

    def check() -> float:
        worst = 0.0
        for optimizer in optimizers:
            optimizer.state.clear()  # no velocity from steps before
        for replica in sorted({0, work.replicas - 1}):
            read = partial(_net_of_torch, models[replica], circuit)
            learn: Callable[[float], object] = partial(at_rate, step, optimizers)
            inputs, labels = batches[replica]
            worst = max(worst, _check(name, read, learn, inputs, labels, compute))
        return worst

    return Contender(name, step, check, cost(circuit, work), family=name.split(" (")[0], rival=True, compute=compute)


def _net_of_torch(model: TorchResNet, circuit: Circuit) -> SpatialNet:
    return SpatialNet(circuit, *model.numbers())


def _check(
    name: str,
    read: Callable[[], SpatialNet],
    learn: Callable[[float], object],
    x: Tensor,
    y: Tensor,
    compute: torch.dtype,
) -> float:
    def hand(net: SpatialNet, rate: float) -> dict[str, Tensor]:
        return by_hand(net, x, y, rate)

    if compute is torch.float32:
        return refuse_wrong(name, read, learn, hand, gates=0, tolerance=DEEP)
    return refuse_wrong(name, read, learn, hand, gates=0, tolerance=DEEP_NARROW, pooled=True)
