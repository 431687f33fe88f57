"""Directed connections: how many are answered, which triads they form, and what their degrees alone would give.

A graph is a square matrix [post, pre], labelled or plain, dense or (one graph) scipy.sparse; weighted ones become edges
where ``|w| > above``. Connections of a node with itself do not count. `rewired` and `configuration_null` keep how many
connections each node sends and receives and draw everything else anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
import xarray

from neurosal.errors import NeurosalError, Problem, near
from neurosal.stats import base
from neurosal.stats.base.connectivity import TRIADS
from neurosal.stats.catalogue import statistic

Array = numpy.ndarray[Any, Any]
TRIAD = "triad"


@statistic(
    of="graph",
    array=base.density,
    title="density of connections",
    formula="E / (n (n − 1))",
    range=(0, 1),
    null="that of the random graph it is compared with",
    form="matrix",
    labels={},
)
def density(graph: Any, *, above: float = 0.0) -> Any:
    """Share of the possible directed connections that exist, ``E / (n (n − 1))``.

    Range 0 to 1. It is itself the chance level of `reciprocity`. NaN for a single node. Cost: one pass.

    Args:
        graph: [..., post, pre].
        above: size of a weight from which it is a connection.

    Returns:
        float64 [...], labelled as `graph` is.

    Raises:
        ValueError: for a matrix that is not as long as wide.

    Example:
        >>> float(density(np.array([[0, 1], [0, 0]])))
        0.5

    Reference: Wasserman and Faust, Social Network Analysis (1994).
    """
    return _lifted(base.density, graph, "density", above=above)


@statistic(
    of="graph",
    array=base.reciprocity,
    title="share of connections that are answered",
    formula="Σ A ∘ Aᵀ / Σ A",
    range=(0, 1),
    null="the density for connections at random; more where degrees vary: `configuration_null`",
    form="matrix",
    labels={},
)
def reciprocity(graph: Any, *, above: float = 0.0) -> Any:
    """Share of directed connections whose reverse exists, ``Σ A ∘ Aᵀ / Σ A``.

    Range 0 to 1. Chance level: the `density` where connections are independent; nodes that both send and receive much
    raise it, which `configuration_null` knows and density does not. NaN without connections. Cost: a sort of the edges.

    Args:
        graph: [..., post, pre].
        above: size of a weight from which it is a connection.

    Returns:
        float64 [...], labelled as `graph` is.

    Raises:
        ValueError: for a matrix that is not as long as wide.

    Example:
        >>> float(reciprocity(np.array([[0, 1, 1], [1, 0, 0], [0, 1, 0]])))
        0.5

    Reference: Newman, Forrest and Balthrop, Email networks and the spread of computer viruses, Physical Review E 66
        (2002), arXiv cond-mat/0201433.
    """
    return _lifted(base.reciprocity, graph, "reciprocity", above=above)


@statistic(
    of="graph",
    array=base.excess_reciprocity,
    title="reciprocity beyond density",
    formula="(r − d) / (1 − d)",
    range=(-numpy.inf, 1),
    null="0 for connections at random",
    form="matrix",
    labels={},
)
def excess_reciprocity(graph: Any, *, above: float = 0.0) -> Any:
    """Correlation of the matrix with its transpose, ``ρ = (r − d) / (1 − d)`` of reciprocity r and density d.

    Range −d/(1 − d) (no connection is answered) to 1 (all are). Chance level 0 for independent connections, so that
    graphs of different densities compare; degrees that vary still raise it. NaN for an empty and a full graph. Cost: as
    `reciprocity`.

    Args:
        graph, above: as for `reciprocity`.

    Returns:
        float64 [...], labelled as `graph` is.

    Raises:
        ValueError: for a matrix that is not as long as wide.

    Reference: Garlaschelli and Loffredo, Patterns of link reciprocity in directed networks, Physical Review Letters 93
        (2004), arXiv cond-mat/0404521.
    """
    return _lifted(base.excess_reciprocity, graph, "excess_reciprocity", above=above)


@statistic(
    of="graph",
    array=base.triads,
    title="census of triads",
    formula="#{triples of nodes of each of the 16 kinds}",
    range=(0, numpy.inf),
    null="those of graphs with the same degrees: `configuration_null`",
    form="matrix",
    cost="products",
    per=(TRIAD,),
    labels={},
)
def triads(graph: Any, *, above: float = 0.0) -> Any:
    """How many triples of nodes form each of the 16 kinds of triads, ``#{(i, j, k): kind}``, named by their mutual,
    asymmetric and null pairs (and D down, U up, C cycle, T transitive).

    Range 0 to n(n − 1)(n − 2)/6, which the 16 add up to. Counts mean little by themselves; the null are those of graphs
    with the same degrees (`configuration_null`). Exact. Cost: four products of sparse n × n matrices, or of dense ones
    up to 2048 nodes and from 2 % density.

    Args:
        graph: [..., post, pre].
        above: size of a weight from which it is a connection.

    Returns:
        int64 [..., triad], labelled (by the kinds' names too) as `graph` is; `TRIADS` has the order.

    Raises:
        ValueError: for a matrix that is not as long as wide.

    Example:
        >>> cycle = np.roll(np.eye(3), 1, axis=0)
        >>> int(triads(cycle)[TRIADS.index("030C")])
        1

    Reference: Holland and Leinhardt, A method for detecting structure in sociometric data, American Journal of
        Sociology 76 (1970); by matrix products as Moody, Social Networks 20 (1998).
    """
    found = _lifted(base.triads, graph, "triads", keep=(TRIAD,), above=above)
    return found.assign_coords({TRIAD: list(TRIADS)}) if isinstance(found, xarray.DataArray) else found


def rewired(graph: Any, *, above: float = 0.0, tries: int = 50, seed: int = 0) -> Array:
    """A random graph with the same degrees: each edge is given about `tries` times to another one to swap sources
    with, ``(i ← j), (k ← l) → (i ← l), (k ← j)``, unless that makes a loop or an edge that is there.

    Every node keeps how many connections it sends and receives. In the end all graphs that such swaps reach are equally
    likely; those that differ by turning a ring of three round are not all reached (Roberts and Coolen 2012), which
    matters for tiny graphs only. Cost: `tries` sorts of the edges; below density ½ about 40 % of the tries succeed in
    sparse graphs and 5 % at ½.

    Args:
        graph: one graph.
        above: size of a weight from which it is a connection.
        tries: per edge.
        seed: of the swaps.

    Returns:
        Edges as node numbers, int64 [edge, (post, pre)].

    Example:
        >>> chain = np.eye(6, k=-1)
        >>> edges = rewired(chain, seed=1)
        >>> sorted(edges[:, 0].tolist()), sorted(edges[:, 1].tolist())
        ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])

    Reference: Maslov and Sneppen, Science 296 (2002), arXiv cond-mat/0205380; Roberts and Coolen, Unbiased
        degree-preserving randomization of directed binary networks (2012), arXiv 1112.4677.
    """
    return base.rewired(_plain(graph), above=above, tries=tries, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Against:
    """A statistic beside its null.

    Args:
        observed: its value, or values.
        null: those of the random graphs, [draw, ...].
        mean, deviation: of the null over draws.
        z: ``(observed − mean) / deviation``; NaN where the null does not vary.
        p: share of draws as far from the null's mean as the observed value, ``(1 + #) / (1 + draws)``: two-sided.
    """

    observed: Array
    null: Array
    mean: Array
    deviation: Array
    z: Array
    p: Array


def configuration_null(
    graph: Any,
    of: str | Callable[[Array, int], Any] = "reciprocity",
    *,
    above: float = 0.0,
    draws: int = 100,
    tries: int = 50,
    seed: int = 0,
) -> Against:
    """A statistic of connections beside its values in random graphs with the same degrees,
    ``z = (observed − mean) / deviation``.

    z is about standard normal for a graph that is random but for its degrees. Cost: `draws` times a `rewired` graph and
    the statistic.

    Args:
        graph: one graph, [post, pre].
        of: "reciprocity", "triads", or a function of edges [edge, (post, pre)] and the count of nodes.
        above: size of a weight from which it is a connection.
        draws: how many random graphs; each is reached from the last.
        tries: swaps tried per edge between two of them.
        seed: of the swaps.

    Returns:
        `Against`, with the statistic's shape.

    Raises:
        NeurosalError: for an unknown statistic, with near names.

    Example:
        >>> ring = np.eye(8, k=1) + np.eye(8, k=-1)
        >>> found = configuration_null(ring, "reciprocity", draws=50)
        >>> float(found.observed), bool(found.z > 3)
        (1.0, True)

    Reference: Milo et al., Network motifs: simple building blocks of complex networks, Science 298 (2002).
    """
    known = {"reciprocity": base.edge_reciprocity, "triads": base.edge_triads}
    if isinstance(of, str) and of not in known:
        raise NeurosalError(
            Problem(
                place="stats.configuration_null, of",
                expected=f"a function, or one of {', '.join(known)}",
                found=repr(of),
                remedy=near(of, known),
            )
        )
    function = known[of] if isinstance(of, str) else of
    plain = _plain(graph)
    observed = numpy.asarray(function(base.edges(plain, above=above), int(plain.shape[-1])), numpy.float64)
    null = base.configuration_null(plain, function, above=above, draws=draws, tries=tries, seed=seed)
    mean = null.mean(0)
    far = numpy.abs(null - mean) >= numpy.abs(observed - mean) * (1 - 1e-12)
    return Against(
        observed=observed,
        null=null,
        mean=mean,
        deviation=null.std(0, ddof=1),
        z=base.z_score(observed, null),
        p=(1 + far.sum(0)) / (1 + draws),
    )


def _plain(graph: Any) -> Any:
    return graph.values if isinstance(graph, xarray.DataArray) else graph


def _lifted(function: Callable[..., Any], graph: Any, name: str, keep: tuple[str, ...] = (), **options: Any) -> Any:
    """`function` of the last two axes, labelled where the graph is."""
    if not isinstance(graph, xarray.DataArray):
        return function(graph, **options)
    found = xarray.apply_ufunc(
        function, graph, input_core_dims=[graph.dims[-2:]], output_core_dims=[list(keep)], kwargs=options
    )
    return found.rename(name).assign_attrs(units="1")
