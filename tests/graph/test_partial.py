"""Lists of edges from arrays and from graphs of networkx."""

from __future__ import annotations

import networkx
import numpy as np
import pytest

from neurosal.errors import CircuitError
from neurosal.graph import EdgeList


def test_edges_come_from_arrays_and_from_the_edges_of_a_graph() -> None:
    graph = networkx.gnp_random_graph(12, 0.3, seed=2, directed=True)
    listed = EdgeList(edges=[tuple(edge) for edge in graph.edges])
    assert len(listed.edges) > 20
    assert (
        EdgeList(edges=np.array(graph.edges)) == EdgeList(edges=graph.edges) == EdgeList.from_networkx(graph) == listed
    )


def test_nodes_of_a_graph_are_counted_in_its_order_or_in_one_that_is_given() -> None:
    graph = networkx.DiGraph([("eye", "brain"), ("brain", "hand"), ("eye", "hand")])
    assert EdgeList.from_networkx(graph).edges == ((0, 1), (0, 2), (1, 2))
    assert EdgeList.from_networkx(graph, ["hand", "brain", "eye"]).edges == ((2, 1), (2, 0), (1, 0))
    with pytest.raises(CircuitError, match=r"EdgeList\.nodes: expected all nodes with edges, found 'hand'"):
        EdgeList.from_networkx(graph, ["eye", "brain"])


def test_an_edge_of_an_undirected_graph_goes_both_ways_and_one_of_a_node_to_itself_once() -> None:
    graph = networkx.Graph([("a", "b"), ("b", "b")])
    assert EdgeList.from_networkx(graph, allow_autapses=True).edges == ((0, 1), (1, 0), (1, 1))


@pytest.mark.parametrize("edges", [5, "ab", {0: 1}, [(0, 1, 2)], networkx.MultiDiGraph([(0, 1), (0, 1)]).edges])
def test_what_is_no_list_of_pairs_is_refused(edges: object) -> None:
    with pytest.raises(CircuitError, match=r"EdgeList\.edges"):
        EdgeList(edges=edges)


def test_parallel_edges_are_refused() -> None:
    with pytest.raises(CircuitError, match="expected each synapse once"):
        EdgeList.from_networkx(networkx.MultiDiGraph([(0, 1), (0, 1)]))
