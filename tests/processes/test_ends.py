"""Why the processes of a run cannot go on together, whatever comes between two looks at another one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from neurosal.errors import LostError
from neurosal.processes.notes import SIGNALLED, Notes
from neurosal.processes.ranks import Ranks


class Store:
    """A store in which two processes meet; `meanwhile` happens right after a question was answered."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.meanwhile: Callable[[], None] | None = None
        self.open = True

    def set(self, key: str, value: str) -> None:
        self._asked()
        self.held[key] = value.encode()

    def check(self, keys: list[str]) -> bool:
        self._asked()
        found = all(key in self.held for key in keys)
        self._answered()
        return found

    def get(self, key: str) -> bytes:
        self._asked()
        return self.held[key]

    def set_timeout(self, _: object) -> None:
        pass

    def _asked(self) -> None:
        if not self.open:
            raise ConnectionError("closed")

    def _answered(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


@pytest.fixture
def store(other: subprocess.Popen[bytes]) -> Store:
    made = Store()
    made.set("who/1", json.dumps([socket.gethostname(), other.pid]))
    return made


@pytest.fixture
def ranks(store: Store) -> Ranks:
    return Ranks(0, 2, "data", Notes(store, 0), torch.device("cpu"))


def ends(store: Store, other: subprocess.Popen[bytes], note: str | None) -> None:
    """The other process leaves a note, or none, and ends."""
    if note is not None:
        store.set("end/1", f"={note}")
    other.kill()
    other.wait()


@pytest.mark.parametrize("told", [True, False])
def test_one_that_leaves_its_note_and_ends_between_two_looks_was_told_to_end(
    ranks: Ranks, store: Store, other: subprocess.Popen[bytes], told: bool
) -> None:
    store.meanwhile = lambda: ends(store, other, SIGNALLED)
    with pytest.raises(KeyboardInterrupt):
        ranks.explain(told=told)
    assert store.held["end/0"] == f"={SIGNALLED}".encode()


@pytest.mark.parametrize("told", [True, False])
def test_one_that_ends_without_a_note_is_lost(
    ranks: Ranks, store: Store, other: subprocess.Popen[bytes], told: bool
) -> None:
    ends(store, other, None)
    with pytest.raises(LostError, match="process 1 of 2 was killed"):
        ranks.explain(told=told)


def test_one_that_failed_is_named_with_its_failure(ranks: Ranks, store: Store, other: subprocess.Popen[bytes]) -> None:
    ends(store, other, "MemoryError: too much")
    with pytest.raises(LostError, match=r"process 1 of 2 failed \(MemoryError: too much\)"):
        ranks.explain(RuntimeError("connection closed"))


def test_a_store_that_ended_first_blames_nobody_where_all_were_told(
    ranks: Ranks, store: Store, other: subprocess.Popen[bytes]
) -> None:
    assert not ranks.notes.gone(1)
    ends(store, other, SIGNALLED)
    store.open = False
    with pytest.raises(KeyboardInterrupt):
        ranks.explain(told=True)


def test_a_signal_while_the_cause_is_sought_is_the_cause(ranks: Ranks, store: Store) -> None:
    def signalled() -> None:
        ranks.told = True  # as the handler says it

    store.meanwhile = signalled
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ranks.explain(RuntimeError("connection closed"))
    assert time.monotonic() - began < 60


def test_a_note_is_in_the_store_before_its_writer_goes_on(ranks: Ranks, store: Store) -> None:
    asked = []
    store.meanwhile = lambda: asked.append(dict(store.held))
    ranks.notes.leave(SIGNALLED)
    assert asked
    assert "end/0" in asked[0]
