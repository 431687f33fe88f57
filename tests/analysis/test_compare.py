"""Arms compared: intervals, paired differences over common seeds, tests, and what few seeds cannot say."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neurosal.analysis import compare
from neurosal.analysis.paired import holm, paired_test, seeds_needed
from neurosal.errors import ExperimentError
from tests.analysis.synthetic import credit, evaluation, stored_experiment, symmetry, tree
from tests.cli.invoking import invoke

STEPS = [0, 10, 20]
few = st.lists(st.integers(-6, 6), min_size=2, max_size=9)


def signed_ranks(differences: list[float]) -> float:
    """Two-sided p by giving every difference every sign."""
    kept = [entry for entry in differences if entry != 0]
    if not kept:
        return 1.0
    sizes = [abs(entry) for entry in kept]
    ranks = [1 + sum(other < size for other in sizes) + (sizes.count(size) - 1) / 2 for size in sizes]
    middle = sum(ranks) / 2
    found = abs(sum(rank for rank, entry in zip(ranks, kept, strict=True) if entry > 0) - middle)
    all_signs = list(product((0, 1), repeat=len(kept)))
    extreme = sum(
        abs(sum(rank * sign for rank, sign in zip(ranks, signs, strict=True)) - middle) >= found - 1e-9
        for signs in all_signs
    )
    return extreme / len(all_signs)


@settings(max_examples=40, deadline=None)
@given(differences=few)
def test_signed_ranks_are_counted_over_every_way_to_give_signs(differences: list[int]) -> None:
    found = paired_test(numpy.array(differences, float))
    assert found.wilcoxon == pytest.approx(signed_ranks([float(entry) for entry in differences]), abs=1e-12)
    assert found.wilcoxon >= found.smallest - 1e-12


def test_t_and_its_interval_are_those_of_scipy_and_gaps_are_left_out() -> None:
    generator = numpy.random.default_rng(0)
    first, second = generator.normal(size=7), generator.normal(0.3, size=7)
    expected = stats.ttest_rel(first, second)
    found = paired_test(numpy.append(first - second, numpy.nan), 0.9)
    assert found.count == 7
    assert found.t == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_of_differences_that_are_the_same_but_for_rounding_t_says_nothing() -> None:
    accuracies = numpy.array([[0.5501, 0.5223], [0.5779, 0.5501]]) + numpy.array([[0.0], [0.1]])
    same = paired_test(accuracies[:, 0] - accuracies[:, 1])
    assert (accuracies[:, 0] - accuracies[:, 1]).std() > 0
    assert numpy.isnan([same.t, same.low, same.high]).all()
    other = paired_test(numpy.array([0.0278, 0.0279]))
    assert other.low < 0.0278 < 0.0279 < other.high


def test_no_difference_at_all_has_p_1_and_one_seed_none() -> None:
    assert paired_test(numpy.zeros(5)).t == paired_test(numpy.zeros(5)).wilcoxon == 1.0
    assert numpy.isnan(paired_test(numpy.array([0.3])).t)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_largest_of_every_group_of_tests_that_it_belongs_to(probabilities: list[float]) -> None:
    """The closed test: p of one hypothesis is the largest of Bonferroni's p over all sets that contain it."""
    expected = []
    for place in range(len(probabilities)):
        worst = 0.0
        for chosen in product((False, True), repeat=len(probabilities)):
            group = [p for p, taken in zip(probabilities, chosen, strict=True) if taken]
            if chosen[place]:
                worst = max(worst, min(1.0, len(group) * min(group)))
        expected.append(worst)
    numpy.testing.assert_allclose(holm(probabilities), expected, atol=1e-12)


def test_holm_leaves_out_what_was_not_tested() -> None:
    numpy.testing.assert_allclose(holm([0.02, numpy.nan, 0.01]), [0.02, numpy.nan, 0.02])


def test_seeds_needed_can_go_below_the_level_and_one_fewer_cannot() -> None:
    for pairs in (1, 3, 15):
        needed = seeds_needed(pairs, 0.05)
        assert pairs * 2.0 ** (1 - needed) <= 0.05 < pairs * 2.0 ** (2 - needed)


def study(seeds: int = 8, finals: tuple[float, ...] = (0.9, 0.9, 0.6)) -> xarray.DataTree:
    arms = {}
    for place, final in enumerate(finals):
        groups = [evaluation(STEPS, seeds, final=final, rate=1.0, seed=place), symmetry(STEPS, seeds, {"pair": 50})]
        arms[f"arm{place}"] = tree(*groups, replicas={"seed": range(seeds)})
    return xarray.DataTree(name="study", children=arms)


def test_differences_are_of_the_same_seed_and_those_that_are_real_are_found() -> None:
    dataset = compare(study())
    assert dataset.attrs["measure"] == "test_accuracy"
    last = {name: arm["metrics/eval"]["test_accuracy"].values[:, -1] for name, arm in study().children.items()}
    pairs = list(zip(dataset["first"].values.tolist(), dataset["second"].values.tolist(), strict=True))
    assert pairs == [("arm1", "arm0"), ("arm2", "arm0"), ("arm2", "arm1")]
    for place, (first, second) in enumerate(pairs):
        numpy.testing.assert_allclose(dataset["change"][place], last[first] - last[second])
    assert (dataset["t_holm"].values < [1.1, 1e-4, 1e-4]).all()
    assert dataset["t_holm"].values[0] > 0.05
    assert dataset["wilcoxon_holm"].values.tolist()[1:] == [pytest.approx(3 / 2**7)] * 2
    assert not any("Too few" in remark for remark in dataset.attrs["remarks"])


def test_intervals_hold_the_mean_shrink_with_seeds_and_widen_with_confidence() -> None:
    width = {}
    for seeds, confidence in ((8, 0.95), (8, 0.5), (60, 0.95)):
        dataset = compare(study(seeds, (0.9,)), confidence=confidence)
        for name in ("mean", "iqm"):
            assert float(dataset[f"{name}_low"][0]) < float(dataset[name][0]) < float(dataset[f"{name}_high"][0])
        width[seeds, confidence] = float(dataset["mean_high"][0] - dataset["mean_low"][0])
    assert width[8, 0.5] < width[8, 0.95] > width[60, 0.95]


def test_one_wild_seed_moves_the_mean_and_hardly_the_interquartile_mean() -> None:
    group, steps, values = evaluation(STEPS, 8, rate=1.0)
    values["test_accuracy"][0, -1] = 0.1
    dataset = compare(tree((group, steps, values), replicas={"seed": range(8)}))
    others = values["test_accuracy"][1:, -1].mean()
    assert float(dataset["mean"][0]) < others - 0.05
    assert float(dataset["iqm"][0]) == pytest.approx(others, abs=0.01)


def test_too_few_seeds_are_said_with_how_many_would_do() -> None:
    remarks = " ".join(compare(study(seeds=3)).attrs["remarks"])
    assert "Too few seeds for Wilcoxon's test: with 3 its smallest p is 0.25, corrected 0.75; 7 could" in remarks
    assert "No two common seeds" in " ".join(compare(study(seeds=1)).attrs["remarks"])


def test_a_baseline_is_compared_with_each_other_arm() -> None:
    dataset = compare(study(), baseline="arm2")
    assert dataset["second"].values.tolist() == ["arm2", "arm2"]
    with pytest.raises(ExperimentError, match="Did you mean 'arm2'"):
        compare(study(), baseline="arm22")


def test_of_more_than_six_arms_each_is_compared_with_the_first() -> None:
    dataset = compare(study(finals=tuple(numpy.linspace(0.5, 0.9, 7))))
    assert dataset["second"].values.tolist() == ["arm0"] * 6
    assert any("each with arm0" in remark for remark in dataset.attrs["remarks"])


def test_only_common_seeds_are_compared() -> None:
    arms = {
        name: tree(evaluation(STEPS, 4, seed=place), replicas={"seed": seeds})
        for place, (name, seeds) in enumerate({"fa": range(4), "kp": range(2, 6)}.items())
    }
    dataset = compare(xarray.DataTree(children=arms))
    assert dataset["common"].values.tolist() == [2]
    difference = (
        arms["kp"]["metrics/eval"]["test_accuracy"].values[:2, -1]
        - arms["fa"]["metrics/eval"]["test_accuracy"].values[2:, -1]
    )
    assert float(dataset["change_mean"][0]) == pytest.approx(difference.mean())


def test_statistics_are_compared_by_name_and_label_and_a_wrong_name_has_near_ones() -> None:
    groups = [credit(STEPS, 3, ["a_to_b", "b_to_c"]), evaluation(STEPS, 3)]
    run = tree(*groups, replicas={"seed": range(3)})
    dataset = compare(run, measure="update_angle@b_to_c")
    stored = groups[0][2]["update_angle"][:, -1, 1]  # type: ignore[index]
    numpy.testing.assert_allclose(dataset["value"][0], stored)
    with pytest.raises(ExperimentError, match="Did you mean 'update_angle@a_to_b'"):
        compare(run, measure="update_angle@a_to")
    with pytest.raises(ExperimentError, match="Did you mean 'measure'"):
        compare(run, mesure="test_loss")
    with pytest.raises(ExperimentError, match="between 0 and 1"):
        compare(run, confidence=95.0)


def test_a_label_of_which_nothing_is_known_is_passed_over_and_told_where_it_was_asked_for() -> None:
    path, dims, values = credit(STEPS, 3, ["a_to_b", "b_to_c"])[:3]
    values["update_angle"][:, :, 0] = numpy.nan  # type: ignore[index]
    run = tree((path, dims, values), replicas={"seed": range(3)})
    assert compare(run).attrs["measure"] == "update_angle@b_to_c"
    with pytest.raises(ExperimentError, match="finite values of update_angle@a_to_b"):
        compare(run, measure="update_angle@a_to_b")


def test_a_run_without_results_says_what_to_add() -> None:
    empty = xarray.DataTree.from_dict({"/graph": xarray.Dataset(), "/projections": xarray.Dataset()}, name="run")
    with pytest.raises(ExperimentError, match="give it one"):
        compare(empty)


def test_the_table_has_arms_and_differences_and_the_figure_a_panel_for_each() -> None:
    dataset = compare(study())
    table = compare.table(dataset)
    assert [row[0] for row in table.rows] == ["arm0", "arm1", "arm2", "arm1 − arm0", "arm2 − arm0", "arm2 − arm1"]
    mean = 100 * float(dataset["change_mean"][1])
    assert table.rows[4][2] == f"{mean:+.2f}"
    figure = compare.figure(dataset)
    assert [len(axes.get_yticklabels()) for axes in figure.axes] == [3, 3]
    drawn = [line.get_xdata()[0] for line in figure.axes[1].lines if line.get_marker() == "|"]
    numpy.testing.assert_allclose(drawn, 100 * dataset["change_mean"])


def test_options_are_given_on_the_command_line(tmp_path: Path) -> None:
    arms = {name: {"groups": [evaluation(STEPS, 3, seed=place)], "replicas": {"seed": range(3)}}
            for place, name in enumerate(("fa", "kp"))}  # fmt: skip
    fields = {"name": "study", "arms": {name: {} for name in arms}}
    folder = stored_experiment(tmp_path / "run", fields, arms)
    said = invoke("analyse", "compare", folder, "--option", "baseline=kp", "--option", "confidence=0.9")[0]
    assert "fa − kp" in said
    assert "90 % bootstrap" in said
    assert "Did you mean 'baseline'" in invoke("analyse", "compare", folder, "--option", "base=kp", code=2)[1]
    assert "this analysis has none" in invoke("analyse", "areas", folder, "--option", "base=kp", code=2)[1]
