"""Relays: what feedback over them converges to is as derived, as drawn, and as the engine's own B gives it; and a run
shows its relays beside that."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

import neurosal as ns
from neurosal import analysis, circuits, rules
from neurosal.analysis.converged import Product, product_of
from neurosal.data import DataSpec
from neurosal.errors import ExperimentError
from neurosal.lower.paths import pairs
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe

SMALL = DataSpec(name="digits", subset={"train": 200, "test": 100})


def product(sends: int, expansion: float, density: float = 1.0, receives: int = 300) -> Product:
    """As `rules.pfa` draws it."""
    circuit = rules.pfa(circuits.mlp(5, receives, sends), expansion=expansion, density=density)
    found = product_of(circuit, pairs(circuit)[0])
    assert found is not None
    return found


# Derived --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expansion", [1, 2, 10, 100])
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_the_limit_for_many_units_is_the_published_one(expansion: int, density: float) -> None:
    angle, ratio = product(40, expansion, density).many_units()
    assert angle == pytest.approx(numpy.degrees(numpy.arctan(1 / (density * expansion) ** 0.5)))
    assert ratio == pytest.approx(density * (1 + 1 / (density * expansion)) ** 0.5)
    if expansion == 10 and density == 1:
        assert (round(angle, 1), round(ratio, 3)) == (17.5, 1.049)


def test_b_is_scaled_so_that_its_expected_square_is_the_identity() -> None:
    for density in (1.0, 0.3, 0.05):
        assert product(20, 10, density).scale == pytest.approx(1)


@pytest.mark.parametrize(
    ("sends", "expansion", "density"), [(10, 1, 1.0), (10, 10, 0.05), (40, 3, 0.3), (60, 2, 1.0), (60, 10, 0.1)]
)
def test_draws_scatter_about_what_is_derived_for_their_size(sends: int, expansion: int, density: float) -> None:
    entry, generator = product(sends, expansion, density), numpy.random.default_rng(1)
    drawn = numpy.array([entry.drawn(generator) for _ in range(40)])
    error = drawn.std(0, ddof=1) / 40**0.5
    for place, expected in enumerate(entry.expected()):  # curvature of the angle and of the root: up to a hundredth
        assert abs(drawn[:, place].mean() - expected) < 4 * error[place] + 0.01 * expected


def test_few_units_and_few_synapses_are_far_from_the_limit() -> None:
    assert product(10, 10, 0.05).many_units()[0] == pytest.approx(54.7, abs=0.05)
    assert product(10, 10, 0.05).expected()[0] == pytest.approx(71.6, abs=0.05)
    assert product(512, 10, 0.05).expected()[0] == pytest.approx(55.6, abs=0.05)


@pytest.mark.parametrize("density", [1.0, 0.2])
def test_the_engines_own_b_and_synapses_give_the_angle_that_is_derived(density: float) -> None:
    circuit = rules.pfa(circuits.mlp(5, 300, 60), expansion=4, density=density)
    network = ns.compile(circuit, seeds=range(3))
    names = circuit.projections
    first, second = (
        next(name for name in names if part in name and "relay" in name) for part in ("output_to", "_to_hidden1")
    )
    found = []
    for seed in range(3):
        w, b, r = (network.weights[name][seed, 0].numpy() for name in ("hidden1_to_output", first, second))
        path = (numpy.where(r != 0, w.T @ b.T, 0.0) if density < 1 else w.T @ b.T) @ b
        found.append([
            float(numpy.degrees(numpy.arccos((path * w.T).sum() / numpy.linalg.norm(path) / numpy.linalg.norm(w)))),
            float(numpy.linalg.norm(path) / numpy.linalg.norm(w)),
        ])  # fmt: skip
    assert numpy.mean(found, axis=0) == pytest.approx(product(60, 4, density).expected(), rel=0.03)


def test_an_orthogonal_b_has_nothing_to_lose_and_other_feedback_is_no_product() -> None:
    circuit = rules.pfa_o(circuits.mlp(5, 6, 4))
    entry = product_of(circuit, pairs(circuit)[0])
    assert entry is not None
    assert entry.many_units() == entry.expected() == (0.0, pytest.approx(1.0))
    for rule in (rules.kp, rules.bp, rules.dfa):
        other = rule(circuits.mlp(5, 6, 4))
        assert [product_of(other, pair) for pair in pairs(other)] == [None]


# Of a run -------------------------------------------------------------------------------------------------------------


def run_of(folder: Path, arms: dict[str, Arm]) -> ns.Run:
    settings = Training(epochs=1, batch_size=32, optimizer=SGD(lr=0.1), record=(probe("angle", epochs=1),))
    experiment = Experiment(name="relays", data=SMALL, arms=arms, seeds=(0, 1), training=settings)
    return ns.run(experiment, store=folder)


def arm(rule: str, **options: object) -> Arm:
    return Arm(recipe=Recipe(circuit="mlp", arguments={"sizes": [64, 12, 10]}, rule=rule, options=options))


def test_a_run_shows_trained_derived_and_drawn_side_by_side(tmp_path: Path) -> None:
    arms = {"bp": arm("bp"), "pfa_2": arm("pfa", expansion=2), "pfa_8": arm("pfa", expansion=8), "pfa_o": arm("pfa_o")}
    run = run_of(tmp_path / "run", arms)
    found = analysis.relays(run, draws=3, sizes=(7,))
    numpy.testing.assert_array_equal(found.expansion.values, [numpy.nan, 2, 8, 1])
    pair = "hidden1_to_output"
    for name in ("pfa_2", "pfa_8", "pfa_o"):
        recorded = run.arms[name].tree["stats/symmetry/epochs_1"]
        for measure in ("angle", "norm_ratio"):
            expected = recorded[measure].sel(pair=pair).values[:, -1]
            numpy.testing.assert_array_equal(found[measure].sel(arm=name, pair=pair).values, expected)
        accuracy = run.arms[name].tree["metrics/eval"].test_accuracy.values[:, -1]
        numpy.testing.assert_array_equal(found.accuracy.sel(arm=name).values, accuracy)
    assert found.angle_limit.sel(arm="pfa_8", pair=pair) == pytest.approx(19.47, abs=0.01)
    assert float(found.angle_drawn.sel(arm="pfa_8").std()) > 0
    assert found.angle_drawn_size.sel(size=7, arm="pfa_8").notnull().all()
    assert found.angle_drawn.sel(arm="bp").isnull().all()
    table = analysis.relays.table(found)
    assert [row[0] for row in table.rows] == ["bp", "pfa_2", "pfa_2", "pfa_8", "pfa_8", "pfa_o"]
    assert table.rows[3][4] == "19.5"
    again = analysis.relays(run, draws=3, sizes=(7,))
    numpy.testing.assert_array_equal(again.angle_drawn.values, found.angle_drawn.values)
    panels = analysis.relays.figure(found).axes
    assert [panel.get_ylabel().split(" ")[0] for panel in panels] == ["test", "path", "norm"]
    assert "ρ" in panels[1].get_xlabel()


def test_arms_that_differ_in_density_are_drawn_along_it(tmp_path: Path) -> None:
    arms = {f"pfa_{percent}": arm("pfa", expansion=3, density=percent / 100) for percent in (20, 50)}
    found = analysis.relays(run_of(tmp_path / "run", arms), draws=2)
    numpy.testing.assert_array_equal(found.density.values, [0.2, 0.5])
    panel = analysis.relays.figure(found).axes[1]
    assert "p" in panel.get_xlabel()
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["0.2", "0.5"]
    points = panel.containers[0].lines[0]
    assert points.get_xdata().tolist() == [0.2, 0.5]


def test_a_run_without_relays_and_wrong_options_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"kp": arm("kp")})
    with pytest.raises(ExperimentError, match="arms with relays"):
        analysis.relays(run)
    with pytest.raises(ExperimentError, match=r"draws.*positive"):
        analysis.relays(run, draws=0)
