"""The check of a search, as a part of its experiment."""

from __future__ import annotations

from typing import Any

from neurosal.checks import check_experiment_data
from tests.checks.test_experiment import small


def problems(search: dict[str, Any], **changes: Any) -> dict[str, str]:
    found = check_experiment_data(small(search=search, **changes))[1]
    return {problem.place: str(problem) for problem in found}


def test_a_sound_search_has_no_problems() -> None:
    over = {"optimizer.lr": [0.1, 0.3], "optimizer.momentum": [0, 0.9], "batch_size": [8, 16]}
    assert problems({"over": over}) == {}


def test_all_that_is_wrong_comes_together_and_once() -> None:
    over = {
        "optimizer.rl": [0.1], "optimizer.lr": [0.1, -1, "fast"], "batch_size": [0], "epochs": [1, 2], "lr": [1],
        "recipe.options.areas": [2, 4], "optimizer.momentum": [0.5, 0.5], "optimizer.weight_decay": [[0.1, 0.2]],
    }  # fmt: skip
    search = {
        "over": over,
        "arms": {"sla": {"optimizer.lr": [1]}, "sal": {"recipe.options.areas": [0]}},
        "seeds": [1, 1, -1],
        "validation": 1.5,
    }
    found = problems(search)
    assert set(found) == {
        *(f"search.over.{path}" for path in over), "search.arms.sla", "search.arms.sal.recipe.options.areas",
        "search.seeds.1", "search.seeds.2", "search.validation", "search.arms",
    }  # fmt: skip
    assert "found 'rl'" in found["search.over.optimizer.rl"]
    assert "Did you mean 'sal'" in found["search.arms.sla"]
    assert "search.epochs" in found["search.over.epochs"]
    assert "areas" in found["search.over.recipe.options.areas"]  # bp has none
    assert "same budget" in found["search.arms"]


def test_arms_written_out_have_no_recipe_to_search_in() -> None:
    from neurosal import circuits, rules

    written = {"own": {"circuit": rules.bp(circuits.mlp(64, 4, 10)).to_dict()}}
    search = {"over": {"recipe.options.areas": [2]}}
    assert "circuit written out" in problems(search, arms=written)["search.over.recipe.options.areas"]


def test_trials_of_an_arm_have_the_same_settings_which_keep_shapes() -> None:
    data = small()
    data["arms"]["bp"]["trials"] = [
        {"optimizer.lr": 0.1}, {"optimizer.momentum": 0.1}, {"optimizer.lr": -1}, {"batch_size": 3},
    ]  # fmt: skip
    found = [problem.place for problem in check_experiment_data(data)[1]]
    assert found == [
        "arms.bp.trials.1", "arms.bp.trials.2.optimizer.lr", "arms.bp.trials.3", "arms.bp.trials.3",
    ]  # fmt: skip
