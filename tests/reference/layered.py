"""Layered networks with each rule written out by hand, one replica, sample by sample; it knows no circuit.

Layer l = 1 .. L has weights W[l] [K, O, I] and bias b[l] [K, O]; ``areas[n][l]`` is the area that sample n selects there (0 without areas).
Feedback is written in its own direction: B[l] [K, units of l - 1, units of l] takes the error of layer l to layer l - 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.reference.interpreter import divisor
from tests.reference.numerics import Array, activate, loss, slope

Layers = dict[int, Array]


@dataclass
class Layered:
    """Weights of a layered network. Index 0 of the lists is the input."""

    W: Layers
    b: Layers
    B: Layers = field(default_factory=dict)  # chain: from layer l to l - 1; direct: from the output to layer l; with relays: relay to l - 1
    relay: Layers = field(default_factory=dict)  # with relays: from layer l to its relay
    activation: str = "relu"

    @property
    def depth(self) -> int:
        return len(self.W)


def forward(net: Layered, x: Array, areas: list[list[int]]) -> tuple[list[Layers], list[Layers]]:
    """Pre-activations a and activities h of every sample."""
    all_a, all_h = [], []
    for n, sample in enumerate(x):
        a: Layers = {}
        h: Layers = {0: sample}
        for layer in range(1, net.depth + 1):
            k = areas[n][layer]
            a[layer] = net.W[layer][k] @ h[layer - 1] + net.b[layer][k]
            h[layer] = a[layer] if layer == net.depth else activate(net.activation, a[layer])
        all_a.append(a)
        all_h.append(h)
    return all_a, all_h


def errors(rule: str, net: Layered, a: Layers, output: Array, k: list[int]) -> tuple[Layers, Layers]:
    """δ of each layer that error reaches, and δ of each relay, for one sample."""
    delta: Layers = {net.depth: output}
    relays: Layers = {}
    for layer in range(net.depth - 1, 0, -1):
        above = layer + 1
        if rule == "shallow":
            break
        if rule == "bp":
            e = net.W[above][k[above]].T @ delta[above]
        elif rule in ("fa", "kp", "kp_tied"):
            e = net.B[above][k[above]] @ delta[above]
        elif rule == "dfa":
            e = net.B[layer][k[net.depth]] @ output
        elif rule in ("pfa", "pfa_o"):
            relays[above] = net.relay[above][k[above]] @ delta[above]
            e = net.B[above][k[above]] @ relays[above]
        else:
            raise ValueError(rule)
        delta[layer] = e * slope(net.activation, a[layer])
    return delta, relays


def changes(rule: str, net: Layered, x: Array, y: Array, areas: list[list[int]], reduction: str = "batch",
            kind: str = "cross_entropy") -> tuple[float, dict[str, Layers]]:
    """Mean loss, and the proposed change of "W", "b" and "B" by layer (only of layers that change)."""
    all_a, all_h = forward(net, x, areas)
    total = 0.0
    result: dict[str, Layers] = {"W": {}, "b": {}, "B": {}}
    for n in range(len(x)):
        value, output = loss(kind, all_h[n][net.depth], y[n])
        total += value
        delta, relays = errors(rule, net, all_a[n], output, areas[n])
        for layer, d in delta.items():
            k = areas[n][layer]
            share = 1 / divisor(reduction, len(x), sum(other[layer] == k for other in areas))
            _add(result["W"], layer, net.W[layer], k, share * np.outer(d, all_h[n][layer - 1]))
            _add(result["b"], layer, net.b[layer], k, share * d)
            if layer == 1:
                continue
            if rule in ("kp", "kp_tied"):
                _add(result["B"], layer, net.B[layer], k, share * np.outer(all_h[n][layer - 1], d))
            if rule in ("pfa", "pfa_o"):
                _add(result["B"], layer, net.B[layer], k, share * np.outer(all_h[n][layer - 1], relays[layer]))
    return total / len(x), result


def _add(held: Layers, layer: int, like: Array, k: int, change: Array) -> None:
    held.setdefault(layer, np.zeros_like(like))[k] += change
