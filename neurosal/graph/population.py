"""Populations: the nodes of a circuit."""

from __future__ import annotations

from math import prod

from pydantic import Field, model_validator

from neurosal.graph.models import Model, Rate
from neurosal.graph.value import Value


class Population(Value):
    """Units with one model. Give ``size`` (units in a row) or ``shape`` (e.g. channels, height, width), never both.

    ``areas`` > 1 gives the population that many full sets of incoming weights and biases, of which a router selects one
    for each sample.
    """

    size: int | None = Field(default=None, gt=0)
    shape: tuple[int, ...] | None = Field(default=None, min_length=1)
    model: Model = Field(default_factory=Rate)
    areas: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _one_extent(self) -> Population:
        if (self.size is None) == (self.shape is None):
            raise ValueError("either size or shape, one of the two")
        if self.shape is not None and any(extent <= 0 for extent in self.shape):
            raise ValueError("positive extents in shape")
        return self

    @property
    def extent(self) -> tuple[int, ...]:
        """``(size,)``, or the shape."""
        return (self.size,) if self.size is not None else self.shape or ()

    @property
    def spatial(self) -> bool:
        """Whether units have a place: channels first, then one or more axes of space. One channel shares its bias."""
        return len(self.extent) > 1

    @property
    def channels(self) -> int:
        """Of a population with space its first extent, else its units: those that have a bias of their own."""
        return self.extent[0]

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.size if self.size is not None else prod(self.shape or ())

    @property
    def features(self) -> int:
        """How many numbers of a sample it takes, as an input."""
        return self.model.features(self.units)

    @property
    def parameters(self) -> dict[str, tuple[int, ...]]:
        """What the population itself can learn, by name, and its shape in one area: bias, scale, shift."""
        return self.model.parameters(self.extent)

    @property
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """Running statistics that the population keeps, by name, and their shape."""
        return self.model.statistics(self.extent)
