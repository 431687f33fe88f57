"""How settings are searched for on validation data, as a value: what is tried, with which budget, judged by what."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from neurosal.errors import ExperimentError
from neurosal.graph.value import FrozenMap, Kinded, Value

DIGITS = 4  # of values that are drawn: short enough to be read, and exact in files
OUTER = 0.05  # share of a range at each end that counts as its edge

Settings = Mapping[str, Any]  # path → value


class Range(Kinded):
    """Values between two numbers, to draw from.

    Args:
        low, high: the ends, low < high.
        whole: whole numbers only.
    """

    family: ClassVar[str] = "range"
    error = ExperimentError
    low: float
    high: float
    whole: bool = False

    @field_validator("high")
    @classmethod
    def _above(cls, value: float, info: ValidationInfo) -> float:
        if "low" in info.data and value <= info.data["low"]:
            raise ValueError(f"more than low, {info.data['low']:g}")
        return value

    def at(self, share: float) -> float:
        """The value at a share (0 to 1) of the way from low to high, with four digits."""
        raise TypeError(f"{type(self).__name__} has no values")

    def share(self, value: float) -> float:
        """How far a value lies on the way from low to high."""
        raise TypeError(f"{type(self).__name__} has no values")

    def _rounded(self, value: float) -> float:
        value = round(value) if self.whole else float(f"{value:.{DIGITS}g}")
        return min(max(value, self.low), self.high)


class Uniform(Range):
    """``low + u (high - low)`` with u even between 0 and 1."""

    kind: ClassVar[str] = "uniform"

    def at(self, share: float) -> float:
        return self._rounded(self.low + share * (self.high - self.low))

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


class LogUniform(Range):
    """``low (high / low)^u`` with u even between 0 and 1: as many values in each decade, as suits rates."""

    kind: ClassVar[str] = "log_uniform"
    low: float = Field(gt=0)

    def at(self, share: float) -> float:
        return self._rounded(self.low * (self.high / self.low) ** share)

    def share(self, value: float) -> float:
        return math.log(value / self.low) / math.log(self.high / self.low)


def _values(given: Any) -> Any:
    """A range, or a tuple of values to try."""
    if isinstance(given, Range | Mapping):
        return Range.parse(given)
    if not isinstance(given, list | tuple) or not given:
        raise PydanticCustomError("values", "a list of values, or a range with a kind", {})
    return tuple(frozen(entry) for entry in given)


def frozen(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(frozen(entry) for entry in value)
    return FrozenMap({key: frozen(entry) for key, entry in value.items()}) if isinstance(value, Mapping) else value


Values = Annotated[Any, BeforeValidator(_values)]  # Any: pydantic would report one problem for each kind of it


class Search(Value):
    """A search for the settings that are best on validation data, with the same budget for every arm.

    The validation part is taken from the training data, unless the data set is split with one; the test part is left
    out of the whole search.

    Args:
        over: path → values to try, or a range to draw from. Paths are those of `Training` (``optimizer.lr``,
            ``batch_size``) and ``recipe.options.NAME``, ``recipe.arguments.NAME``. Settings that keep shapes and steps
            are replicas of one tensor program.
        arms: arm → paths of its own, laid over `over`; as many settings as for the others.
        method: "grid" (every combination), "random", or "optuna" (which must be installed).
        trials: settings to draw for each arm; not for grids.
        rounds: in how many turns "optuna" asks; what it proposes in one turn is trained as one batch.
        seed: of the draws.
        seeds: of the replicas of each setting.
        epochs: of each trial; None takes those of the arm.
        evaluate_every: epochs between evaluations; None takes that of the arm.
        criterion: "final", the mean over seeds after the last epoch; or "best", the highest that this mean ever was.
            It is accuracy, or loss where targets are no classes. Of equal ones the smaller value is taken.
        validation: share of the training part, or number of its samples, to judge by where the data has no validation
            part.
        extend: widen a grid by its own ratio, for every arm alike, until no arm has its best at an edge.

    Example:
        >>> Search(over={"optimizer.lr": (0.01, 0.03, 0.1, 0.3)}, seeds=(10, 11, 12)).settings("any")[0]
        {'optimizer.lr': 0.01}
    """

    error = ExperimentError
    over: Mapping[str, Values] = Field(min_length=1)
    arms: Mapping[str, Mapping[str, Values]] = Field(default_factory=dict)
    method: Literal["grid", "random", "optuna"] = "grid"
    trials: int | None = Field(default=None, gt=0)
    rounds: int = Field(default=4, gt=0)
    seed: int = Field(default=0, ge=0)
    seeds: tuple[int, ...] = Field(default=(1000, 1001, 1002), min_length=1)
    epochs: int | None = Field(default=None, gt=0)
    evaluate_every: int | None = Field(default=None, gt=0)
    criterion: Literal["final", "best"] = "final"
    validation: int | float = Field(default=0.1, gt=0)
    extend: bool = False

    @field_validator("over", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    @field_validator("arms", mode="after")
    @classmethod
    def _freeze_arms(cls, entries: Mapping[str, Mapping[str, Any]]) -> FrozenMap[Any]:
        return FrozenMap({name: FrozenMap(over) for name, over in entries.items()})

    @model_validator(mode="after")
    def _complete(self) -> Search:
        drawn = any(isinstance(values, Range) for over in (self.over, *self.arms.values()) for values in over.values())
        if self.method == "grid" and drawn:
            raise ValueError("values to try for every path of a grid (ranges are for random and optuna)")
        if self.method == "grid" and self.trials is not None:
            raise ValueError("no trials for a grid (all its combinations are tried)")
        if self.method != "grid" and self.trials is None:
            raise ValueError(f"trials, the number of settings to draw, for {self.method}")
        if self.method != "grid" and self.extend:
            raise ValueError("a grid to extend")
        return self

    def over_of(self, arm: str) -> dict[str, Any]:
        """What is tried for one arm."""
        return {**self.over, **self.arms.get(arm, {})}

    def settings(self, arm: str) -> list[dict[str, Any]]:
        """The settings of a grid in order (the last path changes fastest), or those that are drawn at random.

        Draws depend on seed and path alone, so that arms with the same ranges try the same.
        """
        over = self.over_of(arm)
        if self.method == "grid":
            return [dict(zip(over, row, strict=True)) for row in itertools.product(*over.values())]
        columns = [list(self._drawn(path, values)) for path, values in over.items()]
        return [dict(zip(over, row, strict=True)) for row in zip(*columns, strict=True)]

    def _drawn(self, path: str, values: Any) -> Iterator[Any]:
        # The raw output of the bit generator is what numpy promises to keep.
        key = np.random.SeedSequence([self.seed, *path.encode()])
        for word in np.atleast_1d(np.random.PCG64(key).random_raw(self.trials or 0)):
            share = int(word) / 2**64
            yield values.at(share) if isinstance(values, Range) else values[int(share * len(values))]
