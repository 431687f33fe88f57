"""Studies of relays: the recipes that they declare, and committed figures beside what is derived."""

from __future__ import annotations

import numpy
import pytest

from neurosal import library
from neurosal.experiments import pfa_density, pfa_expansion
from neurosal.settings import Experiment
from tests.experiments.test_sal_digits import RESULTS
from tests.experiments.test_studies import first_number

HIDDEN = "hidden1_to_hidden2"


@pytest.mark.parametrize("study", [pfa_density(), pfa_expansion()], ids=lambda study: study.name)
def test_every_relay_has_a_decay_dose_above_three_and_the_baselines_have_none(study: Experiment) -> None:
    assert {"bp", "shallow"} < set(study.arms)
    for name in study.arms:
        training = study.training_of(name)
        optimizer, steps = training.optimizer, -(-60_000 // training.batch_size)
        dose = 0.0
        for epoch in numpy.arange(training.epochs * 4) / 4:  # no rate changes within a quarter of an epoch
            rate = optimizer.lr * (optimizer.schedule.factor(0, epoch, training.epochs) if optimizer.schedule else 1)
            factor = optimizer.decay_schedule.factor(0, epoch, training.epochs) if optimizer.decay_schedule else 1
            dose += steps / 4 * rate * optimizer.weight_decay * factor / (1 - optimizer.momentum)
        assert 3.5 < dose < 4 if name.startswith("pfa") else dose < 0.1


def test_both_hops_are_thinned_and_relays_are_as_wide_as_the_arm_says() -> None:
    for percent in (100, 50, 20, 10, 5):
        recipe = pfa_density().arms[f"pfa_{percent}"].recipe
        assert recipe is not None
        circuit = library.build(recipe)
        feedback = circuit.select(pathway="feedback").values()
        assert [getattr(edge.wiring, "density", 1.0) for edge in feedback] == [percent / 100] * 4
    for ratio in (1, 2, 5, 10, 20, 50, 100):
        recipe = pfa_expansion().arms[f"pfa_{ratio}"].recipe
        assert recipe is not None
        populations = library.build(recipe).populations
        assert populations[f"relay_{HIDDEN}"].units == ratio * 128


@pytest.mark.parametrize("study", ["pfa_density", "pfa_expansion"])
def test_the_hidden_path_ends_where_it_is_said_to_converge(study: str) -> None:
    shown = [row for row in table(study) if row["projection"] == HIDDEN and row["arm"].startswith("PFA,")]
    assert len(shown) >= 3
    for row in shown:
        trained, limit, drawn = (first_number(row[f"angle °{part}"]) for part in ("", ", limit", ", drawn"))
        assert abs(trained - limit) < 1.5, row["arm"]
        assert abs(drawn - limit) < 1.5, row["arm"]


def test_accuracy_falls_with_density_and_rises_with_expansion() -> None:
    density = {label: value for label, value in accuracies("pfa_density").items() if label.startswith("PFA,")}
    by_density = sorted(density, key=lambda label: float(label.split()[1]))
    assert [density[label] for label in by_density] == sorted(density.values())
    expansion = accuracies("pfa_expansion")
    assert expansion["PFA, ρ = 1"] < expansion["PFA, ρ = 10"] < expansion["BP"]
    assert expansion["read-out only (shallow)"] < expansion["PFA, ρ = 1"]


def table(study: str) -> list[dict[str, str]]:
    """The rows of a committed table, by its headings."""
    lines = (RESULTS / f"{study}.md").read_text(encoding="utf-8").splitlines()
    heads, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def accuracies(study: str) -> dict[str, float]:
    """Arm → test accuracy in percent."""
    heading = "test accuracy %"
    return {row["arm"]: first_number(row[heading]) for row in table(study) if row[heading] not in ("", "–")}
