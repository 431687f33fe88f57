"""neurosal tune, and run --tuned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import neurosal as ns
from neurosal.settings import Tuned
from tests.cli.invoking import invoke, small

SEARCH: dict[str, Any] = {"over": {"optimizer.lr": [1e-6, 1e6]}, "seeds": [5, 6], "validation": 20}


def test_a_search_prints_its_table_stores_its_result_and_warns_of_edges(tmp_path: Path) -> None:
    file, store = small(tmp_path, search=SEARCH), tmp_path / "store"
    output, error = invoke("tune", file, "--store", store, "--device", "cpu")
    assert "best settings on validation data" in output
    assert "Budget of every arm: 2 settings × 2 seeds × 1 epochs" in output
    assert "Warning: bp: the best optimizer.lr, " in error
    assert "is the smallest that was tried; --resume --extend goes on." in error
    assert sorted(path.name for path in store.iterdir()) == ["figures", "rounds", "search.yaml", "tuned.yaml"]
    assert (store / "figures" / "tuning.png").stat().st_size > 1000
    assert invoke("tune", file, "--store", store, "--resume")[0] == output
    assert "--resume" in invoke("tune", file, "--store", store, code=4)[1]
    assert "best settings" in invoke("analyse", "tuning", store)[0]


def test_what_was_found_is_laid_into_a_run(tmp_path: Path) -> None:
    file, store = small(tmp_path, search=SEARCH), tmp_path / "store"
    invoke("tune", file, "--store", store)
    for number, path in enumerate((store, store / "tuned.yaml")):
        assert "tuned on validation" in invoke("run", file, "--tuned", path, "--store", tmp_path / str(number))[0]
        run = ns.open_run(tmp_path / str(number))
        for name, best in Tuned.open(store).arms.items():
            assert run.arms[name].settings["training"]["optimizer"]["lr"] == best.settings["optimizer.lr"]
    assert "neurosal tune" in invoke("run", file, "--tuned", tmp_path, "--store", tmp_path / "none", code=2)[1]
    assert not (tmp_path / "none").exists()


def test_set_reaches_into_the_search_even_where_there_was_none(tmp_path: Path) -> None:
    file, store = small(tmp_path), tmp_path / "store"
    assert "search: expected what to search for" in invoke("tune", file, "--store", store, code=2)[1]
    assert not store.exists()
    sets = ["--set", "search.over.optimizer.lr=[0.1, 0.2]", "--set", "search.seeds=[3]", "--set", "search.epochs=2"]
    invoke("tune", file, "--store", store, *sets)
    found = Tuned.open(store)
    assert found.search.over == {"optimizer.lr": (0.1, 0.2)}
    assert (found.search.seeds, found.arms["bp"].epochs) == ((3,), 2)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("search.over.optimizer.rl=[1]", "search.over.optimizer.rl: expected a known field"),
        ("search.over.optimizer.lr=[]", "--set search.over.optimizer.lr: expected a list of values"),
        ("search.sedes=[1]", "Did you mean 'seeds'"),
        ("search.validation=1000000", "search.validation: expected a part of the 100 training samples"),
    ],
)
def test_a_wrong_search_is_refused_before_anything_is_written(assignment: str, message: str, tmp_path: Path) -> None:
    file = small(tmp_path, search=SEARCH)
    assert message in invoke("tune", file, "--store", tmp_path / "store", "--set", assignment, code=2)[1]
    assert list(tmp_path.iterdir()) == [file]


def test_an_experiment_runs_as_if_it_had_no_search(tmp_path: Path) -> None:
    invoke("run", small(tmp_path, search=SEARCH), "--store", tmp_path / "store")
    assert ns.open_run(tmp_path / "store").arms["bp"].tree["metrics/eval"].sizes["replica"] == 2


def test_arms_that_were_searched_apart_are_laid_into_one_run(tmp_path: Path) -> None:
    search = {**SEARCH, "arms": {"sal": {"optimizer.lr": [1e-3, 1e-2]}, "bp": {"optimizer.lr": [0.2, 0.3]}}}
    file = small(tmp_path, search=search)
    for name in ("bp", "sal"):
        invoke("tune", file, "--arm", name, "--store", tmp_path / name)
        assert list(Tuned.open(tmp_path / name).arms) == [name]
    both = ["--tuned", tmp_path / "bp", "--tuned", tmp_path / "sal"]
    invoke("run", file, *both, "--store", tmp_path / "run")
    for name in ("bp", "sal"):
        rate = ns.open_run(tmp_path / "run").arms[name].settings["training"]["optimizer"]["lr"]
        assert rate == Tuned.open(tmp_path / name).arms[name].settings["optimizer.lr"]
