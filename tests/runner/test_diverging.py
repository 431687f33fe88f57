"""Numbers that stop being finite: that replica stands still at its last good state, the others do not notice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.runner.training import DivergedWarning, Trainer
from neurosal.settings import Piecewise, Training
from tests.runner.making import CHAIN, data_of, must_be_equal, must_hold_the_same, network_of, sal, tensors_of, trained
from tests.runner.test_resuming import Stop

HUGE = 1e200
OPTIMIZERS: dict[str, Any] = {
    "plain": lambda lr: ns.SGD(lr=lr, weight_decay=0.01),
    "momentum": lambda lr: ns.SGD(lr=lr, momentum=0.9),
    "clipped": lambda lr: ns.SGD(lr=lr, clip=1.0),
    "adam": lambda lr: ns.Adam(lr=lr),
}
PROBES = [ns.probe("weight", every=4), ns.probe("angle", every=4)]


def with_rates(circuit: Any, folder: Path, rates: tuple[float, ...], optimizer: str = "plain", **settings: Any) -> Any:
    settings = {"epochs": 4, "checkpoint_every": 2, "record": PROBES, **settings}
    made = OPTIMIZERS[optimizer](rates)
    return trained(circuit, folder, seeds=range(len(rates)), optimizer=made, replicas={"lr": list(rates)}, **settings)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", ["bp", "fa", "kp", "pfa"])
def test_the_others_go_on_to_the_same_bits(rule: str, optimizer: str, tmp_path: Path) -> None:
    circuit = getattr(rules, rule)(CHAIN)
    clean, expected = with_rates(circuit, tmp_path / "clean", (0.05, 0.05, 0.1), optimizer)
    with pytest.warns(DivergedWarning, match="replica 1"):
        sick, run = with_rates(circuit, tmp_path / "sick", (0.05, HUGE, 0.1), optimizer)
    must_be_equal(clean, sick, [0, 2])
    for group in ("metrics/train", "metrics/eval", "stats/symmetry/every_4", "projections/hidden1_to_hidden2/every_4"):
        for name, values in expected.tree[group].data_vars.items():
            np.testing.assert_array_equal(values[[0, 2]], run.tree[group][name][[0, 2]], err_msg=f"{group}/{name}")


def test_one_rate_for_all_leaves_the_others_alone_too(tmp_path: Path) -> None:
    """Plain steps with one rate take a path of their own, which they must not leave when a replica stops."""
    networks = []
    for name in ("clean", "sick"):
        network = network_of(rules.fa(CHAIN), seeds=range(3))
        if name == "sick":
            network.weights["hidden1_to_hidden2"][1] = 1e308
        settings: dict[str, Any] = {"epochs": 4, "batch_size": 5, "optimizer": ns.SGD(lr=0.1), "store": tmp_path / name}
        if name == "sick":
            with pytest.warns(DivergedWarning):
                ns.train(network, data_of(), **settings)
        else:
            ns.train(network, data_of(), **settings)
        networks.append(network)
    must_be_equal(*networks, [0, 2])


def test_with_areas_the_others_are_the_same_to_rounding(tmp_path: Path) -> None:
    clean, _ = with_rates(sal(), tmp_path / "clean", (0.05, 0.05, 0.1), "momentum", record=[])
    with pytest.warns(DivergedWarning):
        sick, _ = with_rates(sal(), tmp_path / "sick", (0.05, HUGE, 0.1), "momentum", record=[])
    one, two = tensors_of(clean), tensors_of(sick)
    for name, tensor in one.items():
        if tensor.dim() and name != "alive":
            assert (tensor[[0, 2]] - two[name][[0, 2]]).abs().max() < 1e-12, name
            assert torch.isfinite(two[name]).all(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_replica_that_stops_keeps_its_last_good_state(optimizer: str, tmp_path: Path) -> None:
    """Good states are those of evaluations and checkpoints: of the start, when it fails in the first epoch."""
    start = network_of(rules.kp(CHAIN), seeds=(0, 1))
    with pytest.warns(DivergedWarning):
        network, _ = with_rates(rules.kp(CHAIN), tmp_path / "run", (0.05, HUGE), optimizer)
    for name, tensor in start.parameters().items():
        assert torch.equal(network.parameters()[name][1], tensor[1]), name
        assert not torch.equal(network.parameters()[name][0], tensor[0]) or not tensor[0].any(), name
    for name, tensor in network.state_dict().items():
        assert torch.isfinite(tensor.double()).all(), name
        if name.startswith("optimizer"):
            assert not tensor[1].any(), name  # there was none at its last good state
    assert network.state_dict()["alive"].tolist() == [True, False]


def test_a_replica_that_fails_later_goes_back_to_the_last_evaluation(tmp_path: Path) -> None:
    schedule = Piecewise(starts=(0.0, 2.0), factors=(1e-201, 1.0))
    optimizer = ns.SGD(lr=HUGE, momentum=0.5, schedule=schedule)
    two, _ = trained(rules.kp(CHAIN), tmp_path / "two", seeds=(0,), epochs=2, optimizer=optimizer)
    with pytest.warns(DivergedWarning):
        four, _ = trained(rules.kp(CHAIN), tmp_path / "four", seeds=(0,), epochs=4, optimizer=optimizer)
    assert two.steps == 10
    for name, tensor in two.state_dict().items():
        if tensor.dim():
            assert torch.equal(tensor, four.state_dict()[name]), name


def test_the_message_names_projection_replica_step_and_rate(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning) as warned:
        _, run = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE, 0.1))
    assert len(warned) == 1
    text = str(warned[0].message)
    for part in ("replica 1", "seed 1", "lr 1e+200", "by step ", "projection 'input_to_hidden1'", "last good state"):
        assert part in text, part
    assert warned[0].filename == with_rates.__code__.co_filename.replace("test_diverging", "making")
    assert (run.status.state, run.status.message) == ("diverged", text)
    assert ns.open_run(tmp_path / "run").status.state == "diverged"


def test_replicas_are_looked_at_every_ten_steps_however_long_an_epoch_is(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning) as warned:
        with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE), epochs=1, batch_size=1, log_every=100)
    found = re.search(r"by step (\d+)", str(warned[0].message))
    assert found is not None
    assert int(found[1]) <= 11


def test_what_is_recorded_of_a_replica_that_stopped_is_nan_from_then_on(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning):
        _, run = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE), log_every=3)
    loss, accuracy = run.tree["metrics/train"].loss.values, run.tree["metrics/eval"].test_accuracy.values
    assert np.isfinite(loss[0]).all()
    assert np.isfinite(loss[1, 0])  # the loss before the first step was still good
    assert np.isnan(loss[1, 1:]).all()
    assert np.isfinite(accuracy[0]).all()
    assert np.isfinite(accuracy[1, 0])
    assert np.isnan(accuracy[1, 1:]).all()


def test_no_infinite_value_is_recorded_between_looks(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning):
        _, run = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE), log_every=1, batch_size=2)
    assert not np.isinf(run.tree["metrics/train"].loss.values).any()


def test_a_bias_that_is_no_longer_finite_counts(tmp_path: Path) -> None:
    trainer = Trainer(network_of(rules.fa(CHAIN)), data_of(), Training(batch_size=5, dtype="float64"), {}, None)
    trainer.finite.keep()
    trainer.network.biases["hidden1.bias"][1, 0, 0] = float("inf")
    x, y = trainer.part.take(torch.tensor([[0, 1], [1, 2]]))
    trainer.finite.check(3, torch.zeros(2), (x, y), "cross_entropy")
    assert list(trainer.finite.failures) == [1]
    assert "the activity of 'hidden1' (projection 'input_to_hidden1')" in trainer.finite.failures[1]
    assert torch.isfinite(trainer.network.biases["hidden1.bias"]).all()


def test_all_replicas_that_diverge_end_the_run_early(tmp_path: Path) -> None:
    steps: list[int] = []
    with pytest.warns(DivergedWarning, match="replica 0") as warned:
        _, run = with_rates(
            rules.fa(CHAIN), tmp_path / "run", (HUGE, HUGE), epochs=50, progress=lambda done, *_: steps.append(done)
        )
    assert "replica 1" in str(warned[0].message)
    assert steps[-1] < 20
    assert run.status.state == "diverged"


@pytest.mark.parametrize("after", [4, 8, 12, 19, 20])
@pytest.mark.parametrize("when", [0.0, 1.0, 2.0, 3.0])
def test_divergence_before_or_after_the_checkpoint_resumes_to_the_same_bits(
    when: float, after: int, tmp_path: Path
) -> None:
    small = Piecewise(starts=(0.0, when), factors=(1e-301, 1.0)) if when else None  # harmless until then
    optimizer = ns.SGD(lr=(1.0, 1e300), momentum=0.9, schedule=small)
    settings: dict[str, Any] = {"epochs": 4, "optimizer": optimizer, "record": PROBES}
    settings |= {"checkpoint_every": 2, "evaluate_every": 3}  # so that both are good states to fall back to
    with pytest.warns(DivergedWarning) as first:
        whole, expected = trained(rules.kp(CHAIN), tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        trained(rules.kp(CHAIN), tmp_path / "run", progress=Stop(after), **settings)
    with pytest.warns(DivergedWarning) as second:
        network, run = trained(rules.kp(CHAIN), tmp_path / "run", resume=True, **settings)
    assert str(first[0].message) == str(second[0].message)
    assert torch.equal(network.state_dict()["alive"], torch.tensor([True, False]))
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)
    assert run.status.state == "diverged"


def test_resuming_a_diverged_run_only_opens_it(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning):
        _, run = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE))
    network, again = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE), resume=True)
    assert (again.status.state, network.steps) == ("diverged", 0)
    must_hold_the_same(run, again)


def test_a_network_with_a_frozen_replica_that_is_trained_again_learns_with_all(tmp_path: Path) -> None:
    with pytest.warns(DivergedWarning):
        network, _ = with_rates(rules.fa(CHAIN), tmp_path / "run", (0.05, HUGE))
    before = tensors_of(network)
    ns.train(network, data_of(), epochs=1, batch_size=5, optimizer=ns.SGD(lr=0.1), store=tmp_path / "two")
    assert "alive" not in network.state_dict()
    for replica in range(2):
        moved = network.weights["input_to_hidden1"][replica] - before["weights/input_to_hidden1"][replica]
        assert moved.abs().max() > 1e-6
