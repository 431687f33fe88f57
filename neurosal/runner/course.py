"""The course of a run: its phases, each so many steps, gone through so many times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosal.settings.experiment import overlaid
from neurosal.settings.phases import Phase
from neurosal.settings.training import Training

MOST_VISITS = 1000  # beginnings of phases that are recorded; of more, those of the first cycle are


@dataclass(frozen=True)
class Place:
    """Where a run is: so many steps of a phase of a cycle are done; whether the phase has begun."""

    cycle: int = 0
    phase: int = 0
    done: int = 0
    begun: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Place:
        """What `to_dict` wrote."""
        return cls(int(fields["cycle"]), int(fields["phase"]), int(fields["done"]), bool(fields["begun"]))


@dataclass(frozen=True)
class Course:
    """Steps of each phase in one cycle, and the number of cycles."""

    lengths: tuple[int, ...]
    cycles: int = 1

    @property
    def total(self) -> int:
        """Steps in all."""
        return sum(self.lengths) * self.cycles

    @property
    def visits(self) -> int:
        """How often a phase begins."""
        return len(self.lengths) * self.cycles

    def taken(self, phase: int, place: Place) -> int:
        """Steps of one phase that are done, over all cycles."""
        own = self.lengths[phase]
        current = own if phase < place.phase else place.done if phase == place.phase else 0
        return place.cycle * own + current

    def legs(self, place: Place) -> Iterator[tuple[int, int, int, bool]]:
        """Cycle, phase, steps of it that are done, and whether it has begun, from a place on."""
        yield place.cycle, place.phase, place.done, place.begun
        first = place.phase + 1
        for cycle in range(place.cycle, self.cycles):
            for phase in range(first, len(self.lengths)):
                yield cycle, phase, 0, False
            first = 0

    def recorded(self, cycle: int, intervenes: bool) -> bool:
        """Whether the beginning of a phase is recorded."""
        return cycle == 0 or (self.visits <= MOST_VISITS and intervenes)


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is done beside plain training: phases, how often, and the tasks that are judged."""

    phases: tuple[Phase, ...] = ()
    cycles: int = 1
    tasks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What there is of it, as plain dicts."""
        found: dict[str, Any] = {}
        if self.phases:
            found |= {"phases": [phase.to_dict() for phase in self.phases], "cycles": self.cycles}
        return found | ({"tasks": {name: list(classes) for name, classes in self.tasks.items()}} if self.tasks else {})


def visits(program: Program, number: int, cycle: int) -> int:
    """How often a phase of this name has begun before a phase begins."""
    names = [phase.name for phase in program.phases]
    return cycle * names.count(names[number]) + names[:number].count(names[number])


def training_in(phase: Phase, training: Training, place: str = "") -> Training:
    """The training while a phase lasts.

    Raises:
        ExperimentError: with every field that does not fit.
    """
    changed = Training.from_dict(overlaid(training.to_dict(), phase.training), place=place)
    if phase.drive is None:
        return changed
    return changed.replace(batch_size=phase.drive.batch_size or changed.batch_size)


def only(part: Any, classes: Sequence[int] | None) -> Any:
    """A part of a data set with the samples of some classes."""
    if classes is None:
        return part
    chosen = np.isin(part.y, classes)
    if hasattr(part, "where"):
        return part.where(chosen)
    inputs = dict(part.inputs) if hasattr(part, "inputs") else {"input": part.x}
    return Chosen({name: array[chosen] for name, array in inputs.items()}, part.y[chosen])


class Chosen:
    """Some samples of a part."""

    def __init__(self, inputs: dict[str, Any], y: Any) -> None:
        self.inputs, self.y = inputs, y


def course_of(program: Program, training: Training, data: Any) -> Course:
    """The course of a run on a data set, before anything is compiled."""
    if not program.phases:
        return Course((training.epochs * -(-len(data.train.y) // training.batch_size),))
    lengths = []
    for number, phase in enumerate(program.phases):
        if phase.steps is not None:
            lengths.append(phase.steps)
            continue
        source = data if phase.data is None else phase.data.load()
        size = training_in(phase, training, f"phases.{number}.training").batch_size
        lengths.append((phase.epochs or 0) * -(-len(only(source.train, phase.classes).y) // size))
    return Course(tuple(lengths), program.cycles)
