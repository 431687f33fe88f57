"""Becoming one of the processes that torchrun started, and leaving them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from neurosal.checks import memory
from neurosal.errors import ExperimentError, LostError, Problem, near
from neurosal.processes import PARALLEL, asked
from neurosal.processes.notes import SIGNALLED, Notes
from neurosal.processes.ranks import Ranks


@contextmanager
def join(parallel: str = "data", timeout_s: float = 600.0, device: str = "auto") -> Iterator[Ranks | None]:
    """Be one of the processes that torchrun started; None where there is no other.

    Args:
        parallel: what they share out: "data" (each takes its part of every batch), "replicas" (each trains some of
            them) or "areas" (each has some of every population).
        timeout_s: how long to wait for a process that neither answers nor ends.
        device: as for `run`; a GPU takes NCCL, anything else gloo.

    Raises:
        ExperimentError: for an unknown way to share. LostError: when a process is lost meanwhile.
    """
    if parallel not in PARALLEL:
        raise ExperimentError(
            Problem(
                place="parallel", expected=", ".join(PARALLEL), found=repr(parallel), remedy=near(parallel, PARALLEL)
            )
        )
    if not asked():
        yield None
        return
    from torch import distributed as dist

    where = _device(device)
    wait = timedelta(seconds=timeout_s)
    try:
        store, rank, count = next(dist.rendezvous("env://", timeout=wait))
        store.set_timeout(wait)
        dist.init_process_group(
            "nccl" if where.type == "cuda" else "gloo",
            store=dist.PrefixStore("group", store), rank=rank, world_size=count, timeout=wait,
            device_id=where if where.type == "cuda" else None,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise LostError(f"The processes of the run did not find each other within {timeout_s:g} s: {text}") from None
    if parallel == "areas":
        memory.machines = count / int(os.environ.get("LOCAL_WORLD_SIZE", count))
    notes = Notes(dist.PrefixStore("notes", store), rank)
    ranks = Ranks(rank, count, parallel, notes, where)
    with _signals(ranks):
        try:
            yield ranks
            ranks.meet()  # what is still under way to another process must arrive
        except BaseException as error:
            _note(notes, error)
            ranks.part(error)
            raise
        else:
            notes.leave("")
            ranks.part()
        finally:
            ranks.outlast()


def _device(device: str) -> torch.device:
    """Each process of a machine has a GPU of its own."""
    wanted = torch.device(
        "cuda" if device == "auto" and torch.cuda.is_available() else "cpu" if device == "auto" else device
    )
    if wanted.type != "cuda" or not torch.cuda.is_available():
        return torch.device("cpu")
    wanted = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    torch.cuda.set_device(wanted)
    return wanted


def _note(notes: Notes, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        notes.leave(SIGNALLED)
    elif isinstance(error, LostError):
        notes.leave("")
    else:
        notes.leave(f"{type(error).__name__}: {error}")


@contextmanager
def _signals(ranks: Ranks) -> Iterator[None]:
    """Ctrl-C, and what torchrun sends to those that are left when one has ended, end this process cleanly."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: Any) -> None:
        if ranks.ending:
            ranks.told = True
        else:
            ranks.explain(told=True)  # torchrun sends the same signal when another process is lost
        if number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
