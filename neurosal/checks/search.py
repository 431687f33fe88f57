"""The check of a search: its arms, the paths that it tries values of, and whether there is anything to judge by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from neurosal import library
from neurosal.checks.circuit import problems_in
from neurosal.checks.view import View
from neurosal.errors import NeurosalError, Problem, near
from neurosal.graph.value import shown
from neurosal.settings.experiment import Arm, overlaid
from neurosal.settings.search import Range, Search
from neurosal.settings.training import Training
from neurosal.settings.tuned import RECIPE, nested, with_settings

LARGEST_SEED = 2**63 - 1


def search_problems(search: Search, arms: Mapping[str, Arm], trainings: Mapping[str, Training]) -> Iterator[Problem]:
    """What is wrong with a search over these arms.

    Args:
        trainings: of the arms whose training is sound.
    """
    for name in search.arms:
        if name not in arms:
            expected = "an arm of the experiment"
            yield Problem(place=f"search.arms.{name}", expected=expected, found=shown(name), remedy=near(name, arms))
    yield from _seeds(search)
    share = search.validation
    if isinstance(share, float) and share >= 1:
        expected = "a share of the training part below 1, or a whole number of samples"
        yield Problem(place="search.validation", expected=expected, found=f"{share:g}")
    common: set[str] = set()
    for name, arm in arms.items():
        if name in trainings:
            for path, values in search.over_of(name).items():
                own = path in search.arms.get(name, {})
                place = f"search.arms.{name}.{path}" if own else f"search.over.{path}"
                if place not in common:  # what is wrong for all arms is said for the first of them
                    found = list(_path(place, path, values, name, arm, trainings[name]))
                    common |= {place} if found and not own else set()
                    yield from found
    counts = {name: len(search.settings(name)) for name in arms}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        expected = "as many settings for every arm (the same budget)"
        yield Problem(place="search.arms", expected=expected, found=listed)


def _seeds(search: Search) -> Iterator[Problem]:
    for index, seed in enumerate(search.seeds):
        place = f"search.seeds.{index}"
        if not 0 <= seed <= LARGEST_SEED:
            yield Problem(place=place, expected="a whole number from 0 to 2^63 - 1", found=shown(seed))
        if seed in search.seeds[:index]:
            yield Problem(place=place, expected="each seed once", found=f"{seed} again")


def _path(place: str, path: str, values: Any, name: str, arm: Arm, training: Training) -> Iterator[Problem]:
    if path == "epochs" or path.startswith("phases"):
        remedy = "search.epochs sets it for all."
        yield Problem(place=place, expected="a setting that leaves the budget as it is", found=path, remedy=remedy)
        return
    ends = (values.at(0.0), values.at(1.0)) if isinstance(values, Range) else values
    if any(value in ends[:index] for index, value in enumerate(ends)):
        yield Problem(place=place, expected="each value once", found=shown(list(ends)))
    for value in ends:
        found = list(value_problems(path, value, name, arm, training))
        if found:
            told = found[0]
            yield replace(told, place=place, remedy=told.remedy or f"For arm {name!r}.")
            return


def value_problems(path: str, value: Any, name: str, arm: Arm, training: Training) -> Iterable[Problem]:
    """What is wrong with one value of a path in one arm."""
    try:
        if not path.startswith(RECIPE):
            changed = Training.from_dict(overlaid(training.to_dict(), nested(path, value)))
            return _taken(changed.to_dict(), path, value)
        if arm.recipe is None:
            return [Problem(place=path, expected="an arm with a recipe", found=f"{name!r}, a circuit written out")]
        recipe = with_settings(arm, {path: value}).recipe
        assert recipe is not None
        return list(problems_in(View(library.build(recipe, place=f"arms.{name}.recipe"))))
    except NeurosalError as wrong:
        return wrong.problems


def _taken(data: Any, path: str, value: Any) -> Iterable[Problem]:
    """One number a trial: a setting that takes a list would take the list for values of replicas."""
    if isinstance(value, tuple | Mapping):
        return [Problem(place=path, expected="single values", found=shown(value))]
    return []
