"""Figures: what is drawn, in which colour, and that labels can be read whatever comes in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text

from neurosal.analysis import areas, learning_curves, symmetry
from neurosal.analysis.contract import Analysis
from neurosal.analysis.style import caption, look, panels, spread
from tests.analysis.synthetic import credit, evaluation, routing, tree
from tests.analysis.synthetic import symmetry as symmetric

STEPS = list(range(0, 60, 10))
EVERY = (learning_curves, symmetry, areas)
NAMES = ("bp", "bp_tuned", "shallow", "dfa", "kp", "pfa", "routed_bp", "sal_kp", "sal_kp_tied", "sal_fa")


def study(names: Sequence[str] = NAMES, *, seeds: int = 3, steps: Sequence[int] = STEPS) -> xarray.DataTree:
    """Arms that end close together, so that their labels compete for the same height."""
    arms = {}
    for index, name in enumerate(names):
        groups = [evaluation(steps, seeds, final=0.9 + 0.002 * index, seed=index)]
        if name != "shallow":
            groups += [
                symmetric(steps, seeds, {"hidden1_to_hidden2": 100, "hidden2_to_output": 50}, seed=index),
                credit(steps, seeds, ["input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output"], seed=index),
            ]
        if "sal" in name or "routed" in name:
            groups.append(routing(steps, seeds, {"hidden1": 8, "output": 4}, seed=index))
        arms[name] = tree(*groups, replicas={"seed": range(seeds)})
    return xarray.DataTree(name="study", children=arms)


def colour_of(figure: Figure, label: str) -> set[str]:
    """Every colour in which a figure writes a label, beside lines or in a legend."""
    return {str(text.get_color()) for text in figure.findobj(Text) if text.get_text() == label}


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
def test_an_arm_has_the_same_colour_in_every_figure_though_others_are_left_out(analysis: Analysis) -> None:
    figure = analysis.figure(analysis(study()))
    for name in ("sal_kp", "routed_bp"):
        assert colour_of(figure, name) == {look(NAMES.index(name))["color"]}


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
def test_labels_of_ten_arms_do_not_overlap_and_stay_inside_the_figure(analysis: Analysis) -> None:
    figure = analysis.figure(analysis(study()))
    figure.draw_without_rendering()
    whole = figure.bbox
    for place in [*figure.axes, *figure.legends]:
        labels = [text for text in place.findobj(Text) if text.get_text() in NAMES]
        boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.y0)
        for below, above in pairwise(boxes):
            assert above.y0 >= below.y1 - 2.5
        assert place not in figure.legends or len(labels) == len(NAMES) - 1
        assert all(box.x1 <= whole.x1 + 1 and box.y0 >= 0 and box.y1 <= whole.y1 for box in boxes)


def test_no_two_of_the_first_28_arms_look_alike() -> None:
    assert len({str(look(position)) for position in range(28)}) == 28


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
@pytest.mark.parametrize(
    ("names", "seeds", "steps"),
    [
        (("sal",), 1, [0]),
        (("sal",), 1, [0, 10]),
        (("sal", "kp"), 2, STEPS),
        (tuple(f"sal_{i}" for i in range(20)), 3, STEPS),
    ],
    ids=["one point", "one seed", "two arms", "twenty arms"],
)
def test_anything_from_one_point_to_twenty_arms_can_be_drawn(
    analysis: Analysis, names: Sequence[str], seeds: int, steps: Sequence[int], tmp_path: Path
) -> None:
    dataset = analysis(study(names, seeds=seeds, steps=steps))
    analysis.figure(dataset).savefig(tmp_path / "figure.png", dpi=50)
    said = [text.get_text() for text in analysis.figure(dataset).texts]
    expected = "One seed." if seeds == 1 else f"Mean over {seeds} seeds"
    assert any(expected in text for text in said)


def test_lines_go_through_the_means() -> None:
    dataset = learning_curves(study(("kp",)))
    axes = next(axes for axes in learning_curves.figure(dataset).axes if axes.get_title(loc="left") == "test accuracy")
    x, y = axes.lines[0].get_data()
    numpy.testing.assert_allclose(y, 100 * dataset["test_accuracy_mean"].isel(arm=0))
    numpy.testing.assert_allclose(x, dataset["epoch"].isel(arm=0))


def test_the_caption_names_arms_without_a_record() -> None:
    figure = symmetry.figure(symmetry(study()))
    assert any("shallow" in text.get_text() for text in figure.texts)


def test_a_deep_network_is_shown_by_a_few_of_its_pairs_and_the_caption_says_so() -> None:
    pairs = {f"hidden{index}_to_hidden{index + 1}": 100 for index in range(1, 60)}
    figure = symmetry.figure(symmetry(tree(symmetric(STEPS, 2, pairs), replicas={"seed": [0, 1]})))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:4] == titles[4:]
    assert len(titles) == 8
    assert titles[0] == "hidden1_to_hidden2"
    assert titles[-1] == "hidden59_to_hidden60"
    assert any("4 of 59 projections" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
def test_save_writes_numbers_figure_and_table_that_can_be_read_back(analysis: Analysis, tmp_path: Path) -> None:
    dataset = analysis(study(("bp", "sal")))
    paths = analysis.save(dataset, tmp_path / "figures")
    assert [path.name for path in paths] == [f"{analysis.name}.{ending}" for ending in ("zarr", "png", "svg", "md")]
    again = xarray.open_zarr(paths[0], consolidated=False, chunks=None).load()
    assert set(again.data_vars) == set(dataset.data_vars)
    for name, array in dataset.data_vars.items():
        numpy.testing.assert_allclose(again[name], array)
    assert again["label"].values.tolist() == dataset["label"].values.tolist()
    assert str(analysis.table(again)) == str(analysis.table(dataset))
    assert analysis.figure(again).axes
    assert all(path.exists() for path in paths)
    first = paths[2].read_bytes()
    analysis.save(dataset, tmp_path / "figures")
    assert paths[2].read_bytes() == first


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were() -> None:
    before = rcParams.copy()
    learning_curves.figure(learning_curves(study(("kp",))))
    assert rcParams == before


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=12), st.floats(0.01, 0.08))
def test_spread_keeps_order_distance_and_bounds(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap)
    assert len(placed) == len(wanted)
    assert all(above - below >= gap - 1e-9 for below, above in pairwise(placed))
    assert min(placed) >= -1e-9
    assert max(placed) <= 1 + 1e-9


@given(st.lists(st.integers(0, 10), unique=True, min_size=1))
def test_spread_moves_nothing_that_is_far_enough_apart(tenths: list[int]) -> None:
    wanted = sorted(tenth / 10 for tenth in tenths)
    numpy.testing.assert_allclose(spread(wanted, 0.09), wanted, atol=1e-12)


def test_projections_that_change_as_backpropagation_does_in_every_arm_get_no_panel_but_a_word() -> None:
    group, steps, values = credit(STEPS, 2, ["hidden1_to_hidden2", "hidden2_to_output"])
    values["update_angle"][:, :, 1] = 1e-6
    figure = symmetry.figure(symmetry(tree((group, steps, values), replicas={"seed": [0, 1]})))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["hidden1_to_hidden2"]
    assert any("0° in all arms, not drawn: hidden2_to_output" in text.get_text() for text in figure.texts)


def test_small_print_takes_no_height_from_the_panels() -> None:
    heights = []
    for lines in ((), [f"Remark {number}." for number in range(8)]):
        figure, axes = panels(1, 1, width=6, height=1.4)
        caption(figure, lines)
        figure.draw_without_rendering()
        heights.append(axes[0, 0].get_position().height * figure.get_figheight())
    assert heights[1] > 0.7 * heights[0]
