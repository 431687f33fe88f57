"""Names: of a kind that stores, files and figures can carry, and each for one thing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from neurosal.checks.view import View
from neurosal.errors import Problem, near
from neurosal.graph.value import shown

LONGEST = 100
_SAFE = re.compile(rf"(?!__)[a-z0-9_-]{{1,{LONGEST}}}\Z")


def unsafe(name: str) -> str | None:
    """A safe name like this one, or None when it is safe already.

    Names become folders and keys of stores: up to 100 letters a-z, digits, _ and -; a leading ``__`` belongs to zarr.

    Example:
        >>> unsafe("Hidden 1"), unsafe("hidden1")
        ('hidden_1', None)
    """
    if _SAFE.match(name):
        return None
    return re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_")[:LONGEST]


def name_problems(table: str, names: Iterable[str]) -> Iterator[Problem]:
    """Problems with the names of one table: unsafe ones, and those that differ only by case."""
    first: dict[str, str] = {}
    for name in names:
        safe, twin = unsafe(name), first.setdefault(name.lower(), name)
        if twin != name:
            yield Problem(
                place=f"{table}.{name}",
                expected="names that differ by more than capitals",
                found=f"{shown(twin)} and {shown(name)}",
                remedy="Some file systems hold them for one.",
            )
        elif safe is not None:
            yield Problem(
                place=f"{table}.{name}" if len(name) <= LONGEST else table,
                expected=f"a name of 1 to {LONGEST} letters a-z, digits, _ and -, without a leading __",
                found=shown(name),
                remedy=f"Call it {safe!r}." if safe and safe not in names else "",
            )


def check_names(view: View) -> Iterator[Problem]:
    """Safe names, no name twice, and projections that start and end somewhere."""
    populations, projections = sorted(view.known_populations), sorted(view.known_projections)
    yield from name_problems("populations", _in_order(view.populations, populations))
    yield from name_problems("projections", _in_order(view.projections, projections))
    for name in projections:
        if name in view.known_populations:
            yield Problem(
                place=f"projections.{name}",
                expected="a name that no population has",
                found=shown(name),
                remedy=f"Call it {name + '_projection'!r}, or as it runs: {{source}}_to_{{target}}.",
            )
    for name, edge in view.projections.items():
        for end in ("source", "target"):
            population = getattr(edge, end)
            if population not in view.known_populations and populations:
                yield Problem(
                    place=f"projections.{name}.{end}",
                    expected="the name of a population",
                    found=shown(population),
                    remedy=near(population, populations),
                )


def _in_order(first: Iterable[str], names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*first, *names]))
