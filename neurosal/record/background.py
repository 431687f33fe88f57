"""The thread that writes a run: rows, commits and checkpoints in the order in which they were handed over.

The thread that trains copies rows into blocks and goes on; it waits only where what is not written yet would take more
memory than the queue may have. All that touches the store happens here, in one thread:

- a row is written once a *mark* lies behind it (the end of a step), so that a commit never shows half a step;
- every 4.5 s what was marked is committed, and the status is written even where nothing is to be committed: a watcher
  can tell a run that computes from one that died;
- commits and checkpoints that are asked for come in their turn, with the lengths of the moment of asking.

An error ends the writing: nothing is committed after it, and whoever records next is told, with what was lost.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neurosal.errors import NeurosalError, Problem, StoreError
from neurosal.record import checkpoint as checkpoints
from neurosal.record import schema
from neurosal.record.blocks import Rows
from neurosal.record.clock import later
from neurosal.record.files import store_errors
from neurosal.record.lock import Lock
from neurosal.record.status import Status, write_status
from neurosal.record.store import Store

COMMIT_SECONDS = 4.5  # with what a commit itself takes, a kill loses 5 s at most
BEAT_SECONDS = 5.0
SMALL = 1024  # rows below this part of the queue are never dropped
RESERVE = 4  # and may use this part of it on top

ENDED = "the process ended before the record was closed"


@dataclass(frozen=True)
class Mark:
    """A moment: rows of each group, and the step."""

    lengths: Mapping[str, int]
    step: int


@dataclass(kw_only=True)
class Order:
    """Something to be done in its turn.

    Args:
        doing: what it is, for errors.
        mark: what is to be committed before, if anything.
        act: what is to be done then.
        size: bytes that it holds in the queue.
        waited: whether the one who ordered it waits for it, and is told what `act` raises.
    """

    doing: str
    mark: Mark | None = None
    act: Callable[[], None] | None = None
    size: int = 0
    waited: bool = False
    done: bool = False
    error: BaseException | None = field(default=None, repr=False)


class Background:
    """Owns the store of one run from its opening to its closing.

    Args:
        folder: of the run.
        store: opened; only the thread touches it from now on.
        lock: held; given back when the thread ends.
        status: how the run stands.
        queue_bytes: memory that waiting rows and checkpoints may take. One that is larger alone goes through alone.
        drop: whether rows that find the queue full are dropped and counted instead of waited for.
    """

    def __init__(
        self, folder: Path, store: Store, lock: Lock, status: Status, *, queue_bytes: int, drop: bool = False
    ) -> None:
        self.folder, self.lock, self.drop = folder, lock, drop
        self.dropped: dict[str, int] = dict(status.dropped)
        self.reached = (status.step, status.epoch)
        self.pace: Mapping[str, Any] = {}  # what else the status says of how it goes
        self._store, self._status, self.queue_bytes = store, status, queue_bytes
        self._pid = os.getpid()
        self._rows: dict[str, Rows] = {}
        self._orders: deque[Order] = deque()
        self._condition = threading.Condition()
        self._mark: Mark | None = None  # None: nobody marks, so everything may be written at any time
        self._put_bytes = self._written_bytes = 0  # each is changed by one thread only
        self._ready = self._starved = self._told = False
        self._finish: tuple[str, str] | None = None
        self._error: BaseException | None = None
        self._opened = dict(store.lengths)
        self._committed = Mark(dict(store.lengths), status.step)
        self._dirty = False  # the store holds more than was committed
        self._committed_at = self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"neurosal records {folder.name}", daemon=True)
        self._thread.start()
        _running.add(self)

    # For the thread that records -------------------------------------------------------------------------------------

    def moment(self) -> Mark:
        """What was put until now."""
        lengths = self._opened | {path: rows.put_count for path, rows in self._rows.items()}
        return Mark(lengths, self.reached[0])

    def open_rows(self, path: str, rows: Rows) -> None:
        """Take rows of a group from now on."""
        self._rows[path] = rows

    def put(self, path: str, values: Mapping[str, Any], count: int = 1) -> bool:
        """Copy rows of a group into the queue. False where they were dropped.

        Raises:
            StoreError: when writing failed.
        """
        self.check()
        rows = self._rows[path]
        size = rows.row_bytes * count
        if not self._room(size):
            if self.drop and not self._small(size):
                self.dropped[path] = self.dropped.get(path, 0) + count
                return False
            self._wait_for_room(size)
        self._put_bytes += size
        if rows.put(values, count):
            self._ready = True
            if self._mark is None:
                self._wake()
        return True

    def mark(self) -> None:
        """Say that what was put makes a whole: it may be written, and is committed 4.5 s after the last commit."""
        self.check()
        self._mark = self.moment()
        if self._ready or time.monotonic() - self._committed_at >= COMMIT_SECONDS:
            self._wake()

    def order(self, order: Order) -> None:
        """Have something done in its turn.

        Raises:
            StoreError: when writing failed; what `act` raised, where it is waited for.
        """
        self.check()
        if order.size and not self._room(order.size):
            self._wait_for_room(order.size)
        self._put_bytes += order.size
        if order.mark is not None and self._mark is not None:
            self._mark = order.mark
        with self._condition:
            self._orders.append(order)
            self._condition.notify_all()
            if order.waited:
                self._condition.wait_for(lambda: order.done or self._error is not None)
        self.check()
        if order.error is not None:
            raise order.error

    def close(self, state: str, message: str) -> None:
        """Commit what was put, bring the store to its final form, say how the run ended and give the lock back.

        Raises:
            StoreError: when writing failed and nobody was told yet.
        """
        if self._foreign():
            return
        self.abandon(state, message)
        if threading.current_thread() is not self._thread:  # garbage is collected in any thread
            self._thread.join()
        if self._error is not None and not self._told:
            self.check()

    def abandon(self, state: str, message: str) -> None:
        """As `close`, without waiting for it."""
        if self._foreign():
            return
        with self._condition:
            self._finish = self._finish or (state, message)
            self._condition.notify_all()

    def check(self) -> None:
        """Say what went wrong in the thread.

        Raises:
            StoreError: when writing failed, or this process is a fork of the one that records.
        """
        if self._foreign():
            remedy = "Record in the process that began it; other processes hand their values to that one."
            raise StoreError(
                Problem(
                    place=str(self.folder), expected="the process that records", found="a fork of it", remedy=remedy
                )
            )
        if self._error is not None:
            self._told = True
            raise self._loss()

    @property
    def closing(self) -> bool:
        """Whether it is told to end."""
        return self._finish is not None

    # Room in the queue -----------------------------------------------------------------------------------------------

    def _foreign(self) -> bool:
        return os.getpid() != self._pid

    def _small(self, size: int) -> bool:
        return size * SMALL <= self.queue_bytes

    def _room(self, size: int) -> bool:
        waiting = self._put_bytes - self._written_bytes
        limit = self.queue_bytes + (self.queue_bytes // RESERVE if self.drop and self._small(size) else 0)
        return waiting == 0 or waiting + size <= limit

    def _wait_for_room(self, size: int) -> None:
        with self._condition:
            self._starved = True
            self._condition.notify_all()
            try:
                self._condition.wait_for(lambda: self._room(size) or self._error is not None)
            finally:
                self._starved = False
        self.check()

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _loss(self) -> BaseException:
        """The error, with what is not in the store because of it."""
        error = self._error
        assert error is not None
        lost = sum(
            (rows.put_count - self._committed.lengths.get(path, 0)) * rows.row_bytes
            for path, rows in list(self._rows.items())
        )
        lost += sum(order.size for order in self._orders)
        if not isinstance(error, StoreError) or not lost:
            return error
        text = f"{lost} bytes that were recorded are missing; the last commit is of step {self._committed.step}"
        problems = [replace(problem, found=f"{problem.found} ({text})") for problem in error.problems]
        return StoreError(problems).with_traceback(error.__traceback__)

    # In the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            try:
                while (task := self._next()) is not None:
                    task()
                self._end()
            except BaseException as error:
                self._fail(error)
        finally:
            self.lock.release()

    def _next(self) -> Callable[[], None] | None:
        """What is to be done next; None at the end."""
        with self._condition:
            while True:
                now = time.monotonic()
                if self._orders:
                    return self._carry_out
                if self._due(now):
                    return self._commit_mark
                if self._starved or (self._ready and self._pending()):
                    return self._write_blocks
                if self._finish is not None:
                    return None
                if now - self._beat_at >= BEAT_SECONDS:
                    return self._beat
                self._condition.wait(self._beat_at + BEAT_SECONDS - now)

    def _due(self, now: float) -> bool:
        """Whether a commit is: 4.5 s after the last, of a new mark, unless a starved step was written past it."""
        mark = self._mark
        if mark is None or mark is self._committed or now - self._committed_at < COMMIT_SECONDS:
            return False
        return all(rows.taken <= mark.lengths.get(path, 0) for path, rows in self._rows.items())

    def _limit(self, path: str, rows: Rows) -> int:
        """How far a group may be written: as a rule its full blocks, up to the mark; and not past a commit that was
        asked for, which is to show what there was at that moment."""
        limit = rows.put_count if self._starved else rows.complete
        if self._mark is not None and not self._starved:
            limit = min(limit, self._mark.lengths.get(path, 0))
        asked = next((order.mark for order in self._orders if order.mark is not None), None)
        return limit if asked is None else min(limit, asked.lengths.get(path, 0))

    def _pending(self) -> bool:
        return any(rows.taken < self._limit(path, rows) for path, rows in self._rows.items())

    def _write_blocks(self) -> None:
        self._ready = False
        with self._condition:  # told together: what is asked for from now on is of a later moment
            limits = [(path, rows, self._limit(path, rows)) for path, rows in self._rows.items()]
        for path, rows, limit in limits:
            self._write(path, rows, limit)
        if any(rows.taken < rows.complete for rows in self._rows.values()):
            self._ready = True  # a mark is still to come

    def _write(self, path: str, rows: Rows, limit: int) -> None:
        with store_errors(self.folder, "write a block"):
            for columns in rows.take(limit):
                self.lock.check()
                self._store.write(path, columns)
                self._dirty = True
                self._written_bytes += rows.row_bytes * next(iter(columns.values())).shape[1]
                if self._starved:
                    self._wake()

    def _commit_mark(self) -> None:
        assert self._mark is not None
        self._commit(self._mark)

    def _commit(self, mark: Mark) -> None:
        for path, rows in list(self._rows.items()):
            self._write(path, rows, mark.lengths.get(path, 0))
        with store_errors(self.folder, "commit"):
            self.lock.check()
            if self._dirty:
                self._store.commit()
                self._dirty = False
            self._committed, self._committed_at = mark, time.monotonic()
            self._say("running", "")

    def _carry_out(self) -> None:
        order = self._orders[0]
        try:
            if order.mark is not None:
                self._commit(order.mark)
            if order.act is not None:
                with store_errors(self.folder, order.doing):
                    self.lock.check()
                    order.act()
                self._dirty = self._dirty or order.mark is None
        except BaseException as error:
            # What was asked for wrongly is told to who asked; a disk that gives up ends it all.
            if not order.waited or isinstance(error.__cause__, OSError):
                raise
            order.error = error
        self._written_bytes += order.size
        with self._condition:
            self._orders.popleft()
            order.done = True
            self._condition.notify_all()

    def _beat(self) -> None:
        """Say that it is alive, and look whether the folder still is."""
        with store_errors(self.folder, "keep the run"):
            self.lock.check()
        self._beat_at = time.monotonic()
        with suppress(OSError):  # the next commit, if there is something to commit, will tell
            self._say("running", "")

    def _say(self, state: str, message: str, *, last: bool = False) -> None:
        step, epoch = self.reached
        self._status = replace(
            self._status, state=state, message=message, step=step, epoch=epoch, updated=later(self._status.updated),
            dropped=dict(self.dropped), **self.pace,
        )  # fmt: skip
        write_status(self.folder, self._status, last=last)
        self._beat_at = time.monotonic()

    def _end(self) -> None:
        assert self._finish is not None
        self._commit(self.moment())
        with store_errors(self.folder, "close the store"):
            self._store.trim()
            self._say(*self._finish)

    def _fail(self, error: BaseException) -> None:
        """Write no more. What is on the disk may be incomplete past the last commit, so there is no further one."""
        with self._condition:
            self._error = error
            self._condition.notify_all()
        with suppress(OSError):
            checkpoints.clear_unfinished(self.folder / schema.CHECKPOINTS)  # makes place on a full disk
        with suppress(OSError):  # the folder is gone: the error that is on its way says so
            self._say("failed", f"{type(error).__name__}: {self._loss()}", last=True)
        for rows in list(self._rows.values()):
            rows.forget()
        with self._condition:
            self._condition.wait_for(lambda: self._finish is not None)
        assert self._finish is not None
        with suppress(OSError):
            self._say("failed", self._finish[1] or self._status.message, last=True)


_running: weakref.WeakSet[Background] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what was left open when the interpreter ends."""
    for background in list(_running):
        try:
            if not background.closing:
                background.close("interrupted", ENDED)
        except NeurosalError as error:
            sys.stderr.write(f"{error}\n")
