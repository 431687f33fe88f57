"""Recording a run: values come in step by step, go to the store in blocks, and become visible with each commit."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import checkpoint as checkpoints
from neurosal.record import schema
from neurosal.record.background import Background, Order
from neurosal.record.blocks import Column, Rows
from neurosal.record.checkpoint import Checkpoint, Tensors
from neurosal.record.checksums import write_sums
from neurosal.record.clock import later, now
from neurosal.record.environment import environment
from neurosal.record.files import read_yaml_file, store_errors, write_json, write_yaml
from neurosal.record.lock import Lock
from neurosal.record.refusing import plain, refuse_other, refuse_other_group, refuse_run
from neurosal.record.status import Status, read_status, write_status
from neurosal.record.store import Store
from neurosal.record.tensors import bytes_of, copy_of

QUEUE_BYTES = 16 * 2**20  # more is no faster: what goes round in it should stay in the cache
ABANDONED = "the record was not closed"

Array = np.ndarray[Any, Any]


class DroppedWarning(UserWarning):
    """Rows of the record were dropped, as asked for, because the disk was slower than the run."""


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

    def __init__(self, folder: Path, store: Store, background: Background) -> None:
        """For `create` and `resume` only."""
        self.folder = folder
        self._store = store  # while the recorder is open, only the thread changes it
        self._background = background
        self._groups: dict[str, schema.Group] = {}
        self._rows: dict[str, Rows] = {}
        self._last_step: dict[str, int] = {}
        self._closed = False
        weakref.finalize(self, background.abandon, "interrupted", ABANDONED).atexit = False

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
        queue_bytes: int = QUEUE_BYTES,
        when_full: str = "block",
    ) -> Self:
        """Begin a run in a new or empty folder.

        Args:
            folder: where.
            circuit, settings: what is run, as plain dicts; written to `circuit.yaml` and `settings.yaml`.
            replicas: `seed` and each varied setting → one value a replica.
            graph: columns of `/graph`, as `schema.graph` makes them from the circuit (the default).
            provenance: what else made the run (data and its fingerprint, device); goes to `environment.json`.
            queue_bytes: memory for what waits to be written.
            when_full: "block" waits then; "drop" leaves rows out, counts them by group in `status.json` and warns at
                the end. Checkpoints, and rows below a thousandth of the queue, are never dropped.

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
                return cls(folder, store, _background(folder, store, lock, status, queue_bytes, when_full))
            except BaseException:
                lock.release()
                raise

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        *,
        circuit: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        queue_bytes: int = QUEUE_BYTES,
        when_full: str = "block",
    ) -> tuple[Self, Tensors | None, dict[str, Any]]:
        """Go on with a run, from its newest checkpoint; without one from the beginning. Records after it are dropped.

        Args:
            folder: of the run.
            circuit, settings: what will be run; refused where it is not what the run was begun with. None compares
                nothing.
            queue_bytes, when_full: as for `create`.

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
                status = replace(
                    status, state="running", pid=os.getpid(), updated=later(status.updated), message="",
                    dropped=found.dropped if found else {},
                )  # fmt: skip
                write_status(folder, status)
                background = _background(folder, store, lock, status, queue_bytes, when_full)
            except BaseException:
                lock.release()
                raise
        recorder = cls(folder, store, background)
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

    @property
    def lengths(self) -> dict[str, int]:
        """How many rows of each declared group were appended."""
        return dict(self._background.moment().lengths)

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows of which group were dropped."""
        return dict(self._background.dropped)

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
            name: schema.Coordinate(dims=(schema.REPLICA,), values=tuple(values))
            for name, values in replicas.items()
            if group.has_replicas
        }
        coords |= group.coords
        sizes = {**group.sizes, schema.REPLICA: len(replicas[schema.SEED])}
        growing = group.arrays

        def act() -> Rows:
            if self._store.has(group.path):
                refuse_other_group(self._store, group, growing, coords, sizes)
            else:
                labels = [*coords, *(name for name in growing if name not in group.variables)]
                with self._store.whole(group.path):
                    self._store.add_group(group.path, {"coordinates": " ".join(labels)})
                    for name, coordinate in coords.items():
                        place = f"{group.path}/{name}"
                        self._store.add_fixed(place, coordinate.values, coordinate.dims, coordinate.attrs)
                    for name, variable in growing.items():
                        self._store.add_growing(f"{group.path}/{name}", variable, sizes, expected)
            if (open_already := self._rows.get(group.path)) is not None:
                return open_already  # with rows that wait
            columns = {name: _column(variable, sizes) for name, variable in growing.items()}
            return Rows(columns, self._store.lengths[group.path])

        rows = self._do("declare a group", act)
        self._groups[group.path], self._rows[group.path] = group, rows
        self._background.open_rows(group.path, rows)

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
        columns = self._rows[path].columns
        row: dict[str, Any] = {schema.STEP: np.array([[step]]), schema.EPOCH: np.array([[epoch]])}
        for name in group.variables:
            value = values[name] if hasattr(values[name], "shape") else np.asarray(values[name])
            shape = (columns[name].lead, *columns[name].rest)
            assert tuple(value.shape) == shape, f"{path}/{name}: shape {tuple(value.shape)} instead of {shape}"
            row[name] = value[:, None]
        self._background.put(path, row)
        self._last_step[path] = step
        if step >= self._background.reached[0]:
            self.reached(step=step, epoch=epoch)

    def extend(self, path: str, values: Mapping[str, Any]) -> bool:
        """Add many entries at once to every variable of a group. False where they were dropped.

        Args:
            path: of a declared group.
            values: one array for each variable and each coordinate along the growing dimension, with as many entries
                along that dimension in all of them: [replica, L, ...], and [L, ...] where there is no replica.
        """
        arrays, columns = self._groups[path].arrays, self._rows[path].columns
        assert values.keys() == arrays.keys(), f"{path}: {sorted(values)} instead of {sorted(arrays)}"
        rows: dict[str, Any] = {}
        for name, variable in arrays.items():
            value = values[name] if hasattr(values[name], "shape") else np.asarray(values[name])
            rows[name] = value if variable.dims[0] == schema.REPLICA else value[None]
            count = next(iter(rows.values())).shape[1]
            shape, found = (columns[name].lead, count, *columns[name].rest), tuple(rows[name].shape)
            assert found == shape, f"{path}/{name}: shape {found} instead of {shape}"
        return count == 0 or self._background.put(path, rows, count)

    def commit(self) -> None:
        """Make everything that was appended visible to readers, in one step, and wait until it is."""
        background = self._background
        background.order(Order(doing="commit", mark=background.moment(), waited=True))

    def maybe_commit(self) -> None:
        """Say that what was appended makes a whole, such as a step: it is committed, without waiting for it, once the
        last commit is 4.5 s ago."""
        self._background.mark()

    def reached(self, *, step: int, epoch: float) -> None:
        """Say how far the run is, where no record says it."""
        self._background.reached = (int(step), float(epoch))

    def pace(self, **report: float) -> None:
        """Say how fast the run goes and what memory it takes: fields of `Status`, in its next heartbeat."""
        self._background.pace = report

    def checkpoint(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Commit, then write a state to go on from, with the lengths of the record; the newest two are kept.

        Tensors are copied and written later, in the order in which records and checkpoints were given; only where they
        are larger than the queue, they are written from where they lie, and waited for.

        Args:
            tensors: arrays or torch tensors by name.
            meta: what else the trainer needs, as JSON can hold it.
        """
        background = self._background
        size = sum(map(bytes_of, tensors.values()))
        waited = size > background.queue_bytes
        kept = dict(tensors) if waited else {name: copy_of(entry) for name, entry in tensors.items()}
        mark, folder = background.moment(), self.folder / schema.CHECKPOINTS
        state = Checkpoint(kept, plain(meta), dict(mark.lengths), dict(background.dropped))

        def act() -> None:
            checkpoints.save(folder, state)

        background.order(Order(doing="write a checkpoint", mark=mark, act=act, size=size, waited=waited))

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint, once all that were given are written; None where there is none."""
        self.commit()
        return checkpoints.newest(self.folder / schema.CHECKPOINTS)

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
            self._background.close(status, message)
        finally:
            if self.dropped:
                counts = ", ".join(f"{count} of {path}" for path, count in self.dropped.items())
                text = f"{self.folder}: rows were dropped because the disk was slower than the run: {counts}"
                warnings.warn(text, DroppedWarning, stacklevel=2)

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

    def _do(self, doing: str, act: Callable[[], Rows]) -> Rows:
        """Let the thread do something with the store, and wait for what it gives."""
        results: list[Rows] = []
        self._background.order(Order(doing=doing, act=lambda: results.append(act()), waited=True))
        return results[0]


def _background(folder: Path, store: Store, lock: Lock, status: Status, queue_bytes: int, when_full: str) -> Background:
    assert when_full in ("block", "drop"), when_full
    return Background(folder, store, lock, status, queue_bytes=queue_bytes, drop=when_full == "drop")


def _column(variable: schema.Variable, sizes: Mapping[str, int]) -> Column:
    axis = next(axis for axis, dim in enumerate(variable.dims) if dim in schema.GROWING)
    rest = tuple(sizes[dim] for dim in variable.dims[axis + 1 :])
    return Column(sizes[variable.dims[0]] if axis else 1, rest, variable.dtype)


def _write_graph(store: Store, graph: Mapping[str, Sequence[Any]]) -> None:
    store.add_group(schema.GRAPH, {})
    for name, values in graph.items():
        dim = schema.POPULATION if name in schema.POPULATION_COLUMNS else schema.PROJECTION
        if len(values):
            store.add_fixed(f"{schema.GRAPH}/{name}", [plain(value) for value in values], (dim,))
