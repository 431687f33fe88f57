"""Wiring of circuits and of worm and fly: neurons of all areas, reciprocity, its chance levels, and strengths."""

from __future__ import annotations

import os
from pathlib import Path

import numpy
import pytest

from neurosal import circuits, rules
from neurosal.analysis import reciprocity
from neurosal.analysis.wirings import Wired, angle_both_ways, of_circuit, real, strengths_both_ways
from neurosal.data.connectomes import load_connectome
from neurosal.errors import ExperimentError
from neurosal.graph import Circuit
from neurosal.lower.plan import plan
from neurosal.stats import base
from tests.analysis.synthetic import evaluation, stored, tree, weights

STEPS, SEEDS = [0, 10], {"seed": [0, 1]}
DATA = Path(os.environ.get("NEUROSAL_DATA", ""))
REAL = pytest.mark.skipif(not (DATA / "celegans_connectomes.npz").is_file(), reason="needs the shared wiring")


def random_weights(circuit: Circuit, seed: int = 0) -> dict[str, numpy.ndarray]:
    generator = numpy.random.default_rng(seed)
    found = {}
    for name, edge in circuit.projections.items():
        if edge.pathway in ("feedforward", "feedback"):
            shape = (
                circuit.areas_of(name),
                circuit.populations[edge.target].units,
                circuit.populations[edge.source].units,
            )
            found[name] = generator.normal(size=shape)
    return found


def slow_edges(
    circuit: Circuit, given: dict[str, numpy.ndarray]
) -> set[tuple[tuple[str, int, int], tuple[str, int, int]]]:
    """(post, pre) as (population, area, unit), by going through every pair of neurons."""
    routes, found = plan(circuit).routes, set()
    for name, edge in circuit.projections.items():
        if name not in given:
            continue
        here, there = circuit.populations[edge.target], circuit.populations[edge.source]
        one_route = routes.get(edge.target) is not None and routes.get(edge.target) == routes.get(edge.source)
        for a in range(here.areas):
            for b in range(there.areas):
                if one_route and a != b:
                    continue
                mine = (a if edge.pathway == "feedforward" else b) if given[name].shape[0] > 1 else 0
                for post in range(here.units):
                    for pre in range(there.units):
                        if given[name][mine, post, pre] != 0:
                            found.add(((edge.target, a, post), (edge.source, b, pre)))
    return found


@pytest.mark.parametrize("make", [rules.kp, lambda circuit: rules.sal(circuit, areas=3)], ids=["kp", "sal"])
def test_every_unit_of_every_area_is_a_neuron_and_every_synapse_is_where_it_belongs(make: object) -> None:
    circuit = make(circuits.mlp(4, 3, 3, 2))  # type: ignore[operator]
    given = random_weights(circuit)
    for array in given.values():
        array[numpy.abs(array) < 0.5] = 0
    wired = of_circuit("it", circuit, given, share=1.0)
    first, place = {}, 0
    for name, population in circuit.populations.items():
        for area in range(population.areas):
            for unit in range(population.units):
                first[name, area, unit] = place
                place += 1
    assert wired.nodes == place
    expected = {(first[post], first[pre]) for post, pre in slow_edges(circuit, given)}
    assert {(int(post), int(pre)) for post, pre in wired.edges} == expected
    answered = sum((pre, post) in expected for post, pre in expected) / len(expected)
    assert float(base.edge_reciprocity(wired.edges, wired.nodes)) == pytest.approx(answered)


def test_the_strongest_are_kept_of_each_projection_for_itself() -> None:
    circuit = rules.kp(circuits.mlp(6, 5, 4))
    given = random_weights(circuit)
    given["output_to_hidden1"] *= 1000
    wired = of_circuit("it", circuit, given, share=0.2)
    assert len(wired.edges) == sum(round(0.2 * array.size) for array in given.values())


def test_feedback_that_is_the_transpose_answers_every_strong_synapse_with_the_same_strength() -> None:
    circuit = rules.kp(circuits.mlp(6, 5, 4))
    given = random_weights(circuit)
    given["output_to_hidden1"] = given["hidden1_to_output"].mT.copy()
    del given["input_to_hidden1"]
    wired = of_circuit("it", circuit, given, share=0.3)
    assert float(base.edge_reciprocity(wired.edges, wired.nodes)) == 1
    pairs = strengths_both_ways(wired)
    assert len(pairs) == len(wired.edges)
    numpy.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


def test_within_pairs_is_what_independent_feedback_has_on_average() -> None:
    circuit = rules.kp(circuits.mlp(30, 40, 20))
    found, expected = [], []
    for seed in range(40):
        wired = of_circuit("it", circuit, random_weights(circuit, seed), share=0.25)
        found.append(float(base.edge_reciprocity(wired.edges, wired.nodes)))
        expected.append(wired.expected)
    assert numpy.std(expected) == 0
    assert numpy.mean(found) == pytest.approx(expected[0], abs=4 * numpy.std(found) / 40**0.5)


def run(folder: Path, name: str, *, seed: int) -> Path:
    circuit = getattr(rules, name)(circuits.mlp(7, 6, 5))
    shapes = {key: array.shape for key, array in random_weights(circuit).items()}
    groups = [weights(STEPS, 2, key, shape, seed=seed + place) for place, (key, shape) in enumerate(shapes.items())]
    return stored(folder, *groups, replicas=SEEDS, circuit=circuit.to_dict())


def wiring_files(folder: Path) -> Path:
    folder.mkdir()
    generator = numpy.random.default_rng(0)
    chain = numpy.zeros((8, 8))
    chain[numpy.arange(7), numpy.arange(1, 8)] = 3
    numpy.savez(folder / "celegans_connectomes.npz", white1986_chem=chain, white1986_gap=chain + chain.T)
    size = generator.integers(0, 3, (6, 6)).astype(float)
    numpy.savez(folder / "fly_medulla_fib25.npz", weights=size, sign=generator.choice([-1, 1], (6, 6)))
    return folder


def test_circuits_stand_beside_real_wiring(tmp_path: Path) -> None:
    folder = wiring_files(tmp_path / "data")
    dataset = reciprocity(run(tmp_path / "run", "kp", seed=0), data=str(folder), draws=5)
    assert dataset["kind"].values.tolist() == ["circuit", "chemical", "gap", "fly"]
    assert dataset["reciprocity"].values[1:3].tolist() == [0, 1]
    assert float(dataset["density"][1]) == pytest.approx(7 / 56)
    assert numpy.isnan(dataset["signed"].values[1:3]).all()
    assert -1 <= float(dataset["signed"][3]) <= 1
    table = reciprocity.table(dataset)
    assert [row[0] for row in table.rows] == ["run", "worm, White 1986", "worm, White 1986, gap junctions",
                                              "fly, medulla cell types"]  # fmt: skip
    assert len(reciprocity.figure(dataset).axes) == 4


def test_without_real_wiring_circuits_are_shown_alone_and_the_remark_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path / "cache"))
    dataset = reciprocity(run(tmp_path / "run", "fa", seed=1), draws=0)
    assert dataset["kind"].values.tolist() == ["circuit"]
    said = " ".join(dataset.attrs["remarks"])
    assert "No celegans_connectomes.npz in NEUROSAL_DATA=" in said
    assert "No fly_medulla_fib25.npz" in said
    assert reciprocity.figure(dataset).axes
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "fly_medulla_fib25.npz").write_bytes(b"no zip")
    assert "cannot be read as wiring" in " ".join(real(tmp_path / "broken")[1])


def test_projections_whose_weights_were_not_recorded_are_named(tmp_path: Path) -> None:
    circuit = rules.kp(circuits.mlp(7, 6, 5))
    shape = random_weights(circuit)["hidden1_to_output"].shape
    group = weights(STEPS, 2, "hidden1_to_output", shape, seed=0)
    folder = stored(tmp_path / "run", group, replicas=SEEDS, circuit=circuit.to_dict())
    remarks = reciprocity(folder, data=str(tmp_path)).attrs["remarks"]
    said = next(remark for remark in remarks if "not recorded" in remark)
    assert "input_to_hidden1" in said
    assert "output_to_hidden1" in said
    assert "hidden1_to_output" not in said


def test_a_run_without_weights_is_told_which_probe_to_add_and_a_wrong_share_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=r'ns\.probe\("weight"\)'):
        reciprocity(tree(evaluation(STEPS, 2), replicas=SEEDS))
    with pytest.raises(ExperimentError, match="above 0, at most 1"):
        reciprocity(run(tmp_path / "run", "fa", seed=1), share=10)


@REAL
def test_worm_and_fly_have_the_published_reciprocity() -> None:
    wild, said = real(DATA)
    found = {kind: [base.edge_reciprocity(one.edges, one.nodes) for one in wild if one.kind == kind]
             for kind in ("chemical", "gap", "fly")}  # fmt: skip
    density = [one.density for one in wild if one.kind == "chemical"]
    assert (round(min(found["chemical"]), 2), round(max(found["chemical"]), 2)) == (0.15, 0.28)
    assert (round(min(density), 3), round(max(density), 3)) == (0.015, 0.046)
    assert set(found["gap"]) == {1.0}
    assert round(found["fly"][0], 2) == 0.44
    assert len(said) == 2


def wired(matrix: list[list[float]], back: dict[int, int] | None = None) -> Wired:
    array = numpy.array(matrix)
    post, pre = numpy.nonzero(array)
    return Wired(
        name="it", kind="chemical", nodes=len(array), edges=numpy.stack([post, pre], axis=1), weights=array[post, pre],
        signed=True, blocks=numpy.zeros(len(post), int), room={0: 1}, back={0: 0} if back is None else back,
    )  # fmt: skip


def test_the_angle_of_a_network_is_that_to_its_transpose() -> None:
    for seed in range(3):
        array = numpy.random.default_rng(seed).normal(size=(9, 9)) * (
            numpy.random.default_rng(seed + 9).random((9, 9)) < 0.4
        )
        array *= 1 - numpy.eye(9)
        cosine = (array * array.T).sum() / (array**2).sum()
        assert angle_both_ways(wired(array.tolist())) == pytest.approx(numpy.degrees(numpy.arccos(cosine)))
    assert angle_both_ways(wired([[0, 2], [2, 0]])) == 0
    assert angle_both_ways(wired([[0, 2], [0, 0]])) == 90
    assert angle_both_ways(wired([[0, 2], [-2, 0]])) == 180
    assert numpy.isnan(angle_both_ways(wired([[0, 2], [0, 0]], back={})))


def test_the_angle_of_a_trained_pair_is_that_of_its_weights_and_of_nothing_else() -> None:
    circuit = rules.fa(circuits.mlp(6, 5, 4))
    given = random_weights(circuit)
    forward, back = given["hidden1_to_output"][0], given["output_to_hidden1"][0]
    both = numpy.concatenate([forward.ravel(), back.T.ravel()]), numpy.concatenate([back.T.ravel(), forward.ravel()])
    cosine = both[0] @ both[1] / (both[0] @ both[0])
    found = angle_both_ways(of_circuit("it", circuit, given, share=1.0))
    assert found == pytest.approx(numpy.degrees(numpy.arccos(cosine)))


def test_random_graphs_of_the_same_degrees_agree_with_those_of_networkx() -> None:
    """Swaps of our own against networkx' for a worm: the same mean reciprocity, far from the worm's."""
    import networkx

    worm = load_connectome("witvliet2020_1").chemical > 0
    numpy.fill_diagonal(worm, 0)
    ours = base.configuration_null(worm, base.edge_reciprocity, draws=40, tries=20)
    theirs = []
    for seed in range(8):
        graph = networkx.from_numpy_array(worm.T, create_using=networkx.DiGraph)
        networkx.directed_edge_swap(graph, nswap=4000, max_tries=400_000, seed=seed)
        theirs.append(networkx.reciprocity(graph))
    spread = (numpy.var(ours) / len(ours) + numpy.var(theirs) / len(theirs)) ** 0.5
    assert abs(numpy.mean(ours) - numpy.mean(theirs)) < 4 * spread
    assert float(base.reciprocity(worm)) > numpy.max(ours) + 0.05
