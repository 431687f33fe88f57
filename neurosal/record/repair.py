"""Making a damaged run readable again, with the least loss. What is replaced is kept beside it, under another name.

Values cannot be brought back, so the record is cut before the first damage: every group of the tree at the same step,
so that what stays is the record as it was then. Labels, metadata and checksums are rewritten from what else says them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import StoreError
from neurosal.graph.files import read_yaml
from neurosal.record import checkpoint as checkpoints
from neurosal.record import schema
from neurosal.record.checksums import DEFAULT, SUMS_FILE, Checksum, Key, Log, key_of, write_sums
from neurosal.record.clock import now
from neurosal.record.cutting import Cutter, rows
from neurosal.record.doctor import Diagnosis, examine
from neurosal.record.files import store_errors, write_bytes
from neurosal.record.growing import GrowingArray
from neurosal.record.lock import Lock
from neurosal.record.nodes import encode, write_metadata
from neurosal.record.pack import finish
from neurosal.record.root import ROOT, Root, previous, read_root, text_of
from neurosal.record.status import Status, read_status, write_status
from neurosal.record.store import ENTRIES, TAILS
from neurosal.record.verify import Looked, fixed_file, growing_axis, lengths_of, look_over

Lost = list[str]


@dataclass(frozen=True)
class Repaired:
    """What was done, what was lost, and how the run is now."""

    done: tuple[str, ...]
    lost: tuple[str, ...]
    after: Diagnosis


def repair(folder: str | Path) -> Repaired:
    """Repair a run, or an experiment with every arm of it.

    Args:
        folder: of the run or experiment.

    Raises:
        StoreError: when a process writes it, or the folder cannot be written.
    """
    folder = Path(folder)
    before = examine(folder)
    done: list[str] = []
    lost: Lost = []
    with store_errors(folder, "repair the run there"):
        for arm in before.arms.values():
            below = repair(arm.folder)
            done += below.done
            lost += below.lost
        lock = Lock(folder)
        try:
            _repair_files(before, done)
            if before.looked is not None:
                _repair_run(folder, done, lost)
            else:
                _repair_status(folder, before, done)
        finally:
            lock.release()
    return Repaired(tuple(done), tuple(lost), examine(folder))


def _repair_files(before: Diagnosis, done: list[str]) -> None:
    for one in before.left_over:
        if one.kind != "left over":
            continue  # metadata, written anew with the rest
        path = Path(one.place)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        done.append(f"{path}: left over, removed")
    wrong = {Path(one.place).name for one in before.damages if one.kind == "file"}
    for one in before.damages:
        if one.kind == "sums" and not wrong:
            folder = Path(one.place).parent
            _keep(folder / SUMS_FILE)
            names = (schema.CIRCUIT_FILE, schema.SETTINGS_FILE, schema.EXPERIMENT_FILE, schema.ENVIRONMENT_FILE)
            write_sums(folder, names)
            done.append(f"{one.place}: written anew, from the files as they are")


def _repair_run(folder: Path, done: list[str], lost: Lost) -> None:
    store = folder / schema.STORE
    if not (store / ROOT).exists() or any(one.kind == "root" for one in look_over(store).damages):
        _repair_root(store, done, lost)
    looked = look_over(store)
    if looked.root is None or any(one.kind == "root" for one in looked.damages):
        _repair_status(folder, examine(folder), done)
        return  # nothing says what the store holds
    if looked.packed and not any(one.kind != "metadata" for one in looked.damages):
        finish(store, looked.root)
        looked = look_over(store)
        assert looked.root is not None
    _repair_nodes(store, looked, done)
    _repair_fixed(folder, looked, done)
    _repair_clock(store, look_over(store), done)
    cut = _repair_values(store, look_over(store), done, lost)
    _repair_log(store, done)
    diagnosis = examine(folder)
    for one in diagnosis.damages:
        if one.kind == "checkpoint" and Path(one.place).is_dir():
            path = Path(one.place)
            aside = _free(path.with_name(f"{path.name}.unusable"))
            path.rename(aside)
            done.append(f"{path}: put aside as {aside.name}")
            lost.append(f"the checkpoint {path.name}")
    if cut:
        _say_cut(folder, cut, done)
    _repair_status(folder, examine(folder), done)


def _free(path: Path) -> Path:
    """That path, or the next one that is free."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _keep(path: Path, at: Path | None = None) -> None:
    """Keep what is about to be replaced, beside the store or the file."""
    if path.exists():
        shutil.copyfile(path, _free((at or path).with_name(f"{(at or path).name}.damaged")))


# Metadata and labels --------------------------------------------------------------------------------------------------


def _repair_root(store: Path, done: list[str], lost: Lost) -> None:
    """Take the root of the commit before."""
    try:
        old = read_root(previous(store))
    except StoreError:
        return
    store.mkdir(exist_ok=True)
    _keep(store / ROOT, store.with_name(f"{store.name}.{ROOT}"))
    checksum = Checksum(old.sums.get("algorithm", DEFAULT), store)
    write_bytes(store / ROOT, text_of(old, checksum), durable=True)
    done.append(f"{store / ROOT}: taken from {previous(store).name}, the root of the commit before or a copy")
    lost.append("what was recorded between the last two commits, unless the run was closed")


def _repair_nodes(store: Path, looked: Looked, done: list[str]) -> None:
    assert looked.root is not None
    for one in looked.damages:
        if one.kind == "metadata":
            (store / one.node).mkdir(parents=True, exist_ok=True)
            _keep(Path(one.place), store.with_name(f"{store.name}.{one.node.replace('/', '.')}.{ROOT}"))
            write_metadata(store / one.node, looked.root.nodes[one.node])
            done.append(f"{one.place}: written anew, from the root's metadata")


def _repair_fixed(folder: Path, looked: Looked, done: list[str]) -> None:
    """Labels from whatever else says them: accepted only where their checksum is the one that was noted."""
    root, store = looked.root, looked.store
    assert root is not None
    wrong = [one for one in looked.damages if one.kind == "fixed"]
    if not wrong:
        return
    known = _known_labels(folder, root, {one.node for one in wrong})
    checksum = Checksum(root.sums.get("algorithm", DEFAULT), store)
    logged = {} if root.packed else Log(store, checksum, int(root.sums.get(ENTRIES, 0))).read()[0]
    for one in wrong:
        name, noted = one.node.rpartition("/")[2], logged.get(key_of(one.node))
        length = root.nodes[one.node]["shape"]
        for label, data, shape in known:
            if label == name and shape == length and (root.packed or noted in (None, checksum.of(data))):
                file = fixed_file(store, one.node, root.nodes[one.node])
                file.parent.mkdir(parents=True, exist_ok=True)
                seal = Checksum("crc32c", file).of(data).to_bytes(4, "little") if root.packed else b""
                write_bytes(file, data + seal)
                done.append(f"{one.place}: the labels are written anew")
                break


def _known_labels(folder: Path, root: Root, damaged: set[str]) -> list[tuple[str, bytes, list[int]]]:
    """Labels as bytes: what the root's attributes say of replicas, the circuit of its graph, other groups of theirs."""
    found = [(name, *_encoded(values)) for name, values in root.attributes.get("replicas", {}).items()]
    try:
        circuit = read_yaml(folder / schema.CIRCUIT_FILE, error=StoreError).data
        found += [(name, *_encoded(values)) for name, values in schema.graph(circuit).items() if len(values)]
    except (StoreError, KeyError, TypeError, ValueError, AttributeError):
        pass  # the circuit is damaged too
    for path, node in root.nodes.items():
        if node["node_type"] == "array" and growing_axis(node) is None and path not in damaged:
            raw = fixed_file(folder / schema.STORE, path, node).read_bytes()
            found.append((path.rpartition("/")[2], raw[:-4] if root.packed else raw, list(node["shape"])))
    return found


def _encoded(values: Any) -> tuple[bytes, list[int]]:
    data, _, shape = encode(values)
    return data, shape


# Values ---------------------------------------------------------------------------------------------------------------


def _repair_values(store: Path, looked: Looked, done: list[str], lost: Lost) -> str:
    """Cut every group before the first damage, at the same step. Returns what to say of it; "" where nothing is cut."""
    root = looked.root
    assert root is not None
    good = looked.lengths
    damaged = [one for one in looked.damages if one.kind == "rows"]
    if not damaged:
        return ""
    readable: dict[str, int] = {}
    for one in damaged:
        assert one.rows is not None
        group = one.node.rpartition("/")[0]
        good[group] = min(good[group], one.rows)
        readable[one.node] = min(readable.get(one.node, one.rows), one.rows)
    cutter = Cutter(store, root, looked.lengths, readable)
    new = cutter.common(good)
    before = looked.lengths
    _keep(store / ROOT, store.with_name(f"{store.name}.{ROOT}"))
    _set_lengths(store, root, new)
    text = f"the record is cut after step {cutter.last_step(new)}"
    done.append(f"{store}: {text}")
    lost += [
        f"{before[group] - count} of {before[group]} entries of {group}" for group, count in new.items()
        if count < before[group]
    ]  # fmt: skip
    return text


def _repair_clock(store: Path, looked: Looked, done: list[str]) -> None:
    """Bring back damaged `step` and `epoch` coordinates: each says the other, by what the other groups hold.

    They are accepted only where they have the checksum that was noted.
    """
    root = looked.root
    assert root is not None
    wrong = {one.node for one in looked.damages if one.kind == "rows"}
    clock = [path for path in wrong if path.rpartition("/")[2] in (schema.STEP, schema.EPOCH)]
    if not clock or root.packed:
        return
    checksum = Checksum(root.sums.get("algorithm", DEFAULT), store)
    log = Log(store, checksum, int(root.sums.get(ENTRIES, 0)))
    logged, _ = log.read()
    arrays = {path: GrowingArray(store, path, node, log) for path, node in root.nodes.items()
              if growing_axis(node) is not None}  # fmt: skip

    def values(path: str) -> np.ndarray[Any, Any]:
        return rows(arrays[path], looked.lengths[path.rpartition("/")[0]])

    pairs: dict[str, dict[Any, Any]] = {schema.STEP: {}, schema.EPOCH: {}}
    for group in looked.lengths:
        step, epoch = f"{group}/{schema.STEP}", f"{group}/{schema.EPOCH}"
        if step in arrays and epoch in arrays and not wrong & {step, epoch}:
            steps, epochs = values(step).tolist(), values(epoch).tolist()
            pairs[schema.STEP] |= dict(zip(epochs, steps, strict=True))
            pairs[schema.EPOCH] |= dict(zip(steps, epochs, strict=True))
    for path in clock:
        group, _, name = path.rpartition("/")
        other = f"{group}/{schema.EPOCH if name == schema.STEP else schema.STEP}"
        if other not in arrays or other in wrong:
            continue
        found = [pairs[name].get(value) for value in values(other).tolist()]
        tails = root.sums.get(TAILS, {}).get(path, ())
        array = arrays[path]
        if None not in found and _same_pages(array, np.array(found, array.dtype), checksum, logged, tails):
            for chunk in range(-(-len(found) // array.chunk_rows)):
                raw = np.zeros(array.chunk_rows, array.dtype)
                part = found[chunk * array.chunk_rows : (chunk + 1) * array.chunk_rows]
                raw[: len(part)] = part
                write_bytes(array.chunk_file(0, chunk), raw.tobytes())
            done.append(f"{store / path}: written anew, from {other} and the other groups")


def _same_pages(
    array: GrowingArray, values: np.ndarray[Any, Any], checksum: Checksum, logged: dict[Key, int], tails: Any
) -> bool:
    """Whether values along the growing axis alone have the checksums that were noted."""
    row = 0
    while row < len(values):
        page, _ = array.page_at(row)
        rows = min(array.page_length(page), len(values) - row)
        noted = logged.get(key_of(array.path, 0, page))
        if rows < array.page_length(page):
            noted = tails[0] if tails else None
        if checksum.together([checksum.of(values[row : row + rows])]) != noted:
            return False
        row += rows
    return True


def _set_lengths(store: Path, root: Root, new: dict[str, int]) -> None:
    """Commit shorter lengths. What lies past them stays on the disk until it is overwritten."""
    nodes, tails = {}, {}
    checksum = Checksum(root.sums.get("algorithm", DEFAULT), store)
    log = Log(store, checksum, int(root.sums.get(ENTRIES, 0)))
    for path, node in root.nodes.items():
        axis, group = growing_axis(node), path.rpartition("/")[0]
        if axis is None:
            nodes[path] = node
            continue
        nodes[path] = {**node, "shape": [*node["shape"][:axis], new[group], *node["shape"][axis + 1 :]]}
        if not root.packed:
            array = GrowingArray(store, path, node, log)
            page, rows = array.page_at(new[group])
            parts = range(array.replica_chunks) if rows else ()
            if sums := [checksum.together(array.sums(part, page, rows)) for part in parts]:
                tails[path] = sums
    sums_of = root.sums if root.packed else {ENTRIES: log.committed, TAILS: tails}
    write_bytes(store / ROOT, text_of(Root(root.attributes, nodes, sums_of), checksum), durable=True)
    for path, node in nodes.items():
        if growing_axis(node) is not None:
            write_metadata(store / path, node)
    write_bytes(previous(store), (store / ROOT).read_bytes())


def _repair_log(store: Path, done: list[str]) -> None:
    """Note the checksums of the values as they are, where the log was damaged."""
    looked = look_over(store)
    if looked.root is None or looked.root.packed or not any(one.kind == "log" for one in looked.damages):
        return
    root = looked.root
    checksum = Checksum(root.sums.get("algorithm", DEFAULT), store)
    log = Log(store, checksum)
    for path, node in root.nodes.items():
        axis = growing_axis(node)
        if node["node_type"] == "array" and axis is None:
            file = fixed_file(store, path, node)
            if file.exists():
                log.add(key_of(path)[0], checksum.of(file.read_bytes()))
        elif axis is not None:
            array = GrowingArray(store, path, node, log)
            for part in range(array.replica_chunks):
                for page in range(array.page_at(node["shape"][axis])[0]):
                    total = checksum.together(array.sums(part, page, array.page_length(page)))
                    log.add(key_of(path)[0], total, part, page)
    _keep(log.file)
    log.file.unlink(missing_ok=True)
    log.flush()
    sums = {**root.sums, ENTRIES: log.committed}
    write_bytes(store / ROOT, text_of(Root(root.attributes, root.nodes, sums), checksum), durable=True)
    done.append(f"{log.file}: written anew, from the values as they are")


# Status ---------------------------------------------------------------------------------------------------------------


def _say_cut(folder: Path, text: str, done: list[str]) -> None:
    """A run whose record was cut is not at its end any more."""
    try:
        status = read_status(folder)
    except StoreError:
        return
    if status is not None and status.state != "running":
        lengths = lengths_of(read_root(folder / schema.STORE / ROOT))
        found = replace(status, state="failed", message=f"Repaired after damage: {text}.", updated=now())
        write_status(folder, found)
        usable = any(
            all(lengths.get(group, 0) >= length for group, length in checkpoints.load(path).lengths.items())
            for path in checkpoints.numbered(folder / schema.CHECKPOINTS).values()
        )
        done.append(
            f"{folder}: --resume goes on from the newest checkpoint that is left" if usable
            else f"{folder}: no checkpoint is left, so that --resume would begin anew"
        )  # fmt: skip


def _repair_status(folder: Path, diagnosis: Diagnosis, done: list[str]) -> None:
    wrong = [one for one in diagnosis.damages if one.kind == "status"]
    if not wrong:
        return
    path = folder / schema.STATUS_FILE
    _keep(path)
    good = diagnosis.status
    started = good.started if good and "started" not in wrong[0].found else now()
    state = good.state if good else "failed"
    message = good.message if good else "How it ended is not known: the status was damaged."
    step, epoch = (good.step, good.epoch) if good else (0, 0.0)
    status = Status(state=state, step=step, epoch=epoch, started=started, updated=now(), message=message)
    write_status(folder, status)
    done.append(f"{path}: written anew")
