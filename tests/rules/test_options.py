"""What rules refuse, and that they name everything that is wrong at once."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Population, Projection, Source, XavierUniform
from tests.rules.table import TABLE, Case, chain_of

SMALL = chain_of(3, 4, 2)


def problems(rule: Any, *args: Any, **options: Any) -> list[str]:
    with pytest.raises(CircuitError) as caught:
        rule(*args, **options)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", rules.__all__)
def test_an_unknown_option_is_refused_with_near_names(name: str) -> None:
    found = problems(getattr(rules, name), SMALL, keep_fedback=True)
    assert len(found) == 1
    assert found[0].startswith(f"rules.{name}.keep_fedback: expected a known option")
    assert ("Did you mean 'keep_feedback'" in found[0]) == (name not in ("shallow", "sal"))


@pytest.mark.parametrize("name", rules.__all__)
@pytest.mark.parametrize("wrong", [None, {}, "mlp"])
def test_something_that_is_no_circuit_is_refused(name: str, wrong: object) -> None:
    assert problems(getattr(rules, name), wrong) == [
        f"rules.{name}: expected one circuit, and options by keyword, found {type(wrong).__name__}"
    ]


@pytest.mark.parametrize("name", rules.__all__)
def test_a_projection_that_ends_nowhere_is_refused_with_its_place(name: str) -> None:
    loose = SMALL.with_projections(stray=Projection(source="hiden1", target="nowhere"))
    found = problems(getattr(rules, name), loose)
    assert (
        found[0]
        == "projections.stray.source: expected the name of a population, found 'hiden1'. Did you mean 'hidden1'?"
    )
    assert found[1].startswith("projections.stray.target: expected the name of a population, found 'nowhere'")


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_a_circuit_with_feedback_is_refused_unless_mixing_is_asked_for(case: Case) -> None:
    found = problems(case.make, rules.fa(SMALL))
    assert len(found) == 1
    assert "expected a circuit without feedback projections, found output_to_hidden1" in found[0]


@pytest.mark.parametrize("name", ["bp", "fa", "dfa", "kp", "kp_tied", "pfa", "pfa_o"])
def test_keeping_feedback_adds_only_what_is_missing(name: str) -> None:
    already = rules.fa(SMALL)
    assert getattr(rules, name)(already, keep_feedback=True) == already


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({"areas": 0, "rank": True}, ["areas", "rank"]),
        ({"route": "shard", "router": "frosen", "reduction": 3}, ["route", "reduction", "router"]),
        ({"readout": "area", "init": None, "feedback": "kq"}, ["readout", "init", "feedback"]),
        ({"route_from": "hidden1"}, ["route_from"]),
        ({"route_from": "imput"}, ["route_from"]),
        ({"route": "population", "route_from": "input"}, ["route_from"]),
        ({"feedback_init": "xavier", "density": 2}, ["density", "feedback_init"]),
        ({"feedback": "usf", "feedback_init": XavierUniform()}, ["feedback_init"]),
        ({"feedback": "bp", "feedback_init": XavierUniform(), "density": 0.5}, ["density", "feedback_init"]),
    ],
)
def test_sal_names_every_wrong_option_at_once(options: dict[str, Any], places: list[str]) -> None:
    found = problems(rules.sal, SMALL, **options)
    assert [line.split(":")[0] for line in found] == [f"rules.sal.{place}" for place in places]


def test_sal_draws_feedback_as_it_is_told_and_forward_weights_as_before() -> None:
    small = XavierUniform(gain=0.1)
    circuit = rules.sal(SMALL, areas=3, feedback_init=small)
    inits = {
        name: getattr(circuit.projections[name].weights, "init", None) for name in circuit.select(pathway="feedback")
    }
    assert inits == dict.fromkeys(inits, small)
    assert circuit.select(pathway="feedforward") == rules.sal(SMALL, areas=3).select(pathway="feedforward")


def test_sal_refuses_a_circuit_with_areas() -> None:
    assert (
        "expected a circuit without areas and routers" in problems(rules.sal, rules.sal(SMALL, feedback="shallow"))[0]
    )


def test_sal_refuses_a_circuit_in_which_nothing_learns() -> None:
    still = Circuit(populations={"input": Population(size=2, model=Source())})
    assert problems(rules.sal, still) == [
        "projections: expected a plastic feedforward projection, whose target gets areas, found none"
    ]
    assert "below the output" in problems(rules.sal, chain_of(3, 2), readout="shared")[0]


@pytest.mark.parametrize(
    ("rule", "options", "place"),
    [
        (rules.pfa, {"expansion": 0}, "rules.pfa.expansion"),
        (rules.pfa, {"expansion": float("nan")}, "rules.pfa.expansion"),
        (rules.pfa, {"expansion": "10"}, "rules.pfa.expansion"),
        (rules.kp, {"init": "xavier_unifrom"}, "rules.kp.init"),
        (rules.fa, {"init": 3}, "rules.fa.init"),
        (rules.dfa, {"init": None}, "rules.dfa.init"),
        (rules.bp, {"to_input": "yes"}, "rules.bp.to_input"),
        (rules.bp, {"keep_feedback": 1}, "rules.bp.keep_feedback"),
        (rules.bp, {"only": "hidden1_to_output"}, "rules.bp.only"),
        (rules.bp, {"only": ["hidden_to_output"]}, "rules.bp.only"),
        (rules.dfa, {"only": ["hiden1"]}, "rules.dfa.only"),
    ],
)
def test_a_wrong_option_is_refused_with_its_place(rule: Any, options: dict[str, Any], place: str) -> None:
    found = problems(rule, SMALL, **options)
    assert [line.split(":")[0] for line in found] == [place]


def test_direct_feedback_needs_one_output() -> None:
    two = SMALL.with_populations(other=Population(size=2)).with_projections(
        more=Projection(source="hidden1", target="other")
    )
    assert "expected one output" in problems(rules.dfa, two)[0]
