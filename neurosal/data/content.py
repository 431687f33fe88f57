"""What a data set holds, as published or given: checked once, fingerprinted, never changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]
SAFE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
MOST_CLASSES = 100_000
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """Inputs and targets as they came, before any scaling.

    Attributes:
        name: the data set's name.
        inputs: arrays [N, ...] by the name of the input they are for (``input`` when there is one only).
        targets: class labels int64 [N], or float32 targets [N, O].
        classes: the labels' names; empty for targets.
        parts: official index arrays (train, validation, test), or None where the set has no official split.
        value_range: smallest and largest value that the format allows, or None.
        source: where it came from.
        licence: its licence.
        note: what must be said with every result on it; empty for most.
        published: whether the fingerprint is that of the published set.
    """

    name: str
    inputs: Mapping[str, Array]
    targets: Array
    classes: tuple[str, ...] = ()
    parts: tuple[Array, Array, Array] | None = None
    value_range: tuple[float, float] | None = None
    source: str = ""
    licence: str = "unknown"
    note: str = ""
    published: bool = False

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.targets)

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of inputs, targets and official split: the same on every machine and for every file format."""
        digest = hashlib.sha256()
        arrays = {f"input {name}": array for name, array in sorted(self.inputs.items())} | {"targets": self.targets}
        if self.parts is not None:
            arrays |= {f"part {name}": part for name, part in zip(PARTS, self.parts, strict=True)}
        for name, array in arrays.items():
            little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            digest.update(json.dumps([name, little.dtype.str, array.shape]).encode())
            digest.update(little.data if little.size else b"")
        return digest.hexdigest()


def freeze(array: Array) -> Array:
    """`array`, read-only: a view, so that the caller's own array stays as it was."""
    view = array.view()
    view.flags.writeable = False
    return view


def own(array: Array) -> Array:
    """`array`, read-only: a copy when somebody could still write to it, because a fingerprint must stay true."""
    return freeze(array.copy() if array.flags.writeable else array)


def make_content(
    x: Any,
    y: Any,
    *,
    name: str,
    classes: int | Sequence[str] | None = None,
    parts: Sequence[Any] | None = None,
    value_range: tuple[float, float] | None = None,
    source: str,
    licence: str,
    note: str = "",
) -> Content:
    """Check arrays and hold them.

    Raises:
        DataError: with a problem for every array that does not fit.
    """
    problems: list[Problem] = []
    if not SAFE_NAME.fullmatch(name):
        problems.append(_problem("name", "letters a-z, digits, _ and -", repr(name)))
    inputs = _inputs(x, problems)
    targets, names = _targets(y, classes, problems)
    for key, array in inputs.items():
        place = "x" if not isinstance(x, Mapping) else f"x.{key}"
        if array.ndim and len(array) != len(targets):
            problems.append(_problem(place, f"as many samples as y, {len(targets)}", str(len(array))))
        if value_range is not None and array.size and np.isfinite(array).all():
            low, high = float(array.min()), float(array.max())
            if low < value_range[0] or high > value_range[1]:
                problems.append(
                    _problem(place, f"values from {value_range[0]:g} to {value_range[1]:g}", f"{low:g} to {high:g}")
                )
    if value_range is not None and not value_range[0] < value_range[1]:
        problems.append(_problem("value_range", "the smaller value first", repr(value_range)))
    indices = None if parts is None else _indices(parts, len(targets), problems)
    if problems:
        raise DataError(problems)
    return Content(
        name=name,
        inputs={key: own(array) for key, array in inputs.items()},
        targets=own(targets),
        classes=names,
        parts=indices,
        value_range=value_range,
        source=source,
        licence=licence,
        note=note,
    )


def _problem(place: str, expected: str, found: str, remedy: str = "") -> Problem:
    return Problem(place=place, expected=expected, found=found, remedy=remedy)


def _inputs(x: Any, problems: list[Problem]) -> dict[str, Array]:
    given = dict(x) if isinstance(x, Mapping) else {"input": x}
    if not given:
        problems.append(_problem("x", "at least one input", "an empty mapping"))
    inputs = {}
    for key, value in given.items():
        place = f"x.{key}" if isinstance(x, Mapping) else "x"
        if not isinstance(key, str) or not SAFE_NAME.fullmatch(key):
            problems.append(_problem(place, "an input's name of letters a-z, digits, _ and -", repr(key)))
        array = _numbers(value, place, problems)
        if array is not None:
            if array.ndim < 2 or array.size == 0:
                problems.append(_problem(place, "samples × features, at least one of each", f"shape {array.shape}"))
            inputs[str(key)] = array
    return inputs


def _numbers(value: Any, place: str, problems: list[Problem]) -> Array | None:
    """`value` as an array of integers, or of float32 when it is not of integers; None when it is neither."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        problems.append(_problem(place, "an array of numbers", str(error)))
        return None
    if array.dtype.kind not in "buif":
        problems.append(_problem(place, "an array of real numbers", f"values of type {array.dtype}"))
        return None
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind in "ui":
        return array
    with np.errstate(over="ignore"):  # a value that float32 cannot hold becomes infinite and is reported as such
        array = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = ", ".join(str(int(index)) for index in bad[0])
        found = f"{len(bad)} that are not, the first {array[tuple(bad[0])]} at [{where}]"
        problems.append(_problem(place, "finite numbers (float32)", found, "Drop or fill in missing values first."))
    return array


def _targets(y: Any, classes: int | Sequence[str] | None, problems: list[Problem]) -> tuple[Array, tuple[str, ...]]:
    """Labels with their classes' names, or float targets with none."""
    nothing = np.zeros(0, np.int64)
    try:
        array = np.asarray(y)
    except (ValueError, TypeError) as error:
        problems.append(_problem("y", "an array of labels or targets", str(error)))
        return nothing, ()
    if array.dtype.kind in "US" and array.ndim == 1 and classes is None:
        found, labels = np.unique(array.astype(str), return_inverse=True)
        return labels.astype(np.int64), tuple(str(label) for label in found)
    targets = _numbers(y, "y", problems)
    if targets is None:
        return nothing, ()
    if targets.ndim not in (1, 2) or targets.size == 0:
        problems.append(_problem("y", "labels [samples] or targets [samples, outputs]", f"shape {targets.shape}"))
        return nothing if targets.ndim == 0 else targets, ()
    if targets.ndim == 2 or array.dtype.kind == "f":
        if classes is not None:
            remedy = "Give labels as a list of integers, or leave classes out for targets."
            problems.append(_problem("y", "integer labels [samples]", f"{array.dtype} {array.shape}", remedy))
        return targets.astype(np.float32).reshape(len(targets), -1), ()
    return _labels(targets, classes, problems)


def _labels(
    labels: Array, classes: int | Sequence[str] | None, problems: list[Problem]
) -> tuple[Array, tuple[str, ...]]:
    named = None if classes is None or isinstance(classes, int | np.integer) else tuple(str(label) for label in classes)
    if named is not None and len(set(named)) != len(named):
        problems.append(_problem("classes", "different names", repr(named)))
    wanted = int(labels.max()) + 1 if classes is None else len(named) if named is not None else int(cast(int, classes))
    # A label is an index: a huge one is a mistake, and naming all classes below it would fill the memory.
    count = max(1, min(wanted, MOST_CLASSES))
    if classes is not None and wanted != count:
        problems.append(_problem("classes", f"from 1 to {MOST_CLASSES}", str(wanted)))
    outside = (labels < 0) | (labels >= count)
    if outside.any():
        first = int(np.argmax(outside))
        found = f"{int(outside.sum())} outside, the first {int(labels[first])} at [{first}]"
        problems.append(_problem("y", f"labels from 0 to {count - 1}", found))
    names = tuple(str(label) for label in range(count)) if named is None else named
    return labels.astype(np.int64), names


def _indices(parts: Sequence[Any], samples: int, problems: list[Problem]) -> tuple[Array, Array, Array] | None:
    """Three sorted index arrays, checked to be whole numbers inside the data, none of them twice."""
    found: list[Array] = []
    for name, part in zip(PARTS, parts, strict=True):
        array = np.asarray([] if part is None else part)
        if array.size == 0:
            array = array.astype(np.int64).reshape(-1)
        elif array.dtype.kind not in "ui" or array.ndim != 1:
            problems.append(_problem(name, "a list of row numbers", f"{array.dtype} {array.shape}"))
            return None
        elif array.min() < 0 or array.max() >= samples:
            problems.append(_problem(name, f"row numbers from 0 to {samples - 1}", f"{array.min()} to {array.max()}"))
        found.append(np.sort(array.astype(np.int64)))
    rows, counts = np.unique(np.concatenate(found), return_counts=True)
    if (counts > 1).any():
        twice = rows[counts > 1]
        place = ", ".join(PARTS)
        problems.append(_problem(place, "each row in one part, once", f"{len(twice)} rows twice, the first {twice[0]}"))
    if not len(found[0]):
        problems.append(_problem("train", "at least one sample to train on", "none"))
    train, validation, test = (freeze(part) for part in found)
    return train, validation, test
