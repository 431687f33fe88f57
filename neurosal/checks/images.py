"""Whether images can be changed as is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from neurosal.data import Dataset
from neurosal.errors import Problem
from neurosal.settings.augmentation import Augmentation, PadCrop

Extents = Mapping[str, tuple[tuple[int, int, int], bool]]


def image_problems(augment: Sequence[Augmentation], images: Extents) -> list[Problem]:
    """What is wrong with augmentation for the inputs of a data set that are images.

    Args:
        images: name → (channels, rows, columns), and whether black is the same at every place.
    """
    if augment and not images:
        remedy = "Leave augment out, or take a data set of images."
        expected = "images, [channels, rows, columns] or [rows, columns] a sample"
        return [Problem(place="augment", expected=expected, found="no input of that kind", remedy=remedy)]
    found = []
    for number, augmentation in enumerate(augment):
        if not isinstance(augmentation, PadCrop):
            continue
        for name, (extent, black) in images.items():
            if not black:
                remedy = "Scale by unit, symmetric or channels, or by a mean and deviation of each channel."
                expected = f"one black for all places of {name!r}"
                problem = Problem(place=f"augment.{number}", expected=expected,
                                  found="a scaling of its own for each place", remedy=remedy)  # fmt: skip
                found.append(problem)
            if augmentation.pixels >= min(extent[1:]):
                smallest = min(extent[1:])
                expected = f"a border narrower than the images of {name!r}, {smallest} pixels"
                found.append(
                    Problem(place=f"augment.{number}.pixels", expected=expected, found=str(augmentation.pixels))
                )
    return found


def augmentation_problems(augment: Sequence[Augmentation], dataset: Dataset) -> list[Problem]:
    """The same for a data set, without decoding or scaling any of it."""
    return image_problems(augment, dataset.images) if augment else []
