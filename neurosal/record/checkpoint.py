"""Checkpoints: tensors as safetensors, all else as JSON, written aside and renamed, the newest two kept.

Tensors are written from where they lie and read from the file when they are asked for, so that neither needs memory
for a second copy.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neurosal.errors import Problem, StoreError
from neurosal.record import faults, schema
from neurosal.record.checksums import SUMS_FILE, write_sums, wrong_files
from neurosal.record.files import PARTIAL, read_json, sync_folder
from neurosal.record.status import check_version
from neurosal.record.tensors import TensorFile, write_tensors

TENSORS = "tensors.safetensors"
CONTENT = "checkpoint.json"
KEPT = 2

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A state to go on from.

    Args:
        tensors: arrays by name, or torch tensors to be written; of one that was read, a `TensorFile`.
        meta: what else the trainer keeps (step, random streams, ...).
        lengths: length of each group of the record at that moment.
        dropped: rows of each group that were dropped until then.
    """

    tensors: Tensors
    meta: dict[str, Any]
    lengths: dict[str, int]
    dropped: dict[str, int] = field(default_factory=dict)


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the next checkpoint of a run and drop the oldest above two. Waits until it is on the disk.

    Args:
        folder: the run's folder of checkpoints.
        checkpoint: what to write.
    """
    folder.mkdir(exist_ok=True)
    existing = numbered(folder)
    final = folder / f"{max(existing, default=0) + 1:08d}"
    aside = final.with_name(final.name + PARTIAL)
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir()
    total = write_tensors(aside / TENSORS, checkpoint.tensors)
    faults.reach(faults.CHECKPOINT_BEGUN)
    content = {"schema": schema.VERSION, "lengths": checkpoint.lengths, "meta": checkpoint.meta}
    content |= {"dropped": checkpoint.dropped} if checkpoint.dropped else {}
    (aside / CONTENT).write_text(json.dumps(content))
    write_sums(aside, (TENSORS, CONTENT), known={TENSORS: total})
    for name in (TENSORS, CONTENT, SUMS_FILE):
        with (aside / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(aside)
    faults.reach(faults.CHECKPOINT_WRITTEN)
    aside.rename(final)
    sync_folder(folder)
    faults.reach(faults.CHECKPOINT_RENAMED)
    for number in sorted(existing)[: -(KEPT - 1)]:
        old = existing[number]
        shutil.rmtree(old.rename(old.with_name(old.name + PARTIAL)))  # a half-removed one must not look complete
    return final


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that can be read; None where there is none.

    Raises:
        StoreError: when there are some and none can be read, with what is wrong with each.
    """
    problems: list[Problem] = []
    for _, path in sorted(numbered(folder).items(), reverse=True):
        try:
            return load(path)
        except StoreError as error:
            problems.extend(error.problems)
    if problems:
        raise StoreError(problems)
    return None


def load(path: Path) -> Checkpoint:
    """One checkpoint.

    Raises:
        StoreError: for one that is damaged or of another schema.
    """
    remedy = f"Remove the folder {path.name} to go on from the one before it."
    content = read_json(path / CONTENT)
    check_version(content.get("schema"), path / CONTENT)
    if wrong := [replace(problem, remedy=remedy) for problem in wrong_files(path)]:
        raise StoreError(wrong)
    lengths, meta, dropped = content.get("lengths"), content.get("meta"), content.get("dropped", {})
    if not isinstance(meta, dict) or not isinstance(lengths, dict) or not isinstance(dropped, dict):
        raise StoreError(
            Problem(place=str(path / CONTENT), expected="lengths and meta", found=", ".join(content), remedy=remedy)
        )
    try:
        tensors = TensorFile(path / TENSORS)
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            Problem(place=str(path / TENSORS), expected="tensors", found=str(error), remedy=remedy)
        ) from None
    counts = [{str(group): int(count) for group, count in found.items()} for found in (lengths, dropped)]
    return Checkpoint(tensors, meta, *counts)


def clear_unfinished(folder: Path) -> None:
    """Drop what checkpoints that were cut short left behind."""
    for path in folder.glob(f"*{PARTIAL}"):
        shutil.rmtree(path)


def numbered(folder: Path) -> dict[int, Path]:
    """Complete checkpoints of a folder, by number."""
    if not folder.is_dir():
        return {}
    return {int(path.name): path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()}
