"""run and analyse: exit codes, stores, and what is said when something stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import neurosal
import neurosal.runner
from neurosal.graph.files import read_yaml
from tests.cli.corpus import CIRCUIT
from tests.cli.invoking import invoke, small


def test_a_run_prints_its_table_writes_store_and_figures_and_says_nothing_else(tmp_path: Path) -> None:
    output, error = invoke("run", small(tmp_path), "--store", tmp_path / "store", "--device", "cpu")
    assert "mean ± sd over seeds" in output
    assert output.rstrip().endswith(f"Recorded in {tmp_path / 'store'}")
    assert error == ""  # no progress bar where there is no terminal
    assert sorted(neurosal.open_run(tmp_path / "store").arms) == ["bp", "sal"]
    assert (tmp_path / "store" / "figures" / "learning_curves.png").stat().st_size > 1000


def test_a_store_that_is_there_is_kept_and_resume_is_content_with_it(tmp_path: Path) -> None:
    file, store = small(tmp_path), tmp_path / "store"
    first = invoke("run", file, "--store", store, "--resume")[0]  # an absent store is started
    assert "--resume" in invoke("run", file, "--store", store, code=4)[1]
    assert invoke("run", file, "--store", store, "--resume")[0] == first


def test_the_store_is_called_after_the_experiment_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    invoke("run", small(tmp_path, name="other"))
    assert (tmp_path / "runs" / "other" / "status.json").is_file()


def test_a_store_that_cannot_be_a_folder_ends_with_4(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine", encoding="utf-8")
    invoke("run", small(tmp_path), "--store", tmp_path / "store", code=4)
    assert (tmp_path / "store").read_text(encoding="utf-8") == "mine"


def test_set_changes_fields_like_the_file_and_is_kept_with_the_run(tmp_path: Path) -> None:
    changes = {
        "seeds": "[7]",
        "training.optimizer.kind": "adam",
        "training.optimizer.lr": "1e-3",
        "vary.optimizer.weight_decay": "[0, 1e-4]",
        "arms.bp.training.epochs": "2",
        "arms.sal.label": "no",
        "data.subset.train": "60",
    }
    sets = [word for path, value in changes.items() for word in ("--set", f"{path}={value}")]
    invoke("run", small(tmp_path), "--store", tmp_path / "store", *sets)
    kept = read_yaml(tmp_path / "store" / "experiment.yaml").data
    kept = kept.get("experiment", kept)
    assert kept["seeds"] == [7]
    assert kept["training"]["optimizer"]["kind"] == "adam"
    assert kept["training"]["optimizer"]["lr"] == 0.001
    assert kept["vary"] == {"optimizer.weight_decay": [0.0, 1e-4]}
    assert kept["arms"]["bp"]["training"] == {"epochs": 2}
    assert kept["arms"]["sal"]["label"] == "no"
    assert neurosal.open_run(tmp_path / "store").arms["bp"].tree["metrics/eval"].sizes["replica"] == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.epcohs=3", "--set training.epcohs: expected a known field, found 'epcohs'. Did you mean 'epochs'?"),
        ("trainin.epochs=3", "--set trainin: expected a known field, found 'trainin'. Did you mean 'training'?"),
        ("training.epochs=", "--set training.epochs: expected"),
        ("training.epochs=many", "--set training.epochs: expected a whole number, found 'many'"),
        ("training.epochs.now=3", "--set training.epochs.now: expected a field with fields of its own"),
        ("seeds.2=3", "--set seeds.2: expected an index below 2, found '2'"),
        ("seeds=[1", "--set seeds: expected YAML"),
        ("seeds=&a [1]", "--set seeds: expected no anchors"),
        ("epochs", "--set: expected path=value, found 'epochs'"),
        ("training.optimizer.lr=.nan", "--set training.optimizer.lr: expected a finite number"),
        ("arms.bp.recipe.options.areas=2", "--set arms.bp.recipe.options.areas: expected an argument of bp"),
    ],
)
def test_set_is_checked_like_the_file(assignment: str, message: str, tmp_path: Path) -> None:
    file = small(tmp_path)
    assert message in invoke("run", file, "--store", tmp_path / "store", "--set", assignment, code=2)[1]
    assert list(tmp_path.iterdir()) == [file]


def test_all_that_is_wrong_with_several_sets_is_said(tmp_path: Path) -> None:
    sets = ["--set", "seeds.9=1", "--set", "training.epochs=0", "--set", "x"]
    assert "3 problems" in invoke("run", small(tmp_path), *sets, code=2)[1]


def test_numbers_that_stop_being_finite_end_with_3_after_the_table(tmp_path: Path) -> None:
    training = {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 1e30}}
    output, error = invoke("run", small(tmp_path, training=training), "--store", tmp_path / "store", code=3)
    assert "mean ± sd over seeds" in output
    for words in ("replica 0 (seed 0)", "input_to_hidden1"):
        assert words in error
    assert "DivergedWarning" not in error


def test_an_analysis_that_misses_its_record_is_left_out_of_a_run_and_refused_by_itself(tmp_path: Path) -> None:
    file, store = small(tmp_path, analyses=["symmetry"]), tmp_path / "store"
    output, error = invoke("run", file, "--store", store)
    assert "mean ± sd" in output
    assert error.startswith("No symmetry: ")
    assert "expected a record of angle" in invoke("analyse", "symmetry", store, code=2)[1]


def test_analyse_prints_its_table_and_writes_where_told(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "figures"
    invoke("run", small(tmp_path), "--store", store)
    output = invoke("analyse", "learning_curves", store, "--out", out)[0]
    assert "mean ± sd over seeds" in output
    assert {path.suffix for path in out.iterdir()} >= {".png", ".md"}
    assert "Did you mean 'learning_curves'?" in invoke("analyse", "learning_curve", store, code=2)[1]
    assert "expected the folder of a run" in invoke("analyse", "learning_curves", tmp_path / "nowhere", code=4)[1]
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert "can be written" in invoke("analyse", "learning_curves", store, "--out", tmp_path / "file", code=2)[1]


def test_a_circuit_cannot_be_run_and_an_unknown_name_neither(tmp_path: Path) -> None:
    assert "expected an experiment, found a circuit" in invoke("run", CIRCUIT, "--store", tmp_path / "store", code=2)[1]
    assert "Did you mean 'sal_digits'" in invoke("run", "sal_digit", "--store", tmp_path / "store", code=2)[1]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    assert "tpu" in invoke("run", small(tmp_path), "--store", tmp_path / "store", "--device", "tpu", code=2)[1]


def failing(error: BaseException) -> Any:
    def run(*_: Any, **__: Any) -> None:
        raise error

    return run


def test_an_interrupt_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurosal.runner, "run", failing(KeyboardInterrupt()))
    assert "--resume" in invoke("run", small(tmp_path), "--store", tmp_path / "store", code=130)[1]


def test_our_own_mistakes_are_short_and_say_how_to_see_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neurosal.runner, "run", failing(RuntimeError("a bug")))
    monkeypatch.delenv("NEUROSAL_DEBUG", raising=False)
    error = invoke("run", small(tmp_path), "--store", tmp_path / "store", code=1)[1]
    assert "Unexpected RuntimeError: a bug" in error
    assert "NEUROSAL_DEBUG=1" in error
    monkeypatch.setenv("NEUROSAL_DEBUG", "1")
    with pytest.raises(RuntimeError, match="a bug"):
        invoke("run", small(tmp_path), "--store", tmp_path / "store")


def test_a_run_that_is_interrupted_leaves_a_store_that_resumes(tmp_path: Path) -> None:
    file, store = (
        small(tmp_path, training={"epochs": 100_000, "optimizer": {"kind": "sgd", "lr": 0.01}}),
        tmp_path / "store",
    )
    command = [sys.executable, "-m", "neurosal", "run", str(file), "--store", str(store), "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        limit = time.monotonic() + 90
        while not list(store.glob("arms/bp/checkpoints/*")) and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert neurosal.open_run(store).status.state == "interrupted"
    stopped = neurosal.open_run(store).arms["bp"].tree["metrics/train"].sizes["step"]
    assert stopped > 0


def test_a_terminal_sees_rate_and_time_left() -> None:
    from neurosal.cli.progress import Progress

    with Progress() as progress:
        assert not progress.shown
        progress.update(1, 2, "bp")  # nothing to draw on: nothing happens
