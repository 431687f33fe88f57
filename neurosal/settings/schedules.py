"""Factors on a rate over training, as values."""

from __future__ import annotations

import math
from typing import ClassVar

from pydantic import Field

from neurosal.errors import ExperimentError
from neurosal.graph.value import Kinded


class Schedule(Kinded):
    """A factor on a learning rate or decay. `epoch` is fractional: steps done over steps in an epoch."""

    family: ClassVar[str] = "schedule"
    error = ExperimentError

    def factor(self, step: int, epoch: float, epochs: float) -> float:
        """The factor at this step (0 is the first), with `epochs` the planned length of training."""
        raise TypeError(f"{type(self).__name__} states no factor")


class Steps(Schedule):
    """Times ``factor_each`` at the start of each epoch in ``at``."""

    kind: ClassVar[str] = "steps"
    at: tuple[float, ...]
    factor_each: float = Field(default=0.5, ge=0)

    def factor(self, step: int, epoch: float, epochs: float) -> float:
        return self.factor_each ** sum(epoch >= start for start in self.at)


class Cosine(Schedule):
    """Half a cosine from 1 at the start to ``floor`` at the end of training."""

    kind: ClassVar[str] = "cosine"
    floor: float = Field(default=0.0, ge=0)

    def factor(self, step: int, epoch: float, epochs: float) -> float:
        share = min(1.0, epoch / epochs) if epochs else 1.0
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * share))


class WarmUp(Schedule):
    """Linear from 1/steps to 1 over the first ``steps`` steps, times what ``then`` says (which counts from the first
    step too)."""

    kind: ClassVar[str] = "warm_up"
    steps: int = Field(gt=0)
    then: Schedule | None = None

    def factor(self, step: int, epoch: float, epochs: float) -> float:
        later = self.then.factor(step, epoch, epochs) if self.then else 1.0
        return min(1.0, (step + 1) / self.steps) * later


class Piecewise(Schedule):
    """``factors[i]`` from epoch ``starts[i]`` on, 1 before the first (e.g. a first epoch of stronger decay)."""

    kind: ClassVar[str] = "piecewise"
    starts: tuple[float, ...]
    factors: tuple[float, ...]

    def model_post_init(self, _: object) -> None:
        if len(self.starts) != len(self.factors) or list(self.starts) != sorted(self.starts):
            raise ValueError("as many factors as starts, and starts in rising order")

    def factor(self, step: int, epoch: float, epochs: float) -> float:
        current = 1.0
        for start, factor in zip(self.starts, self.factors, strict=True):
            if epoch >= start:
                current = factor
        return current
