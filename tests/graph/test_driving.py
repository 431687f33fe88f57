"""The part of a circuit that hears from one population, with noise in its place."""

from __future__ import annotations

import pytest

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Population, Projection, Source, Transpose
from tests.rules.table import TABLE, Case, chain_of

CHAIN = chain_of(4, 6, 5, 3)


def test_what_does_not_hear_from_the_population_goes_and_feedback_into_it_stays() -> None:
    context = rules.kp(CHAIN).with_populations(context=Population(size=2, model=Source()))
    circuit = context.with_projections(
        context_to_output=Projection(source="context", target="output"),
        input_to_output=Projection(source="input", target="output"),
    )
    driven = circuit.driven_at("hidden1")
    assert list(driven.populations) == ["hidden1", "hidden2", "output"]
    assert set(driven.projections) == {
        "hidden1_to_hidden2",
        "hidden2_to_output",
        "hidden2_to_hidden1",
        "output_to_hidden2",
    }
    assert driven.populations["hidden1"].model == Source(driven=True)
    assert driven.populations["hidden1"].units == 6
    ns.check(driven)
    assert Circuit.from_yaml(driven.to_yaml()) == driven


@pytest.mark.parametrize("case", [case for case in TABLE if case.areas == 1], ids=lambda case: case.name)
@pytest.mark.parametrize("population", ["hidden1", "hidden2"])
def test_what_is_left_of_every_rule_fits_together(case: Case, population: str) -> None:
    ns.check(case.make(CHAIN).driven_at(population))


def test_relays_that_lead_nowhere_go() -> None:
    driven = rules.pfa(CHAIN).driven_at("hidden2")
    assert [name for name in driven.populations if name.startswith("relay")] == ["relay_hidden2_to_output"]


def test_areas_of_the_driven_population_go_and_those_above_it_keep_a_router_that_is_left() -> None:
    own = rules.sal(CHAIN, areas=3, route="population")
    driven = own.driven_at("hidden1")
    assert driven.populations["hidden1"].areas == 1
    assert driven.populations["hidden2"].areas == 3
    ns.check(driven)
    shared = rules.sal(CHAIN, areas=3)
    with pytest.raises(ns.CircuitError, match="areas of 'hidden2' chosen from 'hidden1'"):
        shared.driven_at("hidden1")


def test_weights_whose_origin_goes_are_refused() -> None:
    circuit = chain_of(4, 3, 4).with_projections(
        hidden1_to_output=Projection(source="hidden1", target="output", weights=Transpose(of="input_to_hidden1"))
    )
    with pytest.raises(ns.CircuitError, match="weights of its own"):
        circuit.driven_at("hidden1")


@pytest.mark.parametrize(
    ("population", "expected"),
    [
        ("hiden1", "Did you mean 'hidden1'"),
        ("output", "that another one hears from"),
        ("relay_hidden1_to_hidden2", "with activity"),
    ],
)
def test_populations_that_cannot_be_driven_are_refused(population: str, expected: str) -> None:
    with pytest.raises(ns.CircuitError, match=expected):
        rules.pfa(CHAIN).driven_at(population)
