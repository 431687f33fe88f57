"""Which units a projection connects. The tensor functions of a wiring (apply, pull, correlate) are registered with the
engine by its type."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

from pydantic import Field

from neurosal.graph.value import Kinded

Extent = tuple[int, ...]  # of a population: (units,), or (channels, rows, columns)


def said(extent: Extent) -> str:
    """An extent in words: 10, or 16×32×32."""
    return "×".join(map(str, extent))


class Wiring(Kinded):
    """A kind of connection between two populations, whose extents are (units,) or (channels, rows, columns).

    Attributes:
        weightless: whether there is nothing to learn: no weights belong to such a projection (pooling, shortcuts).
    """

    family: ClassVar[str] = "wiring"
    weightless: ClassVar[bool] = False

    @property
    def functions(self) -> str:
        """What the tensor functions of this wiring depend on, as one word: its kind, or another's with the same
        functions, and what else they read of it. Projections with the same word share products of the same signals."""
        return self.kind

    @property
    def axes(self) -> tuple[int, int]:
        """Which axes of a weight are post- and pre-synaptic."""
        return 0, 1

    @property
    def follows(self) -> str | None:
        """The projection whose way through the batch at hand this wiring goes back (the winners of max pooling)."""
        return None

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        """Shape of the weights of one replica and one area, for these post- and pre-synaptic extents."""
        raise TypeError(f"{type(self).__name__} has no weights of its own")

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        """How many synapses arrive at a post-synaptic unit, and how many leave a pre-synaptic one: for initialisers."""
        return prod(pre), prod(post)

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        """Why these extents do not fit this wiring, or None."""
        return None

    def reversed(self) -> Wiring:
        """The wiring of the opposite direction, with its own weights."""
        return self

    def thinned(self, density: float) -> Wiring:
        """The same with each synapse there with that probability."""
        raise TypeError(f"{type(self).__name__} cannot leave synapses out")

    def returning(self, forward: str) -> Wiring:
        """The wiring of feedback along the projection of that name."""
        return self.reversed()


class Dense(Wiring):
    """Every unit to every unit: ``post = W pre`` with W (post, pre).

    Where a population projects to itself, no unit is joined to itself unless ``allow_autapses`` says so.
    """

    kind: ClassVar[str] = "dense"
    allow_autapses: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As of every value; autapses are mentioned only where they are allowed."""
        fields = super().to_dict()
        if not self.allow_autapses:
            del fields["allow_autapses"]
        return fields

    @property
    def functions(self) -> str:
        return "dense"

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return prod(post), prod(pre)


class OneToOne(Wiring):
    """Unit i to unit i: ``post = w * pre``. With constant weights it is a skip. Units with places are counted by
    channels, rows, columns where the other end has none."""

    kind: ClassVar[str] = "one_to_one"

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return (prod(post),)

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        return 1, 1

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        if prod(post) != prod(pre):
            return f"as many units at both ends, found {prod(pre)} and {prod(post)}"
        if len(pre) > 1 and len(post) > 1 and post != pre:
            return f"the same extent at both ends, found {said(pre)} and {said(post)}"
        return None


class Router(Wiring):
    """Chooses one area of the target for each sample, from the activity h of the source (SAL; the reconstruction SAL-R
    is ours).

    ``u = h - running mean``, ``q = P u / |P u|``, ``s = C q``, area ``argmax s``: P the projection's weights (rank,
    pre), C the prototypes (areas, rank), random unit vectors. How P and C change is the projection's plasticity;
    `Fixed` leaves both as they were drawn.

    Args:
        rank: dimension of the routing space.
        centre_rate: rate of the running mean per training step; 0 switches centring off. The rate is 1/t in the first
            1/rate steps.
    """

    kind: ClassVar[str] = "router"
    rank: int = Field(default=16, gt=0)
    centre_rate: float = Field(default=0.01, ge=0, le=1)

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return self.rank, prod(pre)


class SameRoute(Wiring):
    """The target takes the areas that the router ``of`` chose for another population with as many areas."""

    kind: ClassVar[str] = "same_route"
    of: str
