"""Runs on Brian2: windows, shared groups, what is recorded, and what stays as it was."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neurosal.errors import ExperimentError
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialDrive,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    TsodyksMarkram,
    Uniform,
)
from neurosal.lower.spiking import Realised, realise
from neurosal.runner import brian2_running, garbage
from neurosal.runner.brian2_running import Running, Trace, run_brian2
from neurosal.runner.crosschecking import gaps_between
from neurosal.runner.sides import OnBrian2, OnStandalone, OnTorch

brian2 = pytest.importorskip("brian2")
pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses

STEPS = 600


def drive(source: str, target: str, receptor: str, **fields: object) -> Projection:
    tau_ms = 5.0 if receptor == "excitatory" else 10.0
    return Projection(
        source=source, target=target, synapse=ExponentialDrive(tau_ms=tau_ms, receptor=receptor), **fields
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def realised() -> Realised:
    """Two populations of the same model, with delays of every kind, depression, and a Poisson source."""
    cells = LIF(bias_mv=15.0, start_mv=Uniform(low=-70, high=-50))
    inhibition = Own(init=Constant(value=-4.0))
    circuit = Circuit(
        populations={
            "input": Population(size=20, model=PoissonSource(rate_hz=400)),
            "e": Population(size=30, model=cells),
            "i": Population(size=10, model=cells),
        },
        projections={
            "input_to_e": drive("input", "e", "excitatory", wiring=Sparse(density=0.5), delay_ms=1.5,
                                weights=Own(init=Constant(value=2.0))),
            "e_to_i": drive("e", "i", "excitatory", delay_ms=Uniform(low=0, high=3),
                            weights=Own(init=Uniform(low=0, high=3))),
            "i_to_e": drive("i", "e", "inhibitory", delay_ms=1.0, weights=inhibition, sign="inhibitory"),
            "i_to_i": drive("i", "i", "inhibitory", delay_ms=1.0, weights=inhibition, sign="inhibitory"),
            "e_to_e": drive("e", "e", "excitatory", weights=Own(init=Constant(value=0.5)), short_term=TsodyksMarkram()),
        },
    )  # fmt: skip
    return realise(circuit, seed=3, dt_ms=0.1)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """What Brian2 keeps for a process is as it was."""
    from brian2.devices.device import get_device, runtime_device

    brian2.prefs.codegen.target = "auto"
    brian2.defaultclock.dt = 0.25 * brian2.ms
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert brian2.prefs.codegen.target == "auto"
    assert float(brian2.defaultclock.dt) == pytest.approx(0.25e-3, rel=1e-12)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert get_device() is runtime_device
    brian2.defaultclock.dt = 0.1 * brian2.ms


def test_windows_add_up_to_one_run_and_groups_may_be_shared(realised: Realised) -> None:
    trace = {"i": Trace(("v_mv", "d_excitatory_mv"), every=10, units=(1, 4))}
    whole = run_brian2(realised, STEPS, traces=trace)
    apart = Running(realised, STEPS, traces=trace, merge=False)
    first, second = apart.run(250), apart.run(STEPS - 250)
    assert sum(len(unit_L) for _, unit_L in whole.spikes.values()) > 200
    assert len(whole.spikes["i"][0]) > 10
    for name, ends in whole.spikes.items():
        for side in (0, 1):
            np.testing.assert_array_equal(np.r_[first.spikes[name][side], second.spikes[name][side]], ends[side])
    for population, variables in whole.state.items():
        for variable, values in variables.items():
            np.testing.assert_allclose(second.state[population][variable], values, rtol=1e-13)
    np.testing.assert_array_equal(whole.traces["i"][0], np.arange(0, STEPS, 10))
    v_TU = whole.traces["i"][1]["v_mv"]
    assert v_TU.shape == (STEPS // 10, 2)
    np.testing.assert_array_equal(v_TU[0], realised.state["i"]["v_mv"][[1, 4]])
    np.testing.assert_allclose(np.r_[first.traces["i"][1]["v_mv"], second.traces["i"][1]["v_mv"]], v_TU, rtol=1e-13)


def test_variables_of_synapses_are_those_of_the_end_of_the_run(realised: Realised) -> None:
    """u of short-term plasticity, from the spikes by hand: d(u)/dt = -u/100 ms, u += (1 - u)/2 at a spike."""
    ran = run_brian2(realised, STEPS)
    step_L, unit_L = ran.spikes["e"]
    assert len(step_L) > 20
    for synapse, pre in list(enumerate(realised.edges["e_to_e"].pre))[::29]:
        u, last = 0.0, 0
        for step in step_L[unit_L == pre]:
            u *= np.exp(-(step - last) * 0.1 / 100)
            u, last = u + 0.5 * (1 - u), step
        u *= np.exp(-(STEPS - last) * 0.1 / 100)
        assert ran.variables["e_to_e"]["u"][synapse] == pytest.approx(u, rel=1e-12, abs=1e-15)


def test_a_program_in_c_makes_the_same_spikes_and_leaves_nothing_behind(realised: Realised, tmp_path: Path) -> None:
    """One program for all: what it gives, and what can be looked at in it before its end."""
    tempfile.tempdir = str(tmp_path)
    trace = {"i": Trace(("v_mv",), every=100)}
    try:
        program = OnStandalone(realised, STEPS, 200, watched=("i", 3), merge=True, traces=trace)
    finally:
        tempfile.tempdir = None
    assert not list(tmp_path.glob("brian2_*"))
    alone, ran = program.ran, run_brian2(realised, STEPS, traces=trace)
    for name, ends in ran.spikes.items():
        for side in (0, 1):
            np.testing.assert_array_equal(alone.spikes[name][side], ends[side])
            np.testing.assert_array_equal(program.spikes()[name][side], ends[side])
    for name in realised.edges:
        np.testing.assert_allclose(alone.weights[name], ran.weights[name], rtol=1e-12)
    np.testing.assert_allclose(alone.variables["e_to_e"]["u"], ran.variables["e_to_e"]["u"], rtol=1e-12)
    np.testing.assert_allclose(alone.traces["i"][1]["v_mv"], ran.traces["i"][1]["v_mv"], rtol=1e-12)
    assert min(alone.seconds[part] for part in ("build", "compile", "simulate")) > 0
    assert alone.seconds["compile"] > alone.seconds["simulate"]
    torch, runtime = OnTorch([realised]), OnBrian2(realised, STEPS, watched=("i", 3))
    for moment in (0, 200, 400, STEPS):
        for engine in (program, torch, runtime) if moment else ():
            engine.advance(200)
        gaps = gaps_between(torch, program)
        assert {"i.v_mv", "input_to_e.w", "e_to_e.u", "e_to_e.x"} <= {gap.place for gap in gaps}
        assert max(gap.relative for gap in gaps) < 1e-11
    watched = program.before_threshold("i")
    assert watched == pytest.approx(runtime.before_threshold("i"), rel=1e-12)


def test_the_same_circuit_has_the_same_code_again_in_one_process(realised):
    """What Brian2 caches by its text is not compiled twice."""

    def code(running: Running) -> dict[str, str]:
        running.run(1)
        objects = [entry for entry in running.built.network.sorted_objects if hasattr(entry, "codeobj")]
        return {entry.name: str(entry.codeobj.code) for entry in objects}

    first, second = (Running(realised, steps) for steps in (3, 5))
    found = code(first)
    assert len(found) > 5
    assert code(second) == found


def test_making_code_is_told_apart_from_running_it(realised):
    running = Running(realised, 400)
    first, second = running.run(1), running.run(300)
    assert first.seconds["simulate"] < first.seconds["compile"]
    assert second.seconds["simulate"] > first.seconds["simulate"]
    assert second.seconds["build"] == 0.0


def test_what_was_there_before_is_searched_for_garbage_at_most_a_tenth_of_the_time(
    realised: Realised, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []  # objects that a search leaves out, at each search through all

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            searched.append(gc.get_freeze_count())

    running = Running(realised, 40)
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    monkeypatch.setitem(garbage._swept, "took", 0.0)
    gc.callbacks.append(note)
    try:
        running.run(10)  # a first search, and Brian2's through what was made since
        monkeypatch.setitem(garbage._swept, "took", 1e6)
        running.run(10)
        left = gc.get_freeze_count()
        gc.freeze()  # as somebody who imported all that is needed
        running.run(10)
        kept = gc.get_freeze_count()
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
        if frozen:
            gc.freeze()
    assert [count > 10_000 for count in searched] == [False, True, True, True], searched
    assert left == 0
    assert kept > 10_000


def test_without_a_compiler_it_is_the_compiler_that_is_asked_for(
    realised: Realised, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("command '/nowhere/c++' failed")

    monkeypatch.setattr(brian2_running._Recorded, "of", fails)
    with pytest.raises(RuntimeError, match="failed"):  # where there is a compiler, the mistake is another
        Running(realised, 10, target="cython")
    monkeypatch.setenv("CXX", "/nowhere/c++ -O2")
    for run in (lambda: run_brian2(realised, 10, mode="standalone"), lambda: Running(realised, 10, target="cython")):
        with pytest.raises(ExperimentError, match=r"the C\+\+ compiler /nowhere/c\+\+, with which Brian2 compiles for"):
            run()
    with pytest.raises(RuntimeError, match="failed"):
        Running(realised, 10, target="numpy")
