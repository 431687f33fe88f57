"""Which samples are for training, validation and testing. The same on every machine and with every version of numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosal.data.content import PARTS, Content, freeze
from neurosal.data.spec import Split, Subset, count
from neurosal.errors import DataError, Problem, near

Array = np.ndarray[Any, Any]
DEFAULT_TEST = 0.2


def shuffled(rows: Array, labels: Array | None, seed: int) -> Array:
    """`rows` in an order drawn from `seed`, with classes interleaved evenly when `labels` are given.

    Any first n rows then hold each class in its proportion, to within one sample. The keys are the raw output of the
    bit generator, which numpy promises to keep, unlike what `Generator.permutation` makes of it.
    """
    keys = np.random.PCG64(seed).random_raw(len(rows))
    rows = rows[np.argsort(keys, kind="stable")]
    if labels is None:
        return rows
    position = np.empty(len(rows))
    own = labels[rows]
    for label in np.unique(own):
        members = np.flatnonzero(own == label)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return rows[np.argsort(position, kind="stable")]


def parts_of(content: Content, split: Split, subset: Subset) -> tuple[Array, Array, Array]:
    """Sorted row numbers for training, validation and testing.

    Raises:
        DataError: shares that do not add up, or leave nothing to train on.
    """
    everything = np.arange(content.samples)
    labels = content.targets if split.stratified and content.classes else None
    if split.test is None and content.parts is not None:
        train, validation, test = content.parts
        if split.train is not None or split.validation is not None:
            # A validation part that came with the data goes back to training before a new one is drawn.
            rest = shuffled(np.sort(np.concatenate([train, validation])), labels, split.seed)
            train, validation = _carve(rest, split, "what the test part leaves")
    else:
        rows = shuffled(everything, labels, split.seed)
        tests = count(DEFAULT_TEST if split.test is None else split.test, len(rows))
        if tests > len(rows):
            raise _refuse("split.test", f"at most {len(rows)} samples", str(tests))
        test, rest = rows[:tests], rows[tests:]
        if split.test is None:
            train, validation = _carve(rest, split, "what the test part leaves")
        else:
            train, validation = _carve(rest, split, "the whole set", whole=len(rows))
    parts = tuple(_of_classes(content, np.sort(part), subset) for part in (train, validation, test))
    parts = tuple(
        _fewer(content, part, getattr(subset, name), subset, name) for name, part in zip(PARTS, parts, strict=True)
    )
    if not len(parts[0]):
        place = "subset.classes" if subset.classes is not None else "split.train"
        raise _refuse(place, "at least one sample to train on", f"0 of {content.samples}")
    return freeze(parts[0]), freeze(parts[1]), freeze(parts[2])


def _carve(rest: Array, split: Split, of: str, whole: int | None = None) -> tuple[Array, Array]:
    """Training and validation rows out of `rest`; shares count from `whole`."""
    total = len(rest) if whole is None else whole
    validation = count(split.validation, total)
    shares = {"train": split.train, "validation": split.validation, "test": split.test}
    written = {name: share for name, share in shares.items() if share is not None}
    if split.train is not None:
        if all(isinstance(share, float) or share == 0 for share in written.values()):
            adds_up = abs(sum(written.values()) - 1) < 1e-9
        else:
            adds_up = count(split.train, total) + validation == len(rest)
        if not adds_up:
            found = " + ".join(f"{name} {share:g}" for name, share in written.items())
            remedy = "Leave train out to take all that is left, or take fewer samples with subset."
            raise _refuse("split", f"shares that add up to {of}, {total} samples", found, remedy)
    if validation > len(rest):
        raise _refuse("split.validation", f"at most the {len(rest)} samples that the test part leaves", str(validation))
    return rest[validation:], rest[:validation]


def _of_classes(content: Content, part: Array, subset: Subset) -> Array:
    """The rows of `part` whose class was asked for."""
    if subset.classes is None:
        return part
    labels: dict[str | int, int] = {}
    for label, name in enumerate(content.classes):
        labels |= {name: label, label: label}
    missing = [entry for entry in subset.classes if entry not in labels]
    if missing:
        expected = f"classes of {content.name}" if content.classes else "a data set of classes"
        found = ", ".join(map(repr, missing))
        raise _refuse("subset.classes", expected, found, near(str(missing[0]), content.classes))
    return part[np.isin(content.targets[part], [labels[entry] for entry in subset.classes])]


def _fewer(content: Content, part: Array, share: int | float | None, subset: Subset, name: str) -> Array:
    if share is None:
        return part
    wanted = count(share, len(part))
    if wanted > len(part):
        raise _refuse(f"subset.{name}", f"at most the {len(part)} samples of the {name} part", str(wanted))
    labels = content.targets if subset.stratified and content.classes else None
    return np.sort(shuffled(part, labels, subset.seed)[:wanted])


def _refuse(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
