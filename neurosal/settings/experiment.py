"""What is asked: arms × seeds × varied settings, on one data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from neurosal.data.spec import DataSpec
from neurosal.errors import ExperimentError
from neurosal.graph.circuit import Circuit
from neurosal.graph.value import FrozenMap, Value
from neurosal.settings.phases import NAME, Phase
from neurosal.settings.search import Search
from neurosal.settings.training import Training


class Recipe(Value):
    """A circuit by name: a function of the library with its arguments, then a rule with its options."""

    error = ExperimentError
    circuit: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    rule: str = "bp"
    options: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("arguments", "options", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)


class Arm(Value):
    """One contender: a circuit (written out, or as a recipe), what it trains differently, and what a table must say
    beside its numbers.

    Args:
        recipe, circuit: exactly one of the two.
        training: changes to the experiment's training, in the same nesting, e.g. ``{"optimizer": {"lr": 0.1}}``.
        label: name in tables and figures.
        note: what a reader must know (tuned rate, weight transport, larger step, ...).
        trials: settings to try, each for every seed, in place of all combinations of what the experiment varies, e.g.
            ``({"optimizer.lr": 0.1}, {"optimizer.lr": 0.3})``; of the kind that `Experiment.vary` takes.
        phases, cycles: in place of the experiment's.
    """

    error = ExperimentError
    recipe: Recipe | None = None
    circuit: Circuit | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)
    label: str | None = None
    note: str = ""
    trials: tuple[Mapping[str, float], ...] | None = Field(default=None, min_length=1)

    @field_validator("trials", mode="after")
    @classmethod
    def _freeze_trials(cls, entries: tuple[Mapping[str, float], ...] | None) -> Any:
        return None if entries is None else tuple(FrozenMap(entry) for entry in entries)

    phases: tuple[Phase, ...] | None = None
    cycles: int | None = Field(default=None, gt=0)

    @field_validator("training", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    @model_validator(mode="after")
    def _one_origin(self) -> Arm:
        if (self.recipe is None) == (self.circuit is None):
            raise ValueError("either recipe or circuit, one of the two")
        return self


class Experiment(Value):
    """Arms (name → circuit) × seeds × varied settings, data, training, what to record.

    Seeds and varied settings of one arm are the replicas of one tensor program. ``vary`` maps paths inside the
    optimiser that keep shapes (``"optimizer.lr"``) to the values to try; what changes shapes belongs into arms.

    Args:
        search: how `tune` looks for the best settings of each arm; `run` takes no notice of it.
        phases: parts of the training, one after the other; without any the whole data set drives the circuit for
            ``training.epochs``.
        cycles: how often the list of phases is gone through.
        tasks: name → classes; each is judged at every evaluation, over all outputs and within its classes.
    """

    error = ExperimentError
    name: str = Field(pattern=NAME)
    title: str = ""
    data: DataSpec
    arms: Mapping[str, Arm] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    vary: Mapping[str, tuple[float, ...]] = Field(default_factory=dict)
    training: Training = Field(default_factory=Training)
    analyses: tuple[str, ...] = ("learning_curves", "symmetry", "areas")
    search: Search | None = None
    phases: tuple[Phase, ...] = ()
    cycles: int = Field(default=1, gt=0)
    tasks: Mapping[str, tuple[int, ...]] = Field(default_factory=dict)

    @field_validator("arms", "vary", "tasks", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers. Phases, cycles and tasks are left out where there are none, as
        in the files of runs from before there were any."""
        result = super().to_dict()
        unused = {"phases": [], "cycles": 1, "tasks": {}}
        return {name: value for name, value in result.items() if name not in unused or value != unused[name]}

    def phases_of(self, arm: str) -> tuple[tuple[Phase, ...], int]:
        """The phases of one arm, and how often it goes through them."""
        own = self.arms[arm]
        phases = self.phases if own.phases is None else own.phases
        return phases, self.cycles if own.cycles is None else own.cycles

    def training_of(self, arm: str) -> Training:
        """The training of one arm: the experiment's with the arm's changes laid over it.

        Raises:
            ExperimentError: with every field that does not fit.
        """
        changes = self.arms[arm].training
        return Training.from_dict(overlaid(self.training.to_dict(), changes), place=f"arms.{arm}.training")


def overlaid(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, mapping by mapping; a mapping that names another kind replaces the whole."""
    result = dict(base)
    for key, change in changes.items():
        below = result.get(key)
        nested = (
            isinstance(change, Mapping)
            and isinstance(below, Mapping)
            and change.get("kind", below.get("kind")) == below.get("kind")
        )
        result[key] = overlaid(below, change) if nested else change  # type: ignore[arg-type]
    return result
