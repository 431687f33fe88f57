"""The command `simulate`, and showing, checking and drawing what it stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurosal.record.simulated import Simulated
from neurosal.settings.recording import recording_of
from neurosal.settings.simulation import Simulation
from tests.cli.invoking import invoke
from tests.runner.spiking import alone, driven, exploding


@pytest.fixture
def circuit(tmp_path: Path) -> Path:
    file = tmp_path / "driven.yaml"
    file.write_text(driven().to_yaml(), encoding="utf-8")
    return file


def test_a_circuit_is_simulated_from_its_file_and_shown_looked_over_listed_and_drawn(
    circuit: Path, tmp_path: Path
) -> None:
    store = tmp_path / "run"
    output = invoke(
        "simulate", circuit, "--duration-ms", 100, "--dt-ms", 0.5, "--seeds", "0,3-4", "--record", "spikes",
        "--record", "state:cells.v_mv@1", "--record", "weights:cells_to_cells@50", "--store", store,
        "--set", "populations.input.model.rate_hz=120", "--option", "window_ms=20",
    )[0]  # fmt: skip
    for text in ("population", "cells", "build ", "compile ", "simulate ", "write ", f"Recorded in {store}"):
        assert text in output
    found = Simulated.of(store)
    assert found.settings["seeds"] == [0, 3, 4]
    assert found.circuit.populations["input"].model.rate_hz == 120
    assert found.tree["windows/cells"].sizes["window"] == 5
    shown = invoke("show", store)[0]
    assert all(line in shown for line in found.lines())
    assert "whole" in invoke("doctor", store)[0]
    assert "driven" in invoke("ls", tmp_path)[0]
    assert "windows/cells/events" in invoke("watch", store, "--once")[0]
    assert "cells" in invoke("analyse", "rates", store)[0]
    assert (store / "figures" / "rates.png").is_file()
    again = invoke("simulate", circuit, "--store", store, code=4)[1]
    assert "a new or empty folder" in again


def test_what_is_wrong_with_a_simulation_is_told_without_a_traceback(circuit: Path, tmp_path: Path) -> None:
    store = tmp_path / "run"
    for arguments, message in (
        (("--seeds", "a"), "--seeds: expected numbers such as 0,1,2 or 0-9"),
        (("--seeds", "0-99999999999"), "--seeds: expected at most 1,000,000"),
        (("--seeds", "99999999999999999999"), "--seeds: expected numbers such as 0,1,2 or 0-9"),
        (("--seeds", "0-99999999999999999999"), "--seeds: expected numbers such as 0,1,2 or 0-9"),
        (("--set", "populations.cells.model.tau_m_ms=-5"), "model.tau_m_ms: expected greater than 0 or an initialiser"),
        (("--record", "spikes:cell"), "Did you mean 'cells'"),
        (("--backend", "brian"), "Did you mean 'brian2'"),
        (("--option", "windw_ms=3"), "Did you mean 'window_ms'"),
        (("--duration-ms", "0.25"), "dt_ms: expected a step of which duration_ms"),
        (("--set", "populations.cells.model.bias=3"), "found 'bias'. Did you mean"),
    ):
        assert message in invoke("simulate", circuit, "--store", store, *arguments, code=2)[1]
    assert "neurosal run runs experiments" in invoke("simulate", "sal_digits", code=2)[1]
    assert "ns.train" in invoke("simulate", "mlp", "--store", store, code=2)[1]
    assert not store.exists()


def test_a_store_that_cannot_be_made_is_told_without_a_traceback(circuit: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("nothing", encoding="utf-8")
    for store in (file, file / "below", Path("/proc/neurosal_run")):  # where root too may not write
        for more in ((), ("--resume",)):
            error = invoke("simulate", circuit, "--duration-ms", 10, "--dt-ms", 0.5, "--store", store, *more, code=4)[1]
            assert f"{store}: expected to be able to make a run there" in error
            assert "choose another --store" in error or "Choose a --store below a folder" in error
    assert file.read_text(encoding="utf-8") == "nothing"


def test_states_to_go_on_from_are_kept_as_often_as_asked(circuit: Path, tmp_path: Path) -> None:
    arguments = ("simulate", circuit, "--duration-ms", 100, "--dt-ms", 0.5, "--option", "window_ms=10")
    kept = {}
    for name, more in (
        ("usual", ()), ("never", ("--checkpoint-every-ms", 0)), ("forty", ("--checkpoint-every-ms", 40)),
        ("always", ("--checkpoint-every-ms", 0.1)),
    ):  # fmt: skip
        invoke(*arguments, "--store", tmp_path / name, *more)
        kept[name] = sorted(int(path.name) for path in (tmp_path / name / "checkpoints").glob("*"))
    assert kept == {"usual": [], "never": [], "forty": [1, 2], "always": [8, 9]}  # numbers of the newest two
    assert "--checkpoint-every-ms" in invoke("simulate", "--help")[0]
    assert "than or equal to 0" in invoke(*arguments, "--checkpoint-every-ms", -1, "--store", tmp_path / "x", code=2)[1]


def test_an_analysis_of_training_names_those_that_fit_a_simulation(circuit: Path, tmp_path: Path) -> None:
    invoke("simulate", circuit, "--duration-ms", 50, "--dt-ms", 0.5, "--store", tmp_path / "run")
    for name in ("symmetry", "layers", "learning_curves"):
        error = invoke("analyse", name, tmp_path / "run", code=2)[1]
        assert f"expected a run that was trained, of which {name} tells, found a simulation" in error
        assert "Of simulations there are intervals, raster, rates, states, stdp_window, weight_distribution" in error


def test_a_network_that_explodes_ends_with_its_exit_code_and_a_silent_one_says_so(tmp_path: Path) -> None:
    file = tmp_path / "circuit.yaml"
    file.write_text(alone(bias_mv=5.0).to_yaml(), encoding="utf-8")
    output = invoke("simulate", file, "--duration-ms", 150, "--dt-ms", 0.5, "--store", tmp_path / "silent")[0]
    assert "cells is silent: it never spiked." in output
    file.write_text(exploding().to_yaml(), encoding="utf-8")
    arguments = ("--duration-ms", 150, "--dt-ms", 0.5, "--seeds", "0-7", "--store", tmp_path / "exploded")
    output, error = invoke("simulate", file, *arguments, code=3)
    assert "cells exploded: state is not finite" in output
    assert "cells exploded: state is not finite" in error


def test_settings_of_a_simulation_travel_through_yaml() -> None:
    record = ("spikes", "spikes:cells", "state:cells.v_mv,g_ns@0.5", "weights:a_to_b.x@100", "weights:a_to_b")
    simulation = Simulation(duration_ms=10, seeds=(1, 2), record=record, window_ms=5)
    assert Simulation.from_yaml(simulation.to_yaml()) == simulation
    assert [entry.kind for entry in simulation.record] == ["spikes", "spikes", "state", "weights", "weights"]
    assert simulation.record[3].variables == ("x",)
    assert recording_of({"kind": "state", "population": "cells", "variables": ["v_mv"]}).every_ms == 1.0


def test_arguments_of_a_circuit_of_the_library_are_set_like_its_fields(tmp_path: Path) -> None:
    sets = (
        "--set",
        "excitatory=80",
        "--set",
        "inhibitory=20",
        "--set",
        "projections.inhibitory_to_inhibitory.delay_ms=2",
    )
    invoke("simulate", "cuba", *sets, "--duration-ms", 10, "--store", tmp_path / "run")
    made = Simulated.of(tmp_path / "run").circuit
    assert [population.units for population in made.populations.values()] == [80, 20]
    assert [edge.delay_ms for edge in made.projections.values()] == [0.1, 0.1, 0.1, 2.0]
    assert "excitatory     80" in " ".join(invoke("show", "cuba", *sets)[0].splitlines())
    script = invoke("show", "cuba", *sets, "--format", "brian2")[0]
    assert "excitatory = NeuronGroup(\n    80," in script
    assert invoke("show", "mlp", "--set", "sizes=[3,5,2]")[0].count("dense") == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("excitatry=80", "--set excitatry: expected a known field or argument, found 'excitatry'. Did you mean 'ex"),
        ("cells=80", "There are: name, populations, projections. Arguments: excitatory, inhibitory, probability,"),
        ("excitatory=many", "--set excitatory: expected a whole number, found 'many'"),
        ("excitatory=0", "--set excitatory: expected"),
        ("excitatory", "--set: expected path=value, found 'excitatory'"),
        ("projections.a.b=1", "--set projections.a.b: expected a known field, found 'b'"),
    ],
)  # fmt: skip
def test_an_unfit_argument_of_a_circuit_is_refused_with_what_there_is(assignment: str, message: str) -> None:
    assert message in invoke("show", "cuba", "--set", assignment, code=2)[1]
