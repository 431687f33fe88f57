"""A data set as a value: the published content and the request that says how it is split and scaled.

Because both are kept, the order in which a split, a subset and a scaling are asked for does not matter: statistics
are always those of the training part that is in force, and the request can be written down and loaded again.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from neurosal.data.content import PARTS, Content, freeze, make_content
from neurosal.data.images import grey
from neurosal.data.part import Part, Pictures, picture_of
from neurosal.data.scaling import channel_statistics, scale
from neurosal.data.spec import DataSpec, MeanAndDeviation, Split, Subset
from neurosal.data.splitting import parts_of
from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]
SHOWN_NUMBERS = 4  # of a mean or deviation in words: one a channel


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and labels with their split, scaling, source and fingerprint. Compares by content.

    Attributes:
        content: what was published or given, unscaled.
        spec: how it is split and scaled.

    Raises:
        DataError: when split, subset or scaling do not fit the content.

    Example:
        >>> data = ns.data.load("digits").scaled("symmetric").split(train=0.8, test=0.2, seed=1)
        >>> data.train.x.shape, data.test.y.shape
        ((1438, 64), (359,))
    """

    content: Content
    spec: DataSpec

    def __post_init__(self) -> None:
        # Asked for now, so that a request that does not fit fails here and not in the middle of a run.
        _ = self._rows
        if self.spec.grey:
            _check_colour(self.content)
        if isinstance(self.spec.scaling, MeanAndDeviation):
            for name, raw in self.content.inputs.items():
                scale(
                    self._seen(raw[:1]), self.spec.scaling, self.content.value_range, np.zeros(1, np.int64), place=name
                )
        elif self.spec.scaling == "channels":
            _check_channels({name: self._seen(raw[:1]).shape[1:] for name, raw in self.content.inputs.items()})

    @cached_property
    def _rows(self) -> tuple[Array, Array, Array]:
        """Rows of the content for training, validation and testing."""
        return parts_of(self.content, self.spec.split, self.spec.subset)

    @cached_property
    def _used(self) -> Array:
        """Rows of the content that are in any part."""
        return np.sort(np.concatenate(self._rows))

    def _seen(self, raw: Array) -> Array:
        """Values as published, or their brightness where grey is asked for and `raw` is in colour."""
        return grey(raw) if self.spec.grey and _in_colour(raw) else raw

    @property
    def name(self) -> str:
        """The name it was loaded by."""
        return self.content.name

    @property
    def source(self) -> str:
        """Where it came from."""
        return self.content.source

    @property
    def licence(self) -> str:
        """Its licence."""
        return self.content.licence

    @property
    def sha256(self) -> str:
        """Fingerprint of the unscaled content, the same on every machine and whatever the split and the scaling."""
        return self.content.sha256

    @property
    def scaling(self) -> str:
        """How values were scaled, in words."""
        scaling = self.spec.scaling
        if isinstance(scaling, MeanAndDeviation):
            numbers = {name: getattr(scaling, name) for name in ("mean", "std")}
            shown = {name: _in_words(value) for name, value in numbers.items()}
            return (
                f"mean {shown['mean']}, std {shown['std']} of {'unit scaled' if scaling.of == 'unit' else 'raw'} values"
            )
        if scaling in ("unit", "symmetric"):
            known = self.content.value_range
            basis = f"{known[0]:g} to {known[1]:g}" if known else "each feature's range over the training part"
            return f"{scaling}: {basis} becomes {'0 to 1' if scaling == 'unit' else '-1 to 1'}"
        own = {"standardise": "feature", "channels": "channel"}
        return (
            f"{scaling}: mean and deviation of each {own[scaling]} over the training part" if scaling in own else "none"
        )

    @cached_property
    def constants(self) -> Mapping[str, MeanAndDeviation]:
        """Mean and deviation of each channel by the input's name, where the scaling is "channels": of values scaled to
        [0, 1] where the format's range is known, over the training part that is in force."""
        if self.spec.scaling != "channels":
            return MappingProxyType({})
        found = {}
        for name, raw in self.content.inputs.items():
            mean, std = channel_statistics(self._seen(raw[:1]).shape[1:], self._seen, raw, self._rows[0])
            known = self.content.value_range
            low, span = (known[0], known[1] - known[0]) if known else (0.0, 1.0)
            found[name] = MeanAndDeviation(
                mean=tuple((value - low) / span for value in mean),
                std=tuple(value / span for value in std),
                of="unit" if known else "none",
            )
        return MappingProxyType(found)

    def _scaled(self, name: str, raw: Array, train: Array) -> Array:
        """Values of one input as a network reads them."""
        scaling = self.constants.get(name, self.spec.scaling)
        return scale(raw, scaling, self.content.value_range, train, place=name)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the labels' order; empty where targets are numbers."""
        return self.content.classes

    @property
    def outputs(self) -> int:
        """How many outputs a network needs: classes, or targets a sample."""
        return len(self.classes) if self.classes else int(self.content.targets.shape[1])

    @property
    def features(self) -> Any:
        """Shape of one sample, or a mapping of shapes where there are several inputs."""
        # Without scaling anything: a check that asks for sizes must not cost the memory of a run.
        shapes = {name: self._seen(raw[:1]).shape[1:] for name, raw in self.content.inputs.items()}
        if self.spec.shape == "flat":
            shapes = {name: (math.prod(shape),) for name, shape in shapes.items()}
        return shapes["input"] if set(shapes) == {"input"} else shapes

    @cached_property
    def inputs(self) -> Mapping[str, Array]:
        """Scaled inputs float32 [N, features...] by the input's name, of all samples in use."""
        scaled = {}
        position = self._position(self._rows[0])
        for name, raw in self.content.inputs.items():
            rows = self._seen(raw if len(self._used) == len(raw) else raw[self._used])
            array = self._scaled(name, rows, position)
            scaled[name] = freeze(array.reshape(len(array), -1) if self.spec.shape == "flat" else array)
        return MappingProxyType(scaled)

    @property
    def x(self) -> Any:
        """The inputs: one array float32 [N, features...], or a mapping where there are several."""
        return self.inputs["input"] if set(self.inputs) == {"input"} else self.inputs

    @cached_property
    def y(self) -> Array:
        """Class labels int64 [N], or targets float32 [N, O], of all samples in use."""
        return freeze(self.content.targets[self._used])

    def _position(self, rows: Array) -> Array:
        """Rows of the content as rows of `x` and `y`."""
        return freeze(np.searchsorted(self._used, rows))

    def _part(self, number: int) -> Part:
        index = self._position(self._rows[number])
        # A part that lies in one piece, such as an official split, is a view and costs no memory.
        whole = len(index) and index[-1] - index[0] + 1 == len(index)
        rows: Any = slice(int(index[0]), int(index[-1]) + 1) if whole else index
        return Part(
            y=freeze(self.y[rows]),
            index=index,
            names=tuple(self.content.inputs),
            inputs=lambda: {name: freeze(array[rows]) for name, array in self.inputs.items()},
            pictures=lambda: {
                name: self._picture(name, raw, self._rows[number])
                for name, raw in self.content.inputs.items()
                if len(self._seen(raw[:1]).shape) in (3, 4)
            },
        )

    @property
    def images(self) -> Mapping[str, tuple[tuple[int, int, int], bool]]:
        """Inputs that are images: channels, rows and columns, and whether black becomes the same at every place when
        they are scaled."""
        found = {}
        for name, raw in self.content.inputs.items():
            shape = self._seen(raw[:1]).shape[1:]
            if len(shape) in (2, 3):
                scaling = self.spec.scaling
                each = isinstance(scaling, MeanAndDeviation) and _each_place(scaling, shape)
                channels, rows, columns = shape if len(shape) == 3 else (1, *shape)
                found[name] = ((channels, rows, columns), not self._by_place and not each)
        return found

    def stays_bytes(self, extents: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether all inputs go to a device as the bytes that were published, to be scaled batch by batch: images
        whose scaling is the same at every place, for inputs of that extent."""
        images, wanted = self.images, list(extents.values())
        return (
            len(images) == len(self.content.inputs) == len(wanted)
            and all(raw.dtype == np.uint8 for raw in self.content.inputs.values())
            and all(same and extent in wanted for extent, same in images.values())
        )

    @property
    def _by_place(self) -> bool:
        """Whether scaling takes statistics of each feature for itself."""
        scaling = self.spec.scaling
        ranges = scaling in ("unit", "symmetric") or (isinstance(scaling, MeanAndDeviation) and scaling.of == "unit")
        return scaling == "standardise" or (self.content.value_range is None and ranges)

    def _picture(self, name: str, raw: Array, rows: Array) -> Pictures:
        shape, known = self._seen(raw[:1]).shape[1:], self.content.value_range
        scaled = None if self._by_place else lambda images: self._scaled(name, images, np.zeros(1, np.int64))
        pixels = self._seen(raw[rows]) if raw.dtype == np.uint8 and scaled is not None else None
        return picture_of(shape, pixels, scaled, known[0] if known else 0.0)

    @cached_property
    def train(self) -> Part:
        """Samples to train on."""
        return self._part(0)

    @cached_property
    def validation(self) -> Part:
        """Samples to choose settings by; may be empty."""
        return self._part(1)

    @cached_property
    def test(self) -> Part:
        """Samples that are only tested on; may be empty."""
        return self._part(2)

    def split(
        self,
        train: int | float | None = None,
        validation: int | float | None = None,
        test: int | float | None = None,
        *,
        seed: int = 0,
        stratified: bool = True,
    ) -> Dataset:
        """The same data, parted otherwise; see `Split` for what shares mean. Replaces an earlier split.

        Example:
            >>> ns.data.load("optdigits").split(validation=0.1).test.y.shape  # the official test part stays
            (1797,)
        """
        split = Split(train=train, validation=validation, test=test, seed=seed, stratified=stratified)
        return Dataset(self.content, self.spec.replace(split=split))

    def subset(
        self,
        train: int | float | None = None,
        validation: int | float | None = None,
        test: int | float | None = None,
        *,
        seed: int = 0,
        stratified: bool = True,
    ) -> Dataset:
        """Fewer samples of each part: a number or a fraction; None keeps the part whole. Replaces an earlier subset."""
        classes = self.spec.subset.classes
        subset = Subset(
            train=train, validation=validation, test=test, seed=seed, stratified=stratified, classes=classes
        )
        return Dataset(self.content, self.spec.replace(subset=subset))

    def of_classes(self, *classes: str | int) -> Dataset:
        """Only the samples of some classes, in every part. Labels keep their numbers, and `classes` and `outputs` stay.

        A subset by size is taken after it, and scaling by statistics takes those of the training samples that are left.
        Replaces an earlier choice of classes; none at all takes all of them again.

        Args:
            classes: their names, or their labels.

        Raises:
            DataError: the set has no such class.

        Example:
            >>> data = ns.data.load("letter").of_classes("A", "C")
            >>> sorted(set(data.train.y.tolist())), data.outputs
            ([0, 2], 26)
        """
        return Dataset(self.content, self.spec.replace(subset=self.spec.subset.replace(classes=classes or None)))

    def scaled(self, scaling: str | None = None, *, mean: Any = None, std: Any = None, of: str = "unit") -> Dataset:
        """The same data, scaled otherwise: ``none``, ``unit``, ``symmetric``, ``standardise``, ``channels``, or by
        `mean` and `std`.

        Replaces an earlier scaling: it always starts from the values as published.
        """
        if scaling is None or mean is not None or std is not None:
            fields = {"mean": mean, "std": std, "of": of}
            given = {name: value for name, value in fields.items() if value is not None}
            return Dataset(self.content, self.spec.replace(scaling=MeanAndDeviation(**given)))
        return Dataset(self.content, self.spec.replace(scaling=scaling))

    def flat(self) -> Dataset:
        """Each sample as one vector."""
        return Dataset(self.content, self.spec.replace(shape="flat"))

    def natural(self) -> Dataset:
        """Each sample in its own shape, images as images."""
        return Dataset(self.content, self.spec.replace(shape="natural"))

    def grey(self) -> Dataset:
        """Colour images as their brightness, 0.299 R + 0.587 G + 0.114 B, before any scaling.

        Raises:
            DataError: no input has colour images [N, 3, height, width].
        """
        return Dataset(self.content, self.spec.replace(grey=True))

    def to_dict(self) -> dict[str, Any]:
        """The request, as an experiment file holds it: ``DataSpec.from_dict(...).load()`` gives the same data."""
        return self.spec.to_dict()

    def provenance(self) -> dict[str, Any]:
        """What goes into a run: request, source, licence, fingerprints and sizes, in plain values."""
        digest = hashlib.sha256()
        for part in self._rows:
            digest.update(np.asarray(part, "<i8").tobytes() + b";")
        constants = {name: found.to_dict() for name, found in self.constants.items()}
        return ({"constants": constants} if constants else {}) | {
            "name": self.name,
            "request": self.to_dict(),
            "source": self.source,
            "licence": self.licence,
            "note": self.content.note,
            "sha256": self.sha256,
            "published": self.content.published,
            "split_sha256": digest.hexdigest(),
            "samples": {name: len(rows) for name, rows in zip(PARTS, self._rows, strict=True)},
            "scaling": self.scaling,
            "outputs": self.outputs,
        }

    def __len__(self) -> int:
        return len(self._used)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return (self.sha256, self.classes, self.spec) == (other.sha256, other.classes, other.spec)

    def __hash__(self) -> int:
        return hash((self.sha256, self.classes))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in zip(PARTS, self._rows, strict=True))
        kind = f"{len(self.classes)} classes" if self.classes else f"{self.outputs} targets"
        shapes = ", ".join(
            f"{name} {'×'.join(map(str, self._seen(array[:1]).shape[1:]))}"
            for name, array in self.content.inputs.items()
        )
        return f"Dataset({self.name}: {shapes}, {kind}; {sizes}; scaling {self.scaling}; sha256 {self.sha256[:12]})"


def _in_words(value: float | tuple[float, ...]) -> str:
    numbers = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{number:g}" for number in numbers) if len(numbers) <= SHOWN_NUMBERS else f"{len(numbers)} values"


def _each_place(scaling: MeanAndDeviation, shape: tuple[int, ...]) -> bool:
    """Whether there is a number for each feature, and not only for each channel."""
    channels = shape[0] if len(shape) == 3 else 1
    sizes = [len(value) for value in (scaling.mean, scaling.std) if isinstance(value, tuple)]
    return any(size not in (1, channels) for size in sizes)


def _check_channels(shapes: Mapping[str, tuple[int, ...]]) -> None:
    problems = [
        Problem(place=f"scaling of {name}", expected="images, [channels, rows, columns] or [rows, columns] a sample",
                found=f"{len(shape)} axes a sample", remedy="standardise takes each feature for itself.")
        for name, shape in shapes.items()
        if len(shape) not in (2, 3)
    ]  # fmt: skip
    if problems:
        raise DataError(problems)


def _in_colour(raw: Array) -> bool:
    return raw.ndim == 4 and raw.shape[1] == 3


def _check_colour(content: Content) -> None:
    if not any(_in_colour(raw) for raw in content.inputs.values()):
        shapes = ", ".join(str(raw.shape) for raw in content.inputs.values())
        remedy = "Leave grey out: there is no colour to take away."
        expected = "colour images [samples, 3, height, width]"
        raise DataError(Problem(place="grey", expected=expected, found=f"shape {shapes}", remedy=remedy))


def from_arrays(
    x: Any,
    y: Any,
    *,
    name: str = "arrays",
    classes: int | Sequence[str] | None = None,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    value_range: tuple[float, float] | None = None,
    source: str = "arrays given by the caller",
    licence: str = "unknown",
) -> Dataset:
    """A data set from arrays in memory. Arrays are copied: what is done to them later does not change the data set.

    Args:
        x: one input [N, features...], or a mapping from inputs' names to arrays.
        y: class labels [N] (integers or text), or targets [N] or [N, O] (floats, or integers in two dimensions).
        classes: how many classes there are, or their names; by default those up to the largest label.
        train: row numbers to train on; by default those in no other part.
        validation: row numbers of the validation part.
        test: row numbers of the test part.
        value_range: smallest and largest value that an input can have, for `Dataset.scaled`.
        source: where the data came from; goes into every run.
        licence: its licence.

    Returns:
        The data set, unscaled, in its natural shape.

    Raises:
        DataError: with every problem: NaN or infinite values, lengths that differ, labels outside the classes, parts
            that overlap.

    Example:
        >>> data = ns.data.from_arrays(np.eye(4), [0, 1, 0, 1], test=[3])
        >>> len(data.train), data.classes
        (3, ('0', '1'))
    """
    samples = len(y) if hasattr(y, "__len__") else 0
    if train is None:
        taken = [np.asarray(part).reshape(-1) for part in (validation, test) if part is not None and len(part)]
        train = np.setdiff1d(np.arange(samples), np.concatenate(taken)) if taken else np.arange(samples)
    content = make_content(
        x, y, name=name, classes=classes, parts=(train, validation, test), value_range=value_range,
        source=source, licence=licence,
    )  # fmt: skip
    return Dataset(content, DataSpec(name=name, scaling="none", shape="natural"))
