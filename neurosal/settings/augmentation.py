"""Changes of training images, as values: what is done to a sample each time it is seen."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from neurosal.errors import ExperimentError
from neurosal.graph.value import Kinded


class Augmentation(Kinded):
    """One random change of the images of a batch. Only what is trained on is changed: evaluation, and probes that look
    at fixed samples, see the images as they are.

    Each replica draws from streams of its own, keyed by seed, place in the list, kind and epoch, one draw for each
    place in the order of the epoch: a run that is resumed goes on with the same images, and a replica sees the same
    ones alone. Data sets with several inputs of images change them alike.
    """

    family: ClassVar[str] = "augmentation"
    error = ExperimentError


class RandomFlip(Augmentation):
    """Images are mirrored, left to right, by chance.

    Args:
        probability: that a sample is mirrored.
        axis: "columns" swaps left and right, "rows" top and bottom.
    """

    kind: ClassVar[str] = "random_flip"
    probability: float = Field(default=0.5, ge=0, le=1)
    axis: Literal["columns", "rows"] = "columns"


class PadCrop(Augmentation):
    """Images get a black border and are cut back to their size, at a place that is drawn evenly: shifted by up to
    ``pixels`` rows and columns.

    Black is the smallest value of the format (0 for bytes), scaled as the images are: the border of the usual pipeline,
    which pads before it scales.

    Args:
        pixels: width of the border.
    """

    kind: ClassVar[str] = "pad_crop"
    pixels: int = Field(default=4, gt=0)
