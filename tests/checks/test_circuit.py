"""The check of a circuit: what is sound passes unchanged, what is not is named with its place and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from neurosal import circuits, library, rules
from neurosal.checks import check, check_circuit_data
from neurosal.errors import CircuitError
from neurosal.graph import (
    Circuit,
    Copy,
    OneToOne,
    Population,
    Projection,
    Rate,
    Relay,
    Router,
    SameRoute,
    SignOf,
    Source,
    Transpose,
)
from neurosal.plasticity import Attract, Fixed, KolenPollack
from neurosal.rules.selective_adaptive import FEEDBACK
from tests.properties.graphs import forward_circuits, tied_back

MLP = circuits.mlp(4, 3, 3, 2)
BACK: dict[str, Any] = {"pathway": "feedback", "plasticity": Fixed()}


def places(circuit: Circuit) -> list[str]:
    with pytest.raises(CircuitError) as caught:
        check(circuit)
    return [problem.place for problem in caught.value.problems]


def with_edges(circuit: Circuit = MLP, **projections: Projection) -> Circuit:
    return circuit.with_projections(**projections)


@settings(max_examples=40, deadline=None)
@given(forward_circuits().flatmap(tied_back))
def test_random_sound_circuits_pass_and_are_returned_as_they_were(circuit: Circuit) -> None:
    before = circuit.to_dict()
    assert check(circuit) is circuit
    assert circuit.to_dict() == before
    assert check_circuit_data(before) == (circuit, [])


@pytest.mark.parametrize("rule", library.names("rules"))
def test_every_rule_makes_sound_circuits(rule: str) -> None:
    for circuit in (circuits.mlp(4, 2), circuits.mlp(4, 3, 2), circuits.mlp(4, 3, 3, 3, 2)):
        check(library.apply_rule(circuit, rule))


@pytest.mark.parametrize("feedback", FEEDBACK)
@pytest.mark.parametrize("route", ["shared", "population"])
@pytest.mark.parametrize("readout", ["areas", "shared"])
def test_every_choice_of_sal_is_sound(feedback: str, route: str, readout: str) -> None:
    check(rules.sal(MLP, areas=3, feedback=feedback, route=route, readout=readout))


def test_a_population_without_error_keeps_its_weights_and_is_sound() -> None:
    check(rules.shallow(MLP))


def test_all_problems_are_reported_at_once() -> None:
    circuit = with_edges(
        a=Projection(source="input", target="hidden1", wiring=OneToOne()),
        b=Projection(source="nowhere", target="hidden1"),
        c=Projection(source="output", target="hidden2", weights=Transpose(of="d"), **BACK),
    )
    assert places(circuit) == ["projections.b.source", "projections.a.wiring", "projections.c.weights.of"]


def test_cycles_are_named_once_each_with_their_round_trip() -> None:
    two = Circuit(
        populations={"input": Population(size=2, model=Source()), **{name: Population(size=2) for name in "abcd"}},
        projections={f"{s}_to_{t}": Projection(source=s, target=t) for s, t in ("ab", "ba", "cd", "dc")}
        | {"input_to_a": Projection(source="input", target="a"), "b_to_c": Projection(source="b", target="c")},
    )
    with pytest.raises(CircuitError) as caught:
        check(two)
    found = [problem.found for problem in caught.value.problems if "cycle" in problem.expected]
    assert sorted(found) == ["a -> b -> a", "c -> d -> c"]


def test_a_long_cycle_is_shortened_in_the_message() -> None:
    names = [f"p{index}" for index in range(40)]
    ring = Circuit(
        populations={name: Population(size=2) for name in names},
        projections={f"e{i}": Projection(source=names[i], target=names[(i + 1) % 40]) for i in range(40)},
    )
    with pytest.raises(CircuitError, match=r"p0 -> p1 -> .* -> \.\.\. -> .* -> p0"):
        check(ring)


def test_only_the_first_projection_below_a_lost_error_is_reported() -> None:
    circuit = with_edges(
        h2_to_h1=Projection(source="hidden2", target="hidden1", **BACK),
        h1_to_input=Projection(source="hidden1", target="input", **BACK),
    )
    assert places(circuit) == ["projections.h2_to_h1.source"]


def test_error_may_reach_a_population_over_relays_and_parallel_projections() -> None:
    circuit = MLP.with_populations(relay=Population(size=5, model=Relay())).with_projections(
        up=Projection(source="output", target="relay", **BACK),
        down=Projection(source="relay", target="hidden2", pathway="feedback", plasticity=KolenPollack()),
        again=Projection(source="output", target="hidden2", pathway="feedback", plasticity=KolenPollack()),
        below=Projection(source="hidden2", target="hidden1", **BACK),
    )
    check(circuit)


def test_a_router_may_not_read_what_its_choice_changes() -> None:
    circuit = MLP.with_populations(hidden1=Population(size=3, areas=2)).with_projections(
        route=Projection(source="hidden2", target="hidden1", pathway="modulatory", wiring=Router(), plasticity=Fixed())
    )
    assert places(circuit) == ["projections.route"]


def test_a_cycle_through_a_shared_route_is_found_too() -> None:
    circuit = MLP.with_populations(
        hidden1=Population(size=3, areas=2), output=Population(size=2, model=Rate(activation="linear"), areas=2)
    ).with_projections(
        route=Projection(source="hidden1", target="output", pathway="modulatory", wiring=Router(), plasticity=Fixed()),
        same=Projection(
            source="input", target="hidden1", pathway="modulatory", wiring=SameRoute(of="route"), plasticity=Fixed()
        ),
    )
    assert places(circuit) == ["projections.same"]


def test_routes_that_wait_for_each_other_are_refused() -> None:
    areas = {name: Population(size=3, areas=2) for name in ("hidden1", "hidden2")}
    same = {"source": "input", "pathway": "modulatory", "plasticity": Fixed()}
    circuit = MLP.with_populations(**areas).with_projections(
        one=Projection(target="hidden1", wiring=SameRoute(of="two"), **same),
        two=Projection(target="hidden2", wiring=SameRoute(of="one"), **same),
    )
    assert places(circuit) == ["projections.one.wiring.of", "projections.two.wiring.of"]


def test_a_route_of_another_number_of_areas_is_refused() -> None:
    areas = {"hidden1": Population(size=3, areas=2), "hidden2": Population(size=3, areas=3)}
    circuit = MLP.with_populations(**areas).with_projections(
        one=Projection(source="input", target="hidden1", pathway="modulatory", wiring=Router(), plasticity=Attract()),
        two=Projection(
            source="input", target="hidden2", pathway="modulatory", wiring=SameRoute(of="one"), plasticity=Fixed()
        ),
    )
    assert places(circuit) == ["projections.two.wiring.of"]


def test_ties_compare_areas_where_each_pathway_has_them() -> None:
    routed = rules.sal(MLP, areas=2, feedback="bp")
    check(routed)
    loose = routed.with_projections(
        extra=Projection(source="input", target="hidden1", plasticity=Fixed()),
        back=Projection(source="output", target="hidden1", weights=Transpose(of="extra"), **BACK),
    )
    assert "projections.back.weights" in places(loose)


@pytest.mark.parametrize("weights", [Transpose(of="hidden1_to_hidden2"), SignOf(of="hidden1_to_hidden2")])
def test_tied_feedback_must_be_fixed_and_a_copy_may_learn(weights: Any) -> None:
    edge = {"source": "hidden2", "target": "hidden1", "pathway": "feedback"}
    first = with_edges(top=Projection(source="output", target="hidden2", **BACK))
    check(with_edges(first, tie=Projection(weights=weights, plasticity=Fixed(), **edge)))
    check(with_edges(first, tie=Projection(weights=Copy(of="hidden1_to_hidden2"), plasticity=KolenPollack(), **edge)))
    assert places(with_edges(first, tie=Projection(weights=weights, plasticity=KolenPollack(), **edge))) == [
        "projections.tie.plasticity"
    ]


def test_what_could_not_be_read_causes_no_further_problems() -> None:
    data = MLP.to_dict()
    data["populations"]["hidden1"]["size"] = "three"
    data["projections"]["hidden2_to_output"]["pathway"] = "forward"
    places = [problem.place for problem in check_circuit_data(data)[1]]
    assert places == ["populations.hidden1.size", "projections.hidden2_to_output.pathway"]


def test_a_misspelt_end_is_one_problem() -> None:
    data = MLP.to_dict()
    data["projections"]["input_to_hidden1"]["target"] = "hiden1"
    problems = check_circuit_data(data)[1]
    assert [problem.place for problem in problems] == ["projections.input_to_hidden1.target"]
    assert "hidden1" in problems[0].remedy


def test_sizes_beyond_the_machine_are_refused_before_anything_is_allocated() -> None:
    with pytest.raises(CircuitError, match=r"expected what fits into .* of memory"):
        check(circuits.mlp(10**7, 10**7, 10))
