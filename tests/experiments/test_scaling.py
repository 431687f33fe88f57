"""Studies of scale: areas at equal cost, depth with every rule on one net, and committed figures that fit the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurosal import circuits, library, rules
from neurosal.experiments import sal_areas, sal_areas_satimage, sal_areas_total, sal_depth, sal_depth_search
from neurosal.experiments.sal_areas import (
    AREAS,
    TUNED,
    TUNED_SATIMAGE,
    TUNED_TOTAL,
    WIDEST,
    WIDTH,
    parameters,
    shared_width,
    step_times,
)
from neurosal.experiments.sal_depth import CONTENDERS, DEPTHS, NEARER, SEARCHED, STARTS, skips_only
from neurosal.graph import Circuit, Copy, SignOf, Transpose
from neurosal.settings import Arm, Experiment
from tests.experiments.test_sal_digits import RESULTS, rows


def built(arm: Arm) -> Circuit:
    assert arm.recipe is not None
    return library.build(arm.recipe)


def best_of_search(name: str) -> dict[str, tuple[float, bool]]:
    """Label → best rate of a committed search, and whether it lies inside the rates that were tried."""
    path = RESULTS / name
    table, text = rows(path), path.read_text(encoding="utf-8")
    place = table["arm"].index("learning rate")
    found = {}
    for label, cells in table.items():
        if label != "arm":
            found[label] = (float(cells[place]), not any("largest" in cell or "smallest" in cell for cell in cells))
    assert "At the edge" not in text
    return found


# Areas ---------------------------------------------------------------------------------------------------------------


STUDIES = {"sal_areas": TUNED, "sal_areas_total": TUNED_TOTAL, "sal_areas_satimage": TUNED_SATIMAGE}


@pytest.mark.parametrize("study", [sal_areas(), sal_areas_total(), sal_areas_satimage()], ids=lambda study: study.name)
def test_areas_go_from_one_to_64_with_three_kinds_of_feedback(study: Experiment) -> None:
    assert list(study.arms) == [f"{name}_{areas}" for areas in AREAS for name in ("kp", "bp", "shallow")]
    assert AREAS == (1, 2, 4, 8, 16, 32, 64)
    for name, arm in study.arms.items():
        circuit = built(arm)
        areas = int(name.rpartition("_")[2])
        assert {circuit.populations[each].areas for each in ("hidden1", "output")} == {areas}
    assert len(study.seeds) >= 5
    assert study.search is not None
    assert not set(study.search.seeds) & set(study.seeds)


def test_with_one_area_the_arms_are_plain_rules() -> None:
    plain = circuits.mlp(16, WIDTH, 26)
    for name, rule in (("kp", rules.kp), ("bp", rules.bp), ("shallow", rules.shallow)):
        assert built(sal_areas().arms[f"{name}_1"]).projections == rule(plain).projections


def test_one_budget_holds_the_active_width_and_the_other_all_parameters() -> None:
    whole = parameters(WIDEST, 1)
    for areas in AREAS:
        assert built(sal_areas().arms[f"kp_{areas}"]).populations["hidden1"].size == WIDTH
        width = built(sal_areas_total().arms[f"kp_{areas}"]).populations["hidden1"].size
        assert width == shared_width(areas)
        assert parameters(width, areas) <= whole < parameters(width + 1, areas)


@pytest.mark.parametrize("study", [sal_areas(), sal_areas_total(), sal_areas_satimage()], ids=lambda study: study.name)
def test_rates_of_areas_are_the_best_of_the_committed_search(study: Experiment) -> None:
    tuned = STUDIES[study.name]
    best = best_of_search(f"{study.name}_tuning.md")
    for name, arm in study.arms.items():
        contender, _, areas = name.rpartition("_")
        rate = tuned[contender][AREAS.index(int(areas))]
        assert best[str(arm.label)] == (rate, True), name
        assert study.training_of(name).optimizer.lr == rate


def test_the_time_of_a_step_is_taken_for_every_number_of_areas() -> None:
    times = step_times(8, threads=(1,), turns=2, seconds_a_turn=0)
    assert len(times) == 4
    for label, row in times.items():
        assert len(row) == len(AREAS), label
        assert min(row) > 0, label


# Depth ---------------------------------------------------------------------------------------------------------------


def test_every_rule_is_tried_at_every_depth_on_the_same_net() -> None:
    study = sal_depth()
    assert DEPTHS == (1, 2, 4, 8, 16, 32, 64, 128)
    assert set(CONTENDERS) == {"bp", "shallow", "skips", "fa", "dfa", "usf", "kp", "pfa", "pfa_o", "sal"}
    assert {f"{name}_{depth}" for name in CONTENDERS for depth in DEPTHS} <= study.arms.keys()
    assert len(study.seeds) == 3
    for name in CONTENDERS:
        deep = built(study.arms[f"{name}_2"])
        plain = circuits.residual_mlp(16, 64, 26, blocks=2, branch_scale=0.3, bias=False)
        forward = deep.select(pathway="feedforward")
        assert list(forward) == list(plain.select(pathway="feedforward"))
        for each, population in plain.populations.items():
            assert deep.populations[each].replace(areas=1) == population, name


def test_no_feedback_but_that_of_bp_and_the_signs_of_usf_reads_forward_weights() -> None:
    for name in CONTENDERS:
        kinds = {
            type(edge.weights) for edge in built(sal_depth().arms[f"{name}_2"]).select(pathway="feedback").values()
        }
        assert Copy not in kinds, name
        assert (Transpose in kinds) == (name == "bp"), name
        assert (SignOf in kinds) == (name == "usf"), name


def test_error_through_skips_alone_reaches_no_block() -> None:
    circuit = built(sal_depth().arms["skips_4"])
    reached = {edge.target for edge in circuit.select(pathway="feedback").values()}
    assert reached == {"stream0", "stream1", "stream2", "stream3", "stream4", "final"}
    assert set(skips_only(4)) <= circuit.projections.keys()


def test_rates_of_depth_are_the_best_of_the_committed_search() -> None:
    best = best_of_search("sal_depth_tuning.md")
    for name in CONTENDERS:
        for depth in DEPTHS:
            arm = sal_depth().arms[f"{name}_{depth}"]
            searched = sal_depth_search().arms[f"{name}_{STARTS[name]}_{NEARER[depth]}"]
            rate = sal_depth().training_of(f"{name}_{depth}").optimizer.lr
            assert best[str(searched.label)] == (rate, True), name
            assert built(arm).projections.keys() >= {"final_to_output"}
    assert SEARCHED == (8, 128)


def test_the_start_of_each_rule_is_the_better_one_on_validation_data() -> None:
    table = rows(RESULTS / "sal_depth_tuning.md")
    place = table["arm"].index("validation accuracy %")
    for name in CONTENDERS:
        scores = {}
        for start in ("small", "xavier"):
            arm = sal_depth_search().arms.get(f"{name}_{start}_128")
            if arm is not None:
                scores[start] = float(table[str(arm.label)][place].split()[0])
        assert scores[STARTS[name]] == max(scores.values()), name


def test_kp_and_pfa_are_within_a_point_of_the_best_bp_at_128_blocks() -> None:
    table = rows(RESULTS / "sal_depth.md")
    last = table["arm"].index("128")
    found = {label: float(cells[last].split()[0]) for label, cells in table.items() if cells[last][:1].isdigit()}
    accuracy = {label: value for label, value in found.items() if label != "arm"}
    best = max(value for label, value in accuracy.items() if label.startswith("BP"))
    for label in ("KP, small start", "PFA, ρ = 10, small start"):
        assert accuracy[label] >= best - 1, label
    assert accuracy["error through skips only, small start"] < best - 3
    assert Path(RESULTS / "sal_depth.png").exists()
