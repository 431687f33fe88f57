"""First weights and the bounds of what changes them."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal.checks import check
from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    Copy,
    EdgeList,
    ExponentialDrive,
    Given,
    Initialiser,
    LogNormal,
    Modulation,
    Normal,
    Own,
    Plasticity,
    Population,
    Projection,
    TruncatedNormal,
    Uniform,
    XavierUniform,
)
from neurosal.plasticity import STDP, Combined, Gated, InhibitorySTDP, Normalised, SpikeAlignment

UP_TO_2 = STDP(w_max=2.0)


def said(plasticity: Plasticity, init: Initialiser, **fields: Any) -> list[Problem]:
    cells = Population(size=4, model=LIF())
    learns = Projection(source="a", target="b", synapse=ExponentialDrive(), plasticity=plasticity,
                        weights=Own(init=init), **fields)  # fmt: skip
    gate = Projection(source="a", target="b", synapse=Modulation(variable="gate"), weights=Own(init=Constant()))
    circuit = Circuit(populations={"a": cells, "b": cells}, projections={"learns": learns, "gate": gate})
    try:
        check(circuit)
    except CircuitError as error:
        return list(error.problems)
    return []


OUTSIDE: dict[str, tuple[Plasticity, Initialiser]] = {
    "a constant above": (UP_TO_2, Constant(value=2.5)),
    "a constant below": (UP_TO_2, Constant(value=-0.1)),
    "a range that goes beyond": (UP_TO_2, Uniform(low=0.5, high=2.1)),
    "a range that begins below": (STDP(w_min=0.5), Uniform(low=0.4, high=2.1)),
    "soft bounds": (STDP(w_max=2.0, mu_plus=1, mu_minus=1), Uniform(low=1.9, high=2.1)),
    "cut draws": (UP_TO_2, TruncatedNormal(mean=1.0, std=1.0, low=-0.5, high=1.5)),
    "draws that are mostly outside": (UP_TO_2, Normal(mean=2.5, std=0.1)),
    "draws around a bound": (STDP(), XavierUniform()),
    "inhibition with bounds of excitation": (InhibitorySTDP(), Uniform(low=-2.0, high=-1.0)),
    "under a gate": (Gated(of=UP_TO_2), Constant(value=3.0)),
    "one of several": (Combined(parts=(UP_TO_2, STDP(w_max=1.0))), Constant(value=1.5)),
    "multiplied, of both signs": (Normalised(total=5.0), Uniform(low=-0.1, high=2.0)),
    "multiplied, of the other sign": (Normalised(total=-5.0), Constant(value=1.0)),
    "log-normal, mostly above": (UP_TO_2, LogNormal(log_mean=1.0, log_std=0.1)),
}
WITHIN: dict[str, tuple[Plasticity, Initialiser]] = {
    "at the bounds": (UP_TO_2, Uniform(low=0.0, high=2.0)),
    "a constant at a bound": (UP_TO_2, Constant(value=2.0)),
    "all the same": (UP_TO_2, Uniform(low=0.0, high=0.0)),
    "no bounds": (SpikeAlignment(), Normal(std=2.0)),
    "draws of which a part is outside": (UP_TO_2, Normal(mean=1.0, std=0.8)),
    "log-normal": (UP_TO_2, LogNormal(log_mean=0.0, log_std=0.5)),
    "multiplied": (Normalised(total=5.0), Uniform(low=0.0, high=2.0)),
    "by an amount": (Normalised(total=5.0, by="amount"), Uniform(low=-1.0, high=2.0)),
    "without one bound": (STDP(w_min=None, w_max=2.0), Normal(mean=-3.0)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_first_weights_outside_of_bounds_are_refused(name: str) -> None:
    (problem,) = said(*OUTSIDE[name])
    assert problem.place == "projections.learns.weights.init"
    assert problem.expected.startswith("weights from ")
    assert f"({OUTSIDE[name][0].kind})" in problem.expected
    assert problem.found.startswith(type(OUTSIDE[name][1]).__name__)
    assert "w_min, w_max" in problem.remedy


@pytest.mark.parametrize("name", WITHIN)
def test_first_weights_within_bounds_pass(name: str) -> None:
    assert said(*WITHIN[name]) == []


def test_given_weights_are_looked_at_one_by_one() -> None:
    wiring = EdgeList(edges=((0, 1), (1, 2), (2, 3)))
    assert said(UP_TO_2, Given(values=(0.0, 2.0, 1.0)), wiring=wiring) == []
    (problem,) = said(UP_TO_2, Given(values=(0.0, 2.0001, 1.0)), wiring=wiring)
    assert problem.expected == "weights from 0 to 2, as its plasticity (stdp) keeps them"


def test_a_sign_and_bounds_that_leave_nothing_are_refused() -> None:
    (problem,) = said(STDP(), Constant(value=-1.0), sign="inhibitory")
    assert problem.place == "projections.learns.sign"
    assert problem.found == "inhibitory, so that all would be 0"
    (problem,) = said(STDP(w_min=-2.0, w_max=0.0), Constant(value=1.0), sign="excitatory")
    assert problem.place == "projections.learns.sign"
    assert said(STDP(w_min=-2.0), Constant(value=-1.0), sign="inhibitory") == []


def test_draws_that_the_sign_makes_0_are_within_bounds_that_begin_there() -> None:
    assert said(UP_TO_2, Uniform(low=-1.0, high=1.0), sign="excitatory") == []
    assert len(said(UP_TO_2, Uniform(low=-1.0, high=3.0), sign="excitatory")) == 1
    assert said(UP_TO_2, XavierUniform(), sign="excitatory") == []
    assert len(said(UP_TO_2, Normal(mean=2.5, std=0.1), sign="excitatory")) == 1


def test_parts_whose_bounds_leave_nothing_are_refused() -> None:
    apart = Combined(parts=(UP_TO_2, STDP(w_min=3.0)))
    (problem,) = said(apart, Constant(value=1.0))
    assert (problem.place, problem.found) == ("projections.learns.plasticity", "bounds from 3 to 2")


def test_weights_that_come_from_another_projection_are_looked_at_where_they_learn() -> None:
    cells = Population(size=4, model=LIF())
    there = Projection(source="a", target="b", synapse=ExponentialDrive(), weights=Own(init=Uniform(low=-3, high=3)))
    back = Projection(source="b", target="a", synapse=ExponentialDrive(), weights=Copy(of="there"), plasticity=UP_TO_2)
    with pytest.raises(CircuitError) as caught:
        check(Circuit(populations={"a": cells, "b": cells}, projections={"there": there, "back": back}))
    (problem,) = caught.value.problems
    assert problem.place == "projections.back.weights.init"
