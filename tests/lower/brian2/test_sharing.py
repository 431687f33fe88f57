"""Populations of the same equations share a group of Brian2, whatever their numbers, and projections their synapses."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal import circuits
from neurosal.graph import LIF, Circuit, ExponentialDrive, Own, PoissonSource, Population, Projection, Sparse, Uniform
from neurosal.lower.brian2.describing import describe
from neurosal.runner.crosschecking import crosscheck

DT_MS = 0.1
QUIET = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses
CELLS = LIF(e_leak_mv=-60.0, bias_mv=8.0, start_mv=Uniform(low=-65, high=-50))


def groups_of(**models: Any) -> list[list[str]]:
    """Which populations of these models share a group."""
    circuit = Circuit(populations={name: Population(size=3, model=model) for name, model in models.items()})
    return [list(group.populations) for group in describe(circuit, dt_ms=DT_MS, merge=True).groups.values()]


def test_populations_that_differ_in_numbers_share_a_group() -> None:
    low = CELLS.replace(bias_mv=9.0, v_threshold_mv=-52.0, v_reset_mv=-61.0)
    assert groups_of(one=CELLS, other=low) == [["one", "other"]]
    drawn = CELLS.replace(bias_mv=Uniform(low=8, high=9))
    assert groups_of(one=CELLS, drawn=drawn, like=drawn.replace(v_reset_mv=-61.0)) == [["one"], ["drawn", "like"]]
    assert groups_of(one=CELLS, late=CELLS.replace(refractory_ms=5.0)) == [["one"], ["late"]]
    assert groups_of(one=CELLS, moving=CELLS.replace(clamped=False)) == [["one"], ["moving"]]


def test_time_constants_of_exact_steps_stay_numbers() -> None:
    slow = CELLS.replace(tau_m_ms=30.0, bias_mv=9.0)
    assert groups_of(one=CELLS, slow=slow, other=slow.replace(bias_mv=12.0)) == [["one"], ["slow", "other"]]
    stepwise = CELLS.replace(method="exponential_euler")
    assert groups_of(one=stepwise, slow=stepwise.replace(tau_m_ms=30.0)) == [["one", "slow"]]


def test_the_microcircuit_is_one_group_and_one_set_of_synapses_beside_those_of_its_background() -> None:
    """What takes half a minute to compile in C++ in place of many."""
    circuit = circuits.microcircuit(0.01)
    apart, shared = (describe(circuit, dt_ms=DT_MS, merge=merge) for merge in (False, True))
    assert (len(apart.groups), len(apart.joints)) == (8, 63)
    assert (len(shared.groups), len(shared.joints)) == (1, 9)
    assert shared.groups["l23e"].size == sum(circuit.populations[name].units for name in apart.groups)


@QUIET
@pytest.mark.parametrize("method", ["exact", "exponential_euler"])
def test_what_shares_a_group_does_what_it_did_by_itself(method: str) -> None:
    """Thresholds, resets and drives differ, so that numbers which reached other units would show."""
    models = {
        "one": CELLS.replace(method=method),
        "two": CELLS.replace(method=method, bias_mv=12.0, v_reset_mv=-62.0),
        "three": CELLS.replace(method=method, bias_mv=5.0, v_threshold_mv=-54.0),
    }
    populations = {name: Population(size=10 + place, model=model) for place, (name, model) in enumerate(models.items())}
    synapse = ExponentialDrive(receptor="drive")
    projections = {
        f"{source}_to_{target}": Projection(
            source=source, target=target, wiring=Sparse(density=0.3), synapse=synapse, delay_ms=1.0,
            weights=Own(init=Uniform(low=0, high=20.0 if source == "noise" else 4.0)),
        )
        for source in ("noise", *models)
        for target in models
    }  # fmt: skip
    noise = Population(size=10, model=PoissonSource(rate_hz=100.0))
    circuit = Circuit(name="shared", populations={"noise": noise, **populations}, projections=projections)
    assert len(describe(circuit, dt_ms=DT_MS, merge=True).groups) == 1
    found = crosscheck(circuit, duration_ms=60, merge=True)
    assert found.agrees, str(found)
    assert found.identical
    assert all(torch > 20 for torch, _ in found.spikes.values()), str(found)
    assert max(gap.relative for gap in found.gaps) < 1e-11
