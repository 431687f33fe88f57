"""Scripts for Brian2 run by themselves and make the spikes that neurosal makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import neurosal as ns
from neurosal.errors import CircuitError
from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    AlphaCurrent,
    Circuit,
    Constant,
    Continuous,
    Decay,
    Dense,
    EdgeList,
    ExponentialDrive,
    FixedInDegree,
    Given,
    Initialiser,
    Jump,
    LeakyRate,
    Normal,
    OneToOne,
    OneToOthers,
    Own,
    Plasticity,
    PoissonSource,
    Population,
    Program,
    Projection,
    Sine,
    Sparse,
    SpikeTrain,
    TruncatedNormal,
    TsodyksMarkram,
    Uniform,
)
from neurosal.lower.brian2 import numbers, script
from neurosal.lower.spiking import realise
from neurosal.plasticity import STDP
from neurosal.runner.brian2_running import run_brian2

pytest.importorskip("brian2")
pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses

DURATION, DT = 60.0, 0.1


class Renewed(Plasticity):
    """Uses all that a script can say of a synapse: traces, every step, intervals, sums."""

    kind = "renewed_brian2"

    def program(self) -> Program:
        return Program(
            variables={"trace": 0.0, "late": 0.25},
            decays={"trace": Decay("tau_ms"), "late": Decay("tau_ms")},
            constants={"tau_ms": 12.0, "total": 30.0},
            on_pre=("trace += 1", "w = maximum(w - 0.01 * late, 0)"),
            on_post=("late += 1", "w += 0.02 * trace"),
            each_step=("w += 0.001 * trace * dt_ms",),
            at_intervals=("w = w * total / sum_in",),
            every_ms=5.0,
        )


def chance() -> Circuit:
    """Much is drawn: edges, weights, delays, first values, constants of units, Poisson spikes."""
    cells = LIF(bias_mv=Uniform(low=14, high=17), start_mv=TruncatedNormal(mean=-65, std=5, high=-50))
    return Circuit(
        name="chance",
        populations={
            "random": Population(size=20, model=PoissonSource(rate_hz=300.0)),
            "e": Population(size=30, model=cells),
            "i-cells": Population(size=10, model=LIF(bias_mv=15.0)),
        },
        projections={
            "random_to_e": Projection(source="random", target="e", synapse=ExponentialDrive(receptor="exc"),
                                      wiring=Sparse(density=0.5), delay_ms=1.5, plasticity=Renewed(),
                                      weights=Own(init=Uniform(low=1, high=3))),
            "e_to_i": Projection(source="e", target="i-cells", synapse=AlphaCurrent(), wiring=FixedInDegree(inputs=9),
                                 delay_ms=Uniform(low=0, high=3), weights=Own(init=Uniform(low=0, high=600))),
            "a_i_to_e": Projection(source="i-cells", target="e", synapse=ExponentialDrive(tau_ms=10.0), delay_ms=0.3,
                                   weights=Own(init=Constant(value=-4.0)), sign="inhibitory"),
            "e_to_e": Projection(source="e", target="e", synapse=ExponentialDrive(receptor="exc"), delay_ms=1.0,
                                 weights=Own(init=Constant(value=0.5)), short_term=TsodyksMarkram()),
        },
    )  # fmt: skip


def certain() -> Circuit:
    """Nothing is drawn; steps with numbers, waveforms, sums of rates."""
    times = [float(t) for t in range(1, 50, 2)]
    model = AdaptiveLIF(bias_mv=24.0, coupling_ns=30.0, current_step_pa=30.0, tau_current_ms=20.0,
                        injected_pa=Sine(amplitude=50.0, frequency_hz=40.0))  # fmt: skip
    return Circuit(
        populations={
            "input": Population(size=2, model=SpikeTrain(times_ms=times, units=[k % 2 for k in range(len(times))])),
            "cells": Population(size=3, model=model),
            "merged": Population(size=3, model=PoissonSource(rate_hz=0.0, merged=50)),
            "rates": Population(size=2, model=LeakyRate(bias=0.5)),
            "readout": Population(size=1, model=LeakyRate(activation="tanh")),
        },
        projections={
            "input_to_cells": Projection(source="input", target="cells", synapse=ExponentialDrive(tau_ms=20.0),
                                         weights=Own(init=Constant(value=9.0)), plasticity=Renewed()),
            "background": Projection(source="merged", target="cells", synapse=ExponentialDrive(receptor="back"),
                                     wiring=OneToOne(), weights=Own(init=Constant(value=0.1))),
            "read": Projection(source="rates", target="readout", synapse=Continuous(),
                               weights=Own(init=Constant(value=0.4))),
        },
    )  # fmt: skip


def listed() -> Circuit:
    """Edges in no order, each with a weight and a delay of its own, and units that reach all others."""
    random = np.random.default_rng(0)
    edges = random.permutation([(pre, post) for pre in range(6) for post in range(8) if (pre + post) % 2])
    weights, delays_ms = random.uniform(2, 12, len(edges)), random.uniform(0, 3, len(edges))
    times = random.permutation(round(DURATION / DT))[:90] * DT  # no two in one step
    return Circuit(
        populations={
            "input": Population(size=6, model=SpikeTrain(times_ms=times, units=random.integers(0, 6, 90))),
            "cells": Population(size=8, model=LIF(e_leak_mv=-60.0)),
            "others": Population(size=8, model=LIF(e_leak_mv=-60.0)),
        },
        projections={
            "input_to_cells": Projection(source="input", target="cells", wiring=EdgeList(edges=edges),
                                         weights=Own(init=Given(values=weights)), delay_ms=Given(values=delays_ms),
                                         synapse=ExponentialDrive()),
            "cells_to_others": Projection(source="cells", target="others", wiring=OneToOthers(),
                                          weights=Own(init=Constant(value=12.0)), synapse=ExponentialDrive()),
            "others_to_cells": Projection(source="others", target="cells", wiring=OneToOthers(),
                                          weights=Own(init=Given(values=random.uniform(0, 5, 56))),
                                          synapse=ExponentialDrive(tau_ms=2.0)),
        },
    )  # fmt: skip


RUN = """
import runpy, sys
import numpy as np
for name in sys.argv[1:]:
    made = runpy.run_path(name)
    found = {key[7:]: np.array([np.rint(m.t_ / 1e-4).astype(int), np.array(m.i)])
             for key, m in made.items() if key.startswith("spikes_")}
    if "readout" in made:
        found["r"] = np.array(made["readout"].r)
    np.savez(name + ".out.npz", **found)
"""


def _loaded(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def test_scripts_make_the_spikes_of_the_circuit(tmp_path: Path) -> None:
    """With the numbers beside it where something is drawn, and by itself where nothing is."""
    (tmp_path / "brian_preferences").write_text("codegen.target = 'numpy'\n")
    circuits = {"chance": chance(), "certain": certain(), "listed": listed(), "listed_beside": listed(),
                "merged": merged()}  # fmt: skip
    for name, circuit in circuits.items():
        (tmp_path / f"{name}.py").write_text(script(circuit, DURATION, DT, seed=5))
    for name in ("chance", "listed_beside", "merged"):
        np.savez(tmp_path / f"{name}.npz", **numbers(circuits[name], DURATION, DT, seed=5))
    (tmp_path / "alone.py").write_text(script(circuits["chance"], DURATION, DT, seed=5))
    files = [*(f"{name}.py" for name in circuits), "alone.py"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    names = {"chance": {"random": "random_group", "e": "e", "i-cells": "i_cells"}, "certain": {"cells": "cells"},
             **{key: {"cells": "cells", "others": "others"} for key in ("listed", "listed_beside")},
             "merged": {"cells": "cells"}}  # fmt: skip
    for name, circuit in circuits.items():
        expected = run_brian2(realise(circuit, seed=5, dt_ms=DT), round(DURATION / DT))
        found = _loaded(tmp_path / f"{name}.py.out.npz")
        for population, own in names[name].items():
            step_L, unit_L = expected.spikes[population]
            assert len(step_L) >= 10, population
            np.testing.assert_array_equal(found[own], [step_L, unit_L], err_msg=population)
        if name == "certain":
            np.testing.assert_allclose(found["r"], expected.state["readout"]["r"], rtol=1e-12)
    alone = _loaded(tmp_path / "alone.py.out.npz")
    sent = 20 * 300.0 * DURATION * 1e-3
    assert alone["random_group"].shape[1] == pytest.approx(sent, abs=5 * sent**0.5)
    assert alone["random_group"].shape != _loaded(tmp_path / "chance.py.out.npz")["random_group"].shape
    assert alone["e"].shape[1] > 10


def test_a_script_says_units_equations_and_where_its_numbers_come_from() -> None:
    text = script(chance(), DURATION, DT, seed=5)
    for line in (
        '"""The circuit chance in Brian2, written by neurosal.',
        "seed(5)",
        "defaultclock.dt = 0.1*ms",
        '"e_leak": -70.0*mV',
        "    dd_exc/dt = -d_exc / tau_exc : volt",
        "bias : volt (constant)",
        '    method="exact",',
        "    delay=1.5*ms,",
        "    random_to_e.connect(p=0.5)",
        "run(60.0*ms)",
    ):
        assert line in text, line
    assert max(map(len, text.splitlines())) < 160


def many(**fields: object) -> Circuit:
    """A source whose units stand for 50 trains each, onto one cell each."""
    edge = Projection(source="input", target="cells", wiring=OneToOne(), synapse=ExponentialDrive(),
                      weights=Own(init=Constant(value=0.5)), **fields)  # type: ignore[arg-type]  # fmt: skip
    populations = {"input": Population(size=4, model=PoissonSource(rate_hz=200.0, merged=50)),
                   "cells": Population(size=4, model=LIF(v_threshold_mv=1e3))}  # fmt: skip
    return Circuit(name="many", populations=populations, projections={"p": edge})


def merged() -> Circuit:
    """The same onto cells that spike: jumps that are lost in refractory time, and currents that are not, delayed."""
    cells = Population(size=4, model=LIF(v_threshold_mv=-68.0, v_reset_mv=-70.0, refractory_ms=3.0))
    jump = many().projections["p"].replace(synapse=Jump(), weights=Own(init=Constant(value=0.4)))
    slow = many().projections["p"].replace(delay_ms=1.5)
    return many().with_populations(cells=cells).with_projections(p=jump, slow=slow)


def test_synapses_that_learn_from_many_trains_at_once_are_refused_by_all_of_brian2_and_done_by_torch() -> None:
    circuit = many(plasticity=ns.plasticity.STDP(a_plus=0.0, a_minus=0.001, w_max=10.0))
    for use in (
        ns.to_brian2, script, ns.crosscheck,
        lambda one: ns.to_brian2(one, sources="shared", duration_ms=DURATION),
        lambda one: ns.simulate(one, 1.0, backend="brian2", mode="numpy"),
    ):  # fmt: skip
        with pytest.raises(CircuitError, match=r"projections\.p\.plasticity: expected synapses that stay .* merged=1"):
            use(circuit)
        with pytest.raises(CircuitError, match="2 problems"):  # each that learns, at once
            use(circuit.with_projections(q=circuit.projections["p"]))
    # On torch each of several spikes in a step leaves its trace, and is an event of its own.
    circuit = many(plasticity=ns.plasticity.STDP(a_plus=0.0, a_minus=0.0, w_max=10.0))
    run = ns.simulate(circuit, 20.0, record=["spikes:input", ns.record_weights("p", "plus", every_ms=20.0)])
    mine = run.spikes["input"].unit.values == 0
    times, counts = np.unique(run.spikes["input"].time_ms.values[mine], return_counts=True)
    assert counts.max() > 1
    expected = (counts * np.exp(-(20.0 - times) / 20.0)).sum()
    assert float(run.synapses["p"]["plus"][0, -1, 0]) == pytest.approx(expected, rel=1e-12)


def test_a_script_whose_source_spikes_twice_in_a_step_is_refused_with_the_way_out() -> None:
    twice = Population(size=2, model=SpikeTrain(times_ms=(1.0, 1.02, 1.04), units=(0, 0, 1)))
    circuit = many().replace(projections={}).with_populations(input=twice)
    with pytest.raises(CircuitError, match=r"populations\.input\.model: expected at most one spike .* ns\.to_brian2"):
        script(circuit, DURATION, DT)
    assert "input = SpikeGeneratorGroup(2, [0, 0, 1], np.array([100, 102, 104]" in script(circuit, DURATION, 0.01)


def test_a_script_says_whose_spikes_brian2_draws_whatever_lies_beside_it() -> None:
    dense = many().projections["p"].replace(wiring=Dense())
    said = " ".join(script(many().with_projections(p=dense), DURATION, DT).split())
    assert "same seed, save for input, which Brian2 draws: rates are alike then, not spikes." in said
    for circuit in (many(), chance()):
        assert "same seed." in " ".join(script(circuit, DURATION, DT).split())


def test_a_script_says_that_a_poisson_input_has_no_delay() -> None:
    said = "# A PoissonInput has no delay"
    assert said in script(many(delay_ms=1.5), DURATION, DT)
    assert said not in script(many(), DURATION, DT)


def test_a_script_keeps_draws_within_the_bounds_of_plasticity() -> None:
    def said(init: Initialiser) -> str:
        cells = Population(size=4, model=LIF())
        learns = Projection(source="a", target="b", synapse=Jump(), weights=Own(init=init),
                            plasticity=STDP(w_max=2.0))  # fmt: skip
        return script(Circuit(populations={"a": cells, "b": cells}, projections={"learns": learns}))

    assert "np.clip(random.normal(1.0, 0.8, len(learns)), 0.0, 2.0)" in said(Normal(mean=1.0, std=0.8))
    assert "np.clip(" not in said(Uniform(low=0.0, high=2.0))
