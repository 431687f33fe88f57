"""The processes of one run, and what they say to each other.

Every process calls the same verbs in the same order. One that is lost ends the call of every other with a `LostError`
that says which one it was.
"""

from __future__ import annotations

import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch import distributed as dist

from neurosal.errors import LostError
from neurosal.processes.notes import SIGNALLED, Notes

PATIENCE_S = 3.0  # for a sign of life, once something is wrong


class Waiting:
    """Something that is under way."""

    def __init__(self, work: Any, ranks: Ranks, then: Callable[[], None] | None = None) -> None:
        self._work, self._ranks, self._then = work, ranks, then
        ranks.under_way.add(self)

    def give_up(self) -> None:
        """Wait for it no more."""
        self._work = self._then = None

    def done(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self._work is None or bool(self._work.is_completed())

    def wait(self) -> None:
        """Wait until it is done."""
        if self._work is not None:
            try:
                self._work.wait()
            except RuntimeError as error:
                self._ranks.explain(error)
            self._work = None
        if self._then is not None:
            then, self._then = self._then, None
            then()


class Ranks:
    """The processes of one run, as one of them sees them. Make one with `join`.

    Attributes:
        rank: which one this is, from 0.
        count: how many there are.
        parallel: what they share out: "data", "replicas" or "areas".
        device: where what they send must lie.
    """

    def __init__(self, rank: int, count: int, parallel: str, notes: Notes, device: torch.device) -> None:
        """For `join` only."""
        self.rank, self.count, self.parallel, self.notes = rank, count, parallel, notes
        self.ending = False  # it is known why they end: what they record is being closed
        self.told = False  # by a signal
        self.device = device
        self.under_way: weakref.WeakSet[Waiting] = weakref.WeakSet()

    @property
    def leads(self) -> bool:
        """Whether this process writes the record and speaks for all."""
        return self.rank == 0

    def share(self, items: int, rank: int | None = None) -> tuple[int, int]:
        """Which of so many items a process has: from the first to before the second number. Sizes differ by one at
        most."""
        rank = self.rank if rank is None else rank
        return items * rank // self.count, items * (rank + 1) // self.count

    def shares(self, items: int) -> list[int]:
        """How many of so many items each process has."""
        return [end - start for start, end in (self.share(items, rank) for rank in range(self.count))]

    # Tensors ---------------------------------------------------------------------------------------------------------

    def start_sum(self, tensor: Tensor) -> Waiting:
        """Begin to sum a tensor over all processes, in place."""
        dense = tensor if tensor.is_contiguous() else tensor.contiguous()
        work = self._called(lambda: dist.all_reduce(dense, async_op=True))
        return Waiting(work, self, None if dense is tensor else lambda: _put(tensor, dense))

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        self.start_sum(tensor).wait()
        return tensor

    def gather(self, tensor: Tensor, sizes: Sequence[int], axis: int) -> Tensor:
        """The parts of all processes put together along an axis, at every one of them.

        Args:
            sizes: how long the part of each process is.
        """
        moved = tensor.movedim(axis, 0).contiguous()
        rest = moved.shape[1:]
        padded = moved.new_zeros(max(sizes), *rest)
        padded[: moved.shape[0]] = moved
        parts = [torch.empty_like(padded) for _ in sizes]
        self._called(lambda: dist.all_gather(parts, padded))
        whole = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return whole.movedim(0, axis)

    def send(self, tensor: Tensor, to: int = 0, tag: int = 0) -> Waiting:
        """Begin to send a tensor to one process, which must `receive` it by the same tag."""
        dense = tensor.detach().to(self.device).contiguous()
        return Waiting(self._called(lambda: dist.isend(dense, to, tag=tag)), self, lambda: _keep(dense))

    def receive(self, like: Tensor, source: int, tag: int = 0) -> Tensor:
        """What another process sends, in a tensor of this shape and type."""
        dense = torch.empty(like.shape, dtype=like.dtype, device=self.device)
        self._called(lambda: dist.recv(dense, source, tag=tag))
        return dense.to(like.device)

    # Words -----------------------------------------------------------------------------------------------------------

    def tell(self, words: Any = None) -> Any:
        """What the process that leads says, at every one."""
        said = [words]
        self._called(lambda: dist.broadcast_object_list(said, 0, device=self.device))
        return said[0]

    def collect(self, words: Any) -> list[Any]:
        """What every process says, at every one."""
        said: list[Any] = [None] * self.count
        self._called(lambda: dist.all_gather_object(said, words))
        return said

    def meet(self) -> None:
        """Wait until every process is here."""
        self._called(dist.barrier)

    # Ends ------------------------------------------------------------------------------------------------------------

    def _called(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RuntimeError as error:
            self.explain(error)

    def part(self, error: BaseException | None = None) -> None:
        """Close the connections to the others, which ends what they wait for. That works only once nothing here refers
        to them, nor does what an error holds."""
        for waiting in list(self.under_way):
            waiting.give_up()
        if error is not None:
            traceback.clear_frames(error.__traceback__)
        if error is None or self.device.type != "cuda":  # NCCL would wait for those that are gone
            with suppress(Exception):
                dist.destroy_process_group()

    def outlast(self) -> None:
        """End after the others where this process holds the store in which they leave their notes."""
        if not self.leads:
            return
        until = time.monotonic() + PATIENCE_S
        others = range(1, self.count)
        while any(self.notes.of(rank) is None and not self.notes.gone(rank) for rank in others):
            if time.monotonic() > until:
                return
            time.sleep(0.02)

    def explain(self, error: BaseException | None = None, *, told: bool = False) -> NoReturn:
        """Say why the processes cannot go on together.

        Args:
            told: whether this process was told to end: by the user, or by torchrun since another has ended.

        Raises:
            KeyboardInterrupt: when they were told to end. LostError: else, naming those that are lost.
        """
        self.ending = True
        self.told = self.told or told
        others = [rank for rank in range(self.count) if rank != self.rank]
        until = time.monotonic() + PATIENCE_S
        while True:
            gone = [rank for rank in others if self.notes.gone(rank)]  # before notes are read: left first, then ended
            said = {rank: self.notes.of(rank) for rank in others}
            known = self.notes.readable or not self.told  # else the store may have ended before the note could be read
            gone = [rank for rank in gone if said[rank] is None and known]
            failed = {rank: note for rank, note in said.items() if note not in (None, SIGNALLED, "")}
            signalled = all(note == SIGNALLED for note in said.values())
            if gone or failed or self.told or signalled or time.monotonic() > until:
                break
            time.sleep(0.05)
        if not gone and not failed and (self.told or any(note == SIGNALLED for note in said.values())):
            self.notes.leave(SIGNALLED)
            raise KeyboardInterrupt
        self.notes.leave("")  # not the one to blame
        lost = [f"process {rank} of {self.count} was killed, or its machine is out of memory" for rank in gone]
        lost += [f"process {rank} of {self.count} failed ({note})" for rank, note in failed.items()]
        if not lost:
            silent = ", ".join(str(rank) for rank in others if said[rank] is None)
            cause = f" ({' '.join(str(error).split())[:200]})" if error is not None else ""
            lost = [f"no sign of process {silent or 'any'} of {self.count} for {PATIENCE_S:g} s{cause}"]
        raise LostError(
            f"A process of the run was lost: {'; '.join(lost)}.\n"
            "What was recorded is in the store. Run again with --resume, on as many processes as you like."
        ) from None


def _put(tensor: Tensor, dense: Tensor) -> None:
    tensor.copy_(dense)


def _keep(_: Tensor) -> None:
    """A tensor that is being sent must live until it has arrived."""
