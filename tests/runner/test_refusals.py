"""What `train` is given by mistake is refused in words, before anything is written; how it ended is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine.network import Network


def arrays(samples: int = 50) -> ns.data.Dataset:
    """Few samples without validation and test part."""
    generator = np.random.default_rng(0)
    return ns.data.from_arrays(generator.normal(size=(samples, 4)), generator.integers(0, 3, samples), classes=3)


def network(rule: str = "kp") -> Network:
    return ns.compile(getattr(rules, rule)(circuits.mlp(4, 5, 3)), device="cpu")


def test_a_circuit_and_a_mapping_are_no_network_and_no_training(tmp_path: Path) -> None:
    with pytest.raises(ns.ExperimentError) as caught:
        ns.train(circuits.mlp(4, 5, 3), arrays(), {"epochs": 1}, store=tmp_path / "run")  # type: ignore[arg-type]
    assert [problem.place for problem in caught.value.problems] == ["network", "training"]
    assert "ns.compile(circuit)" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_one_probe_needs_no_list(tmp_path: Path) -> None:
    run = ns.train(network(), arrays(), epochs=1, record=ns.probe("angle"), store=tmp_path / "run")
    assert run.tree["stats/symmetry/epochs_1"].angle.sizes["sample"] == 2


@pytest.mark.parametrize(("rule", "what"), [("kp", "usage"), ("kp", "area"), ("shallow", "angle")])
def test_a_probe_that_has_nothing_to_record_is_refused(rule: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(ns.ExperimentError) as caught:
        ns.train(network(rule), arrays(), epochs=1, record=[ns.probe(what)], store=tmp_path / "run")  # type: ignore[arg-type]
    assert [problem.place for problem in caught.value.problems] == [f"record.{what}"]
    assert not (tmp_path / "run").exists()


def test_a_finished_run_says_how_far_it_went_though_no_record_does(tmp_path: Path) -> None:
    run = ns.train(network(), arrays(50), epochs=2, batch_size=64, store=tmp_path / "run")
    assert (run.status.state, run.status.step, run.status.epoch) == ("done", 2, 2.0)


def test_a_folder_with_files_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ns.StoreError, match="thesis"):
        ns.train(network(), arrays(), epochs=1, store=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["thesis.tex"]


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ns.ExperimentError, match="without momentum"):
        ns.SGD(lr=0.1, nesterov=True)
    assert ns.SGD(lr=0.1, momentum=0.9, nesterov=True).nesterov


def test_a_misspelt_weight_is_told_near_names() -> None:
    with pytest.raises(KeyError, match="input_to_hidden1"):
        network().weights["input_to_hiden1"]
