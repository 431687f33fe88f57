"""Recording a run: values come in step by step, go to the store in blocks, and become visible with each commit."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import checkpoint as checkpoints
from neurosal.record import schema
from neurosal.record.blocks import BlockWriter
from neurosal.record.checkpoint import Checkpoint, Tensors
from neurosal.record.checksums import write_sums
from neurosal.record.environment import environment
from neurosal.record.files import read_yaml_file, store_errors, write_json, write_yaml
from neurosal.record.lock import Lock
from neurosal.record.refusing import plain, refuse_other, refuse_other_group, refuse_run
from neurosal.record.status import Status, now, read_status, write_status
from neurosal.record.store import Store

COMMIT_SECONDS = 5.0
Array = np.ndarray[Any, Any]


class Recorder:
    """Writes one run into a folder. Make one with `create` or `resume`; as a context manager it closes itself.

    Example:
        >>> import tempfile, numpy
        >>> from neurosal.record import Recorder, schema
        >>> folder = tempfile.mkdtemp()
        >>> with Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0, 1]}) as recorder:
        ...     recorder.declare(schema.training_metrics())
        ...     recorder.append("metrics/train", step=10, epoch=0.5, values={"loss": numpy.array([2.3, 2.2])})
        >>> Recorder.status(folder).state
        'done'
    """

    def __init__(self, folder: Path, store: Store, lock: Lock, status: Status) -> None:
        """For `create` and `resume` only."""
        self.folder = folder
        self._store = store
        self._lock = lock
        self._status = status
        self._blocks = BlockWriter(store)
        self._groups: dict[str, schema.Group] = {}
        self._last_step: dict[str, int] = {}
        self._committed_at = time.monotonic()
        self._failed = self._closed = False

    # Opening ---------------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        circuit: Mapping[str, Any],
        settings: Mapping[str, Any],
        replicas: Mapping[str, Sequence[Any]],
        graph: Mapping[str, Sequence[Any]] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """Begin a run in a new or empty folder.

        Args:
            folder: where.
            circuit, settings: what is run, as plain dicts; written to `circuit.yaml` and `settings.yaml`.
            replicas: `seed` and each varied setting → one value a replica.
            graph: columns of `/graph`, as `schema.graph` makes them from the circuit (the default).
            provenance: what else made the run (data and its fingerprint, device); goes to `environment.json`.

        Raises:
            StoreError: when the folder holds a run, is in use, or cannot be written.
        """
        folder = Path(folder)
        with store_errors(folder, "make a run there"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = Lock(folder)
            try:
                refuse_run(folder)
                replicas = {name: [plain(value) for value in values] for name, values in replicas.items()}
                assert schema.SEED in replicas, "replicas need their seeds"
                assert len({len(values) for values in replicas.values()}) == 1, f"one value a replica: {replicas}"
                write_yaml(folder / schema.CIRCUIT_FILE, plain(circuit))
                write_yaml(folder / schema.SETTINGS_FILE, plain(settings))
                content = environment() | ({"provenance": plain(provenance)} if provenance else {})
                write_json(folder / schema.ENVIRONMENT_FILE, content)
                write_sums(folder, (schema.CIRCUIT_FILE, schema.SETTINGS_FILE, schema.ENVIRONMENT_FILE))
                store = Store.create(folder / schema.STORE, {"replicas": replicas})
                _write_graph(store, schema.graph(circuit) if graph is None else graph)
                store.commit()
                # Last of all: a folder holds a run once this file is there.
                status = Status(state="running", pid=os.getpid(), started=now(), updated=now())
                write_status(folder, status)
            except BaseException:
                lock.release()
                raise
        return cls(folder, store, lock, status)

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        *,
        circuit: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> tuple[Self, Tensors | None, dict[str, Any]]:
        """Go on with a run, from its newest checkpoint; without one from the beginning. Records after it are dropped.

        Args:
            folder: of the run.
            circuit, settings: what will be run; refused where it is not what the run was begun with. None compares
                nothing.

        Returns:
            The recorder, the tensors of the checkpoint (None where there is none) and its `meta` (then empty).

        Raises:
            StoreError: when there is no run, it is damaged, in use or of another circuit or settings.
        """
        folder = Path(folder)
        status = read_status(folder)
        if status is None:
            raise StoreError(
                Problem(
                    place=str(folder), expected="a run to resume", found="none", remedy="Start it without resuming."
                )
            )
        with store_errors(folder, "go on with the run there"):
            lock = Lock(folder)
            try:
                for name, given in ((schema.CIRCUIT_FILE, circuit), (schema.SETTINGS_FILE, settings)):
                    if given is not None:
                        refuse_other(folder / name, read_yaml_file(folder / name), given)
                checkpoints.clear_unfinished(folder / schema.CHECKPOINTS)
                found = checkpoints.newest(folder / schema.CHECKPOINTS)
                store = Store.open(folder / schema.STORE)
                store.rewind(found.lengths if found else {})
                status = replace(status, state="running", pid=os.getpid(), updated=now(), message="")
                write_status(folder, status)
            except BaseException:
                lock.release()
                raise
        recorder = cls(folder, store, lock, status)
        return (recorder, found.tensors, found.meta) if found else (recorder, None, {})

    @staticmethod
    def status(folder: str | Path) -> Status | None:
        """How the run in a folder stands; None where there is none. Opens nothing big.

        Raises:
            StoreError: for a status that is damaged.
        """
        return read_status(folder)

    @property
    def replicas(self) -> dict[str, list[Any]]:
        """`seed` and each varied setting → one value a replica."""
        return dict(self._store.attributes["replicas"])

    # Recording -------------------------------------------------------------------------------------------------------

    def declare(self, group: schema.Group, *, expected: int | None = None) -> None:
        """Say what a group will hold, before the first `append` to it; again after `resume`.

        Args:
            group: from a function of `neurosal.record.schema`.
            expected: how many entries there will be, as far as is known: long records then get larger chunks, and
                short ones no larger than they need.

        Raises:
            StoreError: when the store holds another group of that name, or a population is called as a setting is.
        """
        replicas = self.replicas
        clash = sorted(set(replicas) & {*group.sizes, *group.variables, *group.coords})
        if clash:
            rule, remedy = "names that are no varied settings", "Rename the population or the setting."
            raise StoreError(
                Problem(place=group.path, expected=rule, found=repr(name), remedy=remedy) for name in clash
            )
        coords = {
            name: schema.Coordinate(dims=(schema.REPLICA,), values=tuple(values)) for name, values in replicas.items()
        }
        coords |= group.coords
        sizes = {**group.sizes, schema.REPLICA: len(replicas[schema.SEED])}
        growing = dict(group.variables) | _along(group.growing)
        with self._writing("declare a group"):
            if self._store.has(group.path):
                refuse_other_group(self._store, group, growing, coords, sizes)
            else:
                labels = [*coords, schema.STEP, schema.EPOCH]
                with self._store.whole(group.path):
                    self._store.add_group(group.path, {"coordinates": " ".join(labels)})
                    for name, coordinate in coords.items():
                        place = f"{group.path}/{name}"
                        self._store.add_fixed(place, coordinate.values, coordinate.dims, coordinate.attrs)
                    for name, variable in growing.items():
                        self._store.add_growing(f"{group.path}/{name}", variable, sizes, expected)
        self._groups[group.path] = group

    def append(self, path: str, *, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Add one entry to every variable of a group.

        Args:
            path: of a declared group.
            step: how many steps were done; rises from entry to entry (along `step`; elsewhere it may stay).
            epoch: the same, in passes over the training part.
            values: one array for each variable, shaped like it without the growing dimension.
        """
        group = self._groups[path]
        assert values.keys() == group.variables.keys(), f"{path}: {sorted(values)} instead of {sorted(group.variables)}"
        least = self._last_step.get(path, -1) + (group.growing == schema.STEP)
        assert step >= least, f"{path}: step {step} after {self._last_step[path]}"
        sizes = {**group.sizes, schema.REPLICA: len(self.replicas[schema.SEED])}
        row = {schema.STEP: np.array([[step]], dtype="int64"), schema.EPOCH: np.array([[epoch]], dtype="float64")}
        for name, variable in group.variables.items():
            value = np.asarray(values[name], dtype=variable.dtype)
            shape = tuple(sizes[dim] for dim in variable.dims if dim != group.growing)
            assert value.shape == shape, f"{path}/{name}: shape {value.shape} instead of {shape}"
            row[name] = value[:, None]
        with self._writing("write a block"):
            self._blocks.put(path, row)
        self._last_step[path] = step
        if step >= self._status.step:
            self._status = replace(self._status, step=int(step), epoch=float(epoch))

    def commit(self) -> None:
        """Make everything that was appended visible to readers, in one step."""
        with self._writing("commit"):
            self._blocks.flush()
            self._store.commit()
            self._status = replace(self._status, updated=now())
            write_status(self.folder, self._status)
        self._committed_at = time.monotonic()

    def maybe_commit(self) -> None:
        """`commit`, when the last one is 5 s ago."""
        if time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self.commit()

    def reached(self, *, step: int, epoch: float) -> None:
        """Say how far the run is, where no record says it."""
        self._status = replace(self._status, step=int(step), epoch=float(epoch))

    def checkpoint(self, tensors: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
        """Commit, then write a state to go on from, with the lengths of the record. The newest two are kept.

        Args:
            tensors: arrays by name.
            meta: what else the trainer needs, as JSON can hold it.
        """
        self.commit()
        with self._writing("write a checkpoint"):
            state = Checkpoint(dict(tensors), plain(meta), dict(self._store.lengths))
            checkpoints.save(self.folder / schema.CHECKPOINTS, state)

    # Closing ---------------------------------------------------------------------------------------------------------

    def close(self, status: str = "done", message: str = "") -> None:
        """Commit, trim and say how the run ended; after an error in writing only the latter. Only the first call acts.

        Args:
            status: "done", "diverged", "interrupted" or "failed".
            message: why.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._failed:
                self._say_failed(message)
                return
            with self._writing("close the store"):
                self._blocks.flush()
                self._store.commit()
                self._store.trim()
                self._status = replace(self._status, state=status, message=message, updated=now())
                write_status(self.folder, self._status)
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            interrupted = isinstance(error, KeyboardInterrupt)
            self.close(
                "interrupted" if interrupted else "failed", "" if interrupted else f"{type(error).__name__}: {error}"
            )

    # Helpers ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        assert not self._failed, "the store failed before; nothing more is written to it"
        try:
            with store_errors(self.folder, doing):
                yield
        except StoreError:
            self._failed = True  # what is on disk may be incomplete past the last commit, so there is no further one
            raise

    def _say_failed(self, message: str) -> None:
        with suppress(OSError):  # the disk is full or gone: the error that is on its way says so
            write_status(self.folder, replace(self._status, state="failed", message=message, updated=now()))


def _along(growing: str) -> dict[str, schema.Variable]:
    return {
        schema.STEP: schema.Variable(dims=(growing,), dtype="int64", attrs={"long_name": "steps done", "units": "1"}),
        schema.EPOCH: schema.Variable(
            dims=(growing,), attrs={"long_name": "passes over the training part", "units": "1"}
        ),
    }


def _write_graph(store: Store, graph: Mapping[str, Sequence[Any]]) -> None:
    store.add_group(schema.GRAPH, {})
    for name, values in graph.items():
        dim = schema.POPULATION if name in schema.POPULATION_COLUMNS else schema.PROJECTION
        if len(values):
            store.add_fixed(f"{schema.GRAPH}/{name}", [plain(value) for value in values], (dim,))
