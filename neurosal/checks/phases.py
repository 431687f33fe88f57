"""The check of phases and tasks: names, durations, data, noise, and what is done to each arm's circuit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from neurosal.checks.circuit import problems_in
from neurosal.checks.learning import nothing_changes
from neurosal.checks.names import name_problems
from neurosal.checks.view import View
from neurosal.data import Dataset
from neurosal.errors import NeurosalError, Problem, near
from neurosal.graph.circuit import Circuit
from neurosal.graph.value import shown
from neurosal.settings.experiment import overlaid
from neurosal.settings.phases import OVERLAID, Lesion, Phase, Reset, Rewire
from neurosal.settings.selecting import PATHWAYS, circuit_in, driven_in, matching, meant, without_error
from neurosal.settings.training import Training


@dataclass(frozen=True, kw_only=True)
class Arms:
    """What the phases of one list are checked against.

    Args:
        place: of the list.
        circuits, trainings: by arm, those that could be read.
        dataset: of the experiment, None where it could not be loaded.
        cycles: how often the list is gone through.
        unique: whether no two phases may share a name.
    """

    place: str
    circuits: Mapping[str, Circuit]
    trainings: Mapping[str, Training]
    dataset: Dataset | None
    cycles: int = 1
    unique: bool = True


def phase_problems(listed: Sequence[Phase | None], arms: Arms) -> Iterator[Problem]:
    """All that is wrong with a list of phases (None for those that could not be read); what several arms share is said
    once."""
    phases = [phase for phase in listed if phase is not None]
    if not listed:
        if arms.cycles > 1:
            remedy = "List the phases of a cycle, or leave cycles out."
            place = f"{arms.place.removesuffix('phases')}cycles"
            yield Problem(place=place, expected="phases to go through", found="none", remedy=remedy)
        return
    if len(phases) == len(listed) and not any(phase.steps or phase.epochs for phase in phases):
        yield Problem(place=arms.place, expected="at least one step in all", found="phases without steps")
    yield from name_problems(arms.place, [phase.name for phase in phases])
    first: dict[str, int] = {}
    for number, phase in enumerate(listed):
        if phase is None:
            continue
        if arms.unique and first.setdefault(phase.name, number) != number:
            remedy = "To repeat a list of phases, set cycles."
            place = f"{arms.place}.{number}.name"
            yield Problem(place=place, expected="each name once", found=shown(phase.name), remedy=remedy)
        seen: set[tuple[str, str]] = set()
        for problem in _phase(phase, number, listed, arms):
            if (problem.place, problem.expected) not in seen:
                seen.add((problem.place, problem.expected))
                yield problem


def _phase(phase: Phase, number: int, listed: Sequence[Phase | None], arms: Arms) -> Iterator[Problem]:
    place = f"{arms.place}.{number}"
    for key in phase.training:
        if key not in OVERLAID:
            expected = f"one of {', '.join(OVERLAID)} (what a phase may change)"
            remedy = near(key, OVERLAID)
            yield Problem(place=f"{place}.training.{key}", expected=expected, found=shown(key), remedy=remedy)
    for training in arms.trainings.values():
        changes = {key: value for key, value in phase.training.items() if key in OVERLAID}
        try:
            Training.from_dict(overlaid(training.to_dict(), changes), place=f"{place}.training")
        except NeurosalError as wrong:
            yield from wrong.problems
    yield from _data(phase, place, arms)
    yield from _patterns(phase, place, arms.circuits.values())
    for name, circuit in arms.circuits.items():
        yield from _circuit(phase, place, name, circuit)
    earlier = listed[: None if arms.cycles > 1 else number]
    if phase.restore and not any(entry is None or entry.lesion for entry in earlier):
        found = "no lesion before this phase"
        yield Problem(place=f"{place}.restore", expected="something that was taken out", found=found)


# Data ----------------------------------------------------------------------------------------------------------------


def _data(phase: Phase, place: str, arms: Arms) -> Iterator[Problem]:
    dataset = arms.dataset
    if phase.data is not None:
        try:
            dataset = phase.data.load()
        except NeurosalError as wrong:
            yield from (replace(problem, place=f"{place}.data: {problem.place}") for problem in wrong.problems)
            return
        for name, circuit in arms.circuits.items():
            yield from _sizes(dataset, circuit, f"{place}.data", name)
    if phase.classes is not None and dataset is not None:
        yield from class_problems(phase.classes, dataset, f"{place}.classes", part="train")


def _sizes(dataset: Dataset, circuit: Circuit, place: str, arm: str) -> Iterator[Problem]:
    features = dataset.features
    wanted = features if isinstance(features, Mapping) else {circuit.inputs[0]: features}
    for name, shape in wanted.items():
        units = circuit.populations[name].units if name in circuit.inputs else 0
        if units != prod(shape):
            expected = f"data with {units} features for {name!r} (arm {arm!r})"
            yield Problem(place=place, expected=expected, found=f"{prod(shape)} in {dataset.name}")
    if dataset.outputs != circuit.populations[circuit.output].units:
        expected = f"data for {circuit.populations[circuit.output].units} outputs (arm {arm!r})"
        yield Problem(place=place, expected=expected, found=f"{dataset.outputs} in {dataset.name}")


def class_problems(classes: Iterable[int], dataset: Dataset, place: str, part: str) -> Iterator[Problem]:
    """Classes that the data set has, each once, with samples in a part of it."""
    classes, count = list(classes), len(dataset.classes)
    if not count:
        found = f"{dataset.name}, whose targets are numbers"
        yield Problem(place=place, expected="data with class labels", found=found)
        return
    present = set(np.unique(getattr(dataset, part).y).tolist())
    for index, label in enumerate(classes):
        at = f"{place}.{index}"
        if not 0 <= label < count:
            yield Problem(place=at, expected=f"a label from 0 to {count - 1} ({dataset.name})", found=str(label))
        elif label in classes[:index]:
            yield Problem(place=at, expected="each label once", found=f"{label} again")
        elif label not in present:
            expected = f"a label with samples in the {part} part of {dataset.name}"
            yield Problem(place=at, expected=expected, found=str(label))


def task_problems(tasks: Mapping[str, tuple[int, ...]], dataset: Dataset | None) -> Iterator[Problem]:
    """Tasks with names that stores can carry, known classes, and no class in two of them."""
    yield from name_problems("tasks", tasks)
    if dataset is None or not tasks:  # without tasks nobody asks for the test part
        return
    part = next((name for name in ("test", "validation") if len(getattr(dataset, name).y)), None)
    if part is None:
        remedy = "Give data.split a test share."
        yield Problem(place="tasks", expected="a test or validation part to judge on", found="neither", remedy=remedy)
    owner: dict[int, str] = {}
    for name, classes in tasks.items():
        if not classes:
            yield Problem(place=f"tasks.{name}", expected="at least one class", found="none")
        yield from class_problems(classes, dataset, f"tasks.{name}", part or "train")
        for index, label in enumerate(classes):
            if owner.setdefault(label, name) != name:
                found = f"{label}, which is in {owner[label]!r} too"
                yield Problem(place=f"tasks.{name}.{index}", expected="each class in one task", found=found)


# Circuits ------------------------------------------------------------------------------------------------------------


def _patterns(phase: Phase, place: str, circuits: Iterable[Circuit]) -> Iterator[Problem]:
    """Names and patterns that mean something, in one arm at least: what some arms have, others may lack."""
    circuits = list(circuits)
    if not circuits:
        return
    known = sorted({name for circuit in circuits for name in (*circuit.projections, *circuit.populations)})
    asked = [(f"plastic.{index}", pattern) for index, pattern in enumerate(phase.plastic or ())]
    asked += [(f"frozen.{index}", pattern) for index, pattern in enumerate(phase.frozen)]
    asked += [(f"plasticity.{pattern}", pattern) for pattern in phase.plasticity]
    for path, pattern in asked:
        if not any(meant(circuit, pattern) for circuit in circuits):
            expected = "a projection, a population that hears from others, a pathway, or a pattern that means one"
            remedy = near(pattern, [*known, *PATHWAYS])
            yield Problem(place=f"{place}.{path}", expected=expected, found=shown(pattern), remedy=remedy)
    for index, pattern in enumerate(phase.restore):
        if not matching(pattern, known):
            expected, remedy = "a projection or population, or a pattern that means one", near(pattern, known)
            yield Problem(place=f"{place}.restore.{index}", expected=expected, found=shown(pattern), remedy=remedy)


def _circuit(phase: Phase, place: str, arm: str, circuit: Circuit) -> Iterator[Problem]:
    """What a phase does to the circuit of one arm."""
    changed = circuit_in(circuit, phase)
    before = set(problems_in(View(circuit)))
    for problem in problems_in(View(changed)):
        if problem not in before:
            yield replace(problem, place=f"{place}.plasticity: {problem.place}")
    if phase.drive is not None:
        yield from _drive(phase, place, arm, changed)
    for index, lesion in enumerate(phase.lesion):
        yield from _lesion(lesion, f"{place}.lesion.{index}", arm, circuit)
    changes: dict[str, tuple[Reset | Rewire, ...]] = {"reset": phase.reset, "rewire": phase.rewire}
    for table, entries in changes.items():
        for index, entry in enumerate(entries):
            at = f"{place}.{table}.{index}"
            if getattr(entry, "population", None) is not None:
                yield from _known("population", entry.target, f"{at}.population", arm, circuit)
                continue
            yield from _known("projection", entry.target, f"{at}.projection", arm, circuit)
            edge = circuit.projections.get(entry.target)
            if edge is not None and (edge.tied_to is not None or edge.pathway == "modulatory"):
                found = "a router" if edge.pathway == "modulatory" else f"that of {edge.tied_to!r}"
                expected = "a projection with synapses of its own"
                yield Problem(place=f"{at}.projection", expected=expected, found=f"{entry.target!r}: {found}")


def _known(what: str, name: str, place: str, arm: str, circuit: Circuit) -> Iterator[Problem]:
    known = list(circuit.projections if what == "projection" else circuit.populations)
    if name not in known:
        expected = f"the name of a {what} of every arm it is done to"
        found = f"{shown(name)}, which {arm!r} does not have"
        yield Problem(place=place, expected=expected, found=found, remedy=near(name, known))


def _drive(phase: Phase, place: str, arm: str, circuit: Circuit) -> Iterator[Problem]:
    assert phase.drive is not None
    names = driven_in(circuit, phase)
    if not names:
        yield Problem(
            place=f"{place}.drive.populations",
            expected=f"populations to drive (in {arm!r} no feedback learns from noise)",
            found="none",
            remedy="Name some, or make a circuit with the rule wm.",
        )
    for index, name in enumerate(names):
        at = f"{place}.drive.populations.{index}"
        if name not in circuit.populations:
            yield from _known("population", name, at, arm, circuit)
            continue
        try:
            driven = without_error(circuit.driven_at(name))
        except NeurosalError as wrong:
            yield from (replace(problem, place=at) for problem in wrong.problems)
            continue
        problem = nothing_changes(driven)
        if problem is not None:
            yield replace(problem, place=at, found=f"{name!r} in {arm!r}: {problem.found}")


def _lesion(lesion: Lesion, place: str, arm: str, circuit: Circuit) -> Iterator[Problem]:
    if lesion.population is not None:
        yield from _known("population", lesion.population, f"{place}.population", arm, circuit)
        entry = circuit.populations.get(lesion.population)
        units = None if entry is None else entry.units
        yield from _numbers(lesion.indices or (), units, f"{place}.indices")
        return
    name = lesion.projection or ""
    yield from _known("projection", name, f"{place}.projection", arm, circuit)
    edge = circuit.projections.get(name)
    if edge is None:
        return
    if edge.pathway == "modulatory":
        expected = "a projection with weights"
        yield Problem(place=f"{place}.projection", expected=expected, found=f"the router {name!r}")
    for axis, end in enumerate((edge.source, edge.target)):
        entry = circuit.populations.get(end)
        pairs = lesion.edges or ()
        yield from _numbers([pair[axis] for pair in pairs], None if entry is None else entry.units, f"{place}.edges")
    if edge.wiring.kind == "one_to_one" and any(pre != post for pre, post in lesion.edges or ()):
        yield Problem(place=f"{place}.edges", expected="pairs of equal numbers (one-to-one)", found=shown(lesion.edges))


def _numbers(numbers: Iterable[Any], units: int | None, place: str) -> Iterator[Problem]:
    for index, number in enumerate(numbers):
        if units is not None and not 0 <= number < units:
            expected = f"a unit from 0 to {units - 1}"
            yield Problem(place=f"{place}.{index}", expected=expected, found=str(number))
