"""The engine sees a graph and plasticity, never the name of a rule: a rule that it cannot know gives the numbers that
its equations say.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import neurosal as ns
from neurosal import rules
from neurosal.graph import (
    Circuit,
    Constant,
    OneToOne,
    Orthogonal,
    Own,
    Plasticity,
    Population,
    Projection,
    Relay,
    SameRoute,
    SignOf,
    Transpose,
)
from neurosal.plasticity import Delta, Fixed, KolenPollack
from tests.reference.batches import batches_for
from tests.reference.copying import array, distance, interpreter_of
from tests.reference.interpreter import Seen
from tests.reference.numerics import Array
from tests.rules.table import TABLE, chain_of


class Trace(Plasticity):
    """Somebody else's plasticity, with an update and a state of its own: Oja's rule on a trace of the error.

    ``t ← μ t + (1/N) Σ δ_post h_preᵀ``, change ``t + γ (mean h_post²) W``.
    """

    kind: ClassVar[str] = "trace_of_a_test"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity", "post_error"})
    keep: float = 0.5
    pull: float = 0.1

    def init(self, weight: Any) -> dict[str, Any]:
        return {"trace": weight.new_zeros(weight.shape)}

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        trace = self.keep * state["trace"] + local.correlate(local.post_error, local.pre_activity)
        strength_RO = (local.post_activity**2).mean(1)
        return trace + self.pull * strength_RO[:, None, :, None] * local.weight, {"trace": trace}


class ErrorOnly(Plasticity):
    """A product that no built-in plasticity has: error against error."""

    kind: ClassVar[str] = "errors_of_a_test"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_error", "post_error"})
    product: ClassVar[Any] = ("post_error", "pre_error")


def trace_by_hand(seen: Seen, state: dict[str, Any]) -> Array:
    trace = 0.5 * state.get("trace", np.zeros_like(seen.weight))
    for post, pre, area in zip(seen.post_error, seen.pre_activity, seen.areas, strict=True):
        trace[area] = trace[area] + np.outer(post, pre) / len(seen.areas)
    state["trace"] = trace
    strength = np.mean([post**2 for post in seen.post_activity], axis=0)
    return np.asarray(trace + 0.1 * strength[None, :, None] * seen.weight)


def errors_by_hand(seen: Seen, _: dict[str, Any]) -> Array:
    change = np.zeros_like(seen.weight)
    for post, pre, area in zip(seen.post_error, seen.pre_error, seen.areas, strict=True):
        change[area] += np.outer(post, pre) / len(seen.areas)
    return change


CUSTOM = {"trace_of_a_test": trace_by_hand, "errors_of_a_test": errors_by_hand}


def strange(circuit: Circuit) -> Circuit:
    """A rule that nobody told the engine about: a relay, parallel edges in both directions, four kinds of plasticity,
    sign-symmetric feedback.
    """
    areas = circuit.populations["output"].areas
    route = {}
    if areas > 1:
        route = {
            "route_detour": Projection(
                source="input",
                target="detour",
                pathway="modulatory",
                wiring=SameRoute(of="route_hidden1"),
                plasticity=Fixed(),
            )
        }
    back: dict[str, Any] = {"pathway": "feedback"}
    return circuit.with_populations(detour=Population(size=4, model=Relay(), areas=areas)).with_projections(
        hidden1_to_hidden2=circuit.projections["hidden1_to_hidden2"].replace(plasticity=Trace()),
        again=circuit.projections["hidden1_to_hidden2"].replace(plasticity=Delta(rate=0.3)),
        into_detour=Projection(
            source="output", target="detour", weights=Own(init=Orthogonal()), plasticity=Fixed(), **back
        ),
        out_of_detour=Projection(source="detour", target="hidden2", plasticity=KolenPollack(rate=0.5), **back),
        beside=Projection(
            source="output", target="hidden2", weights=SignOf(of="hidden2_to_output"), plasticity=Fixed(), **back
        ),
        beside_2=Projection(source="output", target="hidden2", plasticity=ErrorOnly(), **back),
        far=Projection(source="output", target="hidden1", plasticity=KolenPollack(), **back),
        near=Projection(source="hidden2", target="hidden1", weights=Transpose(of="again"), plasticity=Fixed(), **back),
        echo=Projection(
            source="hidden2",
            target="hidden1",
            wiring=OneToOne(),
            weights=Own(init=Constant(value=0.2)),
            plasticity=Fixed(),
            **back,
        ),
        **route,
    )


OPTIMIZERS = [
    ns.SGD(lr=0.1, weight_decay=0.05),
    ns.SGD(lr=(0.1, 0.05), momentum=0.9),
    ns.Adam(lr=0.01, weight_decay=0.1),
    ns.SGD(lr=0.1, clip=0.1),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("areas", [1, 3])
def test_an_unknown_rule_gives_the_numbers_of_its_equations(areas: int, optimizer: Any) -> None:
    circuit = strange(rules.sal(chain_of(4, 5, 5, 3, activation="tanh"), areas=areas, rank=3, feedback="shallow"))
    network = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype="float64")
    reference = interpreter_of(network, circuit, optimizer=optimizer, custom=CUSTOM)
    plastic = [
        name for name, edge in circuit.projections.items() if edge.plasticity.plastic and edge.pathway != "modulatory"
    ]
    before = {name: array(network.weights[name]) for name in plastic}
    for batch in batches_for(circuit, 5):
        expected = reference.step(batch.arrays, batch.targets)
        assert abs(array(network.step(batch.x, batch.y, optimizer=optimizer)) - expected).max() < 1e-10
        assert distance(network, reference) < 1e-10
    assert {"hidden1_to_hidden2", "again", "out_of_detour", "beside_2", "far"} <= before.keys()
    for name, weight in before.items():
        assert (array(network.weights[name]) != weight).any(), name


# Magnitudes of brsf and synapses of sparse wiring are drawn from the stream of the projection's name.
DRAWN_BY_NAME = ("brsf", "half")


@pytest.mark.parametrize(
    "case",
    [case for case in TABLE if not any(word in case.name for word in DRAWN_BY_NAME)],
    ids=lambda case: case.name,
)
def test_names_mean_nothing_to_the_engine(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = case.make(chain_of(4, 5, 5, 3))
    original = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype="float64")
    # Same sort order for both, so that ties between equally early phases fall the same way.
    called = {name: f"n{index:02d}" for index, name in enumerate([*circuit.populations, *circuit.projections])}
    renamed = Circuit(
        name="other",
        populations={called[name]: entry for name, entry in circuit.populations.items()},
        projections={
            called[name]: edge.replace(
                source=called[edge.source],
                target=called[edge.target],
                **{
                    field: value.replace(of=called[value.of])
                    for field in ("weights", "wiring")
                    if hasattr(value := getattr(edge, field), "of")
                },
            )
            for name, edge in circuit.projections.items()
        },
    )
    for name in rules.__all__:  # nobody may ask a rule from here on
        monkeypatch.setattr(rules, name, None)
    network = ns.compile(renamed, seeds=[0, 1], device="cpu", dtype="float64")
    for name, weight in original.weights.items():
        if circuit.projections[name].tied_to is None:
            network.weights[called[name]].copy_(weight)
    for name, tensor in original.state_dict().items():  # drawn from the stream of their name (brsf in every step)
        if name.startswith("magnitudes/"):
            network.state_dict()[f"magnitudes/{called[name.removeprefix('magnitudes/')]}"].copy_(tensor)
    for name, state in original.routers.items():
        for key, value in state.items():
            network.routers[called[name]][key].copy_(value)
    for batch in batches_for(circuit, 4):
        original.step(batch.x, batch.y, optimizer=OPTIMIZERS[0])
        network.step(batch.arrays["input"], batch.y, optimizer=OPTIMIZERS[0])
    for name, weight in original.weights.items():
        assert (network.weights[called[name]] - weight).abs().max() < 1e-13, name
