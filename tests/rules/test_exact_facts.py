"""What is exact about the rules, tested as exact: equivalences, differences that only decay, and what never changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit
from tests.reference.batches import batch_for, batches_for
from tests.reference.copying import array
from tests.rules.table import TABLE, Case, chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="tanh")
FORWARD = tuple(CHAIN.projections)
RATE, DECAY = 0.1, 0.2
PLAIN = ns.SGD(lr=RATE, weight_decay=DECAY)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def train(network: Any, optimizer: Any, steps: int = 20, samples: int = 6, seed: int = 0) -> None:
    for step in range(steps):
        batch = batch_for(CHAIN, seed + step, replicas=network.replicas, samples=samples)
        network.step(batch.x, batch.y, optimizer=optimizer)


def gap(first: Any, second: Any, names: Any = FORWARD) -> float:
    return max(float((first.weights[name] - second.weights[name]).abs().max()) for name in names)


# Equivalences
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [PLAIN, ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.1), ns.AdamW(lr=0.01, weight_decay=0.1)],
    ids=["sgd", "momentum", "adamw"],
)
def test_one_area_with_tied_start_and_equal_decay_is_backpropagation(optimizer: Any) -> None:
    bp, tied = network_of(rules.bp(CHAIN)), network_of(rules.sal(CHAIN, areas=1, feedback="kp_tied", reduction="batch"))
    for network in (bp, tied):
        train(network, optimizer)
    assert gap(bp, tied) < 1e-12
    assert (tied.weights["output_to_hidden2"] - bp.weights["hidden2_to_output"].mT).abs().max() < 1e-12


@pytest.mark.parametrize(
    "options",
    [{}, {"route": "population"}, {"readout": "shared"}, {"reduction": "area"}, {"router": "frozen"}],
    ids=str,
)
def test_the_routed_network_with_tied_start_is_the_routed_network_under_bp(options: dict[str, Any]) -> None:
    bp, tied = (
        network_of(rules.sal(CHAIN, areas=4, rank=3, feedback=feedback, **options)) for feedback in ("bp", "kp_tied")
    )
    for network in (bp, tied):
        train(network, PLAIN)
    assert gap(bp, tied) < 1e-12


def test_sum_is_batch_at_a_rate_times_the_batch_size() -> None:
    batch = network_of(rules.sal(CHAIN, areas=3, reduction="batch"))
    total = network_of(rules.sal(CHAIN, areas=3, reduction="sum"))
    train(batch, ns.SGD(lr=0.06), samples=6)
    train(total, ns.SGD(lr=0.01), samples=6)
    assert gap(batch, total, list(batch.weights)) < 1e-12


def test_pfa_with_an_identity_first_hop_is_kp() -> None:
    kp, pfa = network_of(rules.kp(CHAIN)), network_of(rules.pfa(CHAIN, expansion=1))
    for forward, back in (("hidden1_to_hidden2", "hidden2_to_hidden1"), ("hidden2_to_output", "output_to_hidden2")):
        source, target = back.split("_to_")
        first = pfa.weights[f"{source}_to_relay_{forward}"]
        first.copy_(torch.eye(first.shape[-1], dtype=torch.float64).expand_as(first))
        pfa.weights[f"relay_{forward}_to_{target}"].copy_(kp.weights[back])
    for network in (kp, pfa):
        train(network, PLAIN)
    assert gap(kp, pfa) < 1e-13


def test_pfa_o_with_its_second_hop_at_the_transpose_is_bp() -> None:
    bp, pfa = network_of(rules.bp(CHAIN)), network_of(rules.pfa_o(CHAIN))
    for forward in ("hidden1_to_hidden2", "hidden2_to_output"):
        source, target = forward.split("_to_")
        first, second = pfa.weights[f"{target}_to_relay_{forward}"], pfa.weights[f"relay_{forward}_to_{source}"]
        assert (
            first.mT @ first - torch.eye(first.shape[-1], dtype=torch.float64)
        ).abs().max() < 1e-5  # drawn in single precision
        first.copy_(torch.linalg.qr(first).Q)
        second.copy_((first @ pfa.weights[forward]).mT)
    for network in (bp, pfa):
        train(network, PLAIN)
    assert gap(bp, pfa) < 1e-12


def by_hand(small: Circuit) -> dict[str, Circuit]:
    """Rules as graphs that are written by hand."""
    from neurosal.graph import Dense, Own, Population, Projection, Relay, XavierUniform
    from neurosal.plasticity import Fixed, KolenPollack

    back: dict[str, Any] = {"source": "output", "target": "hidden1", "pathway": "feedback", "wiring": Dense()}
    return {
        "fa": small.with_projections(output_to_hidden1=Projection(**back, plasticity=Fixed())),
        "kp": small.with_projections(output_to_hidden1=Projection(**back, plasticity=KolenPollack())),
        "bp": small.with_projections(
            output_to_hidden1=Projection(
                **back, weights={"kind": "transpose", "of": "hidden1_to_output"}, plasticity=Fixed()
            )
        ),
        "pfa": small.with_populations(relay_hidden1_to_output=Population(size=30, model=Relay())).with_projections(
            output_to_relay_hidden1_to_output=Projection(
                source="output",
                target="relay_hidden1_to_output",
                pathway="feedback",
                weights=Own(init=XavierUniform(gain=math.sqrt(1.1 / 2))),
                plasticity=Fixed(),
            ),
            relay_hidden1_to_output_to_hidden1=Projection(
                source="relay_hidden1_to_output", target="hidden1", pathway="feedback", plasticity=KolenPollack()
            ),
        ),
    }


def sal_by_hand(small: Circuit) -> Circuit:
    """Areas and the router that chooses them, written by hand."""
    from neurosal.graph import Own, Projection, Router, SameRoute
    from neurosal.plasticity import Delta, Fixed, KolenPollack, OnlineBalanced

    same = Own(across_areas="same")
    return Circuit(
        name="mine",
        populations={
            name: entry if name == "input" else entry.replace(areas=5) for name, entry in small.populations.items()
        },
        projections={
            **{
                name: edge.replace(weights=same, plasticity=Delta(reduction="area"))
                for name, edge in small.projections.items()
            },
            "route_hidden1": Projection(
                source="input",
                target="hidden1",
                pathway="modulatory",
                wiring=Router(rank=3),
                plasticity=OnlineBalanced(),
            ),
            "again": Projection(
                source="input",
                target="output",
                pathway="modulatory",
                wiring=SameRoute(of="route_hidden1"),
                plasticity=Fixed(),
            ),
            "output_to_hidden1": Projection(
                source="output",
                target="hidden1",
                pathway="feedback",
                weights=same,
                plasticity=KolenPollack(reduction="area"),
            ),
        },
    )


def test_a_graph_written_by_hand_is_the_rule() -> None:
    small = chain_of(4, 6, 3)
    pairs = [(getattr(rules, name)(small), circuit) for name, circuit in by_hand(small).items()]
    pairs.append((rules.sal(small, areas=5, rank=3, reduction="area"), sal_by_hand(small)))
    for rule, hand in (map(network_of, pair) for pair in pairs):
        for batch in batches_for(small, 5):
            for network in (rule, hand):
                network.step(batch.x, batch.y, optimizer=PLAIN)
        assert gap(rule, hand, list(rule.weights)) == 0


# Differences that only decay
# ---------------------------------------------------------------------------------------------------------


def mismatch(network: Any) -> torch.Tensor:
    return network.weights["hidden2_to_output"] - network.weights["output_to_hidden2"].mT


def relay_mismatch(network: Any) -> torch.Tensor:
    first = network.weights["output_to_relay_hidden2_to_output"]
    return network.weights["relay_hidden2_to_output_to_hidden2"] - (first @ network.weights["hidden2_to_output"]).mT


@pytest.mark.parametrize(
    ("circuit", "measure"),
    [(rules.kp(CHAIN), mismatch), (rules.pfa(CHAIN, expansion=4), relay_mismatch)],
    ids=["kp", "pfa"],
)
def test_the_mismatch_shrinks_by_one_minus_rate_times_decay_a_step_and_knows_nothing_else(
    circuit: Circuit, measure: Any
) -> None:
    network = network_of(circuit)
    start = measure(network)
    assert start.abs().max() > 0.1
    for step in range(1, 31):
        train(network, PLAIN, steps=1, seed=step)
        assert (measure(network) - (1 - RATE * DECAY) ** step * start).abs().max() < 1e-14 * 50
    other = network_of(circuit)
    train(other, ns.SGD(lr=RATE), steps=10)
    assert (measure(other) - start).abs().max() < 1e-14 * 50  # without decay nothing brings them together


def test_with_momentum_the_mismatch_follows_a_linear_recursion() -> None:
    network = network_of(rules.kp(CHAIN))
    expected, velocity = mismatch(network), torch.zeros(())
    for step in range(20):
        train(network, ns.SGD(lr=RATE, weight_decay=DECAY, momentum=0.8), steps=1, seed=step)
        velocity = 0.8 * velocity + DECAY * expected
        expected = expected - RATE * velocity
        assert (mismatch(network) - expected).abs().max() < 1e-13


def test_under_adamw_the_mismatch_decays_in_first_order_only_when_both_start_alike_and_under_adam_it_does_not() -> None:
    tied = network_of(rules.kp_tied(CHAIN))
    train(tied, ns.AdamW(lr=0.01, weight_decay=0.5))
    assert mismatch(tied).abs().max() < 1e-14
    apart, start = network_of(rules.kp(CHAIN)), mismatch(network_of(rules.kp(CHAIN)))
    train(apart, ns.AdamW(lr=0.01, weight_decay=0.5), steps=1)
    assert (mismatch(apart) - (1 - 0.01 * 0.5) * start).abs().max() < 1e-14
    coupled = network_of(rules.kp(CHAIN))
    train(coupled, ns.Adam(lr=0.01, weight_decay=0.5), steps=1)
    assert (mismatch(coupled) - (1 - 0.01 * 0.5) * start).abs().max() > 1e-4


@pytest.mark.parametrize(("feedback", "measure"), [("kp", mismatch), ("pfa", relay_mismatch)])
def test_with_areas_the_mismatch_decays_only_where_samples_fall(feedback: Any, measure: Any) -> None:
    circuit = rules.sal(CHAIN, areas=5, rank=3, feedback=feedback, init="independent", router="frozen")
    network = network_of(circuit)
    for step in range(10):
        before = measure(network)
        batch = batch_for(CHAIN, step, samples=4)
        chosen = network.signals(batch.x, batch.y)["output"]["area"]
        network.step(batch.x, batch.y, optimizer=PLAIN)
        for r in range(2):
            for k in range(5):
                shrink = 1 - RATE * DECAY if bool((chosen[r] == k).any()) else 1.0
                assert (measure(network)[r, k] - shrink * before[r, k]).abs().max() < 1e-14


# Products of a random first hop
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expansion", [1, 2, 10])
def test_the_first_hop_of_pfa_is_drawn_with_identity_second_moment(expansion: float) -> None:
    network = network_of(rules.pfa(CHAIN, expansion=expansion), seeds=range(400))
    first = array(network.weights["hidden2_to_relay_hidden1_to_hidden2"])[:, 0]
    moment = np.einsum("rmo,rmp->rop", first, first)
    error = moment.std(axis=0) / math.sqrt(400)
    assert (np.abs(moment.mean(axis=0) - np.eye(5)) < 5 * error).all()
    assert error.max() < 0.05


@pytest.mark.parametrize("expansion", [10, 30])
def test_the_path_of_pfa_converges_to_its_angle_and_norm(expansion: float) -> None:
    wide, seeds = chain_of(20, 60, 40), 4
    network = network_of(rules.pfa(wide, expansion=expansion), seeds=range(seeds))
    batch = batch_for(wide, 0, replicas=seeds, samples=60)
    for _ in range(300):  # a dose of ηλ = 0.02 a step leaves 2e-3 of the mismatch, while the task keeps the weights up
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.5, weight_decay=0.04))
    path = network.weights["relay_hidden1_to_output_to_hidden1"] @ network.weights["output_to_relay_hidden1_to_output"]
    forward = network.weights["hidden1_to_output"].mT
    norms = path.flatten(1).norm(dim=1), forward.flatten(1).norm(dim=1)
    angles = ((path * forward).flatten(1).sum(1) / norms[0] / norms[1]).arccos().rad2deg()
    # Large matrices have exactly these; ours are small enough to scatter by a degree.
    assert float(angles.mean()) == pytest.approx(math.degrees(math.atan(expansion**-0.5)), abs=2)
    assert float((norms[0] / norms[1]).mean()) == pytest.approx(math.sqrt(1 + 1 / expansion), abs=0.05)


# What never changes
# ----------------------------------------------------------------------------------------------------------------------


ROUTED = [case for case in TABLE if case.areas > 1]


@pytest.mark.parametrize(
    "optimizer",
    [
        ns.SGD(lr=0.1, weight_decay=0.1),
        ns.SGD(lr=(0.1, 0.2), weight_decay=(0.1, 0.3)),
        ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
        ns.SGD(lr=0.1, weight_decay=0.1, clip=0.1),
        ns.Adam(lr=0.01, weight_decay=0.1),
        ns.AdamW(lr=0.01),
    ],
    ids=["sgd", "rates", "nesterov", "clip", "adam", "adamw"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", ROUTED, ids=lambda case: case.name)
def test_areas_without_samples_keep_weights_and_optimiser_state_bit_for_bit(
    case: Case, dtype: str, optimizer: Any
) -> None:
    if dtype == "float32" and optimizer.kind not in ("sgd",):
        return
    circuit = case.make(CHAIN)
    network = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype=dtype)
    resting = 0
    for step in range(4):
        batch = batch_for(CHAIN, step, samples=2)
        before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        areas = {name: entry["area"] for name, entry in network.signals(batch.x, batch.y).items() if "area" in entry}
        network.step(batch.x, batch.y, optimizer=optimizer)
        for name, after in network.state_dict().items():
            kind, _, rest = name.partition("/")
            owner = rest.split("/")[0]
            if kind not in ("weights", "biases", "optimizer") or name not in before:
                continue
            population = owner.removesuffix(".bias")
            if owner in circuit.projections:
                edge = circuit.projections[owner]
                population = edge.source if edge.pathway == "feedback" else edge.target
            for r in range(2):
                for k in range(after.shape[1]) if population in areas else ():
                    if not bool((areas[population][r] == k).any()):
                        assert torch.equal(after[r, k], before[name][r, k]), (name, k)
                        resting += 1
    assert resting > 20


@pytest.mark.parametrize("router", ["frozen", "attract", "k_means"])
def test_prototypes_that_are_frozen_never_change(router: Any) -> None:
    network = network_of(rules.sal(CHAIN, areas=4, router=router))
    before = {key: value.clone() for key, value in network.routers["route_hidden1"].items()}
    assert (before["prototypes"].norm(dim=-1) - 1).abs().max() < 1e-12
    train(network, ns.SGD(lr=0.5), steps=10)
    after = network.routers["route_hidden1"]
    assert torch.equal(after["prototypes"], before["prototypes"])
    assert torch.equal(after["weight"], before["weight"]) == (router != "attract")
    assert not torch.equal(after["mean"], before["mean"])


def test_prototypes_that_move_stay_unit_vectors() -> None:
    network = network_of(rules.sal(CHAIN, areas=4, router="online_balanced"))
    before = network.routers["route_hidden1"]["prototypes"].clone()
    train(network, ns.SGD(lr=0.5), steps=10)
    assert (network.routers["route_hidden1"]["prototypes"].norm(dim=-1) - 1).abs().max() < 1e-12
    assert not torch.equal(network.routers["route_hidden1"]["prototypes"], before)
    assert torch.equal(network.routers["route_hidden1"]["count"], torch.full((2,), 10.0, dtype=torch.float64))


def test_no_task_signal_enters_a_route() -> None:
    one, two = (network_of(rules.sal(CHAIN, areas=4, router="attract")) for _ in range(2))
    for step in range(5):
        batch = batch_for(CHAIN, step)
        one.step(batch.x, batch.y, optimizer=PLAIN)
        two.step(batch.x, (batch.y + 1) % 3, optimizer=PLAIN)
    for key, value in one.routers["route_hidden1"].items():
        assert torch.equal(value, two.routers["route_hidden1"][key])


def test_kp_feedback_moves_by_the_transpose_of_the_forward_change() -> None:
    network, batch = network_of(rules.kp(CHAIN)), batch_for(CHAIN)
    changes = network.updates(batch.x, batch.y)
    for forward, back in (("hidden1_to_hidden2", "hidden2_to_hidden1"), ("hidden2_to_output", "output_to_hidden2")):
        assert torch.equal(changes[back], changes[forward].mT)
        assert not torch.equal(network.weights[back], network.weights[forward].mT)
