"""What each of two processes does for `test_steps.py`: steps taken together beside the same steps taken alone.

Writes what it found as JSON, by name of the check.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

import neurosal as ns
from neurosal import circuits, plasticity, rules
from neurosal.engine.areas import TogetherInAreas
from neurosal.engine.network import Network, compile
from neurosal.engine.together import Together
from neurosal.graph import BatchNorm, Block, LayerNorm, Rate
from neurosal.lower import contraction
from neurosal.processes import Ranks, join

STEPS = 20
contraction.CALLS = contraction.WORD = 0  # relays are joined in batches as small as these
Found = dict[str, Any]
CHECKS: dict[str, Callable[[Ranks], Found]] = {}


def mlp() -> ns.Circuit:
    return circuits.mlp(7, 12, 9, 4)


RULES = {
    "bp": lambda: rules.bp(mlp()),
    "kp": lambda: rules.kp(mlp()),
    "dfa": lambda: rules.dfa(mlp()),
    "pfa": lambda: rules.pfa(mlp()),
    "usf": lambda: rules.usf(mlp()),
    "brsf": lambda: rules.brsf(mlp()),
    "drtp": lambda: rules.drtp(mlp()),
    **{
        f"sal_{reduction}": lambda reduction=reduction: rules.sal(mlp(), areas=3, reduction=reduction)
        for reduction in ("batch", "area", "sum")
    },
    "sal_populations": lambda: rules.sal(mlp(), areas=3, route="population"),
    "sal_attract": lambda: rules.sal(mlp(), areas=3, router="attract"),
    "sal_frozen": lambda: rules.sal(mlp(), areas=3, router="frozen", readout="shared"),
    "hebbian": lambda: hebbian(rules.kp(mlp())),
    "hebbian_areas": lambda: hebbian(rules.sal(mlp(), areas=3)),
}


def modelled(rule: Callable[..., ns.Circuit], model: Rate, **options: Any) -> ns.Circuit:
    """A rule on the chain with another model in its hidden populations."""
    circuit = mlp()
    hidden = {name: p.replace(model=model) for name, p in circuit.populations.items() if name.startswith("hidden")}
    return rule(circuit.with_populations(**hidden), **options)


MODELS = {
    "batch_norm": lambda: modelled(rules.bp, Rate(norm=BatchNorm(), bias=False)),
    "layer_norm": lambda: modelled(rules.kp, Rate(norm=LayerNorm())),
    "dropout": lambda: modelled(rules.dfa, Rate(dropout=0.3, norm=BatchNorm())),
    "dropout_in_areas": lambda: modelled(rules.sal, Rate(activation="tanh", dropout=0.3), areas=3),
    "module": lambda: modelled(rules.bp, Block(module="torch.nn.PReLU")),
}
OPTIMIZERS = {
    "sgd": ns.SGD(lr=0.1),
    "decay": ns.SGD(lr=0.1, weight_decay=0.01),
    "momentum": ns.SGD(lr=0.05, momentum=0.9, weight_decay=0.01),
    "adam": ns.Adam(lr=0.01, weight_decay=0.01),
    "clip": ns.SGD(lr=0.1, clip=0.5),
}


def hebbian(circuit: ns.Circuit) -> ns.Circuit:
    """With plasticity of its own on one projection, which sees the mean of the whole batch."""
    edge = circuit.projections["input_to_hidden1"]
    own = plasticity.BCM(time_constant=20, rate=0.1)
    return circuit.with_projections(input_to_hidden1=edge.replace(plasticity=own))


def batches(replicas: int, sizes: tuple[int, ...]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    random = torch.Generator().manual_seed(3)
    for size in sizes:
        x = torch.randn(replicas, size, 7, generator=random, dtype=torch.float64) + 0.5
        yield (x if replicas > 1 else x[0]), torch.randint(4, (replicas, size), generator=random).squeeze(0)


def gap(one: Network, other: Network) -> float:
    """Largest difference of anything that a step reads; infinite where one has what the other has not."""
    mine, theirs = one.state_dict(), other.state_dict()
    if mine.keys() != theirs.keys():
        return float("inf")
    return max(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine)


def steps(ranks: Ranks, rule: str, optimizer: str, seeds: tuple[int, ...]) -> Found:
    made = (RULES | MODELS)[rule]
    alone, shared = (compile(made(), seeds=seeds, device="cpu", dtype="float64") for _ in range(2))
    shared.together = Together(shared, ranks)
    start, losses = gap(alone, shared), 0.0
    least = 2 if alone.statistics else 1  # one sample has no statistics
    sizes = (*([8, 5, 3, 8] * (STEPS // 4 - 1)), 8, 5, least, 2)  # uneven parts, and fewer samples than processes
    first = alone.weights["input_to_hidden1"].clone()
    for x, y in batches(len(seeds), sizes):
        one = alone.step(x, y, optimizer=OPTIMIZERS[optimizer])
        both = shared.step(x, y, optimizer=OPTIMIZERS[optimizer])
        losses = max(losses, float((one - both).abs().max()))
    moved = float((alone.weights["input_to_hidden1"] - first).abs().max())
    return {"start": start, "gap": gap(alone, shared), "loss": losses, "moved": moved}


for _rule in RULES:
    for _optimizer in OPTIMIZERS:
        if (_rule, _optimizer) == ("usf", "adam"):
            # A unit whose feedback has one sign hears the sum of a softmax's errors: nothing but rounding, which Adam
            # divides by its own size.
            continue
        for _seeds in ((0,), (0, 1, 2)):
            CHECKS[f"{_rule}/{_optimizer}/{len(_seeds)}"] = (
                lambda ranks, rule=_rule, optimizer=_optimizer, seeds=_seeds: steps(ranks, rule, optimizer, seeds)
            )


for _model in MODELS:
    for _optimizer, _seeds in (("decay", (0,)), ("momentum", (0, 1, 2)), ("clip", (0, 1, 2))):
        CHECKS[f"models/{_model}/{_optimizer}/{len(_seeds)}"] = (
            lambda ranks, rule=_model, optimizer=_optimizer, seeds=_seeds: steps(ranks, rule, optimizer, seeds)
        )

AREAS = {
    "dropout": lambda: modelled(rules.sal, Rate(activation="tanh", dropout=0.3), areas=5, readout="shared"),
    "shared_readout": lambda: rules.sal(mlp(), areas=5, readout="shared"),
    "areas": lambda: rules.sal(mlp(), areas=5, init="independent"),
    "area_reduction": lambda: rules.sal(mlp(), areas=5, reduction="area", feedback="dfa"),
    "pfa": lambda: rules.sal(mlp(), areas=5, feedback="pfa"),
    "tied": lambda: rules.sal(mlp(), areas=5, feedback="kp_tied", readout="shared"),
    "k_means": lambda: rules.sal(mlp(), areas=5, router="k_means"),
    "hebbian": lambda: hebbian(rules.sal(mlp(), areas=5)),
}


def areas(ranks: Ranks, circuit: str, optimizer: str) -> Found:
    """A circuit with areas at both processes beside the same at one."""
    alone = compile(AREAS[circuit](), seeds=(4,), device="cpu", dtype="float64")
    shared = compile(AREAS[circuit](), seeds=(4,), device="cpu", dtype="float64", held=ranks.share)
    shared.together = TogetherInAreas(shared, ranks)
    first_x = torch.randn(60, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for network in (alone, shared):
        network.fit_routers(first_x)

    def difference() -> float:
        mine, theirs, largest = shared.state_dict(), alone.state_dict(), 0.0
        assert set(mine) <= set(theirs), set(mine) - set(theirs)
        start, end = ranks.share(5)
        for name, tensor in mine.items():
            whole = theirs[name]
            if whole.shape != tensor.shape:
                whole = whole[:, start:end]
            largest = max(largest, float((whole.double() - tensor.double()).abs().max()))
        return largest

    start, losses, before = difference(), 0.0, alone.weights["input_to_hidden1"].clone()
    for x, y in batches(1, (*([16, 5, 7, 12] * (STEPS // 4 - 1)), 9, 2, 1, 6)):
        one = alone.step(x, y, optimizer=OPTIMIZERS[optimizer])
        both = shared.step(x, y, optimizer=OPTIMIZERS[optimizer])
        losses = max(losses, float((one - both).abs().max()))
    moved = float((alone.weights["input_to_hidden1"] - before).abs().max())
    held = sum(tensor.numel() for tensor in shared.weights.full.values())
    return {
        "start": start, "gap": difference(), "loss": losses, "moved": moved,
        "held": held / sum(tensor.numel() for tensor in alone.weights.full.values()),
    }  # fmt: skip


for _circuit in AREAS:
    for _optimizer in OPTIMIZERS:
        CHECKS[f"areas/{_circuit}/{_optimizer}"] = lambda ranks, circuit=_circuit, optimizer=_optimizer: areas(
            ranks, circuit, optimizer
        )


def main(path: str) -> None:
    torch.set_num_threads(1)
    wanted = sys.argv[2] if len(sys.argv) > 2 else ""
    with join("data") as ranks:
        assert ranks is not None
        found = {name: ranks.collect(check(ranks)) for name, check in CHECKS.items() if wanted in name}
        if ranks.leads:
            with open(path, "w") as file:  # noqa: PTH123
                json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
