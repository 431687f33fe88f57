"""The experiment with a billion parameters, and a small twin of it: the same code, all that is said of it checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.checks.memory import estimate_run
from neurosal.data import DataSpec, Split
from neurosal.experiments import sal_1b
from neurosal.experiments.sal_1b import AREAS, BATCH, STEPS, arm, forward_parameters, scaled
from neurosal.runner import finite
from neurosal.runner.experiment import circuit_of
from neurosal.settings import Experiment

ROWS, FEATURES = 70_000, 784


def test_it_has_a_billion_forward_parameters_and_as_many_synapses_for_the_way_back() -> None:
    made = sal_1b()
    circuit = circuit_of(made.arms["sal_kp"])
    needs = estimate_run(circuit, 1, made.training, ROWS, FEATURES, 2000)
    assert needs["weights"] + needs["biases"] == 4 * forward_parameters()
    assert forward_parameters() >= 1.1e9
    assert needs["feedback"] == 4 * AREAS * (4 * 4096**2 + 4096 * 10)
    assert needs["optimizer"] == needs["plasticity"] == 0


def test_its_run_is_estimated_to_take_less_than_a_quarter_beside_its_weights() -> None:
    made = sal_1b()
    needs = estimate_run(circuit_of(made.arms["sal_kp"]), 1, made.training, ROWS, FEATURES, 2000)
    assert sum(needs.values()) < 1.2 * (needs["weights"] + needs["feedback"])  # what Python and torch take comes on top


def test_no_sample_is_seen_twice_and_all_controls_are_there() -> None:
    made = sal_1b()
    assert (made.training.epochs, made.data.split.train) == (1, STEPS * BATCH)
    assert {"sal_kp", "sal_bp", "sal_shallow"} == set(made.arms)
    assert Experiment.from_yaml(made.to_yaml()) == made


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Digits, 10⁶ forward parameters: 64-120⁵-10 with 16 areas."""
    units = [64, *[120] * 5, 10]
    made = scaled(batch_size=32, evaluate_every_steps=20, record=(ns.probe("usage", every=20),)).replace(
        data=DataSpec(name="digits", scaling="symmetric", split=Split(train=0.8, test=0.2)),
        arms={"sal_kp": arm("sal_kp", units).replace(training={"optimizer": {"lr": 0.3}})},
    )
    patch = pytest.MonkeyPatch()
    patch.setattr(finite, "KEPT_BYTES", 0)  # as it is with a billion
    try:
        yield ns.run(made, store=tmp_path_factory.mktemp("runs") / "twin", device="cpu")
    finally:
        patch.undo()


def test_the_twin_has_a_million_parameters_and_its_held_out_loss_falls(twin: Any) -> None:
    found = twin.arms["sal_kp"]
    assert found.settings["parameters"]["feedforward"] >= 1e6
    evaluated = found.tree["metrics/eval"]
    assert evaluated.step.values.tolist() == [0, 20, 40, 45]
    assert (np.diff(evaluated.test_loss.values[0]) < 0).all()
    assert evaluated.test_accuracy.values[0, -1] > 0.5


def test_all_areas_of_the_twin_are_in_use(twin: Any) -> None:
    usage = twin.arms["sal_kp"].tree["stats/routing/every_20"].usage.values
    assert (usage[:, -1] > 0).all()


def test_the_twin_says_its_pace_and_its_memory_and_keeps_no_checkpoint(twin: Any) -> None:
    found = twin.arms["sal_kp"]
    status = found.status
    assert status.samples_per_second > 0
    assert status.training_seconds > 0
    assert status.seconds_left == 0
    assert status.peak_memory_bytes > 4 * found.settings["parameters"]["feedforward"]
    assert not (Path(found.folder) / "checkpoints").exists()
