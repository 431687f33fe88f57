"""How good the trials of a search were on validation data."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neurosal.checks.experiment import load_once
from neurosal.engine.losses import NO_LOSS
from neurosal.errors import ExperimentError, Problem
from neurosal.record import Run, schema
from neurosal.settings.experiment import Experiment

PART = "validation"


@dataclass(frozen=True, kw_only=True)
class Score:
    """Of one trial: mean and sample standard deviation over the seeds that stayed finite, None where there are too few,
    and how many did not."""

    mean: float | None
    deviation: float | None
    diverged: int


def measure_of(experiment: Experiment) -> Literal["accuracy", "loss"]:
    """What arms are judged by: accuracy where the data has classes.

    Raises:
        ExperimentError: for arms without a loss, of which nothing is evaluated.
    """
    without = [name for name in experiment.arms if experiment.training_of(name).loss == NO_LOSS]
    if without:
        expected, found = "a loss, so that there is something to judge by", NO_LOSS
        problems = [Problem(place=f"arms.{name}.training.loss", expected=expected, found=found) for name in without]
        raise ExperimentError(problems)
    return "accuracy" if load_once(experiment.data).classes else "loss"


def scores_of(run: Run, trials: int, seeds: int, criterion: str, measure: str) -> list[Score]:
    """The score of each trial of a recorded program, whose replicas are seeds × trials, the trial changing fastest."""
    evaluation = run.tree[schema.EVALUATION].to_dataset()
    loss = evaluation[f"{PART}_{schema.LOSS}"].transpose(schema.REPLICA, schema.STEP).values
    falls = measure == "loss"
    values = loss if falls else evaluation[f"{PART}_accuracy"].transpose(schema.REPLICA, schema.STEP).values
    lost = ~np.isfinite(loss[:, -1])
    if run.status.state == "diverged" and int(evaluation[schema.STEP].values[-1]) < run.status.step:
        lost[:] = True  # it ended before its time because no replica was left, and nothing evaluated them after that
    curves, gone = values.reshape(seeds, trials, -1), lost.reshape(seeds, trials)
    return [
        _score(curves[~gone[:, trial], trial], int(gone[:, trial].sum()), criterion, falls) for trial in range(trials)
    ]


def _score(curves: Any, diverged: int, criterion: str, falls: bool) -> Score:
    """Of the curves [seed, step] of one trial."""
    if not len(curves):
        return Score(mean=None, deviation=None, diverged=diverged)
    means = [_mean(column) for column in curves.T]
    at = -1 if criterion == "final" else means.index(min(means) if falls else max(means))
    last = [float(value) for value in curves[:, at]]
    deviation = statistics.stdev(last) if len(last) > 1 else None
    return Score(mean=means[at], deviation=deviation, diverged=diverged)


def _mean(values: Any) -> float:
    """Rounded once, so that seeds in another order give the same and ties are ties."""
    return math.fsum(map(float, values)) / len(values)
