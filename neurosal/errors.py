"""Errors for users: each carries every problem found, with its place, what was expected, what was found and the remedy.

``assert`` is kept for our own invariants; anything that a user can cause ends in one of the classes below.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong: where it stands, what was expected there, what was found, and what to do."""

    place: str
    expected: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: expected {self.expected}, found {self.found}"
        return f"{text}. {self.remedy}" if self.remedy else text


class NeurosalError(Exception):
    """Base of all errors that neurosal raises for its users. ``problems`` lists everything that was wrong."""

    exit_code = 2
    what = "input"

    def __init__(self, problems: str | Problem | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            self.problems: tuple[Problem, ...] = ()
            message = problems
        else:
            self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
            count = len(self.problems)
            head = f"{count} problem{'s' if count != 1 else ''} in {self.what}"
            message = "\n".join([head, *(f"  - {problem}" for problem in self.problems)])
        super().__init__(message)


class CircuitError(NeurosalError):
    """A circuit that cannot be read, checked or compiled."""

    what = "the circuit"


class ExperimentError(NeurosalError):
    """An experiment, a setting or a training request that cannot be carried out."""

    what = "the experiment"


class DataError(NeurosalError):
    """A data set that is missing, damaged or does not fit."""

    what = "the data"


class StoreError(NeurosalError):
    """A store that cannot be written, opened or resumed."""

    exit_code = 4
    what = "the store"


class DivergedError(NeurosalError):
    """Numbers stopped being finite in at least one replica; its last good state was kept."""

    exit_code = 3
    what = "the run"


class LostError(NeurosalError):
    """A process of a run of several was lost; what was recorded can be gone on from."""

    exit_code = 5
    what = "the processes"


def near(name: object, known: Iterable[str], count: int = 3) -> str:
    """A remedy that names what the user may have meant: near names first, else all that there are.

    Example:
        >>> near("hiden1", ["input", "hidden1", "output"])
        "Did you mean 'hidden1'?"
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(str(name), names, n=count, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(repr(entry) for entry in close)}?"
    if not names:
        return "There are none."
    shown = ", ".join(names[:12])
    return f"There are: {shown}{', ...' if len(names) > 12 else ''}."
