"""How a run of several processes keeps one record: who writes it, and what the others do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.reading import Stored
from neurosal.errors import ExperimentError, NeurosalError, Problem
from neurosal.processes import Ranks
from neurosal.record import Recorder, Status, schema
from neurosal.record import checkpoint as checkpoints
from neurosal.record.checkpoint import Checkpoint
from neurosal.settings.training import Training

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

    def newest_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint. The process that leads has written those that were asked for before it steps on."""
        return checkpoints.newest(self.folder / schema.CHECKPOINTS)

    def close(self, status: str = "done", message: str = "") -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Nothing."""


class Gathered(Silent):
    """The record of replicas that several processes train: each gives what is its own, the one that leads writes all.

    Args:
        recorder: of the process that leads.
        sizes: how many replicas each process has.
    """

    def __init__(self, folder: Path, recorder: Recorder | None, ranks: Ranks, sizes: list[int]) -> None:
        super().__init__(folder)
        self._recorder, self._ranks, self._sizes = recorder, ranks, sizes

    def declare(self, group: schema.Group, *, expected: int | None = None) -> None:
        """Announce a group."""
        if self._recorder is not None:
            self._recorder.declare(group, expected=expected)

    def append(self, path: str, *, step: int, epoch: float, values: Mapping[str, Any]) -> None:
        """Add one entry; values have the replicas first."""
        whole = {name: self._whole(values[name]) for name in sorted(values)}
        if self._recorder is not None:
            self._recorder.append(path, step=step, epoch=epoch, values=whole)

    def _whole(self, value: Any) -> Any:
        """The values of all replicas; at the other processes nothing of use."""
        mine = value.detach() if isinstance(value, Tensor) else torch.from_numpy(np.ascontiguousarray(value))
        if self._recorder is None:
            self._ranks.send(mine).wait()
            return value
        parts = [mine]
        for rank in range(1, self._ranks.count):
            parts.append(self._ranks.receive(mine.new_empty(self._sizes[rank], *mine.shape[1:]), rank))
        return torch.cat(parts)

    def maybe_commit(self) -> None:
        """As a recorder does."""
        if self._recorder is not None:
            self._recorder.maybe_commit()

    def pace(self, **report: float) -> None:
        """As a recorder does."""
        if self._recorder is not None:
            self._recorder.pace(**report)

    def reached(self, *, step: int, epoch: float) -> None:
        """As a recorder does."""
        if self._recorder is not None:
            self._recorder.reached(step=step, epoch=epoch)

    def checkpoint(self, tensors: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """One checkpoint of all replicas, in which nothing says how many processes there were."""
        said = self._ranks.collect((sorted(tensors), meta.get("failures", {})))
        failures = {replica: text for _, some in said for replica, text in some.items()}
        # Which replicas learn is said only where some have stopped; what a replica has not begun to remember is zero.
        names = sorted({name for some, _ in said for name in some})
        some = next(iter(tensors.values()))
        whole: dict[str, Any] = {}
        for name in names:
            mine = tensors.get(name)
            if mine is None:
                assert name == "alive", name
                mine = torch.ones(self._sizes[self._ranks.rank], dtype=torch.bool, device=some.device)
            whole[name] = self._whole(mine) if mine.dim() else mine
        if self._recorder is not None:
            self._recorder.checkpoint(whole, {**meta, "failures": dict(sorted(failures.items(), key=_number))})
        self._ranks.tell()  # a large one is on the disk now

    def close(self, status: str = "done", message: str = "") -> None:
        """As a recorder does."""
        if self._recorder is not None:
            self._recorder.close(status, message)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder is not None:
            self._recorder.__exit__(kind, error, trace)


def _number(item: tuple[str, str]) -> int:
    return int(item[0])


class Mine:
    """Which replicas of a run a process trains: a run of them, in their order.

    Raises:
        ExperimentError: where there are fewer than processes.
    """

    def __init__(self, ranks: Ranks, count: int) -> None:
        if count < ranks.count:
            remedy = f"Start {count}, or share out data: --parallel data."
            raise ExperimentError(
                Problem(place="--parallel replicas", expected=f"no more processes than the {count} replicas of an arm",
                        found=str(ranks.count), remedy=remedy)
            )  # fmt: skip
        self.ranks, self.count = ranks, count
        self.first, self.end = ranks.share(count)
        self.sizes = ranks.shares(count)

    def all(self, here: bool) -> bool:
        """Whether something is so at all processes."""
        return int(self.ranks.sum(torch.tensor([int(here)], device=self.ranks.device))) == self.ranks.count

    def of(self, training: Training) -> Training:
        """The training with the rates of these replicas."""
        optimizer = training.optimizer
        cut = {
            name: value[self.first : self.end]
            for name in optimizer.per_replica
            if isinstance(value := getattr(optimizer, name), tuple) and len(value) == self.count
        }
        return training.replace(optimizer=optimizer.replace(**cut)) if cut else training

    def values(self, replicas: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        """The values of these replicas."""
        return {name: list(values)[self.first : self.end] for name, values in replicas.items()}

    def tensors(self, stored: Stored) -> Stored:
        """Of the tensors of all replicas those of these."""
        turns = dict.fromkeys(stored.names, self._cut)
        return Stored(stored.file, stored.names, turns, stored.more)

    def _cut(self, tensor: Tensor) -> Tensor:
        return tensor[self.first : self.end] if tensor.dim() else tensor

    def failures(self, texts: Mapping[str, str]) -> dict[int, str]:
        """What is said of these replicas, by their own numbers."""
        found = {int(replica) - self.first: text for replica, text in texts.items()}
        return {replica: text for replica, text in found.items() if 0 <= replica < self.end - self.first}


Opened = tuple[Any, Mapping[str, Any] | None, Mapping[str, Any]]  # a recorder, tensors and meta of a checkpoint


def open_record(
    ranks: Ranks | None,
    folder: Path,
    resumed: bool,
    options: Mapping[str, Any],
    more: Mapping[str, Any],
    mine: Mine | None = None,
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
    if opened is None:
        found = checkpoints.newest(folder / schema.CHECKPOINTS) if resumed else None
        opened = (None, found.tensors, found.meta) if found else (None, None, {})
    recorder, tensors, meta = opened
    if ranks is not None and mine is not None:
        return Gathered(folder, recorder, ranks, mine.sizes), tensors, meta
    return (Silent(folder) if recorder is None else recorder), tensors, meta
