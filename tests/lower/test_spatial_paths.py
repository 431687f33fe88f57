"""Feedback paths through convolutions and pooling: what is compared, in which form, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal.graph import (
    AvgPool2d,
    Circuit,
    Constant,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool2d,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Relay,
    Reversed,
    Shortcut,
    Source,
    Wiring,
)
from neurosal.lower import paths
from neurosal.lower.paths import Pair, hops_of, pairs, way_of
from neurosal.plasticity import Fixed
from neurosal.stats.base import Hop

KERNEL = Conv2d(kernel=3, stride=2, padding=1)


def edge(source: str, target: str, wiring: Wiring, pathway: str = "feedforward", **fields: Any) -> Projection:
    if wiring.weightless:
        fields["plasticity"] = Fixed()
    return Projection(source=source, target=target, wiring=wiring, pathway=pathway, **fields)  # type: ignore[arg-type]


def back(source: str, target: str, wiring: Wiring, **fields: Any) -> Projection:
    return edge(source, target, wiring, "feedback", **({"plasticity": Fixed()} | fields))


def pictures(*, pool: Wiring | None = None, **more: Projection) -> Circuit:
    """16×8×8 → 32×4×4 → 32 → 10, with a hand-made way back for each step."""
    pool = pool or GlobalAvgPool()
    shapes = {"first": (16, 8, 8), "second": (32, 4, 4)}
    middle = Population(size=32) if isinstance(pool, GlobalAvgPool) else Population(shape=(32, 2, 2))
    populations = {name: Population(shape=shape) for name, shape in shapes.items()} | {"pool": middle}
    projections = {
        "in": edge("input", "first", Conv2d(kernel=3, padding=1)),
        "conv": edge("first", "second", KERNEL),
        "pooling": edge("second", "pool", pool),
        "dense": edge("pool", "output", Dense()),
        "conv_back": back("second", "first", KERNEL.reversed()),
        "pool_back": back("pool", "second", pool.returning("pooling")),
        "dense_back": back("output", "pool", Dense()),
    }
    return Circuit(
        name="pictures",
        populations={
            "input": Population(shape=(3, 8, 8), model=Source()), **populations,
            "output": Population(size=10, model=Rate(activation="linear")),
        },
        projections=projections | more,
    )  # fmt: skip


def ways(circuit: Circuit) -> dict[str, str]:
    return {pair.name: way_of(circuit, pair) for pair in pairs(circuit)}


def reason(circuit: Circuit, name: str) -> str | None:
    """Why a pair is left out; no areas here, so that a plan is not needed."""

    class Planned:
        def __init__(self) -> None:
            self.circuit, self.owners, self.routes = circuit, {name: name for name in circuit.projections}, {}

    (pair,) = [pair for pair in pairs(circuit) if pair.name == name]
    return paths._reason(Planned(), pair)  # type: ignore[arg-type]


def test_kernels_are_compared_as_kernels_and_pooling_has_nothing_to_align() -> None:
    assert ways(pictures()) == {"conv": "kernels", "dense": "weights"}
    assert ways(pictures(pool=AvgPool2d(kernel=2))) == {"conv": "kernels", "dense": "weights"}
    assert ways(pictures(pool=MaxPool2d(kernel=2))) == {"conv": "kernels", "dense": "weights"}


def test_shortcuts_of_a_residual_circuit_have_nothing_to_align() -> None:
    skip = Shortcut(stride=2)
    circuit = pictures(skip=edge("first", "second", skip), skip_back=back("second", "first", skip.reversed()))
    assert ways(circuit) == {"conv": "kernels", "dense": "weights"}
    identity: dict[str, Any] = {
        "wiring": OneToOne(), "weights": Own(init=Constant(value=1.0)), "plasticity": Fixed()
    }  # fmt: skip
    circuit = circuit.with_populations(again=circuit.populations["second"]).with_projections(
        same=Projection(source="second", target="again", **identity),
        same_back=Projection(source="again", target="second", pathway="feedback", **identity),
    )
    assert ways(circuit) == {"conv": "kernels", "dense": "weights"}


def test_a_relay_of_channels_is_a_kernel() -> None:
    circuit = pictures().without(["conv_back"])
    circuit = circuit.with_populations(relay=Population(shape=(320, 4, 4), model=Relay())).with_projections(
        b=back("second", "relay", Conv2d(kernel=1)), r=back("relay", "first", KERNEL.reversed())
    )
    (pair,) = [pair for pair in pairs(circuit) if pair.name == "conv"]
    assert pair.feedback == (("b", "r"),)
    assert way_of(circuit, pair) == "kernels"
    assert hops_of(circuit, pair) == {
        "conv": Hop(stride=(2, 2), dilation=(1, 1), padding=(1, 1)),
        "b": Hop(stride=(1, 1), dilation=(1, 1), padding=(0, 0)),
        "r": Hop(stride=(2, 2), dilation=(1, 1), padding=(1, 1), backwards=True),
    }


def test_same_padding_lies_before_the_picture_and_twice_reversed_is_forwards() -> None:
    wiring = Reversed(wiring=Reversed(wiring=Conv2d(kernel=(4, 3), padding="same", dilation=(1, 2), groups=4)))
    circuit = pictures(again=edge("first", "first", wiring))
    pair = Pair(name="again", source="first", target="first", forward=(("again",),), feedback=())
    assert hops_of(circuit, pair) == {"again": Hop(stride=(1, 1), dilation=(1, 2), padding=(1, 2), groups=4)}


def test_direct_feedback_is_compared_with_the_whole_way_forward() -> None:
    circuit = pictures().without(["conv_back", "pool_back", "dense_back"])
    circuit = circuit.with_projections(
        **{f"to_{name}": back("output", name, Dense()) for name in ("first", "second", "pool")}
    )
    assert ways(circuit) == {
        "first_to_output": "responses", "second_to_output": "responses", "dense": "weights"
    }  # fmt: skip
    assert reason(circuit, "first_to_output") is None


def test_what_max_pooling_lets_through_is_left_out_with_the_reason() -> None:
    flat = {"flat": Population(size=128)}
    circuit = pictures(pool=MaxPool2d(kernel=2)).without(["dense", "conv_back", "pool_back", "dense_back"])
    circuit = circuit.with_populations(**flat).with_projections(
        flatten=edge("pool", "flat", Flatten()), dense=edge("flat", "output", Dense()),
        to_first=back("output", "first", Dense()), to_pool=back("output", "pool", Dense()),
    )  # fmt: skip
    assert reason(circuit, "pool_to_output") is None
    assert "max pooling" in str(reason(circuit, "first_to_output"))


def test_too_much_to_compute_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = pictures().without(["conv_back", "pool_back"]).with_projections(far=back("output", "second", Dense()))
    monkeypatch.setattr(paths, "MOST_RESPONSES", 10 * 32 * 16)
    assert reason(circuit, "second_to_output") is None
    monkeypatch.setattr(paths, "MOST_RESPONSES", 10 * 32 * 16 - 1)
    assert "5120" in str(reason(circuit, "second_to_output")) or "10 × 512" in str(reason(circuit, "second_to_output"))


def test_very_many_routes_are_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    skip = edge("first", "second", Shortcut(stride=2))
    circuit = pictures(skip=skip).without(["conv_back", "pool_back"])
    circuit = circuit.with_projections(far=back("output", "first", Dense()))
    assert "first_to_output" in ways(circuit)
    monkeypatch.setattr(paths, "MOST_ROUTES", 1)
    found, without = paths._search(circuit)
    assert "first_to_output" not in {pair.name for pair in found}
    assert "forward routes" in without["first_to_output"]
