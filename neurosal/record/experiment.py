"""The folder of an experiment: what all arms share. Each arm is a run of its own below it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from neurosal.errors import Problem, StoreError
from neurosal.record import schema
from neurosal.record.checksums import write_sums
from neurosal.record.clock import later, now
from neurosal.record.environment import environment
from neurosal.record.files import read_yaml_file, store_errors, write_json, write_yaml
from neurosal.record.lock import Lock
from neurosal.record.refusing import refuse_other, refuse_run
from neurosal.record.status import Status, read_status, write_status


class ExperimentFolder:
    """Open for writing: `create` or `resume` one, record the arms below it, then `close` it.

    Example:
        >>> import tempfile
        >>> folder = ExperimentFolder.create(tempfile.mkdtemp(), experiment={"name": "pair", "arms": {"bp": {}}})
        >>> folder.arm("bp").name
        'bp'
        >>> folder.close()
    """

    def __init__(self, folder: Path, lock: Lock, status: Status) -> None:
        """For `create` and `resume` only."""
        self.folder = folder
        self._lock = lock
        self._status = status

    @classmethod
    def create(
        cls, folder: str | Path, *, experiment: Mapping[str, Any], provenance: Mapping[str, Any] | None = None
    ) -> Self:
        """Begin an experiment in a new or empty folder.

        Args:
            folder: where.
            experiment: what is asked, as a plain dict.
            provenance: what else made it (data and its fingerprint); goes to `environment.json`.

        Raises:
            StoreError: when the folder holds a run, is in use, or cannot be written.
        """
        folder = Path(folder)
        with store_errors(folder, "make a run there"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(folder)
            try:
                refuse_run(folder)
                write_yaml(folder / schema.EXPERIMENT_FILE, experiment)
                content = environment() | ({"provenance": dict(provenance)} if provenance else {})
                write_json(folder / schema.ENVIRONMENT_FILE, content)
                write_sums(folder, (schema.EXPERIMENT_FILE, schema.ENVIRONMENT_FILE))
                (folder / schema.ARMS).mkdir(exist_ok=True)
                status = Status(state="running", pid=os.getpid(), started=now(), updated=now())
                write_status(folder, status)
            except BaseException:
                lock.release()
                raise
        return cls(folder, lock, status)

    @classmethod
    def resume(cls, folder: str | Path, *, experiment: Mapping[str, Any] | None = None) -> Self:
        """Go on with an experiment; its arms are resumed one by one.

        Args:
            folder: of the experiment.
            experiment: what will be run; refused where it is not what was begun. None compares nothing.

        Raises:
            StoreError: when there is none, it is damaged, in use or another.
        """
        folder = Path(folder)
        status = read_status(folder)
        if status is None or not (folder / schema.EXPERIMENT_FILE).is_file():
            found = "none" if status is None else "a single run"
            remedy = "Start it without resuming." if status is None else "Resume that one, or choose another --store."
            raise StoreError(Problem(place=str(folder), expected="an experiment to resume", found=found, remedy=remedy))
        with store_errors(folder, "go on with the experiment there"):
            lock = Lock(folder)
            try:
                if experiment is not None:
                    path = folder / schema.EXPERIMENT_FILE
                    refuse_other(path, read_yaml_file(path), experiment)
                status = replace(status, state="running", pid=os.getpid(), updated=later(status.updated), message="")
                write_status(folder, status)
            except BaseException:
                lock.release()
                raise
        return cls(folder, lock, status)

    def arm(self, name: str) -> Path:
        """Folder of one arm's run."""
        return self.folder / schema.ARMS / name

    def heartbeat(self, *, step: int, epoch: float) -> None:
        """Say how far it is."""
        self._status = replace(self._status, step=step, epoch=epoch, updated=later(self._status.updated))
        with store_errors(self.folder, "write the status"):
            write_status(self.folder, self._status)

    def close(self, status: str = "done", message: str = "") -> None:
        """Say how the experiment ended: "done", "diverged", "interrupted" or "failed"."""
        self._status = replace(self._status, state=status, message=message, updated=later(self._status.updated))
        try:
            with store_errors(self.folder, "write the status"):
                write_status(self.folder, self._status, last=True)
        except StoreError:
            if status != "failed":  # otherwise an error is on its way that says more
                raise
        finally:
            self._lock.release()
