"""What a search found, as a value: the best settings of each arm with all that was tried; laid into an experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from neurosal.errors import ExperimentError, Problem, near
from neurosal.graph.value import FrozenMap, Value, plain, shown
from neurosal.settings.experiment import Arm, Experiment, overlaid
from neurosal.settings.search import Search, frozen

TUNED_FILE = "tuned.yaml"
RECIPE = "recipe."


class Trial(Value):
    """One setting that was tried.

    Args:
        settings: path → value.
        score: mean over the seeds that stayed finite; None where none did.
        deviation: sample standard deviation over them; None for fewer than two.
        diverged: seeds whose numbers stopped being finite.
        round: in which turn it was tried, from 1.
    """

    error = ExperimentError
    settings: Mapping[str, Any]
    score: float | None = None
    deviation: float | None = None
    diverged: int = Field(default=0, ge=0)
    round: int = Field(default=1, gt=0)

    @field_validator("settings", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> Any:
        return frozen(entries)


class Best(Value):
    """What a search found for one arm.

    Args:
        settings: path → best value; empty where every trial diverged.
        score, deviation: of the best trial.
        at_edge: path → "smallest" or "largest", where the best value is that of all that were tried (for a range: where
            it lies in its outer twentieth), so that a better one may lie beyond.
        epochs: of each trial.
        trials: all that was tried.
        label: of the arm.
    """

    error = ExperimentError
    settings: Mapping[str, Any] = Field(default_factory=dict)
    score: float | None = None
    deviation: float | None = None
    at_edge: Mapping[str, str] = Field(default_factory=dict)
    epochs: int = Field(gt=0)
    trials: tuple[Trial, ...]
    label: str | None = None

    @field_validator("settings", "at_edge", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> Any:
        return frozen(entries)

    @property
    def diverged(self) -> int:
        """Replicas of all trials that stopped being finite."""
        return sum(trial.diverged for trial in self.trials)


class Tuned(Value):
    """The result of a search: what `tuned.yaml` holds.

    Args:
        experiment: its name.
        search: what was asked; its seeds and each arm's number of trials and epochs are the budget.
        measure: "accuracy" or "loss" of the validation part.
        data: the data set's name, the fingerprint of its content, and how many samples were trained and judged on.
        arms: name → what was found.

    Example:
        >>> tuned = Tuned.open("runs/small_tune")                   # doctest: +SKIP
        >>> ns.run(tuned.apply(experiment), store="runs/small")     # doctest: +SKIP
    """

    error = ExperimentError
    experiment: str
    search: Search
    measure: Literal["accuracy", "loss"] = "accuracy"
    data: Mapping[str, Any] = Field(default_factory=dict)
    arms: Mapping[str, Best]

    @field_validator("data", "arms", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    @classmethod
    def open(cls, path: str | Path) -> Tuned:
        """What a search stored.

        Args:
            path: its folder, or the file `tuned.yaml` in it.

        Raises:
            ExperimentError: when there is none, or it does not hold what a search writes.
        """
        from neurosal.graph.files import load_value

        path = Path(path)
        file = path / TUNED_FILE if path.is_dir() else path
        if not file.is_file():
            remedy = "`neurosal tune` writes one when it is done; --resume goes on with a search that was stopped."
            expected = f"a search that is done ({TUNED_FILE})"
            raise ExperimentError(Problem(place=str(file), expected=expected, found="no such file", remedy=remedy))
        return load_value(cls, file)

    def apply(self, experiment: Experiment) -> Experiment:
        """The experiment with the found settings in its arms; arms that were not searched stay as they are.

        Raises:
            ExperimentError: for arms that the experiment does not have, that have no best setting, or whose settings
                the experiment varies.
        """
        problems = list(self._misfits(experiment))
        if problems:
            raise ExperimentError(problems)
        arms = {
            name: with_settings(arm, self.arms[name].settings, self._note(name)) if name in self.arms else arm
            for name, arm in experiment.arms.items()
        }
        return experiment.replace(arms=arms)

    def _misfits(self, experiment: Experiment) -> Any:
        for name, best in self.arms.items():
            if name not in experiment.arms:
                expected = f"an arm of {experiment.name}"
                remedy = near(name, experiment.arms)
                yield Problem(place=f"arms.{name}", expected=expected, found=shown(name), remedy=remedy)
            elif not best.settings:
                yield Problem(place=f"arms.{name}", expected="a best setting", found="none: every trial diverged")
            elif best.settings and experiment.arms[name].recipe is None:
                yield from (
                    Problem(
                        place=f"arms.{name}", expected=f"a recipe ({path} was tuned)", found="a circuit written out"
                    )
                    for path in best.settings
                    if path.startswith(RECIPE)
                )
        paths = {path for best in self.arms.values() for path in best.settings}
        for path in experiment.vary:
            if path in paths:
                expected = f"{path} not varied (its best values were found)"
                remedy = "Take it out of vary."
                yield Problem(place=f"vary.{path}", expected=expected, found="varied", remedy=remedy)

    def _note(self, name: str) -> str:
        best = self.arms[name]
        edge = f", at the edge: {', '.join(best.at_edge)}" if best.at_edge else ""
        return f"tuned on validation: best of {len(best.trials)}{edge}"


def with_settings(arm: Arm, settings: Mapping[str, Any], note: str = "") -> Arm:
    """An arm with settings laid into its training (``optimizer.lr``) and its recipe (``recipe.options.areas``)."""
    training: Any = dict(arm.training)
    recipe = None if arm.recipe is None else arm.recipe.to_dict()
    for path, value in settings.items():
        if path.startswith(RECIPE):
            recipe = overlaid(recipe or {}, nested(path.removeprefix(RECIPE), plain(value)))
        else:
            training = overlaid(training, nested(path, plain(value)))
    notes = "; ".join(part for part in (arm.note, note) if part)
    return arm.replace(recipe=recipe, training=training, note=notes)


def nested(path: str, value: Any) -> dict[str, Any]:
    """``{"a": {"b": value}}`` for ``a.b``."""
    for part in reversed(path.split(".")):
        value = {part: value}
    return dict(value)


def best_of(trials: tuple[Trial, ...], measure: str) -> Trial | None:
    """The trial with the fewest diverged seeds and, among those, the best score; of equal ones that with the smaller
    values. None where every trial diverged."""
    finished = [trial for trial in trials if trial.score is not None]
    sign = -1 if measure == "accuracy" else 1
    return min(finished, key=lambda trial: (trial.diverged, sign * (trial.score or 0.0), _size(trial)), default=None)


def _size(trial: Trial) -> tuple[float, ...]:
    return tuple(value if is_number(value) else 0.0 for value in trial.settings.values())


def is_number(value: Any) -> bool:
    """Whether a value of a setting is a finite number, which has smaller and larger ones beside it."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
