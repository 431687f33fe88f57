"""Credit, representations and lazy or rich learning: from what was recorded, or from errors, activities and weights."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray

import neurosal as ns
from neurosal.analysis import credit, lazy_rich, representations
from neurosal.analysis.samples import classes
from neurosal.data import DataSpec
from neurosal.errors import ExperimentError
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe
from tests.analysis.synthetic import activity, evaluation, tree, weights
from tests.analysis.synthetic import credit as credit_group

STEPS, SEEDS = [0, 10, 20], {"seed": [0, 1]}
RECORD = (
    probe("weight"), probe("activity", samples=60), probe("activity", "input", samples=60), probe("error", samples=60),
    probe("area", samples=60), probe("update_angle"), probe("error_angle"), probe("update"),
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two arms on digits, whose one batch is all of the data: samples come again in every record."""
    rules = {"fa": {}, "sal": {"areas": 2}}
    arms = {name: Arm(recipe=Recipe(circuit="mlp", arguments={"sizes": [64, 12, 10]}, rule=name, options=options))
            for name, options in rules.items()}  # fmt: skip
    data = DataSpec(name="digits", subset={"train": 90, "test": 60}, scaling="symmetric")
    training = Training(epochs=4, batch_size=90, optimizer=SGD(lr=0.2), record=RECORD)
    experiment = Experiment(name="small", data=data, arms=arms, seeds=(0, 1), training=training)
    return ns.run(experiment, store=tmp_path_factory.mktemp("run") / "store")


def stored(run: Any, arm: str, path: str, variable: str, place: int) -> numpy.ndarray:
    return numpy.asarray(run.arms[arm].tree[path][variable].isel({run.arms[arm].tree[path][variable].dims[1]: place}))


def slow_interference(error: numpy.ndarray, given: numpy.ndarray, label: numpy.ndarray, area: numpy.ndarray) -> float:
    """Mean cosine between the changes of two classes, each made whole: areas × post × pre."""
    changes = {}
    for kind in set(label.tolist()):
        change = numpy.zeros((2, error.shape[1], given.shape[1]))
        for sample in numpy.flatnonzero(label == kind):
            change[area[sample]] += numpy.outer(error[sample], given[sample])
        changes[kind] = change.ravel()
    cosines = [
        changes[a] @ changes[b] / numpy.linalg.norm(changes[a]) / numpy.linalg.norm(changes[b])
        for a, b in permutations(changes, 2)
    ]
    return float(numpy.mean(cosines))


def test_interference_is_that_of_the_recorded_samples_by_class(run: Any) -> None:
    dataset = credit(run)
    for arm, place in (("fa", 2), ("sal", -1)):
        for projection, target, source in (("input_to_hidden1", "hidden1", "input"),
                                           ("hidden1_to_output", "output", "hidden1")):  # fmt: skip
            error = stored(run, arm, f"probes/{target}/epochs_1", "error", place)[1].astype(float)
            given = stored(run, arm, f"probes/{source}/epochs_1", "activity", place)[1].astype(float)
            label = classes(stored(run, arm, "probes/output/epochs_1", "error", place)[1])
            area = numpy.zeros(len(label), int)
            if arm == "sal":
                area = stored(run, arm, f"probes/{target}/epochs_1", "area", place)[1]
            found = dataset["interference"].sel(arm=arm, seed=1, target=projection)
            found = float(found.isel(step=place))
            assert found == pytest.approx(slow_interference(error, given, label, area), abs=1e-6)
    assert not numpy.isfinite(dataset["interference_within"].sel(arm="fa")).any()
    assert numpy.isfinite(dataset["interference_across"].sel(arm="sal")).any()


def test_classes_read_off_the_error_are_the_labels(run: Any) -> None:
    """Samples are found in the data by their input."""
    data = DataSpec(name="digits", subset={"train": 90, "test": 60}, scaling="symmetric").load()
    given = stored(run, "fa", "probes/input/epochs_1", "activity", -1)[0]
    found = classes(stored(run, "fa", "probes/output/epochs_1", "error", -1)[0])
    x, y = numpy.asarray(data.train.x), numpy.asarray(data.train.y)
    for row, label in zip(given, found, strict=True):
        nearest = int(numpy.abs(x - row).sum(-1).argmin())
        assert label == y[nearest]


def test_recorded_angles_are_shown_and_the_heat_map_has_a_panel_for_each_arm_and_measure(run: Any) -> None:
    dataset = credit(run)
    recorded = run.arms["fa"].tree["stats/credit/epochs_1"].update_angle
    found = dataset["update_angle"].sel(arm="fa", target=recorded.projection.values)
    numpy.testing.assert_allclose(found, recorded)
    figure = credit.figure(dataset)
    measures = [name for name in dataset if f"{name}_mean" in dataset]
    meshes = [axes for axes in figure.axes if axes.collections and axes.get_label() != "<colorbar>"]
    assert len(meshes) == 2 * len(measures)
    drawn = meshes[0].collections[0].get_array()
    kept = dataset["update_angle_mean"].sel(arm="fa").dropna("target", how="all").transpose("target", "step")
    numpy.testing.assert_allclose(numpy.asarray(drawn).reshape(kept.shape), kept)


def test_populations_are_compared_on_the_samples_of_one_record(run: Any) -> None:
    dataset = representations(run)
    pair = dataset["cka"].sel(arm="fa", population="hidden1", other=dataset.population.values.tolist().index("output"))
    expected = []
    for seed in range(2):
        x, y = (stored(run, "fa", f"probes/{name}/epochs_1", "activity", -1)[seed].astype(float)
                for name in ("hidden1", "output"))  # fmt: skip
        k, m = x @ x.T, y @ y.T
        numpy.fill_diagonal(k, 0)
        numpy.fill_diagonal(m, 0)
        expected.append(_unbiased(k, m) / (_unbiased(k, k) * _unbiased(m, m)) ** 0.5)
    assert float(pair) == pytest.approx(numpy.mean(expected), abs=1e-6)
    diagonal = numpy.diagonal(dataset["cka"].isel(arm=0).values)
    numpy.testing.assert_allclose(diagonal, 1)


def _unbiased(k: numpy.ndarray, m: numpy.ndarray) -> float:
    """Song et al.'s unbiased HSIC up to a factor."""
    n = len(k)
    return float((k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * k.sum(0) @ m.sum(0))


def test_a_population_is_compared_with_itself_at_the_start_on_the_same_samples_in_any_order(run: Any) -> None:
    dataset = representations(run)
    start = dataset["cka_to_start"].sel(arm="fa", population="hidden1")
    numpy.testing.assert_allclose(start.isel(step=0), 1)
    given = [stored(run, "fa", "probes/input/epochs_1", "activity", place)[0] for place in (0, -1)]
    both = [
        (a, b) for a, row in enumerate(given[0]) for b, other in enumerate(given[1]) if numpy.array_equal(row, other)
    ]
    assert len(both) > 20
    x, y = (stored(run, "fa", "probes/hidden1/epochs_1", "activity", place)[0].astype(float) for place in (0, -1))
    k, m = x[[a for a, _ in both]], y[[b for _, b in both]]
    k, m = k @ k.T, m @ m.T
    numpy.fill_diagonal(k, 0)
    numpy.fill_diagonal(m, 0)
    expected = _unbiased(k, m) / (_unbiased(k, k) * _unbiased(m, m)) ** 0.5
    assert float(start.isel(seed=0, step=-1)) == pytest.approx(expected, abs=1e-6)


def test_without_inputs_nothing_is_compared_with_the_start_and_the_remark_says_why() -> None:
    dataset = representations(tree(activity(STEPS, 2, "hidden1", 30, 8), replicas=SEEDS))
    assert "cka_to_start" not in dataset
    assert any('ns.probe("activity", "input")' in remark for remark in dataset.attrs["remarks"])
    assert float(dataset["participation_ratio_mean"].min()) > 1


def test_lazy_or_rich_has_drift_kernels_and_accuracy_at_the_same_steps(run: Any) -> None:
    dataset = lazy_rich(run)
    assert {"drift", "activity_kernel_distance", "debiased_target_alignment", "accuracy"} <= set(dataset)
    assert float(abs(dataset["activity_kernel_distance"].isel(step=0)).max()) < 1e-12
    recorded = run.arms["sal"].tree["metrics/eval"].test_accuracy
    numpy.testing.assert_allclose(dataset["accuracy"].sel(arm="sal"), recorded)
    weight = run.arms["fa"].tree["projections/input_to_hidden1/epochs_1"].weight.values.astype(float)
    moved = numpy.linalg.norm((weight - weight[:, :1]).reshape(2, weight.shape[1], -1), axis=-1)
    expected = moved / numpy.linalg.norm(weight[:, 0].reshape(2, -1), axis=-1)[:, None]
    numpy.testing.assert_allclose(dataset["drift"].sel(arm="fa", target="input_to_hidden1"), expected, rtol=1e-5)
    assert len(lazy_rich.figure(dataset).axes) >= 4


def test_weights_alone_are_enough_for_drift_and_say_what_kernels_need() -> None:
    groups = [weights(STEPS, 2, "input_to_hidden1", (1, 6, 4)), evaluation(STEPS, 2)]
    dataset = lazy_rich(tree(*groups, replicas=SEEDS))
    assert float(dataset["drift_mean"].isel(step=-1).max()) > 0
    said = " ".join(dataset.attrs["remarks"])
    assert "No kernel distance" in said
    assert 'ns.probe("debiased_target_alignment")' in said


@pytest.mark.parametrize(
    ("analysis", "name"), [(credit, "update_angle"), (representations, "activity"), (lazy_rich, "weight")]
)
def test_a_run_without_any_of_it_is_told_which_probes_to_add(analysis: Any, name: str) -> None:
    with pytest.raises(ExperimentError, match=rf'ns\.probe\("{name}"'):
        analysis(tree(evaluation(STEPS, 2), replicas=SEEDS))


def test_a_run_that_recorded_angles_alone_has_them_and_says_what_interference_needs() -> None:
    dataset = credit(tree(credit_group(STEPS, 2, ["a_to_b"]), replicas=SEEDS))
    assert [name for name in dataset if f"{name}_mean" in dataset] == ["update_angle"]
    assert any("No interference" in remark for remark in dataset.attrs["remarks"])


@pytest.mark.parametrize("analysis", [credit, representations, lazy_rich], ids=lambda one: one.name)
def test_figures_tables_and_numbers_are_written_and_read_back(analysis: Any, run: Any, tmp_path: Path) -> None:
    dataset = analysis(run)
    paths = analysis.save(dataset, tmp_path)
    again = xarray.open_zarr(paths[0], consolidated=False, chunks=None).load()
    assert str(analysis.table(again)) == str(analysis.table(dataset))
    assert len(analysis.table(dataset).rows) >= 4
