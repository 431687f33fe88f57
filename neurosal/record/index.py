"""The runs below a folder, from their small files alone: no store is opened, so a thousand runs take a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurosal.errors import Problem, StoreError
from neurosal.record import schema
from neurosal.record.root import ROOT
from neurosal.record.status import Status, read_status

DEPTH = 8  # folders below the given one
_BESIDES = (schema.STORE, schema.CHECKPOINTS, "figures")
_HEAD = 4096  # a circuit's or an experiment's name stands in the first lines of its file


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of an index.

    Args:
        folder: of the run, below the folder that was asked for.
        name: of the circuit or the experiment.
        kind: "run", or "experiment".
        state: "running", "killed" (it says running and no process writes it), "done", "diverged", "interrupted",
            "failed" or "damaged".
        step, epoch: how far it is.
        updated: time of the last sign of life (ISO 8601, UTC).
        age_s: seconds since then by this machine's clock; None where that time is still to come, or none.
        bytes: of the files of the folder; None where nobody asked.
        message: why it ended, or what is damaged.
        arms: of an experiment.
    """

    folder: str
    name: str
    kind: str
    state: str
    step: int = 0
    epoch: float = 0.0
    updated: str = ""
    age_s: float | None = None
    bytes: int | None = None
    message: str = ""
    arms: int = 0


def index(folder: str | Path) -> list[Entry]:
    """Every run and experiment below a folder, the folder itself among them; the newest first.

    Args:
        folder: where to look. Arms are counted with their experiment; hidden folders and links are not followed.

    Raises:
        StoreError: for a folder that is not there.

    Example:
        >>> import tempfile
        >>> index(tempfile.mkdtemp())
        []
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise StoreError(Problem(place=str(folder), expected="a folder", found=found, remedy="Check the path."))
    entries = [_entry(path, folder) for path in _runs(folder, DEPTH)]
    return sorted(entries, key=lambda entry: (entry.updated, entry.folder), reverse=True)


def _runs(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in found}
    except OSError:
        return  # not ours to read
    if schema.STATUS_FILE in names or (names.get(schema.STORE) and (folder / schema.STORE / ROOT).is_file()):
        yield folder
        return
    if not depth:
        return
    for name in sorted(names):
        if names[name] and not name.startswith(".") and name not in _BESIDES:
            yield from _runs(folder / name, depth - 1)


def _entry(path: Path, above: Path) -> Entry:
    place = str(path.relative_to(above))
    experiment = (path / schema.EXPERIMENT_FILE).is_file()
    kind = "experiment" if experiment else "run"
    common: dict[str, Any] = {"folder": place, "kind": kind, "name": _name(path, experiment)}
    try:
        status = read_status(path)
    except StoreError as error:
        return Entry(**common, state="damaged", message=str(error.problems[0]))
    if status is None:
        return Entry(**common, state="damaged", message=f"no {schema.STATUS_FILE}")
    arms = 0
    if experiment and (path / schema.ARMS).is_dir():
        arms = sum((arm / schema.STATUS_FILE).is_file() for arm in (path / schema.ARMS).iterdir())
    return Entry(
        **common, state=state_of(status), step=status.step, epoch=status.epoch, updated=status.updated,
        age_s=age(status), message=status.message, arms=arms,
    )  # fmt: skip


def state_of(status: Status) -> str:
    """How a run stands, told apart by whether a process writes it."""
    return "killed" if status.state == "running" and not status.alive else status.state


def age(status: Status) -> float | None:
    """Seconds since the last sign of life; None where another clock wrote a time that is still to come."""
    try:
        updated = datetime.fromisoformat(status.updated)
    except ValueError:
        return None
    seconds = (datetime.now(UTC) - (updated if updated.tzinfo else updated.replace(tzinfo=UTC))).total_seconds()
    return seconds if seconds >= 0 else None


def _name(path: Path, experiment: bool) -> str:
    """The name from the first lines of the file, without reading the rest of it."""
    file = path / (schema.EXPERIMENT_FILE if experiment else schema.CIRCUIT_FILE)
    try:
        with file.open("rb") as opened:
            lines = opened.read(_HEAD).decode(errors="replace").splitlines()
    except OSError:
        return ""
    found = next((line.removeprefix("name:").strip() for line in lines if line.startswith("name:")), "")
    return found.strip("'\"")


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # a run that goes on removes files meanwhile
    return total
