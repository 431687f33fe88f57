"""What the study of learning without error in time measures, and what was committed of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.circuits import rate_dynamics
from neurosal.circuits.rate_dynamics import directions
from neurosal.cli.sources import look_up
from neurosal.experiments import learning_in_time as study
from neurosal.graph import Circuit


def test_every_command_makes_a_circuit_and_records_what_is_measured() -> None:
    for name, command in study.COMMANDS.items():
        words = command.split()
        sets = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
        circuit = look_up(words[2], sets).checked()
        assert isinstance(circuit, Circuit)
        recorded = [word.partition(":")[2].partition("@")[0] for word in words if word.startswith("weights:")]
        assert set(recorded) <= set(circuit.projections)
        assert recorded
        assert words[-1] == f"runs/{name}"
        assert set(study.SHOWN[name]) <= set(study.MEASURES)
    assert look_up("rate_dynamics", ["gate_ms=[3000,6000]"]).checked().projections["modulator_to_output"]


def test_measures_of_rates_are_what_they_say() -> None:
    first, second, _ = directions(8)[:3]
    start, alike, apart = np.stack([second, second]), np.stack([first, -2 * first]), np.stack([first, 0.5 * second])
    found = study.of_rates(np.stack([start, alike, apart, apart])[None], np.arange(4) * 1000.0, (-np.inf, 500.0))
    np.testing.assert_allclose(found["first"][0], [0, 1, 0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(found["length"][0], [1, 1.5, 0.75, 0.75])
    np.testing.assert_allclose(found["apart"][0], [0, 0, 1, 1], atol=1e-12)
    np.testing.assert_allclose(found["within"][0], 1)
    # The gate's signal is gone 500 ms after it closed: what moved in the second interval moved without it.
    moves = [np.linalg.norm(alike - start), np.linalg.norm(apart - alike)]
    np.testing.assert_allclose(found["opened"][0], [0, 1, *[moves[0] / sum(moves)] * 2])


def test_answers_are_those_to_the_two_patterns_sorted_in_each_output() -> None:
    weights = np.array([[[[0.5] * 4 + [0.0] * 4, [0.1] * 4 + [0.4] * 4]]])
    found = study.of_rates(weights, np.zeros(1), (-np.inf, np.inf))
    np.testing.assert_allclose([found["weak"][0, 0], found["strong"][0, 0]], [0.2, 1.8])


def test_the_study_reads_stores_and_says_start_and_end(tmp_path: Path) -> None:
    record = [ns.record_weights("input_to_output", every_ms=50)]
    stored = ns.simulate(rate_dynamics(), 100, 1.0, seeds=(0, 1), record=record, store=tmp_path / "oja_lateral")
    study.main([str(tmp_path / "oja_lateral"), str(tmp_path / "absent"), "--out", str(tmp_path / "out")])
    text = (tmp_path / "out" / "learning_in_time.md").read_text(encoding="utf-8")
    weights = stored.weights["input_to_output"].transpose("replica", "time_ms", "synapse").values
    length = np.linalg.norm(weights.reshape(2, 3, 8, 3), axis=2).mean(-1)  # synapses stand by input, then output
    said = [f"{length[:, place].mean():.3f} ± {length[:, place].std(ddof=1):.3f}" for place in (0, -1)]
    assert f"| oja_lateral | length of the weights of an output | {said[0]} | {said[1]} | 1 |" in text
    assert study.COMMANDS["oja_lateral"] in text
    assert study.COMMANDS["bcm"] not in text
    assert (tmp_path / "out" / "learning_in_time.png").stat().st_size > 1000


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """What the study found, as it is committed: run → measure → [seed, time]."""
    path = Path(__file__).parents[2] / "experiments" / "results" / "learning_in_time.json"
    runs = json.loads(path.read_text(encoding="utf-8"))
    assert all(len(run["seeds"]) == 10 and not run["remarks"] for run in runs)
    return {run["run"]: {key: np.array(course) for key, course in run["courses"].items()} for run in runs}


def test_committed_rates_learned_what_theory_says(kept: dict[str, Any]) -> None:
    assert set(kept) == set(study.COMMANDS)
    assert kept["hebbian"]["first"][:, -1].min() > 0.98
    assert kept["oja"]["first"][:, -1].min() > 0.98
    assert kept["oja"]["length"][:, -1] == pytest.approx(1, abs=0.05)
    assert kept["oja"]["apart"][:, -1].max() < 0.05 < kept["oja_lateral"]["apart"][:, -1].mean()
    assert kept["oja_lateral"]["within"][:, -1].min() > 0.97
    assert kept["oja_gated"]["opened"][:, -1].min() > 0.999
    assert kept["bcm"]["strong"][:, -1].mean() == pytest.approx(2, abs=0.3)
    assert abs(kept["bcm"]["weak"][:, -1].mean()) < 0.3


def test_committed_feedback_came_to_the_transpose_from_chance_by_spike_timing(kept: dict[str, Any]) -> None:
    angle = kept["spike_alignment"]["angle"]
    assert angle[:, 0].mean() == pytest.approx(90, abs=8)
    assert (angle[:, 0] - angle[:, -1]).min() > 30
    assert angle[:, -1].mean() < 35
    assert angle.mean(0).min() < angle[:, -1].mean() - 2  # it is closest on the way, as the log says
    strength = kept["spike_alignment"]["strength"]
    assert abs(strength[:, -1] - strength[:, -11]).max() < 0.1  # it stands still over the last 20 s
    assert strength[:, -1].mean() == pytest.approx(1, abs=0.1)
