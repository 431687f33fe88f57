"""Each rule equals its own equations, written out by hand for layered networks without circuits or graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.graph import Circuit
from tests.reference.batches import batches_for
from tests.reference.copying import array
from tests.reference.layered import Layered, changes
from tests.reference.optimizers import move
from tests.reference.routing import Router, k_means
from tests.rules.table import TABLE, Case, chain_of

LABELS = ["input", "hidden1", "hidden2", "output"]
PLAIN_CHAIN = chain_of(4, 5, 5, 3, activation="tanh")
SIGNS = ("usf", "frsf", "brsf")
# Errors of cross-entropy add to 0, so under usf a unit with weights of one sign gets none but rounding, which Adam with
# a small eps would make the whole of the change.
OPTIMIZERS = {
    "sgd": ns.SGD(lr=0.1, weight_decay=0.05),
    "momentum": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.05),
    "nesterov": ns.SGD(lr=0.1, momentum=0.9, nesterov=True),
    "adam": ns.Adam(lr=0.02, weight_decay=0.05, eps=1e-3),
    "adamw": ns.AdamW(lr=0.02, weight_decay=0.5, eps=1e-3),
}


def names_of(rule: str) -> dict[str, dict[int, str]]:
    """Where the circuit keeps W, b, B and the relay's first hop of each layer."""
    depth = len(LABELS) - 1
    forward = {layer: f"{LABELS[layer - 1]}_to_{LABELS[layer]}" for layer in range(1, depth + 1)}
    found: dict[str, dict[int, str]] = {
        "W": forward,
        "b": {layer: f"{LABELS[layer]}.bias" for layer in forward},
        "B": {},
        "relay": {},
    }
    if rule in ("fa", "wm", "kp", "kp_tied"):
        found["B"] = {layer: f"{LABELS[layer]}_to_{LABELS[layer - 1]}" for layer in range(2, depth + 1)}
    if rule in SIGNS:
        found["magnitude"] = {layer: f"{LABELS[layer]}_to_{LABELS[layer - 1]}" for layer in range(2, depth + 1)}
    if rule in ("dfa", "dkp", "drtp"):
        found["B"] = {layer: f"output_to_{LABELS[layer]}" for layer in range(1, depth)}
    if rule in ("pfa", "pfa_o"):
        found["B"] = {layer: f"relay_{forward[layer]}_to_{LABELS[layer - 1]}" for layer in range(2, depth + 1)}
        found["relay"] = {layer: f"{LABELS[layer]}_to_relay_{forward[layer]}" for layer in range(2, depth + 1)}
    return found


def by_hand(network: Any, circuit: Circuit, rule: str, r: int) -> Layered:
    """Replica r of a network as a layered one."""
    store = {**dict(network.weights.items()), **network.biases}
    parts: dict[str, Any] = {
        part: {layer: array(store[name][r]) for layer, name in names.items()} for part, names in names_of(rule).items()
    }
    for layer, back in parts.get("magnitude", {}).items():
        parts["magnitude"][layer] = abs(back)
        there = back != 0
        assert rule != "usf" or np.abs(abs(back[there]) - np.sqrt(2 / sum(back.shape[1:]))).max() < 1e-12
    net = Layered(**parts, activation="tanh")
    routers = {
        name: Router(circuit.to_dict()["projections"][name], **{key: array(value[r]) for key, value in state.items()})
        for name, state in network.routers.items()
    }
    for layer, label in enumerate(LABELS):
        if circuit.populations[label].areas > 1:
            router = circuit.router_of(label)
            assert router is not None
            net.routes[layer] = routers[router], LABELS.index(circuit.projections[router].source)
    return net


# Where nothing takes time, the rules of spiking units are those of the same feedback.
WITHOUT_TIME = {"bptt": "bp", "eprop": "bp", "eprop_random": "dfa", "eprop_adaptive": "dkp"}


def rule_of(case: Case) -> tuple[str, str]:
    """The rule by which error returns, and the reduction."""
    if case.name in WITHOUT_TIME:
        return WITHOUT_TIME[case.name], "batch"
    if not case.name.startswith("sal_"):
        return getattr(case.make, "func", case.make).__name__, "batch"
    options = case.make.keywords  # type: ignore[attr-defined]
    return options.get("feedback", "kp"), options.get("reduction", "batch")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_rule_is_its_equations_step_by_step(case: Case, optimizer: str) -> None:
    circuit = case.make(PLAIN_CHAIN)
    value: Any = OPTIMIZERS[optimizer]
    rule, reduction = rule_of(case)
    network = ns.compile(circuit, seeds=[3, 4], device="cpu", dtype="float64")
    batches = batches_for(circuit, 5, samples=5)
    network.fit_routers(batches[0].x)
    nets = [by_hand(network, circuit, rule, r) for r in range(2)]
    states: dict[Any, dict[str, Any]] = {}
    for batch in batches:
        if rule == "brsf":  # drawn anew for the step to come
            for r, net in enumerate(nets):
                net.magnitude = by_hand(network, circuit, rule, r).magnitude
        found = network.step(batch.x, batch.y, optimizer=value)
        for r, net in enumerate(nets):
            x = batch.arrays["input"][r]
            expected, proposed, passes = changes(rule, net, x, batch.targets[r], reduction)
            assert float(found[r]) == pytest.approx(expected, abs=1e-11)
            for part, entries in proposed.items():
                held = getattr(net, part)
                for (layer, k), change in entries.items():
                    mask = network.masks.get(names_of(rule)[part][layer])
                    change = change if mask is None else change * array(mask[r, k])
                    held[layer][k] = move(
                        held[layer][k], change, states.setdefault((r, part, layer, k), {}), value.to_dict(), r
                    )
            for router, reads in dict.fromkeys(net.routes.values()):
                router.learn(np.array([sample.h[reads] for sample in passes]), value.lr)
            now = by_hand(network, circuit, rule, r)
            if rule in ("usf", "frsf"):
                for layer, name in names_of(rule)["magnitude"].items():
                    signed = net.magnitude[layer] * np.sign(net.W[layer]).swapaxes(1, 2)
                    assert np.abs(array(network.weights[name][r]) - signed).max() < 1e-10, name
            for part in ("W", "b", "B", "relay"):
                for layer, weights in getattr(net, part).items():
                    assert abs(getattr(now, part)[layer] - weights).max() < 1e-10, (part, layer)
            for layer, (router, _) in net.routes.items():
                for key in ("weight", "prototypes", "mean", "usage", "count"):
                    assert np.abs(getattr(now.routes[layer][0], key) - getattr(router, key)).max() < 1e-10, key


def test_k_means_fits_prototypes_to_the_training_inputs_and_never_again() -> None:
    circuit = ns.rules.sal(PLAIN_CHAIN, areas=4, rank=3, router="k_means")
    network = ns.compile(circuit, seeds=[1, 2], device="cpu", dtype="float64")
    start = array(network.routers["route_hidden1"]["prototypes"])
    batch = batches_for(circuit, 1, samples=40)[0]
    network.fit_routers(batch.x)
    fitted = network.routers["route_hidden1"]["prototypes"].clone()
    for r in range(2):
        x = batch.arrays["input"][r]
        projected = (x - x.mean(axis=0)) @ array(network.routers["route_hidden1"]["weight"][r]).T
        queries = projected / np.linalg.norm(projected, axis=1, keepdims=True)
        assert np.abs(k_means(start[r], queries, 25) - array(fitted[r])).max() < 1e-10
        score_before, score_after = ((queries @ c.T).max(axis=1).mean() for c in (start[r], array(fitted[r])))
        assert score_after > score_before + 0.05
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    assert bool((network.routers["route_hidden1"]["prototypes"] == fitted).all())


def test_a_prototype_that_wins_nothing_is_put_where_service_is_worst() -> None:
    circuit = ns.rules.sal(PLAIN_CHAIN, areas=3, rank=2, router=ns.plasticity.KMeans(iterations=1))
    network = ns.compile(circuit, seeds=[0], device="cpu", dtype="float64")
    state = network.routers["route_hidden1"]
    state["prototypes"][0] = state["prototypes"][0, :1]  # all the same: argmax gives everything to the first
    start = array(state["prototypes"][0])
    batch = batches_for(circuit, 1, samples=20, replicas=1)[0]
    network.fit_routers(batch.x)
    x = batch.arrays["input"][0]
    projected = (x - x.mean(axis=0)) @ array(state["weight"][0]).T
    queries = projected / np.linalg.norm(projected, axis=1, keepdims=True)
    assert np.abs(k_means(start, queries, 1) - array(state["prototypes"][0])).max() < 1e-10
    assert len(np.unique(array(state["prototypes"][0]).round(6), axis=0)) == 3
