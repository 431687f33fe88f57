"""What NAME|FILE means on the command line: a member of the library or a YAML file, checked whole."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurosal import library
from neurosal.checks.circuit import check_circuit_data
from neurosal.checks.experiment import check_experiment_data
from neurosal.errors import CircuitError, ExperimentError, NeurosalError, Problem, near
from neurosal.graph.circuit import Circuit
from neurosal.graph.files import Document, read_yaml
from neurosal.graph.value import shown
from neurosal.settings.experiment import Experiment

FAMILIES = {"circuit": CircuitError, "experiment": ExperimentError, "input": NeurosalError}


@dataclass(frozen=True)
class Found:
    """A circuit or an experiment that passed its check, or all that is wrong with it."""

    kind: str
    value: Circuit | Experiment | None
    problems: tuple[Problem, ...] = ()

    def checked(self) -> Circuit | Experiment:
        """The value.

        Raises:
            NeurosalError: with the problems.
        """
        if self.problems or self.value is None:
            raise FAMILIES[self.kind](self.problems)
        return self.value

    def readable(self) -> Circuit | Experiment:
        """The value, also of an experiment whose data is not here: it can be read all the same.

        Raises:
            NeurosalError: with the problems.
        """
        return self.value if self.value is not None else self.checked()


def look_up(source: str, assignments: Iterable[str] = ()) -> Found:
    """What `source` names, with fields changed as ``path=value`` assignments say.

    Of a circuit of the library, arguments of the function that makes it may be assigned too.
    """
    library.load_plasticity()
    if library.is_file(source) or Path(source).is_file():
        try:
            document = read_yaml(Path(source), error=ExperimentError)
        except NeurosalError as wrong:
            return Found("input", None, wrong.problems)
        return _of_document(document, assignments)
    kinds = [kind for kind in ("circuit", "experiment") if source in library.names(f"{kind}s")]
    if not kinds:
        names = [*library.names("circuits"), *library.names("experiments")]
        remedy = f"{near(source, names)} A file ends in .yaml."
        problem = Problem(
            place="name",
            expected="a circuit or an experiment of the library, or a file",
            found=shown(source),
            remedy=remedy,
        )
        return Found("input", None, (problem,))
    known = _arguments(source) if kinds[0] == "circuit" else ()
    mine = [entry for entry in assignments if (entry.partition("=")[0].strip() in known and "=" in entry)]
    assignments = [entry for entry in assignments if entry not in mine]
    try:
        given, _, unread = assigned({}, mine)
        if unread:
            return Found(kinds[0], None, tuple(unread))
        if mine:
            value: Any = library.make_circuit(source, given, place="--set")
        else:
            value = (library.load_circuit if kinds[0] == "circuit" else library.load_experiment)(source)
    except NeurosalError as refused:
        places = [problem.place.replace("--set.", "--set ", 1) for problem in refused.problems]
        problems = (replace(problem, place=place) for problem, place in zip(refused.problems, places, strict=True))
        return Found(kinds[0], None, tuple(problems))
    found = _checked(kinds[0], Document(value.to_dict()), assignments, located=False)
    return replace(found, problems=tuple(_or_argument(problem, known) for problem in found.problems))


def _arguments(circuit: str) -> tuple[str, ...]:
    """What the function of the library that makes a circuit takes by name."""
    parameters = inspect.signature(library.find("circuits", circuit)).parameters.values()
    return tuple(entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD)


def _or_argument(problem: Problem, known: Iterable[str]) -> Problem:
    """An unknown field may have been meant as an argument: say which there are."""
    path = problem.place.removeprefix("--set ")
    if path == problem.place or "." in path or problem.expected != "a known field":
        return problem
    remedy = near(path, known)
    said = remedy if remedy.startswith("Did") else f"{problem.remedy} Arguments: {', '.join(known)}."
    return replace(problem, expected="a known field or argument", remedy=said)


def _of_document(document: Document, assignments: Iterable[str]) -> Found:
    kind = kind_of(document.data)
    if kind is None:
        keys = list(document.data) if isinstance(document.data, dict) else []
        known = [*Circuit.model_fields, *Experiment.model_fields]
        remedy = " ".join(
            near(key, known) for key in keys[:5] if isinstance(key, str) and near(key, known).startswith("Did")
        )
        problem = Problem(
            place=document.place(""),
            expected="a circuit (with populations and projections) or an experiment (with data and arms)",
            found=", ".join(shown(key) for key in keys[:8]) or shown(document.data),
            remedy=remedy,
        )
        return Found("input", None, (problem,))
    return _checked(kind, document, assignments, located=True)


def kind_of(data: Any) -> str | None:
    """Whether a file's content means a circuit or an experiment, by the fields that only one of them has."""
    if not isinstance(data, Mapping):
        return None
    own = {"circuit": set(Circuit.model_fields), "experiment": set(Experiment.model_fields)}
    shared = own["circuit"] & own["experiment"]
    counts = {kind: len((fields - shared) & set(data)) for kind, fields in own.items()}
    best = max(counts, key=lambda kind: counts[kind])
    return best if counts[best] else None


def _readable(kind: str, document: Document) -> Experiment | None:
    """An experiment of which nothing but the data is missing."""
    try:
        experiment = Experiment.from_dict(document.data) if kind == "experiment" else None
    except NeurosalError:
        return None
    return experiment


def _checked(kind: str, document: Document, assignments: Iterable[str], *, located: bool) -> Found:
    check = check_circuit_data if kind == "circuit" else check_experiment_data
    value, problems = check(document.data)
    if problems:
        missing = all(problem.place.startswith("data: ") for problem in problems)  # the set, not what is asked of it
        return Found(
            kind,
            _readable(kind, document) if missing else None,
            tuple(document.located(problems) if located else problems),
        )
    assert value is not None
    assignments = list(assignments)
    if not assignments:
        return Found(kind, value)
    data, places, wrong = assigned(value.to_dict(), assignments)
    value, problems = check(data)
    return Found(kind, None if wrong else value, (*wrong, *(_marked(problem, places) for problem in problems)))


def _marked(problem: Problem, places: Iterable[str]) -> Problem:
    mine = any(problem.place.startswith(path) or path.startswith(f"{problem.place}.") for path in places)
    return replace(problem, place=f"--set {problem.place}") if mine else problem


def assigned(
    data: dict[str, Any], assignments: Iterable[str], place: str = "--set"
) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """`data` with fields changed, the paths of these fields, and what is wrong with the assignments.

    Args:
        assignments: ``path=value`` each; the value is read by the rules of files.
        place: how the command line calls them, for messages.
    """
    data, paths, problems = copy.deepcopy(data), [], []
    for entry in assignments:
        path, equals, text = entry.partition("=")
        path = path.strip()
        if not equals or not path:
            problems.append(Problem(place=place, expected="path=value", found=shown(entry)))
            continue
        try:
            value = read_yaml(f"{{value: {text}\n}}").data["value"] if text.strip() else ""
            _assign(data, path, value)
            paths.append(path)
        except NeurosalError as wrong:
            problems += [replace(problem, place=f"{place} {path}") for problem in wrong.problems]
    return data, paths, problems


def _assign(data: Any, path: str, value: Any) -> None:
    owner, rest = data, path
    while True:
        if isinstance(owner, dict):
            # Keys may hold dots themselves (vary: {optimizer.lr: ...}): the longest key that is there is meant.
            key = next(
                (
                    known
                    for known in sorted(owner, key=len, reverse=True)
                    if rest == known or rest.startswith(f"{known}.")
                ),
                None,
            )
            if key is None and path.removesuffix(rest) in ("vary.", "search.over."):
                key = rest
            head, rest = rest.partition(".")[::2] if key is None else (key, rest[len(key) + 1 :])
            if not rest:
                if head == "kind" and owner.get("kind") != value:
                    owner.clear()  # another kind has other fields
                owner[head] = value
                return
            owner = owner.setdefault(head, {})
        elif isinstance(owner, list):
            head, _, rest = rest.partition(".")
            if not head.isdigit() or int(head) >= len(owner):
                raise ExperimentError(Problem(place="", expected=f"an index below {len(owner)}", found=shown(head)))
            if not rest:
                owner[int(head)] = value
                return
            owner = owner[int(head)]
        else:
            raise ExperimentError(
                Problem(place="", expected="a field with fields of its own", found=f"{shown(owner)}, before {rest!r}")
            )
