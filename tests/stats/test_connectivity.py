"""Reciprocity, triads and rewiring against networkx, loops, and the list of all graphs with the same degrees."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import networkx
import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy import stats as scipy_stats

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base

Array = numpy.ndarray[Any, Any]
GRAPHS = [(7, 0.3), (12, 0.75), (40, 0.08), (60, 0.005)]


def drawn(nodes: int, density: float, seed: int = 0) -> Array:
    """Weights of a random graph that answers more than by chance, with loops, which do not count."""
    generator = numpy.random.default_rng(seed)
    exists = generator.random((nodes, nodes)) < density
    exists |= exists.T & (generator.random((nodes, nodes)) < 0.3)
    return numpy.where(exists, generator.standard_normal((nodes, nodes)), 0.0)


def as_networkx(graph: Array) -> networkx.DiGraph:
    """Weights are [post, pre]."""
    made = networkx.DiGraph()
    made.add_nodes_from(range(len(graph)))
    made.add_edges_from((int(pre), int(post)) for post, pre in numpy.argwhere(graph) if post != pre)
    return made


@pytest.mark.parametrize(("nodes", "density"), GRAPHS)
def test_census_and_reciprocity_are_those_of_networkx_for_dense_and_sparse_matrices(nodes: int, density: float) -> None:
    graph = drawn(nodes, density)
    other = as_networkx(graph)
    expected = networkx.triadic_census(other)
    for form in (graph, sparse.csr_array(graph), sparse.coo_matrix(graph)):
        assert dict(zip(stats.TRIADS, base.triads(form).tolist(), strict=True)) == expected
        assert base.reciprocity(form) == pytest.approx(networkx.reciprocity(other), rel=1e-12)
        assert base.density(form) == pytest.approx(networkx.density(other), rel=1e-12)


@pytest.mark.parametrize("dense", [True, False])
def test_census_is_the_same_by_dense_and_by_sparse_products(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = drawn(30, 0.2)
    monkeypatch.setattr(base.connectivity, "FULL", -1.0 if dense else 2.0)
    expected = networkx.triadic_census(as_networkx(graph))
    assert dict(zip(stats.TRIADS, base.triads(graph).tolist(), strict=True)) == expected


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.floats(0, 1), st.integers(0, 10_000))
def test_triads_add_up_and_neither_order_nor_direction_of_all_matters(nodes: int, density: float, seed: int) -> None:
    graph = drawn(nodes, density, seed)
    found = base.triads(graph)
    assert found.min(initial=0) >= 0
    assert found.sum() == nodes * (nodes - 1) * (nodes - 2) // 6
    order = numpy.random.default_rng(seed).permutation(nodes)
    numpy.testing.assert_array_equal(base.triads(graph[order][:, order]), found)
    turned = dict(zip(stats.TRIADS, base.triads(graph.T).tolist(), strict=True))
    swap = {"021D": "021U", "111D": "111U", "120D": "120U"}
    swap |= {other: kind for kind, other in swap.items()}
    assert [turned[swap.get(kind, kind)] for kind in stats.TRIADS] == found.tolist()
    for function in (base.reciprocity, base.excess_reciprocity):
        numpy.testing.assert_allclose(function(graph.T), function(graph), rtol=1e-12)


def test_reciprocity_ends_at_0_and_1_and_its_excess_takes_density_off() -> None:
    chain, ring = numpy.eye(6, k=1), numpy.eye(6, k=1) + numpy.eye(6, k=-1)
    assert base.reciprocity(chain) == 0
    assert base.reciprocity(ring) == 1
    assert base.excess_reciprocity(ring) == 1
    density = 5 / 30
    assert base.excess_reciprocity(chain) == pytest.approx(-density / (1 - density), rel=1e-12)
    independent = (numpy.random.default_rng(0).random((300, 300)) < 0.1).astype(float)
    assert base.reciprocity(independent) == pytest.approx(0.1, abs=0.01)
    assert base.excess_reciprocity(independent) == pytest.approx(0, abs=0.01)
    for function in (base.reciprocity, base.excess_reciprocity):
        assert numpy.isnan(function(numpy.zeros((4, 4))))
    assert numpy.isnan(base.excess_reciprocity(numpy.ones((4, 4))))
    assert numpy.isnan(base.density(numpy.ones((1, 1))))


def test_weights_below_the_threshold_are_no_connections_and_doubled_entries_one() -> None:
    weights = numpy.array([[9.0, 0.5, 0.0], [-0.4, 0.0, 0.05], [0.0, 0.3, 0.0]])
    assert base.edges(weights, above=0.1).tolist() == [[0, 1], [1, 0], [2, 1]]
    assert base.reciprocity(weights, above=0.1) == pytest.approx(2 / 3)
    assert base.reciprocity(weights) == 1
    twice = sparse.coo_matrix(([0.06, 0.06, 1.0], ([0, 0, 1], [1, 1, 0])), shape=(3, 3))
    assert base.edges(twice, above=0.1).tolist() == [[0, 1], [1, 0]]


def all_graphs(nodes: int, into: list[int], out: list[int]) -> list[tuple[tuple[int, int], ...]]:
    """Every graph without loops in which node i receives `into[i]` and sends `out[i]` edges."""
    rows = [itertools.combinations([pre for pre in range(nodes) if pre != post], into[post]) for post in range(nodes)]
    return [
        tuple((post, pre) for post, row in enumerate(chosen) for pre in row)
        for chosen in itertools.product(*rows)
        if [sum(pre in row for row in chosen) for pre in range(nodes)] == out
    ]


@pytest.mark.parametrize(("nodes", "density", "seed"), [(5, 0.45, 3), (5, 0.65, 5), (6, 0.3, 0)])
def test_rewiring_makes_all_graphs_with_the_same_degrees_equally_likely(nodes: int, density: float, seed: int) -> None:
    graph = numpy.random.default_rng(seed).random((nodes, nodes)) < density
    pairs = base.edges(graph)
    degrees = [numpy.bincount(pairs[:, end], minlength=nodes).tolist() for end in (0, 1)]
    known = all_graphs(nodes, *degrees)
    assert len(known) > 5
    draws = 20 * len(known)
    seen: list[tuple[tuple[int, int], ...]] = []

    def note(drawn_pairs: Array, _: int) -> int:
        seen.append(tuple(sorted((int(post), int(pre)) for post, pre in drawn_pairs)))
        return 0

    base.configuration_null(graph, note, draws=draws, tries=12, seed=seed)
    counts = Counter(seen)
    assert set(counts) <= set(known)
    chance = sum((counts[one] - 20) ** 2 / 20 for one in known)
    assert scipy_stats.chi2.sf(chance, len(known) - 1) > 1e-3


def test_two_graphs_that_swap_into_each_other_do_not_take_turns() -> None:
    graph = numpy.zeros((4, 4))
    graph[1, 0] = graph[3, 2] = 1
    for tries in (50, 51):
        stayed = sum((base.rewired(graph, tries=tries, seed=seed) == [[1, 0], [3, 2]]).all() for seed in range(60))
        assert 15 < stayed < 45


@pytest.mark.parametrize(("nodes", "density"), GRAPHS)
def test_rewiring_keeps_degrees_makes_no_loops_or_doubles_and_repeats_with_its_seed(nodes: int, density: float) -> None:
    graph = drawn(nodes, density)
    before, after = base.edges(graph), base.rewired(graph, seed=1)
    for end in (0, 1):
        numpy.testing.assert_array_equal(
            numpy.bincount(after[:, end], minlength=nodes), numpy.bincount(before[:, end], minlength=nodes)
        )
    assert (after[:, 0] != after[:, 1]).all()
    assert len({tuple(pair) for pair in after.tolist()}) == len(after)
    numpy.testing.assert_array_equal(after, base.rewired(graph, seed=1))
    if len(before) > 20:
        assert {tuple(pair) for pair in after.tolist()} != {tuple(pair) for pair in before.tolist()}
    assert base.rewired(numpy.zeros((3, 3))).shape == (0, 2)


def test_answered_connections_stand_out_from_the_null_and_random_ones_do_not() -> None:
    answered = drawn(50, 0.06)
    found = stats.configuration_null(answered, "reciprocity", draws=60, seed=2)
    assert float(found.observed) == pytest.approx(float(stats.reciprocity(answered)))
    assert found.z > 4
    assert found.p == pytest.approx(1 / 61)
    assert found.null.shape == (60,)
    scores = []
    for seed in range(16):
        chance = (numpy.random.default_rng(seed).random((30, 30)) < 0.1).astype(float)
        scores.append(float(stats.configuration_null(chance, "reciprocity", draws=25, tries=20, seed=seed).z))
    assert abs(numpy.mean(scores)) < 4 / 4
    assert 0.4 < numpy.std(scores) < 1.8


def test_hubs_raise_the_null_above_density_which_rewiring_knows() -> None:
    generator = numpy.random.default_rng(0)
    sends = numpy.clip(generator.pareto(1.2, 80) * 0.04, 0, 0.7)
    hubs = (generator.random((80, 80)) < numpy.outer(sends, sends) / 0.2).astype(float)
    null = stats.configuration_null(hubs, draws=60)
    assert float(null.mean) > 1.3 * float(stats.density(hubs))
    assert abs(float(null.z)) < 3.5


def test_motifs_of_a_graph_of_cycles_stand_out_and_any_function_can_be_asked() -> None:
    nodes = 60
    graph = numpy.zeros((nodes, nodes))
    for start in range(0, nodes, 3):
        for step in range(3):
            graph[start + (step + 1) % 3, start + step] = 1
    generator = numpy.random.default_rng(0)
    graph[generator.integers(nodes, size=60), generator.integers(nodes, size=60)] = 1
    found = stats.configuration_null(graph, "triads", draws=40)
    assert found.z.shape == (16,)
    place = stats.TRIADS.index("030C")
    assert found.z[place] > 8
    assert found.p[place] == pytest.approx(1 / 41)
    counted = stats.configuration_null(graph, lambda pairs, nodes: [len(pairs), nodes], draws=3)
    assert counted.mean.tolist() == [len(base.edges(graph)), nodes]
    assert numpy.isnan(counted.z).all()
    with pytest.raises(NeurosalError, match="Did you mean 'triads'"):
        stats.configuration_null(graph, "triad")


def test_labelled_graphs_keep_other_dimensions_and_kinds_are_named() -> None:
    graphs = xarray.DataArray(numpy.stack([drawn(9, 0.3), drawn(9, 0.5)]), dims=("snapshot", "hidden1", "hidden1_pre"))
    found = stats.triads(graphs)
    assert found.dims == ("snapshot", "triad")
    assert int(found.sel(triad="300")[1]) == networkx.triadic_census(as_networkx(graphs.values[1]))["300"]
    for function in (stats.reciprocity, stats.excess_reciprocity, stats.density):
        assert function(graphs).dims == ("snapshot",)
    assert stats.rewired(graphs[0]).shape == base.edges(graphs[0].values).shape
    with pytest.raises(ValueError, match="among the same nodes"):
        stats.reciprocity(numpy.ones((3, 4)))
