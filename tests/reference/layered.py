"""Layered networks with each rule written out by hand, one replica, sample by sample; it knows no circuit.

Layer l = 1 .. L has weights W[l] [K, O, I] and bias b[l] [K, O]; layer 0 is the input. ``routes[l]`` chooses the area
of layer l from the activity of a layer below; a layer without a route has one area. Feedback is written in its own
direction: B[l] [K, units of l - 1, units of l] takes the error of layer l to layer l - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.reference.interpreter import divisor
from tests.reference.numerics import Array, activate, loss, slope
from tests.reference.routing import Router

Layers = dict[int, Array]


@dataclass
class Layered:
    """Weights of a layered network."""

    W: Layers
    b: Layers
    B: Layers = field(
        default_factory=dict
    )  # chain: from layer l to l - 1; direct: from the output to layer l; with relays: relay to l - 1
    relay: Layers = field(default_factory=dict)  # with relays: from layer l to its relay
    magnitude: Layers = field(default_factory=dict)  # sign-symmetric: |M| from layer l to l - 1
    routes: dict[int, tuple[Router, int]] = field(default_factory=dict)  # layer → router, and the layer that it reads
    activation: str = "relu"

    @property
    def depth(self) -> int:
        return len(self.W)


@dataclass
class Pass:
    """One sample on its way up: pre-activations, activities and the area selected in each layer."""

    a: Layers
    h: Layers
    k: dict[int, int]


def up(net: Layered, x: Array) -> Pass:
    """The forward pass of one sample."""
    here = Pass(a={}, h={0: x}, k={})
    for layer in range(1, net.depth + 1):
        router, reads = net.routes.get(layer, (None, 0))
        k = here.k[layer] = 0 if router is None else router.area(here.h[reads])
        here.a[layer] = net.W[layer][k] @ here.h[layer - 1] + net.b[layer][k]
        here.h[layer] = here.a[layer] if layer == net.depth else activate(net.activation, here.a[layer])
    return here


def errors(rule: str, net: Layered, sample: Pass, output: Array, label: int) -> tuple[Layers, Layers]:
    """δ of each layer that error reaches, and δ of each relay, for one sample."""
    delta: Layers = {net.depth: output}
    relays: Layers = {}
    k = sample.k
    for layer in range(net.depth - 1, 0, -1):
        above = layer + 1
        if rule == "shallow":
            break
        if rule == "bp":
            e = net.W[above][k[above]].T @ delta[above]
        elif rule in ("fa", "wm", "kp", "kp_tied"):
            e = net.B[above][k[above]] @ delta[above]
        elif rule in ("usf", "frsf", "brsf"):
            e = (net.magnitude[above][k[above]] * np.sign(net.W[above][k[above]]).T) @ delta[above]
        elif rule == "drtp":
            e = net.B[layer][k[net.depth]][:, label]
        elif rule in ("dfa", "dkp"):
            e = net.B[layer][k[net.depth]] @ output
        elif rule in ("pfa", "pfa_o"):
            relays[above] = net.relay[above][k[above]] @ delta[above]
            e = net.B[above][k[above]] @ relays[above]
        else:
            raise ValueError(rule)
        delta[layer] = e * slope(net.activation, sample.a[layer])
    return delta, relays


def changes(
    rule: str, net: Layered, x: Array, y: Array, reduction: str = "batch"
) -> tuple[float, dict[str, dict[tuple[int, int], Array]], list[Pass]]:
    """Mean cross-entropy, the proposed change of "W", "b" and "B" by (layer, area) of those with samples, and the
    passes.
    """
    passes = [up(net, sample) for sample in x]
    total = 0.0
    result: dict[str, dict[tuple[int, int], Array]] = {"W": {}, "b": {}, "B": {}}
    for sample, label in zip(passes, y, strict=True):
        value, output = loss("cross_entropy", sample.h[net.depth], label)
        total += value
        delta, relays = errors(rule, net, sample, output, int(label))
        for layer, d in delta.items():
            k = sample.k[layer]
            share = 1 / divisor(reduction, len(x), sum(other.k[layer] == k for other in passes))
            below = sample.h[layer - 1]
            _add(result["W"], (layer, k), share * np.outer(d, below))
            _add(result["b"], (layer, k), share * d)
            if layer > 1 and rule in ("kp", "kp_tied"):
                _add(result["B"], (layer, k), share * np.outer(below, d))
            if layer < net.depth and rule == "dkp":
                top = sample.k[net.depth]
                shared = 1 / divisor(reduction, len(x), sum(other.k[net.depth] == top for other in passes))
                _add(result["B"], (layer, top), shared * np.outer(sample.h[layer], output))
            if layer > 1 and rule in ("pfa", "pfa_o"):
                _add(result["B"], (layer, k), share * np.outer(below, relays[layer]))
    return total / len(x), result, passes


def _add(held: dict[tuple[int, int], Array], key: tuple[int, int], change: Array) -> None:
    held[key] = held.get(key, 0) + change
