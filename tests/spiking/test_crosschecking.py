"""Both engines on the same circuits: every member of every family, and what happens when one engine is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosal import circuits as library
from neurosal.errors import CircuitError, ExperimentError
from neurosal.graph import (
    LIF,
    Circuit,
    Continuous,
    ExponentialDrive,
    LeakyRate,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    TsodyksMarkram,
    Uniform,
)
from neurosal.lower.spiking import Realised
from neurosal.plasticity import STDP, Combined, Fixed, RewardSTDP, SynapticScaling
from neurosal.runner import crosschecking
from neurosal.runner.crosschecking import CrossCheck, crosscheck, first_difference
from neurosal.runner.sides import OnBrian2, OnTorch
from tests.cli.invoking import invoke
from tests.spiking import members

pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses
ROUNDING = 1e-9


@cache
def of(family: str) -> CrossCheck:
    """Both engines on all members of a family at once."""
    match family:
        case "models":
            return crosscheck(members.of_models(), duration_ms=35)
        case "synapses":
            return crosscheck(members.of_synapses(), duration_ms=25)
        case "short_term":
            return crosscheck(members.of_short_term(), duration_ms=40)
    return crosscheck(members.of_plasticity(tuple(members.PROGRAMS)), duration_ms=25)


def largest_gap(found: CrossCheck, *places: str) -> float:
    """Of the variables of these populations and projections."""
    return max(gap.relative for gap in found.gaps if gap.place.rpartition(".")[0] in places)


@pytest.mark.parametrize("kind", members.MODELS)
def test_every_model_does_the_same_on_both_engines(kind: str) -> None:
    found = of("models")
    assert found.identical, str(found)
    assert largest_gap(found, kind) < ROUNDING
    if members.made(kind, members.MODELS[kind]).dynamics().threshold:
        assert found.spikes[kind][0] > 5
        assert found.spikes[kind][0] == found.spikes[kind][1]


@pytest.mark.parametrize("kind", members.SYNAPSES)
def test_every_synapse_does_the_same_on_both_engines(kind: str) -> None:
    found = of("synapses")
    assert found.identical, str(found)
    assert largest_gap(found, kind, f"{kind}_to_itself") < ROUNDING
    assert found.spikes[kind][0] > 5


@pytest.mark.parametrize("kind", members.SHORT_TERM)
def test_every_short_term_plasticity_does_the_same_on_both_engines(kind: str) -> None:
    found = of("short_term")
    assert found.identical, str(found)
    assert largest_gap(found, kind, f"noise_to_{kind}") < ROUNDING


@pytest.mark.parametrize("kind", members.PROGRAMS)
def test_every_plasticity_changes_weights_alike_on_both_engines(kind: str) -> None:
    found = of("plasticity")
    assert found.identical, str(found)
    learns = next(name for name in (f"noise_learns_{kind}", f"{kind}_learns") if name in found.changed)
    assert found.changed[learns][0] > 0.2
    assert found.changed[learns][0] == found.changed[learns][1]
    assert largest_gap(found, kind, learns) < ROUNDING


def test_families_agree_as_a_whole() -> None:
    for family in ("models", "synapses", "short_term", "plasticity"):
        assert of(family).agrees, str(of(family))


# A mistake in one engine is found -----------------------------------------------------------------------------------


def learning(name: str = "learning") -> Circuit:
    """Spikes that go round, with delays and STDP."""
    model = LIF(bias_mv=Uniform(low=18, high=30), start_mv=Uniform(low=-70, high=-50), refractory_ms=1.0)
    return Circuit(
        name=name,
        populations={
            "noise": Population(size=20, model=PoissonSource(rate_hz=100.0)), "cells": Population(size=60, model=model)
        },
        projections={
            "noise_to_cells": Projection(
                source="noise", target="cells", wiring=Sparse(density=0.5), weights=Own(init=Uniform(low=0.5, high=3)),
                synapse=ExponentialDrive(), plasticity=STDP(a_plus=0.1, a_minus=0.05),
            ),
            "cells_to_cells": Projection(
                source="cells", target="cells", wiring=Sparse(density=0.3), synapse=ExponentialDrive(tau_ms=2.0),
                weights=Own(init=Uniform(low=-6, high=6)), delay_ms=1.0,
            ),
        },
    )  # fmt: skip


class Changed(OnTorch):
    """Other numbers than those it is given."""

    def __init__(self, realised: Sequence[Realised], compiled: bool = False) -> None:
        super().__init__([self.numbers(one) for one in realised], compiled)

    def numbers(self, realised: Realised) -> Realised:
        """What is simulated in place of a replica."""
        raise NotImplementedError


class Delayed(Changed):
    """Every spike arrives a step late."""

    def numbers(self, realised: Realised) -> Realised:
        edges = {name: replace(some, delay=some.delay + 1) for name, some in realised.edges.items()}
        return replace(realised, edges=edges)


class Hasty(Changed):
    """A refractory time that is a step too short."""

    def numbers(self, realised: Realised) -> Realised:
        populations = {}
        for name, entry in realised.populations.items():
            short = entry.dynamics and replace(entry.dynamics, refractory_ms=entry.dynamics.refractory_ms - 0.1)
            populations[name] = replace(entry, dynamics=short)
        return replace(realised, populations=populations)


class Lasting(Changed):
    """Traces that decay a hundredth too slowly."""

    def numbers(self, realised: Realised) -> Realised:
        program = realised.programs["noise_to_cells"]
        constants = {name: value * (1.01 if "tau" in name else 1) for name, value in program.constants.items()}
        programs = {**realised.programs, "noise_to_cells": replace(program, constants=constants)}
        return replace(realised, programs=programs)


class Swapped(OnBrian2):
    """Post spikes before arrivals."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        synapses = self._built.synapses["noise_to_cells"][0]
        synapses.pre.order, synapses.post.order = 9, -9


@pytest.mark.parametrize("wrong", [Delayed, Hasty, Lasting, Swapped])
def test_a_mistake_in_one_engine_is_found(wrong: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosschecking, "OnBrian2" if issubclass(wrong, OnBrian2) else "OnTorch", wrong)
    found = crosscheck(learning(), duration_ms=40, seeds=(1,))
    assert found.faults, str(found)
    assert not found.agrees
    assert found.timing == {}
    assert "brian2: build" not in str(found)


def test_without_a_mistake_they_agree_and_say_how_long_it_took() -> None:
    found = crosscheck(learning(), duration_ms=40)
    assert found.agrees, str(found)
    assert set(found.timing) == {"torch", "brian2"}
    assert "brian2: build" in str(found)
    assert found.changed["noise_to_cells"][0] > 0.5


def test_traces_that_are_read_at_intervals_are_compared_as_they_are_beside_statements_of_each_step() -> None:
    circuit = learning()
    rules = (RewardSTDP(nu=1e-4, signal="v_mv"), SynapticScaling(every_ms=2.0, tau_ms=30.0))
    both = circuit.projections["noise_to_cells"].replace(plasticity=Combined(parts=rules))
    found = crosscheck(circuit.with_projections(noise_to_cells=both), duration_ms=20)
    assert not found.faults, str(found)
    assert max(gap.relative for gap in found.gaps) < ROUNDING


@pytest.mark.parametrize("replicas", [1, 2])
def test_plasticity_of_what_is_heard_all_the_time_sees_spikes_of_its_target(replicas: int) -> None:
    circuit = learning()
    heard = Projection(
        source="cells",
        target="cells",
        wiring=Sparse(density=0.2),
        weights=Own(init=Uniform(low=0.1, high=1)),
        synapse=Continuous(variable="v_mv", port="current_pa"),
        plasticity=SynapticScaling(every_ms=1.0),
    )
    found = crosscheck(circuit.with_projections(heard=heard), duration_ms=20, replicas=replicas, graph_seed=3)
    for one in (found, *found.others):
        assert not one.faults, str(one)
        assert one.changed["heard"][0] > 0.3
        activity = next(gap for gap in one.gaps if gap.place == "heard.activity")
        assert activity.relative < ROUNDING


class Nudged(Changed):
    """Weights that are off by as much as the tolerance of the test lets through."""

    def numbers(self, realised: Realised) -> Realised:
        edges = {name: replace(some, weight=some.weight * 1.0002) for name, some in realised.edges.items()}
        return replace(realised, edges=edges)


def test_after_the_first_different_spike_distributions_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = learning()
    edge = circuit.projections["noise_to_cells"].replace(plasticity=Fixed())
    fixed = circuit.with_projections(noise_to_cells=edge)
    monkeypatch.setattr(crosschecking, "OnTorch", Nudged)
    found = crosscheck(fixed, duration_ms=150, tolerance=1e-2, seeds=(1, 2, 3))
    assert found.agrees, str(found)
    first = found.divergence
    assert first is not None
    assert abs(first.torch - first.brian2) < 0.5
    assert first.margin is not None
    assert abs(first.margin) < 0.5
    assert f"{first.population} unit {first.unit} at {first.time_ms:g} ms" in str(found)
    assert {row.statistic for row in found.compared} == {"rate (Hz)", "CV", "correlation"}
    assert all(row.between_seeds > 0 for row in found.compared)


# Ways to execute a circuit ------------------------------------------------------------------------------------------


def alike() -> Circuit:
    """`learning`, a second population of the same equations, one that moves in its refractory time, delays of single
    synapses, short-term plasticity."""
    circuit = learning("alike")
    cells = circuit.populations["cells"]
    back = Projection(source="others", target="cells", wiring=Sparse(density=0.3), synapse=ExponentialDrive(tau_ms=2.0),
                      weights=Own(init=Uniform(low=-6, high=6)), delay_ms=Uniform(low=0, high=2),
                      short_term=TsodyksMarkram())  # fmt: skip
    moving = LIF(bias_mv=Uniform(low=60, high=90), clamped=False, refractory_ms=5.0)  # up to its threshold in 4 ms
    populations = {**circuit.populations, "others": cells.replace(size=30),
                   "moving": Population(size=8, model=moving)}  # fmt: skip
    return circuit.replace(populations=populations, projections={**circuit.projections, "others_to_cells": back})


def test_compiled_replicas_do_what_brian2_does_with_each_seed() -> None:
    found = crosscheck(alike(), duration_ms=40, torch="compiled", replicas=2, merge=True)
    assert found.agrees, str(found)
    assert [one.seed for one in (found, *found.others)] == [0, 1]
    assert found.spikes != found.others[0].spikes
    for one in (found, *found.others):
        assert one.identical
        assert min(one.spikes["cells"][0], one.spikes["others"][0]) > 20
        assert max(gap.relative for gap in one.gaps) < ROUNDING
    first = str(found).splitlines()[0]
    assert first.startswith("alike: torch (compiled, 2 replicas) and Brian2 (numpy, merged groups) agree")
    assert "seeds 0 to 1" in first


class Pretended(OnBrian2):
    """Stands in for a program in C++, which takes half a minute to compile; tests/runner/test_brian2_running.py has a
    real one."""

    made: list[tuple[int, int, tuple[str, int] | None, bool]]

    def __init__(self, realised: Realised, steps: int, every: int, watched: tuple[str, int] | None = None,
                 merge: bool = False) -> None:  # fmt: skip
        self.made.append((steps, every, watched, merge))
        super().__init__(realised, steps, watched=watched, merge=merge)


def test_a_program_in_c_is_asked_for_what_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pretended, "made", [], raising=False)
    monkeypatch.setattr(crosschecking, "OnStandalone", Pretended)
    found = crosscheck(learning(), duration_ms=40, brian2="standalone", merge=True)
    assert found.agrees, str(found)
    assert Pretended.made == [(400, 400, None, True)]
    assert "-ffast-math" not in str(found)
    rates = Circuit(name="rates", populations={"rates": Population(size=2, model=LeakyRate(bias=0.5))})
    monkeypatch.setattr(crosschecking, "SHARES", 3)  # Brian2 makes its code anew for every window
    found = crosscheck(rates, duration_ms=0.7, brian2="standalone")
    assert Pretended.made[1:] == [(7, 2, None, False)]
    assert found.agrees, str(found)
    assert found.moments == 4
    assert "no spikes" in str(found)
    assert "at 4 moments" in str(found)
    monkeypatch.setattr(crosschecking, "OnTorch", Delayed)
    found = crosscheck(learning(), duration_ms=15, brian2="standalone", seeds=(1,))
    assert found.divergence is not None
    step, unit = found.divergence.step, found.divergence.unit
    assert ("compiles with -ffast-math by default" in str(found)) == ("-ffast-math" in found.ways.flags)
    assert Pretended.made[3:] == [(step + 1, step, (found.divergence.population, unit), False)]


def test_a_mistake_in_one_of_several_replicas_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(Delayed):
        def numbers(self, realised: Realised) -> Realised:
            return super().numbers(realised) if realised.seed == 1 else realised

    monkeypatch.setattr(crosschecking, "OnTorch", Late)
    found = crosscheck(learning(), duration_ms=40, seeds=(2,), replicas=2)
    assert not found.faults
    assert found.identical
    assert found.others[0].faults
    assert found.differs
    assert found.timing == {}
    assert "do not agree" in str(found)


# Evidence ------------------------------------------------------------------------------------------------------------


def test_few_spikes_and_weights_that_never_change_are_no_evidence() -> None:
    circuit = learning()
    still = circuit.projections["noise_to_cells"].replace(plasticity=STDP(rate=0.0))
    found = crosscheck(circuit.with_projections(noise_to_cells=still), duration_ms=4)
    assert found.faults == ()
    assert not found.agrees
    assert any("fewer than 100" in text for text in found.missing)
    assert any("no weight of noise_to_cells changed" in text for text in found.missing)


def test_rates_without_time_and_odd_settings_are_refused() -> None:
    with pytest.raises(CircuitError, match=r"ns\.train"):
        crosscheck(library.mlp(4, 3, 2))
    with pytest.raises(ExperimentError) as caught:
        crosscheck(learning(), duration_ms=1.05, torch="compile", replicas=0, brian2="fortran")
    assert [problem.place for problem in caught.value.problems] == ["duration_ms", "torch", "brian2", "replicas"]
    for name, numbers in {"duration_ms": (np.nan, np.inf, 1e300), "dt_ms": (np.nan, np.inf, 0.0)}.items():
        for odd in numbers:
            with pytest.raises(ExperimentError) as caught:
                crosscheck(learning(), **{name: odd})
            assert [problem.place for problem in caught.value.problems] == [name]


def spikes(**populations: list[tuple[int, int]]) -> Any:
    return {name: tuple(np.array(some, "int64").reshape(-1, 2).T) for name, some in populations.items()}


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": [(1, 2)]}, {"a": [(1, 2)]}, None),
        ({"a": []}, {"a": []}, None),
        ({"a": [(1, 2), (3, 0)]}, {"a": [(1, 2)]}, (3, "a", 0, True, 0)),
        ({"a": [(5, 0)]}, {"a": [(4, 1), (5, 0)]}, (4, "a", 1, False, 0)),
        ({"a": [(5, 0), (5, 3)]}, {"a": [(5, 1), (5, 3)]}, (5, "a", 0, True, 1)),
        ({"a": [(9, 0)], "b": [(2, 4)]}, {"a": [], "b": []}, (2, "b", 4, True, 0)),
        ({"a": [(2, 1)], "b": [(2, 4)]}, {"a": [], "b": []}, (2, "a", 1, True, 1)),
        ({"a": [(2, 1), (2, 1)]}, {"a": [(2, 1)]}, (2, "a", 1, True, 0)),
    ],
)
def test_the_first_different_spike(one: Any, other: Any, found: Any) -> None:
    assert first_difference(spikes(**one), spikes(**other)) == found


# Command line --------------------------------------------------------------------------------------------------------


def test_the_command_says_whether_they_agree_by_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "learning.yaml"
    file.write_text(learning().to_yaml(), encoding="utf-8")
    said = invoke("crosscheck", file, "--duration-ms", 40, "--replicas", 2, "--merge")[0]
    assert "torch (eager, 2 replicas) and Brian2 (numpy, merged groups) agree" in said
    assert "eager, compiled" in invoke("crosscheck", file, "--torch", "compile", code=2)[1]
    assert (
        "no evidence that torch (eager) and Brian2 (numpy) agree"
        in invoke("crosscheck", file, "--duration-ms", 2, code=6)[0]
    )
    assert "ns.train" in invoke("crosscheck", "mlp", code=2)[1]
    assert "experiment" in invoke("crosscheck", "sal_digits", code=2)[1]
