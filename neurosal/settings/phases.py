"""Phases of an experiment as values: what drives the circuit, for how long, what is plastic, and what is done to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from neurosal.data.spec import DataSpec
from neurosal.errors import ExperimentError
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.value import FrozenMap, Value

NAME = r"^[a-z0-9_-]+$"
OVERLAID = ("batch_size", "loss", "optimizer")  # what a phase may say of training


class Noise(Value):
    """Noise instead of data: it becomes the activity of one population at a time, in turn, one a step, and travels
    forward from there. No loss is computed; plasticity that needs no error learns (the weight mirror does).

    Args:
        populations: that are driven; None takes those where a plastic weight mirror ends, in the circuit's order.
        distribution: "normal" or "uniform" (same mean and standard deviation).
        mean, std: of every unit.
        batch_size: samples a step; None takes that of the training.

    Reference:
        Akrout et al. (2019), arXiv 1904.05391.
    """

    error = ExperimentError
    populations: tuple[str, ...] | None = Field(default=None, min_length=1)
    distribution: Literal["normal", "uniform"] = "normal"
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    batch_size: int | None = Field(default=None, gt=0)


class _OfOne(Value):
    """A change of one projection or population."""

    error = ExperimentError
    projection: str | None = None
    population: str | None = None

    @model_validator(mode="after")
    def _one_target(self) -> _OfOne:
        if (self.projection is None) == (self.population is None):
            raise ValueError("either projection or population, one of the two")
        return self

    @property
    def target(self) -> str:
        """What is changed."""
        return self.projection or self.population or ""


class Lesion(_OfOne):
    """Units of a population, or synapses of a projection, that are taken out until a phase restores them.

    Lesioned units carry no activity and no error and nothing changes at their synapses; lesioned synapses are zero.

    Args:
        population, projection: which one; exactly one of the two.
        share: of the units or synapses, chosen at random for each replica (0 to 1); at least one.
        indices: of units, the same in all replicas.
        edges: synapses as (pre, post), the same in all replicas and areas.
    """

    share: float | None = Field(default=None, gt=0, le=1)
    indices: tuple[int, ...] | None = Field(default=None, min_length=1)
    edges: tuple[tuple[int, int], ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_choice(self) -> Lesion:
        given = [name for name in ("share", "indices", "edges") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("exactly one of share, indices (units) and edges (synapses)")
        if given == ["indices" if self.projection else "edges"]:
            raise ValueError("indices for a population, edges for a projection")
        return self


class Reset(_OfOne):
    """First values drawn anew, from a stream of its own (seed, name, phase, cycle). What the optimiser and the
    plasticity remember of them is forgotten.

    A population stands for all feedforward projections into it, and its bias.
    """


class Rewire(Value):
    """Synapses of a projection that change places or values.

    Args:
        projection: which one.
        share: of the present synapses, chosen at random for each replica and area, at least one.
        how: "replace" draws new first values, "shuffle" permutes the values among the chosen synapses.
    """

    error = ExperimentError
    projection: str
    share: float = Field(default=1.0, gt=0, le=1)
    how: Literal["replace", "shuffle"] = "replace"

    @property
    def target(self) -> str:
        """What is changed."""
        return self.projection


class Phase(Value):
    """One part of an experiment: what drives the circuit and how it may change.

    When it begins, first ``restore``, then ``reset``, ``rewire`` and ``lesion`` are carried out.

    Names in ``plastic``, ``frozen`` and ``plasticity`` are those of projections, of populations (all feedforward
    projections into them) or of pathways ("feedforward", "feedback", "lateral", "modulatory"), or patterns with ``*``
    and ``?``. What is frozen keeps weights and the optimiser's state bit for bit; the bias of a population is frozen
    when all feedforward projections into it are. What stays plastic goes on with the optimiser's state of the phase
    before; an optimiser that remembers other things (momentum, Adam) begins anew, for the weights that it changes.

    Args:
        name: of the phase; random streams are keyed by it.
        epochs, steps: how long, in every cycle; exactly one of the two. No step at all is legal: only what is done at
            the beginning happens.
        data: another data set of the same sizes. Phases with equal data, classes and batch size go on in the order of
            samples where the one before left it.
        classes: only training samples with these labels; None takes all.
        drive: noise in place of data.
        plastic: what may change; all else is fixed. None leaves it to the circuit.
        frozen: what must not change.
        plasticity: another plasticity for some projections.
        training: changes to the training: batch_size, loss, optimizer. A schedule that is given here runs over this
            phase (through all cycles), that of the experiment over all learning.
        lesion, rewire, reset: what is done to the circuit at the beginning, in every cycle.
        restore: populations and projections (or patterns) whose lesions end; synapses that come back start from zero.

    Example:
        >>> Phase(name="noise", steps=1, drive=Noise())
        Phase(name='noise', steps=1, drive=Noise())
    """

    error = ExperimentError
    name: str = Field(pattern=NAME)
    epochs: int | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=0)
    data: DataSpec | None = None
    classes: tuple[int, ...] | None = Field(default=None, min_length=1)
    drive: Noise | None = None
    plastic: tuple[str, ...] | None = None
    frozen: tuple[str, ...] = ()
    plasticity: Mapping[str, Plasticity] = Field(default_factory=dict)
    training: Mapping[str, Any] = Field(default_factory=dict)
    lesion: tuple[Lesion, ...] = ()
    rewire: tuple[Rewire, ...] = ()
    reset: tuple[Reset, ...] = ()
    restore: tuple[str, ...] = ()

    @field_validator("plasticity", "training", mode="after")
    @classmethod
    def _freeze(cls, entries: Mapping[str, Any]) -> FrozenMap[Any]:
        return FrozenMap(entries)

    @model_validator(mode="after")
    def _one_duration(self) -> Phase:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("either epochs or steps, one of the two")
        if self.drive is not None and self.epochs is not None:
            raise ValueError("steps (noise has no epochs)")
        if self.drive is not None and (self.data is not None or self.classes is not None):
            raise ValueError("either noise or data")
        return self

    @property
    def intervenes(self) -> bool:
        """Whether something is done to the circuit when the phase begins."""
        return bool(self.lesion or self.rewire or self.reset or self.restore)
