"""Statistics that need more of a moment than its arrays: steps that are tried and taken back, and samples that stay the
same from the start on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.engine.feeding import Part
from neurosal.errors import ExperimentError
from neurosal.runner.moment import Moment
from neurosal.runner.probing import Prober
from neurosal.runner.recordable import recordable
from tests.runner.making import CHAIN, data_of, must_be_equal, must_hold_the_same, sal, trained

SMALL = ns.SGD(lr=1e-6)
SINCE_START = ("activity_kernel_distance", "linear_cka", "procrustes_distance", "switch_rate")


def recorded(circuit: Any, folder: Path, *what: str, **settings: Any) -> Any:
    return trained(circuit, folder, record=[ns.probe(one, every=4) for one in what], **settings)[1]


@pytest.mark.parametrize(
    "circuit",
    [
        rules.bp(CHAIN), rules.fa(CHAIN), rules.pfa(CHAIN, expansion=2), sal(feedback="kp"),
        sal(feedback="kp", reduction="sum"), sal(feedback="fa", reduction="area", readout="shared"),
    ],
    ids=("bp", "fa", "relays", "areas", "sum", "area"),
)  # fmt: skip
def test_small_steps_of_any_rule_lower_the_loss_by_what_the_gradient_predicts(circuit: Any, tmp_path: Path) -> None:
    run = recorded(circuit, tmp_path / "run", "decrease_ratio", "predicted_decrease", "update_angle", optimizer=SMALL)
    group = run.tree["stats/credit/every_4"]
    assert group.projection.values.tolist() == recordable(circuit).compared
    np.testing.assert_allclose(group.decrease_ratio, 1, atol=2e-3)
    # A change below 90° to that of backpropagation promises something, one above does not.
    promising = group.predicted_decrease.values > 0
    np.testing.assert_array_equal(promising, group.update_angle.values < 90)


def test_a_rate_for_each_replica_scales_the_step_of_just_that_one(tmp_path: Path) -> None:
    one, two = (
        recorded(rules.fa(CHAIN), tmp_path / str(index), "predicted_decrease", optimizer=ns.SGD(lr=lr), epochs=1)
        for index, lr in enumerate([(0.1, 0.1), (0.1, 0.3)])
    )
    first, second = (run.tree["stats/credit/every_4"].predicted_decrease.isel(sample=0) for run in (one, two))
    np.testing.assert_allclose(second, first * np.array([[1.0], [3.0]]), rtol=1e-12)


def test_what_was_tried_is_taken_back_to_the_bit(tmp_path: Path) -> None:
    circuit = sal(feedback="kp")
    asked = [ns.probe(what, every=1) for what in ("decrease_ratio", "switch_rate", "interference_within", "rsa")]
    probed, _ = trained(circuit, tmp_path / "probed", record=asked, dtype="float32")
    plain, _ = trained(circuit, tmp_path / "plain", dtype="float32")
    must_be_equal(probed, plain)


def test_the_loss_of_numbers_is_tried_too(tmp_path: Path) -> None:
    for loss, targets in (("mse", "numbers"), ("bce", "shares"), ("mse", "labels")):
        data = data_of(targets=targets)
        run = recorded(
            rules.fa(CHAIN), tmp_path / f"{loss}_{targets}", "decrease_ratio", loss=loss, data=data, optimizer=SMALL
        )
        np.testing.assert_allclose(run.tree["stats/credit/every_4"].decrease_ratio, 1, atol=2e-3)


def test_nothing_has_moved_at_the_start_and_something_has_at_the_end(tmp_path: Path) -> None:
    circuit = sal(feedback="kp", route="population", router="attract")
    run = recorded(circuit, tmp_path / "run", *SINCE_START, optimizer=ns.SGD(lr=0.3), epochs=8)
    population, routing = run.tree["stats/population/every_4"], run.tree["stats/routing/every_4"]
    for name, nothing in (("activity_kernel_distance", 0), ("linear_cka", 1), ("procrustes_distance", 0)):
        values = population[name].values
        np.testing.assert_allclose(values[:, 0], nothing, atol=1e-9)
        assert (abs(values[:, -1] - nothing) > 1e-3).any()
    assert (routing.switch_rate.values[:, 0] == 0).all()
    assert (routing.switch_rate.values[:, -1] > 0).any()


def test_information_of_areas_about_classes_is_that_of_the_first_training_samples(tmp_path: Path) -> None:
    circuit = sal(feedback="kp")
    run = recorded(circuit, tmp_path / "run", "mutual_information", optimizer=ns.SGD(lr=1e-9))
    network = ns.compile(circuit, seeds=(0, 1), device="cpu", dtype="float64")
    data = data_of()
    x = torch.tensor(data.train.x).double()
    network.fit_routers(x)
    found = run.tree["stats/routing/every_4"].mutual_information
    for name in found.population.values.tolist():
        area = network.signals(x)[name]["area"].numpy()
        for replica in range(2):
            counts = ns.stats.label_counts(area[replica], data.train.y, areas=3, labels=3)
            expected = float(ns.stats.shared_bits(counts))
            assert float(found.sel(population=name)[replica, 0]) == pytest.approx(expected, rel=1e-9)
            assert expected > 0


def test_a_resumed_run_measures_from_the_first_start(tmp_path: Path) -> None:
    circuit = sal(feedback="kp", route="population", router="attract")
    asked = [ns.probe(what, every=1) for what in SINCE_START]
    settings: dict[str, Any] = {"record": asked, "checkpoint_every": 1, "epochs": 3, "optimizer": ns.SGD(lr=0.3)}
    whole = trained(circuit, tmp_path / "whole", **settings)[1]

    class Stopped(Exception):
        """In place of a kill."""

    def stop(step: int, *_: Any) -> None:
        if step == 8:
            raise Stopped

    with pytest.raises(Stopped):
        trained(circuit, tmp_path / "stopped", progress=stop, **settings)
    must_hold_the_same(whole, trained(circuit, tmp_path / "stopped", resume=True, **settings)[1])


def test_samples_of_a_probe_say_how_many_are_compared_with_the_start(tmp_path: Path) -> None:
    asked = [ns.probe("debiased_cka", "hidden1", every=4, samples=3), ns.probe("linear_cka", "input", every=4)]
    run = trained(rules.fa(CHAIN), tmp_path / "run", record=asked)[1].tree["stats/population/every_4"]
    assert np.isnan(run.debiased_cka).all()  # it needs four
    np.testing.assert_allclose(run.linear_cka.sel(population="input"), 1)


def test_what_a_circuit_or_its_loss_lacks_is_refused() -> None:
    plain, areas = recordable(rules.fa(CHAIN)), recordable(sal(feedback="kp"))
    for what in ("switch_rate", "mutual_information", "interference_within", "area_angle"):
        assert areas.misfit(ns.probe(what)) is None
    for what in ("switch_rate", "mutual_information", "interference_within"):
        assert plain.misfit(ns.probe(what)) is not None
    numbers = recordable(sal(feedback="kp"), "mse")
    for what in ("mutual_information", "interference", "target_alignment"):
        assert numbers.misfit(ns.probe(what)) is not None
    for what in ("decrease_ratio", "switch_rate", "rsa"):
        assert numbers.misfit(ns.probe(what)) is None
    nothing = recordable(rules.fa(CHAIN), "none")
    assert nothing.misfit(ns.probe("decrease_ratio")) is not None
    with pytest.raises(ExperimentError, match="a statistic that can be taken while training"):
        ns.probe("reciprocity")


@pytest.mark.parametrize("circuit", [rules.fa(CHAIN), sal(feedback="kp", readout="shared")], ids=("plain", "areas"))
def test_tangent_kernels_are_those_of_autograd(circuit: Any) -> None:
    network = ns.compile(circuit, seeds=(0, 1), device="cpu", dtype="float64")
    data = data_of()
    network.fit_routers(torch.tensor(data.train.x).double())
    training = ns.Training(loss="cross_entropy", record=[ns.probe("kernel_distance", every=1)])
    prober = Prober(network, training, {"train": Part(data.train, network, "cross_entropy", place="train")}, 1, 1)
    moment = Moment(network, "cross_entropy", None, None)
    compared = prober.recordable.compared
    assert len(compared) == 3
    x = torch.tensor(data.train.x[:7]).double()
    for replica in range(2):
        module = network.to_module(replica).double()
        kernels = {name: np.zeros((7, 7)) for name in compared}
        weights = {name: weight for name, weight in module.named_parameters() if not name.endswith("bias")}
        gradients: dict[str, list[list[torch.Tensor]]] = {name: [[] for _ in range(7)] for name in compared}
        for n in range(7):
            for value in module(x[n : n + 1])[0]:
                found = torch.autograd.grad(value, list(weights.values()), retain_graph=True, allow_unused=True)
                for (name, weight), gradient in zip(weights.items(), found, strict=True):
                    projection = next(one for one in compared if one in name)
                    whole = torch.zeros_like(weight) if gradient is None else gradient
                    gradients[projection][n].append(whole.flatten())
        for name in compared:
            for n, m in np.ndindex(7, 7):
                kernels[name][n, m] = sum(
                    float(a @ b) for a, b in zip(gradients[name][n], gradients[name][m], strict=True)
                )
            ours = prober.measuring._tangent.kernel(name, moment, 7)[replica]
            np.testing.assert_allclose(ours, kernels[name], rtol=1e-9, atol=1e-12)
            assert kernels[name].any()


def test_lazy_learning_moves_no_tangent_kernel_and_rich_learning_does(tmp_path: Path) -> None:
    moved = []
    for lr in (1e-7, 1.0):
        run = recorded(
            rules.bp(CHAIN), tmp_path / str(lr), "kernel_distance", "kernel_target_alignment",
            optimizer=ns.SGD(lr=lr), epochs=6,
        )  # fmt: skip
        group = run.tree["stats/credit/every_4"]
        assert group.kernel_distance.values[:, 0] == pytest.approx(0, abs=1e-15)
        assert np.isfinite(group.kernel_target_alignment).all()
        moved.append(group.kernel_distance.values[:, -1])
    assert (moved[0] < 1e-9).all()
    assert (moved[1] > 1e-3).all()
