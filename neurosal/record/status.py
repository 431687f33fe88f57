"""How a run stands: `status.json` (a heartbeat)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurosal.errors import Problem, StoreError
from neurosal.record import schema
from neurosal.record.files import damaged, json_bytes, read_json, write_json, write_over
from neurosal.record.lock import locked

PHASES = ("build_seconds", "compile_seconds", "simulate_seconds", "write_seconds")
MORE = (
    "dropped", "samples_per_second", "training_seconds", "seconds_left", "peak_memory_bytes", *PHASES,
)  # fmt: skip # only where known
STATES = ("running", "done", "diverged", "interrupted", "failed")


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a run stands.

    Args:
        state: "running", "done", "diverged", "interrupted" or "failed". A run that was killed still says "running";
            see `alive`.
        step, epoch: of the newest record.
        pid: process that wrote this.
        started, updated: times (ISO 8601, UTC).
        message: why it ended as it did.
        dropped: how many rows of which group were dropped because the disk was too slow; see `Training`.
        samples_per_second, training_seconds: of the steps since the run was begun or resumed, without evaluations and
            checkpoints.
        seconds_left: of training, at this pace.
        build_seconds, compile_seconds, simulate_seconds, write_seconds: of a simulation, since it was begun or resumed.
        peak_memory_bytes: the most that the process had resident at a time; on a GPU, that its tensors took there.
        alive: whether a process holds the run open for writing.
    """

    state: str
    step: int = 0
    epoch: float = 0.0
    pid: int = 0
    started: str = ""
    updated: str = ""
    message: str = ""
    dropped: Mapping[str, int] = field(default_factory=dict)
    samples_per_second: float = 0.0
    training_seconds: float = 0.0
    seconds_left: float = 0.0
    peak_memory_bytes: int = 0
    build_seconds: float = 0.0
    compile_seconds: float = 0.0
    simulate_seconds: float = 0.0
    write_seconds: float = 0.0
    alive: bool = False

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do: it went to its end, or as far as its numbers were finite."""
        return self.state in ("done", "diverged")


def write_status(folder: Path, status: Status, *, last: bool = False) -> None:
    """Replace `status.json`; a `last` word is written over it where the disk has no place for a second file."""
    fields = {name: value for name, value in vars(status).items() if name != "alive" and (value or name not in MORE)}
    content = {"schema": schema.VERSION, **fields}
    try:
        write_json(folder / schema.STATUS_FILE, content)
    except OSError:
        if not last:
            raise
        write_over(folder / schema.STATUS_FILE, json_bytes(content))


def read_status(folder: str | Path) -> Status | None:
    """How the run in a folder stands; None where there is no run. Opens nothing but `status.json`.

    Raises:
        StoreError: for a status that is damaged or of another schema.
    """
    folder = Path(folder)
    path = folder / schema.STATUS_FILE
    if not path.is_file():
        return None
    content = read_json(path)
    check_version(content.pop("schema", None), path)
    types: dict[str, type | tuple[type, ...]] = {
        "state": str, "step": int, "epoch": (int, float), "pid": int, "started": str, "updated": str, "message": str,
        "dropped": dict, "samples_per_second": (int, float), "training_seconds": (int, float),
        "seconds_left": (int, float), "peak_memory_bytes": int, **dict.fromkeys(PHASES, (int, float)),
    }  # fmt: skip
    for name, value in content.items():
        if name not in types:
            raise damaged(path, f"one of {', '.join(types)}", repr(name))
        if not isinstance(value, types[name]) or isinstance(value, bool):
            raise damaged(path, f"{name} as {types[name]}", repr(value))
    if content.get("state") not in STATES:
        raise damaged(path, f"state as one of {', '.join(STATES)}", repr(content.get("state")))
    return Status(**content, alive=locked(folder))


def check_version(found: Any, place: Path) -> None:
    """Refuse what another version of the schema wrote.

    Raises:
        StoreError: unless the major version is ours and the minor version is not newer.
    """
    try:
        major, minor = (int(part) for part in str(found).split("."))
    except ValueError:
        raise damaged(place, f"a schema version such as {schema.VERSION}", repr(found)) from None
    ours = tuple(int(part) for part in schema.VERSION.split("."))
    if major != ours[0] or minor > ours[1]:
        remedy = "Open it with the release of neurosal that wrote it (see environment.json), or a newer one."
        raise StoreError(
            Problem(place=str(place), expected=f"schema {schema.VERSION}", found=f"schema {found}", remedy=remedy)
        )
