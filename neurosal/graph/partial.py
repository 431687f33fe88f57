"""Dense wiring that leaves synapses out: each kind says which pairs of units are connected.

Absent synapses are exactly 0 for good, whatever the rule and the optimiser. Initialisers keep the fans of the full
matrix, as where a mask is laid over a layer that was made: with density p, ``XavierUniform(gain=p**-0.5)`` gives units
the input variance that they would have with all synapses. What is drawn at random follows from the seed and the name of
the projection, in every area anew, or the same in all where the areas' weights start the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, ClassVar

from pydantic import Field, field_validator

from neurosal.errors import CircuitError, Problem
from neurosal.graph.value import shown
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
    """The synapses that are listed, and no other: ``edges=((pre, post), ...)``, units counted from 0. An array [S, 2]
    may be given, and the edges of a graph of networkx whose nodes are numbers. `Given` weights and delays stand in the
    order of the list.

    Example:
        >>> import numpy as np
        >>> matrix = np.array([[0.0, 2.0], [0.5, 0.0]])  # [post, pre]
        >>> EdgeList(edges=np.argwhere(matrix.T)).edges
        ((0, 1), (1, 0))
    """

    kind: ClassVar[str] = "edge_list"
    edges: tuple[tuple[int, int], ...] = Field(min_length=1)

    @classmethod
    def from_networkx(cls, graph: Any, nodes: Iterable[Any] | None = None, **fields: Any) -> EdgeList:
        """The edges of a graph in the order of ``graph.edges``, nodes counted from 0. Undirected ones are two each, one
        after the other.

        Args:
            graph: a `networkx.DiGraph` or `networkx.Graph`.
            nodes: names of nodes in the order of units; None for that of the graph.
            fields: ``allow_autapses``.

        Raises:
            CircuitError: for edges that are there twice, and nodes that are not in the list.

        Example:
            >>> import networkx
            >>> EdgeList.from_networkx(networkx.DiGraph([("retina", "thalamus"), ("thalamus", "cortex")])).edges
            ((0, 1), (1, 2))
        """
        place = {name: number for number, name in enumerate(graph if nodes is None else nodes)}
        pairs = [(pre, post) for pre, post, *_ in graph.edges]
        if not graph.is_directed():
            pairs = [end for pre, post in pairs for end in ((pre, post), (post, pre))[: 1 + (pre != post)]]
        unknown = [node for pair in pairs for node in pair if node not in place]
        if unknown:
            raise CircuitError(
                Problem(place="EdgeList.nodes", expected="all nodes with edges", found=shown(unknown[0]))
            )
        return cls(edges=tuple((place[pre], place[post]) for pre, post in pairs), **fields)

    @field_validator("edges", mode="before")
    @classmethod
    def _as_pairs(cls, edges: Any) -> Any:
        """Views of networkx are no lists."""
        known = isinstance(edges, (list, tuple, str, dict)) or hasattr(edges, "tolist")
        return edges if known or not isinstance(edges, Iterable) else tuple(edges)

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
