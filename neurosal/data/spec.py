"""What is asked of a data set: which one, split how, scaled how. Written in experiment files, kept with every run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from neurosal.errors import DataError, NeurosalError, near
from neurosal.graph.value import Value, problems_of

if TYPE_CHECKING:
    from neurosal.data.dataset import Dataset

SCALINGS = ("none", "unit", "symmetric", "standardise", "channels")


def _share(value: Any) -> Any:
    """A share: a count (int) or a fraction (float from 0 to 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        fits = False
    elif isinstance(value, int):
        fits = value >= 0
    else:
        fits = 0 <= value <= 1
    if not fits:
        raise PydanticCustomError("share", "a fraction from 0. to 1. or a number of samples", {})
    return value


def _optional_share(value: Any) -> Any:
    return None if value is None else _share(value)


def _statistic(value: Any) -> float | tuple[float, ...]:
    """One number for all features, or a tuple of one for each (or for each channel)."""
    entries = value if isinstance(value, list | tuple) else [value]
    numbers = [entry for entry in entries if isinstance(entry, int | float) and not isinstance(entry, bool)]
    if not entries or len(numbers) != len(entries) or not all(math.isfinite(number) for number in numbers):
        raise PydanticCustomError("statistic", "a number, or a list with one for each feature", {})
    return tuple(float(number) for number in numbers) if isinstance(value, list | tuple) else float(value)


def _classes(value: Any) -> tuple[str | int, ...] | None:
    """Names or labels of classes, at least one."""
    if value is None:
        return None
    entries = value if isinstance(value, list | tuple) else []
    if not entries or any(isinstance(entry, bool) or not isinstance(entry, str | int) for entry in entries):
        raise PydanticCustomError("classes", "a list of classes, each by its name or its label", {})
    return tuple(entries)


# Any, not unions: pydantic would report one problem for each member of a union.
Share = Annotated[Any, BeforeValidator(_optional_share)]
Classes = Annotated[Any, BeforeValidator(_classes)]
Statistic = Annotated[Any, BeforeValidator(_statistic)]


class DataValue(Value):
    """A description that belongs to data."""

    error: ClassVar[type[NeurosalError]] = DataError


class Split(DataValue):
    """How samples are parted. The test part is chosen first, then validation; what is left is for training.

    Without `test`, the set's own test part is kept untouched (a fifth is drawn by seed where a published set has
    none), and `train` and `validation` are shares of the rest. With `test`, all three are shares of the whole set.
    Shares are fractions (float) or numbers of samples (int), and must add up to the whole.

    Attributes:
        train: share for training, None for all that is left.
        validation: share for validation, None for the set's own (most have none).
        test: share for testing, None for the set's own.
        seed: of the choice, ≥ 0.
        stratified: keep the proportions of the classes in every part (class labels only).
    """

    train: Share = None
    validation: Share = None
    test: Share = None
    seed: int = Field(default=0, ge=0, strict=True)
    stratified: bool = True


class Subset(DataValue):
    """Fewer samples of each part, chosen by seed: a fraction or a number of samples; None keeps a part whole.

    Attributes:
        train: share of the training part.
        validation: share of the validation part.
        test: share of the test part.
        seed: of the choice, ≥ 0.
        stratified: keep the proportions of the classes in every part (class labels only).
        classes: only samples of these, by name or by label. Labels keep their numbers; shares count from what is left.
    """

    train: Share = None
    validation: Share = None
    test: Share = None
    seed: int = Field(default=0, ge=0, strict=True)
    stratified: bool = True
    classes: Classes = None


class MeanAndDeviation(DataValue):
    """Scaling by given numbers: (x − mean) / std, one for all features, one for each channel of images, or one for
    each feature.

    Attributes:
        mean: subtracted.
        std: divided by, > 0.
        of: what they are the statistics of: values scaled to [0, 1] (``unit``, as usual for images) or as they are
            (``none``).
    """

    mean: Statistic
    std: Statistic
    of: Literal["unit", "none"] = "unit"

    @field_validator("std")
    @classmethod
    def _positive(cls, value: float | tuple[float, ...]) -> float | tuple[float, ...]:
        if min(value if isinstance(value, tuple) else (value,), default=0.0) <= 0:
            raise PydanticCustomError("positive", "greater than 0", {})
        return value


def _scaling(value: Any) -> Any:
    if isinstance(value, MeanAndDeviation):
        return value
    if isinstance(value, Mapping):
        try:
            return MeanAndDeviation.model_validate(value)
        except ValidationError as error:
            found = problems_of(error, MeanAndDeviation)
            leaves = [
                (tuple(problem.place.split(".")), problem.expected, problem.found, problem.remedy) for problem in found
            ]
            raise PydanticCustomError("nested", "nested", {"problems": leaves}) from None
    if value not in SCALINGS:
        remedy = f"{near(value, SCALINGS)} Or give a mapping with mean and std."
        raise PydanticCustomError("scaling", "a known scaling", {"remedy": remedy})
    return value


class DataSpec(DataValue):
    """A request for a data set, as an experiment file holds it.

    Attributes:
        name: the data set's name, or the path of an npz file or a folder of images (with a slash in it, from the
            working directory).
        scaling: ``none``; ``unit``, the format's range to [0, 1]; ``symmetric``, to [−1, 1]; ``standardise``, each
            feature to mean 0 and standard deviation 1 over the training part; ``channels``, each channel of images
            likewise (the numbers are recorded with the run); or given numbers.
        shape: ``flat`` for one vector a sample, ``natural`` for images as images (colour: channels first).
        grey: colour images as their brightness, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), before any scaling.
        split: how samples are parted.
        subset: fewer of them.

    Example:
        >>> spec = ns.data.DataSpec(name="digits", scaling="symmetric", split={"train": 0.8, "test": 0.2})
        >>> spec.load().train.x.shape
        (1438, 64)
    """

    name: str
    scaling: Annotated[Any, BeforeValidator(_scaling)] = "unit"
    shape: Literal["flat", "natural"] = "flat"
    grey: bool = Field(default=False, strict=True)
    split: Split = Split()
    subset: Subset = Subset()

    def load(self, *, folder: str | Path | None = None, download: bool = False) -> Dataset:
        """The data set that is asked for; see `neurosal.data.load`."""
        from neurosal.data.dataset import Dataset
        from neurosal.data.loading import find_content

        return Dataset(find_content(self.name, folder=folder, download=download), self)


def count(share: int | float | None, whole: int) -> int:
    """A share of `whole` as a number of samples; none without a share."""
    if share is None:
        return 0
    return share if isinstance(share, int) else math.floor(share * whole + 0.5)
