"""Who is timed: our step under each rule, and torch backpropagation of the same net on the same batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from neurosal.bench.agreement import TOLERANCE, Net, areas_of, net_of, refuse_wrong_net
from neurosal.bench.works import Cost, Feedback, Work, cost
from neurosal.engine.compiled import missing_compiler
from neurosal.engine.network import compile
from neurosal.graph import Circuit
from neurosal.rules import bp, dfa, fa, kp, pfa, sal, usf
from neurosal.settings.optimizers import SGD

LEARNING_RATE = 1e-3
NARROW = 0.1  # of a change's length: rounding to 8 bits opens and closes gates, measured .06 in three layers
RULES: dict[str, tuple[Callable[..., Circuit], Feedback]] = {
    "bp": (bp, "tied"),
    "dfa": (dfa, "direct"),
    "fa": (fa, "fixed"),
    "kp": (kp, "learned"),
    "pfa": (pfa, "relay"),
    "usf": (usf, "signs"),
}
AREA_RULES: dict[str, tuple[str, Feedback]] = {
    "sal chain (kp)": ("kp", "learned"),
    "sal direct (dfa)": ("dfa", "direct"),
    "sal direct (dkp)": ("dkp", "direct learned"),
}
Step = Callable[[], object]


@dataclass
class Contender:
    """One way to take the step.

    Args:
        name: as it stands in tables.
        step: one training step; what is timed.
        check: takes one step and refuses it where it is wrong; returns the difference.
        cost: what it cannot do without.
        family: contenders that are variants of one; the best of them counts.
        rival: not ours: where it fails or is wrong, it is left out with a line, and the others are timed.
        compute: type of the products, whose rate its floor is taken from.
        extra: what else to say of it, once it has been timed.
    """

    name: str
    step: Step
    check: Callable[[], float]
    cost: Cost
    family: str = ""
    rival: bool = False
    compute: torch.dtype = torch.float32
    extra: Callable[[], dict[str, Any]] = field(default=dict)

    def __post_init__(self) -> None:
        self.family = self.family or self.name


def ours(
    work: Work,
    rule: str,
    *,
    momentum: float = 0.0,
    device: str = "cpu",
    label: str | None = None,
    tolerance: float = TOLERANCE,
    **options: Any,
) -> Contender:
    """Our step under a rule; with areas, of `sal` with that feedback.

    Args:
        work: what to do.
        rule: one of `RULES`, or of `AREA_RULES` where the work has areas.
        momentum: of SGD.
        device: where.
        label: its name in tables; the rule by default.
        tolerance: of the check.
        options: of `compile`. Products in another type are not those of the step by hand, and are held to
            `NARROW` instead.
    """
    compute = getattr(torch, options.get("compute") or "float32")
    if compute is not torch.float32:
        tolerance = max(tolerance, NARROW)
    if rule in AREA_RULES:
        inner, feedback = AREA_RULES[rule]
        # Areas that start from one draw would hide a sample that meets the weights of another area.
        circuit = sal(work.circuit(), areas=work.areas, feedback=inner, init="independent")  # type: ignore[arg-type]
    else:
        make, feedback = RULES[rule]
        circuit = make(work.circuit())
    network = compile(circuit, seeds=range(work.replicas), device=device, **options)
    x, y = (tensor.to(device) for tensor in work.data())
    optimizer = SGD(lr=LEARNING_RATE, momentum=momentum)

    def check() -> float:
        worst = 0.0
        for replica in sorted({0, work.replicas - 1}):
            one, labels = (x, y) if work.replicas == 1 else (x[replica], y[replica])
            area = areas_of(network, one) if work.areas > 1 else torch.zeros_like(labels)
            read = partial(net_of, network, work.populations, replica)
            learn = partial(_learn, network, x, y, momentum)
            worst = max(worst, refuse_wrong_net(label or rule, read, learn, one, labels, area, tolerance))
            network.restart()  # no velocity from the step of the check
        return worst

    def usage() -> dict[str, Any]:
        counts = torch.bincount(areas_of(network, x), minlength=work.areas).double()
        held = sum(tensor.nbytes for tensor in (*network.weights.full.values(), *network.biases.values()))
        return {"usage_max_over_mean": float(counts.max() / counts.mean()), "weight_bytes": held}

    return Contender(
        label or rule,
        lambda: network.step(x, y, optimizer=optimizer),
        check,
        cost(work, feedback, momentum=momentum > 0),
        compute=compute,
        extra=usage if work.areas > 1 else dict,
    )


def as_graphs(work: Work, rules: Iterable[str], device: str, **options: Any) -> tuple[list[Contender], list[str]]:
    """Our steps as one graph: compiled and, on a GPU, replayed; and what is left out."""
    if missing := missing_compiler(torch.device(device)):
        return [], [f"ours is not compiled here: {missing} is not installed"]
    ways = ("compiled", "cuda_graph") if device.startswith("cuda") else ("compiled",)
    return [
        ours(work, rule, device=device, label=f"{rule}, {way}", step=way, **options) for rule in rules for way in ways
    ], []


def _learn(network: Any, x: Tensor, y: Tensor, momentum: float, rate: float) -> None:
    network.step(x, y, optimizer=SGD(lr=rate, momentum=momentum))


# torch.optim's ways to take the step of SGD.
FORMS: dict[str, dict[str, bool]] = {"foreach": {"foreach": True}, "fused": {"fused": True}}


def dense(work: Work, form: str, *, compiled: bool = False, momentum: float = 0.0, device: str = "cpu") -> Contender:
    """Torch backpropagation of the net without areas, with torch.optim.SGD: one model for each replica, one after
    another."""
    models = [torch_model(work).to(device) for _ in range(work.replicas)]
    optimizers = [
        torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=momentum, **FORMS[form]) for model in models
    ]
    # Inputs of a work with areas, but no router: what is left out is to the rival's advantage.
    x, y = (tensor.to(device) for tensor in work.data())
    batches = [(x, y)] if work.replicas == 1 else list(zip(x, y, strict=True))
    losses = [_loss(model, compiled=compiled) for model in models]

    def step() -> None:
        for loss, optimizer, (inputs, labels) in zip(losses, optimizers, batches, strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss(inputs, labels).backward()
            optimizer.step()

    def read(replica: int) -> Net:
        linear = [layer for layer in models[replica] if isinstance(layer, nn.Linear)]
        weights = [layer.weight.detach()[None] for layer in linear]
        return Net(weights, [layer.bias.detach()[None] for layer in linear])

    name = f"torch backprop ({form}{', compiled' if compiled else ''})"

    def check() -> float:
        worst = 0.0
        for replica in sorted({0, work.replicas - 1}):
            inputs, labels = batches[replica]
            learn = partial(at_rate, step, optimizers)
            area = torch.zeros_like(labels)
            worst = max(worst, refuse_wrong_net(name, partial(read, replica), learn, inputs, labels, area))
        return worst

    alone = replace(work, areas=1)  # the net that it trains has none
    return Contender(name, step, check, cost(alone, momentum=momentum > 0), family="torch backprop", rival=True)


def _loss(model: nn.Module, *, compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    return torch.compile(loss) if compiled else loss


def at_rate(step: Step, optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """One step at another rate, and no velocity left of it."""
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = rate
    step()
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = LEARNING_RATE
        optimizer.state.clear()


def torch_model(work: Work) -> nn.Sequential:
    """The same net as plain torch."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for wide, narrow in pairwise(work.sizes):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
