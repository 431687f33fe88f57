"""Probes as values: what is recorded, of which part of the circuit, and when."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from neurosal.errors import ExperimentError, near
from neurosal.graph.value import Value

What = str
KINDS: tuple[str, ...] = (
    "weight",
    "activity",
    "error",
    "update",
    "area",
    "angle",
    "norm_ratio",
    "update_angle",
    "error_angle",
    "usage",
    "vote",
)


class Probe(Value):
    """One thing to record.

    Args:
        what: "weight" and "update" (proposed change) of projections; "activity", "error", "area" (selected area of each
            sample) and "usage" of populations; "angle" and "norm_ratio" between a forward projection and its effective
            feedback path; "update_angle" between the circuit's change and the backpropagation change of the same state
            and batch, "error_angle" the same of the errors at a population (mean over samples); "vote" of populations
            with areas: the accuracy, on validation and test data, of answering with the commonest training label of
            the area that a sample selects (a control: what routing alone knows of the classes). Or any statistic of
            ``neurosal list statistics`` that a circuit has at hand, computed in float64 while the network trains: of
            pairs, weights, changes and updates; credit, steps and changes of single samples; activity and usage, and
            how far activity, routes and tangent kernels on the first training samples went since the start.
        target: name of the projection or population; None takes all that fit.
        every: after every n-th step, and before the first.  epochs: after every n-th epoch, and before the first.  log:
            that many times a decade of steps.  Exactly one of the three.
        samples: how many samples of the step's batch "activity", "error", "area" and statistics of activity keep; None
            keeps all. For what is compared with the start how many first training samples: None takes 256 for
            activities, 64 for kernels.
    """

    error = ExperimentError
    what: What
    target: str | None = None
    every: int | None = Field(default=None, gt=0)
    epochs: int | None = Field(default=None, gt=0)
    log: int | None = Field(default=None, gt=0)
    samples: int | None = Field(default=None, gt=0)

    @field_validator("what")
    @classmethod
    def _known(cls, what: str) -> str:
        if what in KINDS:
            return what
        from neurosal.stats.catalogue import probes  # only here, for it brings xarray along

        known = probes()
        if what not in known:
            expected = "a kind of record, or a statistic that can be taken while training"
            raise PydanticCustomError("what", expected, {"remedy": near(what, {*KINDS, *known})})
        return what

    @model_validator(mode="after")
    def _one_schedule(self) -> Probe:
        if sum(entry is not None for entry in (self.every, self.epochs, self.log)) != 1:
            raise ValueError("exactly one of every, epochs and log")
        return self

    def due(self, step: int, epoch_ended: int | None) -> bool:
        """Whether to record after `step` steps are done (0: before the first). `epoch_ended` is the number of the epoch
        that just ended, or None."""
        if step == 0:
            return True
        if self.every is not None:
            return step % self.every == 0
        if self.epochs is not None:
            return epoch_ended is not None and epoch_ended % self.epochs == 0
        assert self.log is not None
        return step in log_spaced(step, self.log)


def log_spaced(until: int, per_decade: int) -> set[int]:
    """Steps up to `until` that are spaced evenly on a logarithmic axis, rounded to whole steps."""
    steps, exponent = set(), 0
    while (step := round(10 ** (exponent / per_decade))) <= until:
        steps.add(step)
        exponent += 1
    return steps


def probe(
    what: What,
    target: str | None = None,
    *,
    every: int | None = None,
    epochs: int | None = None,
    log: int | None = None,
    samples: int | None = None,
) -> Probe:
    """A `Probe`; without a schedule it records once an epoch.

    Example:
        >>> probe("angle", every=10)
        Probe(what='angle', every=10)
    """
    if every is None and epochs is None and log is None:
        epochs = 1
    return Probe(what=what, target=target, every=every, epochs=epochs, log=log, samples=samples)
