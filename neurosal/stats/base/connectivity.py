"""Directed connections [post, pre], of plain arrays and sparse matrices; see `neurosal.stats.connectivity`.

Counts are exact integers. Dense matrices may be stacked ([..., post, pre]); a sparse one (scipy.sparse) is one graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from neurosal.stats.base.similarity import back, host

Array = numpy.ndarray[Any, Any]

TRIADS = (
    "003", "012", "102", "021D", "021U", "021C", "111D", "111U",
    "030T", "030C", "201", "120D", "120U", "120C", "210", "300",
)  # fmt: skip
DENSE = 2048  # nodes up to which products of dense matrices are taken where many edges exist
FULL = 0.02  # density from which dense products are faster than sparse ones


def edges(graph: Any, *, above: float = 0.0) -> Array:
    """The edges of one graph as node numbers, int64 [edge, (post, pre)] in order."""
    if _is_sparse(graph):
        entries = graph.tocoo()
        entries.sum_duplicates()
        strong = numpy.abs(entries.data) > above
        post, pre = entries.row[strong].astype(numpy.int64), entries.col[strong].astype(numpy.int64)
    else:
        post, pre = numpy.nonzero(numpy.abs(host(graph)) > above)
    order = numpy.lexsort((pre, post))
    found = numpy.stack([post, pre], -1)[order]
    return found[found[:, 0] != found[:, 1]]


def reciprocity(graph: Any, *, above: float = 0.0) -> Any:
    """Share of edges whose reverse exists; see `neurosal.stats.reciprocity`."""
    return _of_each(graph, edge_reciprocity, above)


def density(graph: Any, *, above: float = 0.0) -> Any:
    """Share of possible edges that exist; see `neurosal.stats.density`."""
    return _of_each(graph, lambda pairs, nodes: len(pairs) / (nodes * (nodes - 1)) if nodes > 1 else numpy.nan, above)


def excess_reciprocity(graph: Any, *, above: float = 0.0) -> Any:
    """``(r − d) / (1 − d)`` of reciprocity and density; see `neurosal.stats.excess_reciprocity`."""

    def excess(pairs: Array, nodes: int) -> float:
        full = nodes * (nodes - 1)
        if not len(pairs) or len(pairs) == full:
            return numpy.nan
        chance = len(pairs) / full
        return (edge_reciprocity(pairs, nodes) - chance) / (1 - chance)

    return _of_each(graph, excess, above)


def triads(graph: Any, *, above: float = 0.0) -> Any:
    """Counts of the 16 kinds of triads, int64 [..., kind] in the order of `TRIADS`; see `neurosal.stats.triads`."""
    return _of_each(graph, edge_triads, above, dtype=numpy.int64)


def rewired(graph: Any, *, above: float = 0.0, tries: int = 50, seed: int = 0) -> Array:
    """Edges of a random graph with the same degrees, [edge, (post, pre)]; see `neurosal.stats.rewired`."""
    return _swapped(edges(graph, above=above), _nodes(graph), tries, numpy.random.default_rng(seed))


def configuration_null(
    graph: Any,
    statistic: Callable[[Array, int], Any],
    *,
    above: float = 0.0,
    draws: int = 100,
    tries: int = 50,
    seed: int = 0,
) -> Array:
    """`statistic` of random graphs with the same degrees, [draws, ...]; see `neurosal.stats.configuration_null`."""
    generator, nodes = numpy.random.default_rng(seed), _nodes(graph)
    pairs = edges(graph, above=above)
    found = []
    for _ in range(draws):
        # Every draw goes on from the last one: the chain has to leave the observed graph only once.
        pairs = _swapped(pairs, nodes, tries, generator)
        found.append(statistic(pairs, nodes))
    return numpy.asarray(found, numpy.float64)


def z_score(observed: Any, null: Any) -> Array:
    """``(observed − mean) / deviation`` of draws [draw, ...]; NaN where the null does not vary."""
    observed, null = numpy.asarray(observed, numpy.float64), numpy.asarray(null, numpy.float64)
    deviation = null.std(0, ddof=1)
    return (observed - null.mean(0)) / numpy.where(deviation > 0, deviation, numpy.nan)


def _swapped(pairs: Array, nodes: int, tries: int, generator: numpy.random.Generator) -> Array:
    """The edges after each was given about `tries` times to another one to swap sources with it.

    Where most edges exist the missing ones are swapped instead: they have fixed degrees as well, and more room.
    """
    if 2 * len(pairs) > nodes * (nodes - 1):
        return _missing(_swapped(_missing(pairs, nodes), nodes, tries, generator), nodes)
    pairs = pairs.copy()
    most = max(min(len(pairs) // 2, nodes * nodes // 8), 1)
    # Not until so many swaps were made: that would prefer graphs in which many can be.
    for _ in range(-(-tries * len(pairs) // (2 * most)) if len(pairs) > 1 else 0):
        _swap_once(pairs, nodes, most, generator)
    return pairs


def _swap_once(pairs: Array, nodes: int, count: int, generator: numpy.random.Generator) -> None:
    """`count` swaps at once, in place, of disjoint pairs of edges: those with which no other one has anything to do,
    neither in what it would make nor in what it would take away. The way back then makes just the same swaps, so that
    in the end all graphs that can be reached are equally likely, as with swaps one by one."""
    chosen = generator.permutation(len(pairs))[: 2 * count]
    first, second = chosen[:count], chosen[count:]
    new = numpy.stack([_key(pairs[first, 0], pairs[second, 1], nodes), _key(pairs[second, 0], pairs[first, 1], nodes)])
    old = numpy.stack([_key(pairs[first, 0], pairs[first, 1], nodes), _key(pairs[second, 0], pairs[second, 1], nodes)])
    looping = (pairs[first, 0] == pairs[second, 1]) | (pairs[second, 0] == pairs[first, 1])
    known = numpy.sort(_key(pairs[:, 0], pairs[:, 1], nodes))
    proposed, times = numpy.unique(new, return_counts=True)
    taken = _within(new, known) | (times[numpy.searchsorted(proposed, new)] > 1) | _within(old, proposed)
    # A fair coin: without it two graphs that swap into each other would take turns for ever.
    good = ~(looping | taken.any(0)) & (generator.random(count) < 0.5)
    sources = pairs[first[good], 1].copy()
    pairs[first[good], 1] = pairs[second[good], 1]
    pairs[second[good], 1] = sources


def _missing(pairs: Array, nodes: int) -> Array:
    """The edges that do not exist."""
    absent = ~numpy.eye(nodes, dtype=bool)
    absent[pairs[:, 0], pairs[:, 1]] = False
    return numpy.argwhere(absent)


def _within(keys: Array, ordered: Array) -> Array:
    """Which keys are among the ordered ones."""
    if not len(ordered):
        return numpy.zeros(keys.shape, bool)
    place = numpy.searchsorted(ordered, keys)
    return ordered[numpy.minimum(place, len(ordered) - 1)] == keys


def _key(post: Array, pre: Array, nodes: int) -> Array:
    return post * nodes + pre


def edge_reciprocity(pairs: Array, nodes: int) -> float:
    """Share of edges [edge, (post, pre)] whose reverse exists; NaN for none."""
    if not len(pairs):
        return float("nan")
    ordered = numpy.sort(_key(pairs[:, 0], pairs[:, 1], nodes))
    return float(_within(_key(pairs[:, 1], pairs[:, 0], nodes), ordered).mean())


def edge_triads(pairs: Array, nodes: int) -> Array:
    """Census of edges [edge, (post, pre)] by products of the matrices of mutual (M) and one-way (S) edges.

    Every triad with three connected pairs is an entry of such a product; those with two are counted at the node in
    their middle, less what is closed; the others follow from the number of pairs.
    """
    ordered = numpy.sort(_key(pairs[:, 0], pairs[:, 1], nodes))
    mutually = _within(_key(pairs[:, 1], pairs[:, 0], nodes), ordered)
    dense = nodes <= DENSE and len(pairs) > FULL * nodes * nodes
    mutual, single = (_matrix(pairs[part], nodes, dense) for part in (mutually, ~mutually))
    count = _closed(mutual, single)
    _open(count, *(_sums(mutual, 1), _sums(single, 1), _sums(single, 0)))
    bonds = {kind: (int(kind[0]), int(kind[1])) for kind in TRIADS}  # how many mutual, how many one-way pairs
    rest, others = max(nodes - 2, 0), dict(count)
    for kind, bond, number in (("102", 0, int(mutual.sum()) // 2), ("012", 1, int(single.sum()))):
        count[kind] = number * rest - sum(bonds[other][bond] * found for other, found in others.items())
    count["003"] = nodes * (nodes - 1) * (nodes - 2) // 6 - sum(count.values())
    return numpy.array([count[kind] for kind in TRIADS], numpy.int64)


def _closed(mutual: Any, single: Any) -> dict[str, int]:
    """Triads with three connected pairs."""
    both, chain = mutual @ mutual, single @ single
    # S is [post, pre]: (SS)_ij counts j → k → i, (SSᵀ)_ij nodes that send to both, (SᵀS)_ij nodes to which both send.
    return {
        "300": _common(mutual, both) // 6,
        "210": _common(single, both),
        "120D": _common(mutual, single @ single.T) // 2,
        "120U": _common(mutual, single.T @ single) // 2,
        "120C": _common(mutual, chain),
        "030T": _common(single, chain),
        "030C": _common(single.T, chain) // 3,
    }


def _open(count: dict[str, int], mutual: Array, into: Array, out: Array) -> None:
    """Adds triads with two connected pairs, from each node's count of mutual edges and of those into and out of it."""
    mixed = count["210"] + count["120C"]
    count["201"] = int((mutual * (mutual - 1)).sum()) // 2 - 3 * count["300"] - count["210"]
    count["111D"] = int((mutual * into).sum()) - mixed - 2 * count["120D"]
    count["111U"] = int((mutual * out).sum()) - mixed - 2 * count["120U"]
    count["021D"] = int((out * (out - 1)).sum()) // 2 - count["030T"] - count["120D"]
    count["021U"] = int((into * (into - 1)).sum()) // 2 - count["030T"] - count["120U"]
    count["021C"] = int((into * out).sum()) - count["120C"] - count["030T"] - 3 * count["030C"]


def _matrix(pairs: Array, nodes: int, dense: bool) -> Any:
    """The edges as a matrix of ones."""
    from scipy.sparse import csr_array

    if dense:
        matrix = numpy.zeros((nodes, nodes))
        matrix[pairs[:, 0], pairs[:, 1]] = 1
        return matrix
    return csr_array((numpy.ones(len(pairs), numpy.int64), (pairs[:, 0], pairs[:, 1])), shape=(nodes, nodes))


def _common(mask: Any, product: Any) -> int:
    """Sum of the product's entries where the mask has an edge."""
    return int(mask.multiply(product).sum() if _is_sparse(mask) else numpy.vdot(mask, product))


def _sums(matrix: Any, axis: int) -> Array:
    return numpy.asarray(matrix.sum(axis)).astype(numpy.int64).ravel()


def _of_each(graph: Any, function: Callable[[Array, int], Any], above: float, dtype: Any = numpy.float64) -> Any:
    """`function` of the edges of each graph in a stack."""
    nodes = _nodes(graph)
    if _is_sparse(graph):
        return numpy.asarray(function(edges(graph, above=above), nodes), dtype)
    stack = host(graph)
    found = [function(edges(stack[index], above=above), nodes) for index in numpy.ndindex(*stack.shape[:-2])]
    values = numpy.asarray(found, dtype)
    return back(values.reshape((*stack.shape[:-2], *values.shape[1:]))[()], graph)


def _nodes(graph: Any) -> int:
    """How many nodes.

    Raises:
        ValueError: for a matrix that is not as long as wide.
    """
    if graph.ndim < 2 or graph.shape[-1] != graph.shape[-2]:
        raise ValueError(f"connections [..., post, pre] among the same nodes, found shape {tuple(graph.shape)}")
    return int(graph.shape[-1])


def _numbers(graph: Any) -> Array:
    return host(graph)


def _is_sparse(graph: Any) -> bool:
    return type(graph).__module__.startswith("scipy.sparse")
