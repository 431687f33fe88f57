"""The program for processors against torch, operation by operation, which shares no step with it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from neurosal.errors import ExperimentError
from neurosal.graph import (
    LIF,
    Circuit,
    Dynamical,
    Dynamics,
    ExponentialDrive,
    FixedTotal,
    Jump,
    Own,
    PoissonSource,
    Population,
    Projection,
    Samples,
    Sparse,
    Timed,
    Uniform,
)
from neurosal.lower.spiking import realise, realise_all
from tests.spiking import members

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch
from neurosal.engine.clock.native import building  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the program")
DT, SEEDS = 0.1, (3, 5, 4)
FAMILIES = {
    "models": members.of_models,
    "synapses": members.of_synapses,
    "short_term": members.of_short_term,
    "plasticity": lambda: members.of_plasticity(tuple(members.PROGRAMS)),
}


def network(**fields: Any) -> Circuit:
    """Static synapses only: sources that spike twice in a step; two populations in one block, and one whose refractory
    units move; drives that change with time; one delay, few, and many; arrivals that are lost."""
    cells = LIF(bias_mv=Uniform(low=13.0, high=17.0), start_mv=Uniform(low=-70, high=-50), refractory_ms=0.7)
    ramp = Samples(values=tuple(float(20 + 9 * (k % 4)) for k in range(17)), every_ms=1.3)
    single = Samples(values=tuple((10.0 + k, 12.0 - k, 30.0, 8.0) for k in range(5)), every_ms=2.0)
    fields = {"wiring": Sparse(density=0.4), "synapse": ExponentialDrive(tau_ms=4.0), "delay_ms": 0.3, **fields}

    def edge(source: str, target: str, low: float, high: float, **more: Any) -> Projection:
        return Projection(source=source, target=target, weights=Own(init=Uniform(low=low, high=high)),
                          **{**fields, **more})  # fmt: skip

    return Circuit(
        populations={
            "noise": Population(size=9, model=PoissonSource(rate_hz=400.0, merged=3)),
            "few": Population(size=3, model=PoissonSource(rate_hz=200.0)),
            "left": Population(size=11, model=cells),
            "right": Population(size=70, model=cells),
            "moving": Population(size=5, model=cells.replace(clamped=False, bias_mv=0.0, injected_mv=ramp)),
            "driven": Population(size=4, model=cells.replace(bias_mv=0.0, injected_mv=single)),
        },
        projections={
            "noise_to_left": edge("noise", "left", 1.0, 4.0, synapse=Jump()),
            "noise_to_right": edge("noise", "right", 1.0, 4.0, delay_ms=Uniform(low=0.0, high=3.0)),
            "noise_twice": edge("noise", "right", 0.1, 0.3, wiring=FixedTotal(synapses=900), delay_ms=0.1),
            "few_to_moving": edge("few", "moving", 0.5, 2.0, delay_ms=0.0),
            "left_to_right": edge("left", "right", -2.0, 3.0, delay_ms=Uniform(low=0.0, high=0.2)),
            "right_to_left": edge("right", "left", -2.0, 2.0, delay_ms=1.2),
            "right_to_driven": edge("right", "driven", -2.0, 2.0, synapse=Jump()),
            "moving_to_right": edge("moving", "right", -2.0, 2.0, delay_ms=Uniform(low=0.0, high=2.5)),
        },
    )  # fmt: skip


def assert_the_same(one: Any, other: Any) -> None:
    """What two clocks of the same circuit are at."""
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


def assert_spikes(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    for name, parts in one.items():
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(parts, other[name], strict=True)), name


@pytest.mark.parametrize("family", FAMILIES)
def test_every_member_of_a_family_spikes_and_changes_as_on_torch(family: str) -> None:
    realised = [realise(FAMILIES[family](), seed, DT) for seed in SEEDS[:2]]
    eager, compiled = Clock(realised), Clock(realised, compiled=True)
    expected, found = eager.run(300), compiled.run(300)
    assert sum(len(step) for name, (step, _, _) in expected.items() if name != "noise") > 100 * (family != "plasticity")
    assert_spikes(expected, found)
    for name, state in eager.state.items():
        for variable, value in state.items():
            assert torch.allclose(compiled.state[name][variable], value, rtol=1e-10, atol=1e-10), (name, variable)
    for name, projecting in eager.projections.items():
        for variable, value in projecting.values.items():
            assert torch.allclose(compiled.projections[name].values[variable], value, rtol=1e-10, atol=1e-12), name


@pytest.mark.parametrize("graph_seed", [None, 7])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_steps_at_once_are_the_steps_of_torch(graph_seed: int | None, threads: int) -> None:
    realised = realise_all(network(), SEEDS, DT, graph_seed)
    eager, compiled = Clock(realised), Clock(realised, compiled=True)
    assert compiled._windows is not None
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        expected, found = eager.run(700), compiled.run(700)
    finally:
        torch.set_num_threads(before)
    for name, (step, _, _) in expected.items():
        assert len(step) > 30, name
    assert_spikes(expected, found)
    for name, state in eager.state.items():
        for variable, value in state.items():
            assert torch.allclose(compiled.state[name][variable], value, rtol=1e-11, atol=1e-11), (name, variable)


@pytest.mark.parametrize("compiled", [False, True])
def test_events_of_a_replica_are_in_order_and_those_of_all_steps(compiled: bool) -> None:
    realised = realise_all(network(), SEEDS, DT)
    clock, other = Clock(realised), Clock(realised, compiled=compiled)
    expected, found = clock.run(700), other.events(700, ["right", "few"])
    assert set(found) == {"right", "few"}
    for name, columns in found.items():
        rows = sorted(zip(*(column.tolist() for column in columns), strict=True))
        assert rows == [*zip(*(column.tolist() for column in expected[name]), strict=True)]
        step, replica, unit = (column.numpy() for column in columns)
        for number in range(len(SEEDS)):
            mine = np.stack([step, unit])[:, replica == number].T.tolist()
            assert mine == sorted(mine)
            assert len(mine) > 30


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_division_into_steps_gives_the_same_bits(dtype: torch.dtype) -> None:
    realised = realise_all(network(), SEEDS, DT)
    whole, parted = Clock(realised, dtype=dtype, compiled=True), Clock(realised, dtype=dtype, compiled=True)
    expected = whole.run(600)
    pieces = []
    for steps in (1, 200, 3, 60, 7, 300):
        pieces.append(parted.run(steps))
    for _ in range(29):
        now = parted.step_number
        one = parted.step()
        pieces.append({name: (torch.full_like(number, now), number // parted.units[name], number % parted.units[name])
                       for name, number in one.items()})  # fmt: skip
    assert_spikes(expected, {name: [torch.cat(parts) for parts in zip(*(piece[name] for piece in pieces), strict=True)]
                             for name in expected})  # fmt: skip
    assert_the_same(whole, parted)


def test_a_replica_is_its_seed_alone_bit_for_bit() -> None:
    together = Clock(realise_all(network(), SEEDS, DT), compiled=True)
    found = together.run(500)
    for replica, seed in enumerate(SEEDS):
        alone = Clock([realise(network(), seed, DT)], compiled=True)
        for name, (step, _, unit) in alone.run(500).items():
            mine = found[name][1] == replica
            assert torch.equal(found[name][0][mine], step)
            assert torch.equal(found[name][2][mine], unit)
        for name, state in alone.state.items():
            assert all(torch.equal(together.state[name][key][replica], value[0]) for key, value in state.items())


def test_a_simulation_goes_on_from_what_torch_was_at_and_the_other_way_round() -> None:
    realised = realise_all(network(), SEEDS, DT)
    whole, eager, compiled = Clock(realised), Clock(realised), Clock(realised, compiled=True)
    expected = whole.run(650)
    parts = [eager.run(150)]
    compiled.load_state_dict({name: value.clone() for name, value in eager.state_dict().items()})
    parts.append(compiled.run(333))
    eager.load_state_dict({name: value.clone() for name, value in compiled.state_dict().items()})
    parts.append(eager.run(167))
    assert_spikes(expected, {name: [torch.cat(some) for some in zip(*(part[name] for part in parts), strict=True)]
                             for name in expected})  # fmt: skip


def test_what_is_compiled_says_what_it_takes() -> None:
    realised = [realise(network(), 0, DT)]
    assert Clock(realised).compile_seconds == 0
    assert Clock(realised, compiled=True).compile_seconds > 0


# Equations ------------------------------------------------------------------------------------------------------------


class Odd(Dynamical):
    """Every operator and function of the grammar, numbers among numbers, and names that statements make."""

    kind = "odd_in_tests"  # type: ignore[assignment]

    def dynamics(self) -> Dynamics:
        return Dynamics(
            equations={
                "a": "-a ** 2 / 7 + exp(-abs(b)) * half / (1 + 1) + minimum(b, 2) - 0.3 * (c > 0.5)",
                "b": "tanh(a) - clip(c, -1, low / 3) + sqrt(a ** 2 + 1) ** 0.5 - b ** 3 / 50 + moving",
                "c": "maximum(-c, -2) + log(1.5 + abs(a) ** 1.5) * (not b > 1) - +half",
            },
            constants={"half": 0.5, "low": Uniform(low=0.5, high=1.5)},
            start={"a": Uniform(low=-1, high=1), "b": Uniform(low=-1, high=1)},
            threshold="a > 0.6 and (b < 4 or c >= 1)",
            reset=("b -= a", "t = a * 0.5", "a = t - half", "c += b"),
            refractory_ms=0.4,
            held=frozenset({"a"}),
            method="euler",
            timed={"moving": Timed(every_ms=0.7, values=(0.1, 0.9, 0.4))},
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_expressions_are_worked_out_as_torch_does(dtype: torch.dtype) -> None:
    realised = [realise(Circuit(populations={"odd": Population(size=1100, model=Odd())}), seed, DT) for seed in (1, 2)]
    eager, compiled = Clock(realised, dtype=dtype), Clock(realised, dtype=dtype, compiled=True)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    spikes = 0
    for _ in range(60):
        expected, found = eager.step()["odd"], compiled.step()["odd"]
        spikes += len(expected)
        if dtype == torch.float64:
            assert torch.equal(expected, found)
        same = torch.ones(2, 1100, dtype=torch.bool)
        same.view(-1)[np.setxor1d(expected, found)] = False
        assert same.sum() >= 2198
        for name, value in eager.state["odd"].items():
            assert torch.allclose(compiled.state["odd"][name][same], value[same], **close), name
        compiled.load_state_dict({name: value.clone() for name, value in eager.state_dict().items()})
    assert spikes > 1000


def test_what_is_not_a_number_stays_so() -> None:
    class Lost(Dynamical):
        kind = "lost_in_tests"  # type: ignore[assignment]

        def dynamics(self) -> Dynamics:
            return Dynamics(equations={"a": "log(-1 - a)", "b": "minimum(a, 1)", "c": "clip(a, 0, 1)"}, method="euler")

    compiled = Clock([realise(Circuit(populations={"lost": Population(size=3, model=Lost())}), 0, DT)], compiled=True)
    compiled.run(20)
    assert all(torch.isnan(value).all() for value in compiled.state["lost"].values())


# The compiler ---------------------------------------------------------------------------------------------------------


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho 'thing.cpp: fatal error: no such luck' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    building._compiled.cache_clear()
    with pytest.raises(ExperimentError, match=r"(?s)broken.*no such luck.*compiled=False"):
        Clock([realise(network(), 0, DT)], compiled=True)


def test_a_program_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: str) -> None:
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(building.ctypes, "CDLL", refused)
    building._compiled.cache_clear()
    with pytest.raises(ExperimentError, match=r"(?s)TMPDIR.*failed to map.*compiled=False"):
        Clock([realise(network(), 0, DT)], compiled=True)


def test_the_same_equations_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Clock([realise(network(), 0, DT)], compiled=True)
    monkeypatch.setenv("CXX", "no compiler at all")
    monkeypatch.setattr("neurosal.engine.clock.clock.missing_compiler", lambda device: "")
    assert Clock([realise(network(), 1, DT)], compiled=True)._program is first._program
