"""Plans: every change as early as it may be and not before its last reader."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, OneToOne, Own, Projection, Relay, Router, SignOf, Transpose
from neurosal.lower.plan import Backward, Change, Forward, Plan, Route, plan
from neurosal.plasticity import Delta, Fixed, KolenPollack
from tests.properties.graphs import forward_circuits, tied_back
from tests.reference.batches import batch_for
from tests.rules.table import TABLE, chain_of

CHAIN = chain_of(4, 5, 6, 7, 3)
FLAT = rules.fa(CHAIN, to_input=True)
EVERY = pytest.mark.parametrize("circuit", [case.make(CHAIN) for case in TABLE], ids=[case.name for case in TABLE])


# What a phase reads, told anew from the equations --------------------------------------------------------------------


def owner_of(circuit: Circuit, name: str) -> str:
    weights = circuit.projections[name].weights
    return owner_of(circuit, weights.of) if isinstance(weights, (Transpose, SignOf)) else name


def errors_needed(circuit: Circuit, change: Change) -> set[str]:
    """Populations whose error a change needs, from the plasticity of all projections that share its storage."""
    needed = set(change.biases)
    for name, edge in circuit.projections.items():
        if edge.pathway == "modulatory" or owner_of(circuit, name) not in change.projections:
            continue
        if edge.plasticity.plastic:
            ends = {"pre_error": edge.source, "post_error": edge.target}
            needed |= {ends[need] for need in edge.plasticity.needs if need in ends}
    return needed


def must_be_sound(circuit: Circuit) -> None:
    made = plan(circuit)
    must_change_after_the_last_reader(circuit, made)
    must_change_as_early_as_possible(circuit, made)
    must_change_all_once(circuit, made)
    must_go_forward_in_order(circuit, made)


def must_change_after_the_last_reader(circuit: Circuit, made: Plan) -> None:
    for index, phase in enumerate(made.backward):
        if isinstance(phase, Change):
            for later in made.backward[index + 1 :]:
                if isinstance(later, Backward):
                    read = {owner_of(circuit, name) for name in later.projections}
                    assert not read & set(phase.projections), (str(phase), str(later))


def must_change_as_early_as_possible(circuit: Circuit, made: Plan) -> None:
    for index, phase in enumerate(made.backward):
        before = [earlier for earlier in made.backward[:index] if isinstance(earlier, Backward)]
        if isinstance(phase, Change) and before:
            reads = {owner_of(circuit, name) for name in before[-1].projections} & set(phase.projections)
            assert reads or before[-1].population in errors_needed(circuit, phase), str(phase)


def must_change_all_once(circuit: Circuit, made: Plan) -> None:
    changed = [name for change in made.changes for name in change.projections]
    biases = [name for change in made.changes for name in change.biases]
    assert len(set(changed)) == len(changed)
    assert len(set(biases)) == len(biases)
    reached = {made.output.population} | {p.population for p in made.backward if isinstance(p, Backward)}
    expected = set()
    for name, edge in circuit.projections.items():
        waits = edge.plasticity.while_driven and not getattr(circuit.populations[edge.target].model, "driven", False)
        if edge.pathway != "modulatory" and edge.plasticity.plastic and not waits:
            ends = {"pre_error": edge.source, "post_error": edge.target}
            if all(ends[need] in reached for need in edge.plasticity.needs if need in ends):
                expected.add(owner_of(circuit, name))
    assert set(changed) == expected
    for name in biases:
        assert name in reached


def must_go_forward_in_order(circuit: Circuit, made: Plan) -> None:
    known, routed = set(circuit.inputs), set()
    for phase in made.forward:
        if isinstance(phase, Route):
            assert phase.source in known
            routed.add(phase.router)
        else:
            assert all(circuit.projections[name].source in known for name in phase.projections)
            router = made.routes.get(phase.population)
            assert router is None or router in routed
            known.add(phase.population)
    errors = {made.output.population}
    for phase in made.backward:
        if isinstance(phase, Backward):
            assert {circuit.projections[name].source for name in phase.projections} <= errors
            errors.add(phase.population)
        else:
            assert errors_needed(circuit, phase) <= errors


@EVERY
def test_the_plan_of_every_rule_is_sound(circuit: Circuit) -> None:
    must_be_sound(circuit)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_plan_of_any_backpropagation_graph_is_sound(data: st.DataObject) -> None:
    must_be_sound(data.draw(tied_back(data.draw(forward_circuits()))))


@pytest.mark.parametrize("rule", ["fa", "dfa", "kp", "pfa", "pfa_o"])
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_the_plan_of_every_rule_on_any_graph_is_sound(rule: str, data: st.DataObject) -> None:
    must_be_sound(getattr(rules, rule)(data.draw(forward_circuits())))


# Cases written out ---------------------------------------------------------------------------------------------------


def order_of(circuit: Circuit) -> list[str]:
    """The feedback sweep in short: populations for errors, projections in brackets for changes."""
    return [
        phase.population if isinstance(phase, Backward) else f"[{' '.join(phase.projections)}]"
        for phase in plan(circuit).backward
    ]


def test_tied_feedback_lets_a_weight_change_only_when_its_pull_is_done() -> None:
    circuit = chain_of(4, 5, 3)
    assert order_of(rules.bp(circuit))[0] == "hidden1"
    assert sorted(order_of(rules.bp(circuit))[1:]) == ["[hidden1_to_output]", "[input_to_hidden1]"]
    assert order_of(rules.fa(circuit)) == ["[hidden1_to_output]", "hidden1", "[input_to_hidden1]"]
    assert order_of(rules.shallow(circuit)) == ["[hidden1_to_output]"]


def test_both_ways_of_a_pair_change_together_by_one_product() -> None:
    (change,) = [c for c in plan(rules.kp(chain_of(4, 5, 3))).changes if "hidden1_to_output" in c.projections]
    assert change.projections == ("hidden1_to_output", "output_to_hidden1")
    assert [(term.post, term.pre) for term in change.terms] == [(("output", "error"), ("hidden1", "activity"))]
    assert change.biases == ("output",)


def test_parallel_edges_change_together_when_they_learn_alike() -> None:
    circuit = chain_of(4, 5, 3).with_projections(
        again=Projection(source="hidden1", target="output"),
        slower=Projection(source="hidden1", target="output", plasticity=Delta(rate=0.5)),
        summed=Projection(source="hidden1", target="output", plasticity=Delta(reduction="sum")),
        still=Projection(source="hidden1", target="output", plasticity=Fixed()),
    )
    changes = {c.projections for c in plan(rules.fa(circuit)).changes}
    assert changes == {("hidden1_to_output", "again", "slower"), ("summed",), ("input_to_hidden1",)}


def test_a_tie_and_what_it_is_tied_to_are_one_storage_with_the_sum_of_both_products() -> None:
    circuit = chain_of(4, 5, 4, 3)
    tied = circuit.projections["hidden1_to_hidden2"].replace(weights=Transpose(of="input_to_hidden1"))
    circuit = rules.fa(circuit.with_projections(hidden1_to_hidden2=tied))
    made = plan(circuit)
    assert made.owners["hidden1_to_hidden2"] == "input_to_hidden1"
    assert {"hidden1_to_hidden2", "hidden2_to_hidden1", "output_to_hidden2"} == made.reversed
    (change,) = [c for c in made.changes if "input_to_hidden1" in c.projections]
    assert {(term.post, term.pre) for term in change.terms} == {
        (("hidden1", "error"), ("input", "activity")),
        (("hidden1", "activity"), ("hidden2", "error")),
    }
    must_be_sound(circuit)


def test_a_tie_of_a_tie_turns_twice() -> None:
    circuit = chain_of(4, 5, 4, 5, 3)
    projections = circuit.projections
    circuit = circuit.with_projections(
        hidden1_to_hidden2=projections["hidden1_to_hidden2"].replace(weights=Transpose(of="input_to_hidden1")),
        hidden2_to_hidden3=projections["hidden2_to_hidden3"].replace(weights=Transpose(of="hidden1_to_hidden2")),
    )
    made = plan(rules.shallow(circuit))
    assert made.owners["hidden2_to_hidden3"] == "input_to_hidden1"
    assert made.reversed == {"hidden1_to_hidden2"}


def test_a_relay_carries_error_on_and_has_no_activity() -> None:
    circuit = rules.pfa(chain_of(4, 5, 3), expansion=2)
    relay = next(name for name, entry in circuit.populations.items() if isinstance(entry.model, Relay))
    made = plan(circuit)
    assert not any(isinstance(phase, Forward) and phase.population == relay for phase in made.forward)
    assert [phase.population for phase in made.backward if isinstance(phase, Backward)] == [relay, "hidden1"]


def test_error_into_an_input_changes_nothing_else() -> None:
    made, plain = plan(FLAT), plan(rules.fa(CHAIN))
    assert "input" in made.with_error
    assert isinstance(made.backward[-2], Backward) or isinstance(made.backward[-1], Backward)
    assert [(c.projections, c.biases) for c in made.changes] == [(c.projections, c.biases) for c in plain.changes]
    must_be_sound(FLAT)


def test_populations_that_error_does_not_reach_keep_weights_and_biases() -> None:
    made = plan(rules.shallow(CHAIN))
    assert [(change.projections, change.biases) for change in made.changes] == [(("hidden3_to_output",), ("output",))]
    assert made.with_error == {"output"}


def test_a_bias_without_plastic_input_stays() -> None:
    still = chain_of(4, 5, 3).projections["input_to_hidden1"].replace(plasticity=Fixed())
    circuit = rules.fa(chain_of(4, 5, 3).with_projections(input_to_hidden1=still))
    assert [change.biases for change in plan(circuit).changes] == [("output",)]


def test_plastic_feedback_changes_only_after_it_carried_the_error() -> None:
    back = Projection(source="output", target="hidden1", pathway="feedback", plasticity=KolenPollack())
    circuit = chain_of(4, 5, 3).with_projections(back=back)
    assert order_of(circuit)[0] == "hidden1"
    assert "[hidden1_to_output back]" in order_of(circuit)
    still = chain_of(4, 5, 3).with_projections(back=back.replace(plasticity=Fixed()))
    assert order_of(still)[0] == "[hidden1_to_output]"


def test_each_population_is_routed_by_what_is_known_before_it() -> None:
    made = plan(rules.sal(CHAIN, areas=3, route="population"))
    assert made.routes == {name: f"route_{name}" for name in ("hidden1", "hidden2", "hidden3", "output")}
    assert made.orders == {"input": None, **{name: f"route_{name}" for name in made.routes}}
    phases = [str(phase).split()[1].rstrip(":") for phase in made.forward]
    assert phases == [
        "route_hidden1", "hidden1", "route_hidden2", "hidden2", "route_hidden3", "hidden3", "route_output", "output",
    ]  # fmt: skip


def test_one_route_serves_all_and_samples_keep_its_order() -> None:
    made = plan(rules.sal(CHAIN, areas=3, readout="shared"))
    assert set(made.routes.values()) == {"route_hidden1"}
    assert made.orders["output"] == "route_hidden1"  # no copy back into the order of the samples
    assert sum(isinstance(phase, Route) for phase in made.forward) == 1


def test_a_population_waits_for_what_its_router_reads() -> None:
    chain = chain_of(4, 5, 3)
    circuit = Circuit(
        name="late",
        populations={"first": chain.populations["hidden1"].replace(size=3, areas=2), **chain.populations},
        projections={
            "input_to_first": Projection(source="input", target="first"),
            **chain.projections,
            "first_to_output": Projection(source="first", target="output"),
        },
    )
    route = Projection(source="hidden1", target="first", pathway="modulatory", wiring=Router(rank=2))

    def order(of: Circuit) -> list[str]:
        return [phase.population for phase in plan(rules.shallow(of)).forward if isinstance(phase, Forward)]

    assert order(circuit) == ["first", "hidden1", "output"]
    assert order(circuit.with_projections(route=route)) == ["hidden1", "first", "output"]


def test_equal_circuits_have_equal_plans_that_print_the_same() -> None:
    one, two = plan(rules.pfa(CHAIN, expansion=2)), plan(rules.pfa(chain_of(4, 5, 6, 7, 3), expansion=2))
    assert one == two
    assert str(one) == str(two)


# Memory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "kp", "pfa"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.9)], ids=["plain", "momentum"])
def test_the_memory_of_activities_is_released_while_error_travels_down(rule: str, seeds: Any, optimizer: Any) -> None:
    circuit = getattr(rules, rule)(chain_of(4, 6, 6, 6, 6, 6, 3, activation="tanh"))
    network = ns.compile(circuit, seeds=seeds, device="cpu")
    alive: dict[str, int] = {}
    watched: dict[str, Any] = {}
    sweep: Any = network._sweep

    def watch(name: str, function: Any) -> Any:
        def watching(batch: Any) -> None:
            if not watched:
                watched.update({p: weakref.ref(batch.kept[p]) for p in batch.kept if p.startswith("hidden")})
            alive[name] = sum(reference() is not None for reference in watched.values())
            function(batch)

        return watching

    back = sweep.back
    sweep.back = lambda phase: watch(phase.population, back(phase))
    batch = batch_for(circuit, replicas=len(seeds))
    network.step(batch.x[0].float(), batch.y[0], optimizer=optimizer)
    counts = [alive[f"hidden{index}"] for index in (5, 4, 3, 2, 1)]
    assert counts[0] == 5
    # Error of hidden{i} needs hidden{i}, and nothing above it.
    assert all(count <= index for count, index in zip(counts, (5, 4, 3, 2, 1), strict=True)), counts


def test_one_to_one_feedback_and_its_forward_share_a_change() -> None:
    circuit = chain_of(4, 5, 5, 3).with_projections(
        scale=Projection(source="hidden1", target="hidden2", wiring=OneToOne(), weights=Own(), plasticity=Delta())
    )
    changes = {change.projections for change in plan(rules.kp(circuit)).changes}
    assert ("scale", "hidden2_to_hidden1_2") in changes
