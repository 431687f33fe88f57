"""The CIFAR-10 study asks what it says: published settings at full length, and a declared recipe of a few epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import circuits, experiments, library, rules
from neurosal.experiments.pfa_cifar10 import CONTROL, LEARN_FEEDBACK, STEPS_PER_EPOCH, decay_dose
from neurosal.record import schema
from neurosal.settings import Experiment, Training

FULL, SHORT = experiments.pfa_cifar10_full(), experiments.pfa_cifar10()


def rate(training: Training, epoch: float) -> float:
    schedule = training.optimizer.schedule
    return training.optimizer.lr * schedule.factor(int(epoch * STEPS_PER_EPOCH), epoch, training.epochs)


def decay(training: Training, epoch: float) -> float:
    schedule = training.optimizer.decay_schedule
    factor = 1.0 if schedule is None else schedule.factor(int(epoch * STEPS_PER_EPOCH), epoch, training.epochs)
    return training.optimizer.weight_decay * factor


def test_the_full_recipe_is_the_published_one() -> None:
    for rule, arm in FULL.arms.items():
        training = FULL.training_of(rule)
        assert (training.epochs, training.batch_size, training.optimizer.momentum) == (250, 128, 0.9)
        own = 0.001 if rule == "dfa" else 0.1
        rates = [rate(training, epoch) for epoch in (0, 99.9, 100, 150, 200, 249)]
        assert rates == pytest.approx([own, own, own / 10, own / 100, own / 1000, own / 1000])
        first = 0.005 if rule in LEARN_FEEDBACK else 1e-4
        assert [decay(training, epoch) for epoch in (0, 0.99, 1, 249)] == pytest.approx([first, first, 1e-4, 1e-4])
        assert arm.recipe.circuit == "resnet20"
        assert arm.recipe.rule == rule


def test_both_recipes_are_of_the_same_data_and_rules() -> None:
    assert SHORT.data == FULL.data
    assert list(SHORT.arms) == [*FULL.arms, CONTROL]
    assert set(FULL.arms) == {"bp", "shallow", "fa", "dfa", "usf", "kp", "pfa", "pfa_o"}
    assert {arm: value.recipe for arm, value in SHORT.arms.items() if arm != CONTROL} == {
        arm: value.recipe for arm, value in FULL.arms.items()
    }
    for made in (SHORT, FULL):
        assert made.training.augment == (ns.PadCrop(pixels=4), ns.RandomFlip())
        assert made.data.name == "cifar10_jpeg"
        assert made.data.split.validation == 5000
        assert len(made.seeds) >= 3
        assert Experiment.from_yaml(made.to_yaml()) == made


def test_learned_feedback_gets_a_decay_dose_of_four() -> None:
    for made in (SHORT, FULL):
        for rule in LEARN_FEEDBACK:
            assert decay_dose(made.training_of(rule)) >= 4


def test_arms_differ_in_decay_and_in_dfa_s_rate_only_and_their_notes_say_so() -> None:
    for made in (SHORT, FULL):
        common = made.training_of("bp")
        for rule, arm in made.arms.items():
            own = made.training_of(rule)
            names = ("lr", "weight_decay", "decay_schedule")
            declared = {name: getattr(own.optimizer, name) for name in names}
            assert own == common.replace(optimizer=common.optimizer.replace(**declared))
            changed = [name for name, value in declared.items() if value != getattr(common.optimizer, name)]
            decay = "weight_decay" if made is SHORT else "decay_schedule"
            strong = rule in (*LEARN_FEEDBACK, CONTROL)
            assert changed == ([decay] if strong else ["lr"] if rule == "dfa" else [])
            assert ("decay" in arm.note) == strong
            assert ("rate" in arm.note) == (rule == "dfa")


def test_what_joins_populations_without_weights_is_recorded_as_such() -> None:
    columns = schema.graph(library.build(FULL.arms["bp"].recipe).to_dict())
    kinds = dict(zip(columns["projection"], zip(columns["wiring"], columns["weights"], strict=True), strict=True))
    assert kinds["block3_to_block4"] == ("shortcut", "")
    assert kinds["block3_to_block4_hidden"] == ("conv2d", "own")


def test_the_short_recipe_warms_up_and_ends_near_zero() -> None:
    training = SHORT.training_of("bp")
    assert rate(training, 0) < 0.01
    assert rate(training, training.epochs - 1 / STEPS_PER_EPOCH) < 1e-4
    assert max(rate(training, epoch / 10) for epoch in range(10 * training.epochs)) > 0.09


# In small -------------------------------------------------------------------------------------------------------------


def photographs() -> Any:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, size=(30, 3, 8, 8)).astype(np.uint8)
    data = ns.data.from_arrays(x, random.integers(10, size=30), classes=10, test=range(23, 30), value_range=(0, 255))
    return data.scaled("channels")


def small(rule: str, seeds: tuple[int, ...], dtype: str = "float32") -> Any:
    circuit = getattr(rules, rule)(circuits.resnet20(shape=(3, 8, 8), width=2))
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def training_of(rule: str, **changes: Any) -> Training:
    """The study's own, for 23 samples."""
    settings = {"epochs": 2, "batch_size": 6, "checkpoint_every_steps": 3, "record": (), "compute": None}
    return SHORT.training_of(rule).replace(**{**settings, **changes})


def tensors_of(network: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


class Stop:
    def __call__(self, done: int, _: int, __: str) -> None:
        if done == 5:
            raise KeyboardInterrupt


def test_a_run_that_was_interrupted_ends_with_the_same_bits_running_statistics_and_images_included(
    tmp_path: Path,
) -> None:
    whole, training = small("pfa", (0, 1)), training_of("pfa")
    ns.train(whole, photographs(), training, store=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        ns.train(small("pfa", (0, 1)), photographs(), training, store=tmp_path / "run", progress=Stop())
    network = small("pfa", (0, 1))
    ns.train(network, photographs(), training, store=tmp_path / "run", resume=True)
    expected = tensors_of(whole)
    assert any(name.endswith(".variance") for name in expected)
    for name, tensor in tensors_of(network).items():
        assert torch.equal(tensor, expected[name]), name


def test_a_seed_of_the_study_learns_alone_what_it_learns_beside_others(tmp_path: Path) -> None:
    training = training_of("kp", dtype="float64")
    both, alone = small("kp", (1, 0), "float64"), small("kp", (0,), "float64")
    for number, network in enumerate((both, alone)):
        ns.train(network, photographs(), training, store=tmp_path / f"run{number}")
    for name, tensor in tensors_of(alone).items():
        if tensor.dim():
            beside = tensors_of(both)[name][1:]
            torch.testing.assert_close(tensor.reshape(beside.shape), beside, rtol=0, atol=1e-10, msg=name)


def test_the_control_is_bp_with_the_optimiser_of_learned_feedback() -> None:
    assert SHORT.arms[CONTROL].recipe == SHORT.arms["bp"].recipe
    assert SHORT.training_of(CONTROL) == SHORT.training_of("kp")
