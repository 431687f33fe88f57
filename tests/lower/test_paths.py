"""Feedback paths: which forward routes a feedback stands for."""

from __future__ import annotations

import pytest

from neurosal import rules
from neurosal.graph import Circuit, Constant, Normal, OneToOne, Own, Projection, Transpose
from neurosal.lower import paths
from neurosal.lower.paths import pairs
from neurosal.plasticity import Fixed
from tests.rules.table import TABLE, chain_of

CHAIN = chain_of(4, 5, 5, 5, 3)
SKIP = Own(init=Constant(value=1.0))


def found(circuit: Circuit) -> dict[str, tuple[list[str], list[str]]]:
    """Pair → forward and feedback routes, each as one string."""
    return {
        pair.name: ([" ".join(route) for route in pair.forward], [" ".join(route) for route in pair.feedback])
        for pair in pairs(circuit)
    }


def with_skips(constant: bool = True) -> Circuit:
    skip = {"wiring": OneToOne(), "weights": SKIP, "plasticity": Fixed()} if constant else {}
    return CHAIN.with_projections(around=Projection(source="hidden1", target="hidden3", **skip))


def test_each_step_of_a_chain_has_its_own_way_back() -> None:
    assert found(rules.fa(CHAIN)) == {
        "hidden1_to_hidden2": (["hidden1_to_hidden2"], ["hidden2_to_hidden1"]),
        "hidden2_to_hidden3": (["hidden2_to_hidden3"], ["hidden3_to_hidden2"]),
        "hidden3_to_output": (["hidden3_to_output"], ["output_to_hidden3"]),
    }


def test_direct_feedback_stands_for_all_that_lies_between() -> None:
    assert found(rules.dfa(CHAIN)) == {
        "hidden1_to_output": (["hidden1_to_hidden2 hidden2_to_hidden3 hidden3_to_output"], ["output_to_hidden1"]),
        "hidden2_to_output": (["hidden2_to_hidden3 hidden3_to_output"], ["output_to_hidden2"]),
        "hidden3_to_output": (["hidden3_to_output"], ["output_to_hidden3"]),
    }


def test_a_way_back_over_relays_is_one_route() -> None:
    routes = found(rules.pfa(CHAIN, expansion=2))
    first, second = routes["hidden3_to_output"][1][0].split()
    circuit = rules.pfa(CHAIN, expansion=2)
    assert circuit.projections[first].source == "output"
    assert circuit.projections[first].target == circuit.projections[second].source
    assert circuit.projections[second].target == "hidden3"


def test_two_relays_in_a_row_are_followed() -> None:
    circuit = rules.pfa(chain_of(4, 5, 3), expansion=2)
    (relay,) = [name for name in circuit.populations if name.startswith("relay")]
    (first,) = [name for name, edge in circuit.projections.items() if edge.target == relay]
    circuit = circuit.with_populations(far=circuit.populations[relay])
    circuit = circuit.with_projections(
        **{first: circuit.projections[first].replace(target="far")},
        hop=Projection(source="far", target=relay, pathway="feedback"),
    )
    assert len(found(circuit)["hidden1_to_output"][1][0].split()) == 3


def test_the_skip_of_a_chain_is_returned_by_its_own_feedback() -> None:
    routes = found(rules.fa(with_skips(constant=False)))
    assert routes["around"] == (["around"], ["hidden3_to_hidden1"])
    assert routes["hidden1_to_hidden2"] == (["hidden1_to_hidden2"], ["hidden2_to_hidden1"])


def test_constant_skips_have_nothing_to_align() -> None:
    assert "around" not in found(rules.fa(with_skips()))
    assert found(rules.fa(with_skips())).keys() == found(rules.fa(CHAIN)).keys()
    parallel = CHAIN.with_projections(
        beside=Projection(source="hidden1", target="hidden2", wiring=OneToOne(), weights=SKIP, plasticity=Fixed())
    )
    assert found(rules.bp(parallel))["hidden1_to_hidden2"][0] == ["hidden1_to_hidden2"]
    assert found(rules.fa(parallel)).keys() == found(rules.fa(CHAIN)).keys()


def test_a_constant_skip_that_is_tied_to_another_has_nothing_to_align_either() -> None:
    back = Projection(
        source="hidden3", target="hidden1", pathway="feedback", wiring=OneToOne(), weights=Transpose(of="around"),
        plasticity=Fixed(),
    )  # fmt: skip
    circuit = rules.fa(CHAIN).with_projections(around=with_skips().projections["around"], back=back)
    assert found(circuit).keys() == found(rules.fa(CHAIN)).keys()


def test_a_fixed_one_to_one_projection_that_is_drawn_is_compared() -> None:
    drawn = {"wiring": OneToOne(), "weights": Own(init=Normal()), "plasticity": Fixed()}
    circuit = rules.fa(CHAIN.with_projections(around=Projection(source="hidden1", target="hidden3", **drawn)))
    assert found(circuit)["around"] == (["around"], ["hidden3_to_hidden1"])


def test_direct_feedback_counts_skips_constant_or_not() -> None:
    for constant in (True, False):
        routes = found(rules.dfa(with_skips(constant)))
        assert sorted(routes["hidden1_to_output"][0]) == [
            "around hidden3_to_output", "hidden1_to_hidden2 hidden2_to_hidden3 hidden3_to_output",
        ]  # fmt: skip


def test_direct_feedback_beside_a_direct_skip_is_compared_with_both_ways() -> None:
    circuit = rules.dfa(chain_of(4, 5, 5, 3).with_projections(jump=Projection(source="hidden1", target="output")))
    assert found(circuit)["jump"] == (["jump", "hidden1_to_hidden2 hidden2_to_output"], ["output_to_hidden1"])


def test_feedback_mixed_of_chain_and_direct_shares_the_routes_between_them() -> None:
    circuit = rules.fa(CHAIN).with_projections(
        far=Projection(source="output", target="hidden1", pathway="feedback"),
    )
    routes = found(circuit)
    # All that goes from hidden1 to the output goes through hidden2, which returns it.
    assert "hidden1_to_output" not in routes
    assert routes.keys() == found(rules.fa(CHAIN)).keys()
    with_jump = circuit.with_projections(jump=Projection(source="hidden1", target="output"))
    assert found(with_jump)["jump"] == (["jump"], ["far"])


@pytest.mark.parametrize(("forward", "back"), [(2, 2), (2, 1), (1, 2), (3, 2)])
def test_parallel_edges_are_compared_one_by_one_or_as_sums(forward: int, back: int) -> None:
    circuit = chain_of(4, 5, 3)
    there = {f"there{i}": Projection(source="hidden1", target="output") for i in range(1, forward)}
    here = {f"here{i}": Projection(source="output", target="hidden1", pathway="feedback") for i in range(back)}
    names, ways = ["hidden1_to_output", *there], list(here)
    routes = found(circuit.with_projections(**there, **here))
    if forward == back:
        assert routes == {name: ([name], [way]) for name, way in zip(names, ways, strict=True)}
    else:
        assert routes == {"hidden1_to_output": (names, ways)}


def test_parallel_feedback_of_a_rule_belongs_to_the_edge_it_was_made_for() -> None:
    circuit = rules.bp(chain_of(4, 5, 3).with_projections(again=Projection(source="hidden1", target="output")))
    for name, (_, (way,)) in found(circuit).items():
        assert circuit.projections[way].weights.of == name  # type: ignore[union-attr]


def test_error_into_an_input_is_compared_too() -> None:
    assert found(rules.fa(CHAIN, to_input=True))["input_to_hidden1"] == (["input_to_hidden1"], ["hidden1_to_input"])


def test_without_feedback_there_is_nothing_to_compare() -> None:
    assert pairs(rules.shallow(CHAIN)) == ()


def test_a_product_of_very_many_routes_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = with_skips(constant=False)
    monkeypatch.setattr(paths, "MOST_ROUTES", 1)
    assert found(rules.dfa(circuit)).keys() == {"hidden2_to_output", "hidden3_to_output"}


def test_many_layers_with_skips_take_no_time() -> None:
    deep = chain_of(4, *[5] * 60, 3)
    skips = {
        f"skip{i}": Projection(
            source=f"hidden{i}", target=f"hidden{i + 2}", wiring=OneToOne(), weights=SKIP, plasticity=Fixed()
        )
        for i in range(1, 59)
    }
    routes = found(rules.dfa(deep.with_projections(**skips)))  # 10^12 routes from the first to the last
    assert "hidden60_to_output" in routes
    assert "hidden1_to_output" not in routes


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_ends_of_routes_meet(case: object) -> None:
    circuit = case.make(CHAIN)  # type: ignore[attr-defined]
    for pair in pairs(circuit):
        for routes, start, end in ((pair.forward, pair.source, pair.target), (pair.feedback, pair.target, pair.source)):
            for route in routes:
                at = start
                for name in route:
                    assert circuit.projections[name].source == at
                    at = circuit.projections[name].target
                assert at == end
