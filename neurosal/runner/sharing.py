"""How a run of several processes keeps one record: who writes it, and what the others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from neurosal.engine.reading import Stored
from neurosal.errors import NeurosalError
from neurosal.processes import Ranks
from neurosal.record import Recorder, Status, schema
from neurosal.record import checkpoint as checkpoints

T = TypeVar("T")


def led(ranks: Ranks | None, act: Callable[[], T]) -> T | None:
    """Let the process that leads do something; what goes wrong with it goes wrong at all. None at the others."""
    if ranks is None:
        return act()
    if not ranks.leads:
        wrong = ranks.tell()
        if wrong is not None:
            raise wrong
        return None
    try:
        found = act()
    except NeurosalError as error:
        ranks.tell(error)
        raise
    ranks.tell()
    return found


def agreed(ranks: Ranks | None, act: Callable[[], T]) -> T:
    """What the process that leads finds, at all of them."""
    if ranks is None:
        return act()
    found = led(ranks, act)
    said: T = ranks.tell(found)
    return said


def status_of(ranks: Ranks | None, folder: Path) -> Status | None:
    """How a run stands, as the process that leads sees it."""
    return agreed(ranks, lambda: Recorder.status(folder))


class Silent:
    """The record of a process that does not write it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def declare(self, group: schema.Group, *, expected: int | None = None) -> None:
        """Nothing."""

    def append(self, path: str, *, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def maybe_commit(self) -> None:
        """Nothing."""

    def reached(self, *, step: int, epoch: float) -> None:
        """Nothing."""

    def checkpoint(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Nothing."""

    def pace(self, **report: float) -> None:
        """Nothing."""

    def newest_checkpoint(self) -> checkpoints.Checkpoint | None:
        """That of the process that leads, which waits for large ones before it goes on."""
        return checkpoints.newest(self.folder / schema.CHECKPOINTS)

    def close(self, status: str = "done", message: str = "") -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Nothing."""


def saved_by(recorder: Any) -> Stored | None:
    """The newest checkpoint of a run that is being recorded; None where there is none."""
    found = recorder.newest_checkpoint()
    return None if found is None else Stored.of(found.tensors)


Opened = tuple[Any, Mapping[str, Any] | None, Mapping[str, Any]]  # a recorder, tensors and meta of a checkpoint


def open_record(
    ranks: Ranks | None, folder: Path, resumed: bool, options: Mapping[str, Any], more: Mapping[str, Any]
) -> Opened:
    """The record of a run, begun or gone on with, and the checkpoint to go on from.

    Args:
        options: what both ways of opening it take.  more: what only the first does.
    """

    def act() -> Opened:
        if resumed:
            return Recorder.resume(folder, **options)
        return Recorder.create(folder, **options, **more), None, {}

    opened = led(ranks, act)
    if opened is not None:
        return opened
    found = checkpoints.newest(folder / schema.CHECKPOINTS) if resumed else None
    return (Silent(folder), found.tensors, found.meta) if found else (Silent(folder), None, {})
