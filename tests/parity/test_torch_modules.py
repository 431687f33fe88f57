"""The built-in circuits of convolutions against plain torch modules with the same weights: loss, all gradients, a step
with its running statistics, and what is predicted after it.

Not compared: dropout, which draws from streams of its own, and initial weights, which are copied.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

import neurosal as ns
from neurosal import circuits, rules
from neurosal.graph import BatchNorm, Circuit
from tests.reference.modules import VGG, AllConv, LeNet, Named, cifar, imagenet18, statistics, tensors

EXACT = 1e-9
SMALL: dict[str, Any] = {"classes": 5, "width": 4}
CASES: dict[str, tuple[Circuit, Any, int, int]] = {  # circuit, module, replicas, samples
    "resnet20": (circuits.resnet20(), lambda: cifar(3, 16, 10, "A"), 1, 4),
    "resnet20 narrow": (circuits.resnet20(shape=(3, 9, 12), **SMALL), lambda: cifar(3, 4, 5, "A"), 3, 5),
    "resnet20 option B": (
        circuits.resnet20(shape=(3, 8, 8), shortcut="B", **SMALL), lambda: cifar(3, 4, 5, "B"), 2, 3
    ),
    "resnet32": (circuits.resnet32(shape=(3, 8, 8), **SMALL), lambda: cifar(5, 4, 5, "A"), 2, 3),
    "resnet18": (circuits.resnet18(shape=(3, 40, 33), **SMALL), lambda: imagenet18(4, 5), 2, 3),
    "lenet5": (circuits.lenet5(), LeNet, 2, 3),
    "vgg11": (
        circuits.vgg(11, 5, shape=(3, 32, 32), width=2, hidden=(7,)),
        lambda: VGG((1, 1, 2, 2, 2), 2, 7, 5, normed=False), 2, 3,
    ),
    "vgg16 normed": (
        circuits.vgg(16, 5, shape=(3, 32, 32), width=2, hidden=(7,), norm=BatchNorm()),
        lambda: VGG((2, 2, 3, 3, 3), 2, 7, 5, normed=True), 2, 6,
    ),
    "all_conv": (circuits.all_conv(5, shape=(3, 12, 14), width=4), lambda: AllConv(4, 5), 2, 3),
}  # fmt: skip


def modules_of(network: Any, make: Any, count: int) -> list[Named]:
    """A module for each replica, with its weights; what starts at 0 or 1 is moved in both, so that it counts."""
    made = [make().double() for _ in range(count)]
    for replica, module in enumerate(made):
        with torch.no_grad():
            for name, value in tensors(module).items():
                own = network.biases if name in network.biases else network.weights
                if own is network.biases:
                    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(replica)).double()
                    own[name][replica, 0] += 0.3 * noise
                value.copy_(own[name][replica, 0])
    return made


@pytest.mark.parametrize("case", CASES)
def test_a_circuit_is_the_module_that_the_paper_describes(case: str) -> None:
    circuit, make, replicas, samples = CASES[case]
    network = ns.compile(rules.bp(circuit), seeds=range(replicas), device="cpu", dtype="float64")
    modules = modules_of(network, make, replicas)
    random = torch.Generator().manual_seed(1)
    x = torch.randn(replicas, samples, *circuit.populations["input"].extent, generator=random).double()
    y = torch.randint(circuit.populations["output"].units, (replicas, samples), generator=random)
    found = network.updates(x, y)
    losses = network.step(x, y, optimizer=ns.SGD(lr=0.1))
    predicted = network.predict(x)
    for replica, module in enumerate(modules):
        loss = functional.cross_entropy(module(x[replica]), y[replica])
        loss.backward()
        assert abs(losses[replica] - loss) < EXACT
        expected = tensors(module)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            assert (found[name][replica, 0] - value.grad).abs().max() < EXACT, name
        torch.optim.SGD(module.parameters(), lr=0.1).step()
        for name, value in statistics(module).items():
            assert (network.statistics[name][replica] - value).abs().max() < EXACT, name
        module.eval()
        with torch.no_grad():
            assert (predicted[replica] - module(x[replica])).abs().max() < EXACT


def test_gradients_are_not_all_nought() -> None:
    """What is compared above is there to be compared: behind norms with few samples signals can die."""
    for case in ("resnet20 narrow", "resnet18", "vgg16 normed"):
        circuit, make, replicas, samples = CASES[case]
        network = ns.compile(rules.bp(circuit), seeds=range(replicas), device="cpu", dtype="float64")
        modules_of(network, make, replicas)
        random = torch.Generator().manual_seed(1)
        x = torch.randn(replicas, samples, *circuit.populations["input"].extent, generator=random).double()
        y = torch.randint(circuit.populations["output"].units, (replicas, samples), generator=random)
        assert all(change.abs().max() > 1e-6 for name, change in network.updates(x, y).items() if ".bias" not in name)
