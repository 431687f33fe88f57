"""Which feedback, relays, areas and routes each rule adds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings

from neurosal import rules
from neurosal.graph import (
    Circuit,
    Constant,
    Copy,
    KaimingNormal,
    OneToOne,
    Orthogonal,
    Own,
    Population,
    Projection,
    Rate,
    Relay,
    Router,
    SameRoute,
    Source,
    Transpose,
    XavierUniform,
)
from neurosal.plasticity import Attract, Delta, Fixed, KMeans, KolenPollack, OnlineBalanced
from tests.properties.graphs import forward_circuits
from tests.rules.table import PLAIN, TABLE, chain_of

CHAIN = ["bp", "fa", "kp", "kp_tied"]


def deep() -> Circuit:
    """Three hidden populations with a constant skip, a fixed dense projection and a parallel edge."""
    circuit = chain_of(3, 4, 4, 4, 2)
    return circuit.with_projections(
        skip=Projection(
            source="hidden1",
            target="hidden3",
            wiring=OneToOne(),
            weights=Own(init=Constant(value=0.5)),
            plasticity=Fixed(),
        ),
        frozen=Projection(source="hidden1", target="output", plasticity=Fixed()),
        second=Projection(source="hidden2", target="hidden3"),
    )


def back(circuit: Circuit) -> dict[str, Projection]:
    return circuit.select(pathway="feedback")


@pytest.mark.parametrize("name", CHAIN)
def test_a_chain_rule_adds_one_way_back_for_each_projection_that_does_not_start_at_an_input(name: str) -> None:
    added = back(getattr(rules, name)(deep()))
    assert sorted(added) == sorted(
        [
            "hidden2_to_hidden1",
            "hidden3_to_hidden2",
            "hidden3_to_hidden2_2",
            "hidden3_to_hidden1",
            "output_to_hidden3",
            "output_to_hidden1",
        ]
    )
    for label, edge in added.items():
        assert label.startswith(f"{edge.source}_to_{edge.target}")


@pytest.mark.parametrize("name", [*CHAIN, "pfa", "pfa_o"])
def test_inputs_get_an_error_only_when_asked(name: str) -> None:
    rule = getattr(rules, name)
    assert "input" not in {edge.target for edge in back(rule(deep())).values()}
    assert "input" in {edge.target for edge in back(rule(deep(), to_input=True)).values()}


@pytest.mark.parametrize("name", [*CHAIN, "pfa", "pfa_o"])
def test_a_constant_skip_gets_the_same_constant_back(name: str) -> None:
    edge = back(getattr(rules, name)(deep()))["hidden3_to_hidden1"]
    assert (edge.wiring, edge.weights, edge.plasticity) == (OneToOne(), Own(init=Constant(value=0.5)), Fixed())


@pytest.mark.parametrize("name", ["fa", "kp", "kp_tied", "pfa", "pfa_o"])
def test_a_fixed_projection_gets_fixed_feedback_of_its_own(name: str) -> None:
    edge = back(getattr(rules, name)(deep()))["output_to_hidden1"]
    assert (edge.weights, edge.plasticity) == (Own(), Fixed())


def test_bp_ties_every_way_back_and_changes_none() -> None:
    added = back(rules.bp(deep()))
    assert {edge.weights.of for edge in added.values() if isinstance(edge.weights, Transpose)} == {
        "hidden1_to_hidden2",
        "hidden2_to_hidden3",
        "hidden3_to_output",
        "frozen",
        "second",
    }
    assert {edge.plasticity for edge in added.values()} == {Fixed()}


def test_a_projection_that_is_tied_to_another_gets_its_way_back_too() -> None:
    tied = chain_of(3, 4, 4, 2).with_projections(
        hidden1_to_hidden2=Projection(source="hidden1", target="hidden2", weights=Transpose(of="other")),
        other=Projection(source="hidden1", target="hidden2"),
    )
    assert [edge.weights for edge in back(rules.bp(tied)).values()] == [
        Transpose(of="hidden1_to_hidden2"),
        Transpose(of="hidden2_to_output"),
        Transpose(of="other"),
    ]


def test_fa_and_kp_differ_in_plasticity_and_kp_tied_in_its_start() -> None:
    fa, kp, tied = (back(rule(deep()))["hidden2_to_hidden1"] for rule in (rules.fa, rules.kp, rules.kp_tied))
    assert (fa.weights, fa.plasticity) == (Own(), Fixed())
    assert (kp.weights, kp.plasticity) == (Own(), KolenPollack())
    assert (tied.weights, tied.plasticity) == (Copy(of="hidden1_to_hidden2"), KolenPollack())


def test_kp_feedback_changes_at_the_rate_and_with_the_reduction_of_its_forward_projection() -> None:
    circuit = chain_of(3, 4, 2).with_projections(
        hidden1_to_output=Projection(source="hidden1", target="output", plasticity=Delta(rate=0.25, reduction="sum"))
    )
    for rule in (rules.kp, rules.kp_tied, rules.pfa, rules.pfa_o):
        plastic = [edge.plasticity for edge in back(rule(circuit)).values() if edge.plasticity.plastic]
        assert plastic == [KolenPollack(rate=0.25, reduction="sum")]


@pytest.mark.parametrize("name", ["fa", "dfa", "kp", "pfa"])
def test_own_feedback_is_drawn_from_the_given_initialiser(name: str) -> None:
    added = back(getattr(rules, name)(chain_of(3, 4, 2), init=KaimingNormal()))
    assert Own(init=KaimingNormal()) in {edge.weights for edge in added.values()}


def test_dfa_reaches_every_population_that_learns_and_nothing_else() -> None:
    added = back(rules.dfa(deep()))
    assert list(added) == ["output_to_hidden1", "output_to_hidden2", "output_to_hidden3"]
    assert {(edge.source, edge.weights, edge.plasticity) for edge in added.values()} == {("output", Own(), Fixed())}
    fixed = chain_of(3, 4, 4, 2).with_projections(
        input_to_hidden1=Projection(source="input", target="hidden1", plasticity=Fixed())
    )
    assert list(back(rules.dfa(fixed))) == ["output_to_hidden2"]


@pytest.mark.parametrize(("expansion", "size"), [(10, 20), (2.5, 5), (0.1, 1)])
def test_pfa_puts_a_relay_before_each_way_back_with_a_first_hop_of_identity_covariance(
    expansion: float, size: int
) -> None:
    circuit = rules.pfa(chain_of(3, 4, 2), expansion=expansion)
    assert circuit.populations["relay_hidden1_to_output"] == Population(size=size, model=Relay())
    first = circuit.projections["output_to_relay_hidden1_to_output"]
    second = circuit.projections["relay_hidden1_to_output_to_hidden1"]
    assert (first.plasticity, second.plasticity, second.weights) == (Fixed(), KolenPollack(), Own())
    assert isinstance(first.weights, Own)
    assert isinstance(first.weights.init, XavierUniform)
    assert first.weights.init.gain == pytest.approx(math.sqrt((1 + 2 / size) / 2))
    assert first.weights.init.deviation(2, size) ** 2 * size == pytest.approx(1)  # E[B^T B] = 1


def test_pfa_o_has_a_relay_of_the_sources_size_and_an_orthogonal_first_hop() -> None:
    circuit = rules.pfa_o(chain_of(3, 4, 2))
    assert circuit.populations["relay_hidden1_to_output"].size == 2
    assert circuit.projections["output_to_relay_hidden1_to_output"].weights == Own(init=Orthogonal())


def test_a_relay_has_the_areas_of_its_source_and_its_route() -> None:
    circuit = rules.sal(chain_of(3, 4, 4, 2), areas=5, feedback="pfa")
    for relay in ("relay_hidden1_to_hidden2", "relay_hidden2_to_output"):
        assert circuit.populations[relay].areas == 5
        assert circuit.projections[f"route_{relay}"].wiring == SameRoute(of="route_hidden1")
    own_routes = rules.sal(chain_of(3, 4, 4, 2), areas=5, feedback="pfa_o", route="population")
    assert own_routes.projections["route_relay_hidden1_to_hidden2"].wiring == SameRoute(of="route_hidden2")
    shared_readout = rules.sal(chain_of(3, 4, 4, 2), areas=5, feedback="pfa", readout="shared")
    assert shared_readout.populations["relay_hidden2_to_output"].areas == 1
    assert "route_relay_hidden2_to_output" not in shared_readout.projections


def test_shallow_adds_nothing() -> None:
    assert rules.shallow(deep()) == deep()


def test_sal_gives_areas_and_one_shared_route() -> None:
    circuit = rules.sal(chain_of(3, 4, 4, 2))
    assert [circuit.populations[name].areas for name in ("input", "hidden1", "hidden2", "output")] == [1, 16, 16, 16]
    routes = circuit.select(pathway="modulatory")
    assert {name: edge.wiring for name, edge in routes.items()} == {
        "route_hidden1": Router(),
        "route_hidden2": SameRoute(of="route_hidden1"),
        "route_output": SameRoute(of="route_hidden1"),
    }
    assert {edge.source for edge in routes.values()} == {"input"}
    assert routes["route_hidden1"].plasticity == OnlineBalanced()
    forward = circuit.select(pathway="feedforward").values()
    assert {edge.weights for edge in forward} == {Own(across_areas="same")}
    assert {edge.weights for edge in back(circuit).values()} == {Own(across_areas="same")}


def test_sal_with_a_route_per_population_reads_the_population_below() -> None:
    routes = rules.sal(chain_of(3, 4, 4, 2), route="population", router="attract", rank=3).select(pathway="modulatory")
    assert {name: edge.source for name, edge in routes.items()} == {
        "route_hidden1": "input",
        "route_hidden2": "hidden1",
        "route_output": "hidden2",
    }
    assert {(edge.wiring, edge.plasticity) for edge in routes.values()} == {(Router(rank=3), Attract())}


@pytest.mark.parametrize(
    ("router", "plasticity"),
    [
        ("frozen", Fixed()),
        ("attract", Attract()),
        ("k_means", KMeans()),
        ("online_balanced", OnlineBalanced()),
        (OnlineBalanced(step=0.5), OnlineBalanced(step=0.5)),
    ],
)
def test_sal_takes_a_router_by_name_or_value(router: object, plasticity: object) -> None:
    circuit = rules.sal(chain_of(3, 4, 2), router=router)  # type: ignore[arg-type]
    assert circuit.projections["route_hidden1"].plasticity == plasticity


@pytest.mark.parametrize("reduction", ["batch", "area", "sum"])
@pytest.mark.parametrize("feedback", ["kp", "kp_tied", "pfa"])
def test_sal_sets_one_reduction_for_changes_of_both_pathways(reduction: str, feedback: str) -> None:
    circuit = rules.sal(chain_of(3, 4, 4, 2), reduction=reduction, feedback=feedback)  # type: ignore[arg-type]
    plastic = [
        edge.plasticity
        for edge in circuit.projections.values()
        if edge.pathway != "modulatory" and edge.plasticity.plastic
    ]
    assert len(plastic) == 5
    assert {entry.reduction for entry in plastic} == {reduction}  # type: ignore[attr-defined]


@pytest.mark.parametrize("feedback", ["kp", "kp_tied", "fa", "dfa", "pfa", "pfa_o", "bp"])
def test_sal_with_one_area_is_the_rule_itself(feedback: str) -> None:
    assert rules.sal(deep(), areas=1, feedback=feedback) == getattr(rules, feedback)(deep())  # type: ignore[arg-type]


def test_sal_can_share_the_read_out_start_areas_apart_and_route_from_another_input() -> None:
    circuit = (
        chain_of(3, 4, 2)
        .with_populations(context=Population(size=2, model=Source()))
        .with_projections(context_to_hidden1=Projection(source="context", target="hidden1"))
    )
    made = rules.sal(circuit, areas=3, readout="shared", init="independent", route_from="context")
    assert (made.populations["hidden1"].areas, made.populations["output"].areas) == (3, 1)
    assert made.select(pathway="modulatory")["route_hidden1"].source == "context"
    assert {edge.weights for edge in made.select(pathway="feedforward").values()} == {Own()}


def test_sal_takes_any_function_as_its_feedback_and_sets_its_reduction() -> None:
    def other(circuit: Circuit) -> Circuit:
        return circuit.with_projections(
            mine=Projection(source="output", target="hidden1", pathway="feedback", plasticity=KolenPollack())
        )

    made = rules.sal(chain_of(3, 4, 2), areas=3, feedback=other, reduction="sum")
    assert back(made)["mine"].plasticity == KolenPollack(reduction="sum")


def test_sal_leaves_populations_alone_that_no_plastic_projection_reaches() -> None:
    circuit = (
        chain_of(3, 4, 2)
        .with_populations(sum=Population(size=4, model=Rate(activation="linear")))
        .with_projections(
            up=Projection(
                source="hidden1", target="sum", wiring=OneToOne(), weights=Own(init=Constant()), plasticity=Fixed()
            ),
            out=Projection(source="sum", target="output"),
        )
    )
    assert rules.sal(circuit).populations["sum"].areas == 1


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_rule_changes_nothing_that_was_there_but_areas_starts_and_reductions(case: object) -> None:
    before, after = deep(), case.make(deep())  # type: ignore[attr-defined]
    for name, edge in before.projections.items():
        kept = after.projections[name]
        assert (kept.source, kept.target, kept.pathway, kept.wiring) == (
            edge.source,
            edge.target,
            edge.pathway,
            edge.wiring,
        )
    for name, population in before.populations.items():
        assert after.populations[name].replace(areas=1) == population


@settings(max_examples=60, deadline=None, derandomize=True)
@given(circuit=forward_circuits())
def test_every_rule_makes_a_circuit_that_round_trips_from_any_feedforward_graph(circuit: Circuit) -> None:
    hidden = [edge for edge in circuit.projections.values() if edge.plasticity.plastic and edge.target != "output"]
    for case in TABLE if hidden else PLAIN:
        made = case.make(circuit)
        assert Circuit.from_dict(made.to_dict()) == made
        assert made.output == circuit.output
        made.error_order()  # raises for an error that travels in a circle


def test_rules_mix_projection_by_projection() -> None:
    mixed = rules.kp(rules.dfa(deep(), only=["hidden1"]), keep_feedback=True)
    assert {name for name, edge in back(mixed).items() if edge.plasticity.plastic} == {
        "hidden2_to_hidden1",
        "hidden3_to_hidden2",
        "hidden3_to_hidden2_2",
        "output_to_hidden3",
    }
    assert next(iter(back(mixed))) == "output_to_hidden1"
    assert sum(edge.source == "output" and edge.target == "hidden1" for edge in back(mixed).values()) == 1
    over = rules.kp(rules.pfa(deep(), only=["hidden3_to_output"]), keep_feedback=True)
    assert "output_to_hidden3" not in back(over)
