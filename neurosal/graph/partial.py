"""Dense wiring that leaves synapses out: each kind says which pairs of units are connected.

Absent synapses are exactly 0 for good, whatever the rule and the optimiser. Initialisers keep the fans of the full
matrix, as where a mask is laid over a layer that was made: with density p, ``XavierUniform(gain=p**-0.5)`` gives units
the input variance that they would have with all synapses. What is drawn at random follows from the seed and the name of
the projection, in every area anew, or the same in all where the areas' weights start the same.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar

from pydantic import Field, field_validator

from neurosal.graph.wiring import Dense, Extent, Wiring


class Sparse(Dense):
    """Each synapse is there with probability ``density``, independent of all others."""

    kind: ClassVar[str] = "sparse"
    density: float = Field(gt=0, le=1)


class FixedInDegree(Dense):
    """Every post-synaptic unit hears from exactly ``inputs`` pre-synaptic ones, drawn without repetition."""

    kind: ClassVar[str] = "fixed_in_degree"
    inputs: int = Field(gt=0)

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        return None if self.inputs <= prod(pre) else f"at least {self.inputs} pre-synaptic units, found {prod(pre)}"

    def reversed(self) -> Wiring:
        return FixedOutDegree(outputs=self.inputs, allow_autapses=self.allow_autapses)


class FixedOutDegree(Dense):
    """Every pre-synaptic unit reaches exactly ``outputs`` post-synaptic ones, drawn without repetition."""

    kind: ClassVar[str] = "fixed_out_degree"
    outputs: int = Field(gt=0)

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        return (
            None if self.outputs <= prod(post) else f"at least {self.outputs} post-synaptic units, found {prod(post)}"
        )

    def reversed(self) -> Wiring:
        return FixedInDegree(inputs=self.outputs, allow_autapses=self.allow_autapses)


class FixedTotal(Wiring):
    """Exactly ``synapses`` of them, each between a pre- and a post-synaptic unit drawn at random by itself: a pair may
    be joined more than once, and a unit to itself. In-degrees are binomial. For circuits in continuous time only.

    A share ``p`` of the pairs is joined at least once with ``log(1 - p) / log(1 - 1 / (N_pre N_post))`` synapses.
    """

    kind: ClassVar[str] = "fixed_total"
    synapses: int = Field(gt=0)

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return (self.synapses,)

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        return max(round(self.synapses / prod(post)), 1), max(round(self.synapses / prod(pre)), 1)


class OneToOthers(Wiring):
    """Unit i to every unit but number i: of a population and its partners of the same size, as for inhibition of all
    competitors. For circuits in continuous time only.
    """

    kind: ClassVar[str] = "one_to_others"

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return prod(post), prod(pre)

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        return prod(pre) - 1, prod(post) - 1

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        return None if prod(post) == prod(pre) else f"as many units at both ends, found {prod(pre)} and {prod(post)}"


class EdgeList(Dense):
    """The synapses that are listed, and no other: ``edges=((pre, post), ...)``, units counted from 0."""

    kind: ClassVar[str] = "edge_list"
    edges: tuple[tuple[int, int], ...] = Field(min_length=1)

    @field_validator("edges")
    @classmethod
    def _each_once(cls, edges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if any(end < 0 for edge in edges for end in edge):
            raise ValueError("units counted from 0")
        if len(set(edges)) < len(edges):
            raise ValueError("each synapse once")
        return edges

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        below, above = (max(ends) + 1 for ends in zip(*self.edges, strict=True))
        if below <= prod(pre) and above <= prod(post):
            return None
        return f"at least {below} pre- and {above} post-synaptic units, found {prod(pre)} and {prod(post)}"

    def reversed(self) -> Wiring:
        return self.replace(edges=tuple((post, pre) for pre, post in self.edges))
