"""Phases: what is plastic and frozen, what drives the circuit and in which order, and resuming in any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.settings import Phase, Training, WarmUp
from tests.runner.making import (
    CHAIN,
    data_of,
    must_be_equal,
    must_hold_the_same,
    network_of,
    sal,
    tensors_of,
    values_of,
)

MOMENTUM = ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)


class Stop:
    """Interrupts at a step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def __call__(self, done: int, *_: Any) -> None:
        if done == self.at:
            raise KeyboardInterrupt


def phased(circuit: Any, folder: Path, *phases: Phase, seeds: Any = (0, 1), **settings: Any) -> tuple[Any, Any]:
    """A network after its phases, and the run."""
    network = network_of(circuit, seeds)
    doors = {name: settings.pop(name) for name in ("cycles", "tasks", "resume", "progress") if name in settings}
    training = Training(**{"batch_size": 5, "optimizer": MOMENTUM, "dtype": "float64", **settings})
    return network, ns.train(network, data_of(), training, store=folder, phases=phases, **doors)


@pytest.mark.parametrize("circuit", [rules.kp(CHAIN), sal()], ids=["kp", "sal"])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ns.SGD(lr=0.1), ns.Adam(lr=0.01, schedule=WarmUp(steps=9))])
def test_training_that_is_cut_into_phases_is_the_same_training(circuit: Any, optimizer: Any, tmp_path: Path) -> None:
    whole = network_of(circuit)
    training = Training(batch_size=5, optimizer=optimizer, dtype="float64", epochs=3)
    ns.train(whole, data_of(), training, store=tmp_path / "whole")
    parts = (Phase(name="one", epochs=1), Phase(name="two", steps=3), Phase(name="three", steps=7))
    cut, run = phased(circuit, tmp_path / "cut", *parts, optimizer=optimizer)
    must_be_equal(cut, whole)
    found, expected = values_of(run), values_of(ns.open_run(tmp_path / "whole"))
    np.testing.assert_array_equal(found["/metrics/train/loss"], expected["/metrics/train/loss"])


@pytest.mark.parametrize("optimizer", [MOMENTUM, ns.SGD(lr=0.1), ns.AdamW(lr=0.01)], ids=["momentum", "plain", "adamw"])
def test_what_is_frozen_keeps_weights_biases_and_memory_bit_for_bit(optimizer: Any, tmp_path: Path) -> None:
    learn, freeze = Phase(name="learn", steps=3), Phase(name="freeze", steps=4, frozen=("hidden1", "output_to_*"))
    before, _ = phased(rules.kp(CHAIN), tmp_path / "before", learn, optimizer=optimizer)
    after, _ = phased(rules.kp(CHAIN), tmp_path / "after", learn, freeze, optimizer=optimizer)
    one, two = tensors_of(before), tensors_of(after)
    same = {name for name in one if torch.equal(one[name], two[name])}
    still = {
        name for name in one if any(part in name for part in ("input_to_hidden1", "hidden1.bias", "output_to_hidden2"))
    }
    assert same == still
    assert "weights/input_to_hidden1" in still
    assert optimizer.plain or "optimizer/input_to_hidden1/" in str(sorted(still))


def test_only_what_is_plastic_changes_and_patterns_name_pathways_too(tmp_path: Path) -> None:
    first = tensors_of(network_of(rules.kp(CHAIN)))
    network, _ = phased(rules.kp(CHAIN), tmp_path / "run", Phase(name="back", steps=2, plastic=("feedback",)))
    after = tensors_of(network)
    moved = {name for name in first if not torch.equal(first[name], after[name])} - {"steps"}
    assert moved == {"weights/output_to_hidden2", "weights/hidden2_to_hidden1"}


def test_a_frozen_router_does_not_move_at_all(tmp_path: Path) -> None:
    circuit = sal(router="online_balanced")
    learn = Phase(name="learn", steps=2)
    before, _ = phased(circuit, tmp_path / "before", learn)
    after, _ = phased(circuit, tmp_path / "after", learn, Phase(name="held", steps=3, frozen=("route*", "modulatory")))
    for name, tensors in before.routers.items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, after.routers[name][key]), (name, key)
    assert not torch.equal(before.weights["hidden1_to_hidden2"], after.weights["hidden1_to_hidden2"])


def test_cycles_equal_the_list_written_out(tmp_path: Path) -> None:
    turns = (Phase(name="a", steps=3, frozen=("feedback",)), Phase(name="b", steps=2, plastic=("output", "feedback")))
    round_, _ = phased(rules.kp(CHAIN), tmp_path / "cycles", *turns, cycles=4)
    flat, _ = phased(rules.kp(CHAIN), tmp_path / "flat", *(turns * 4))
    must_be_equal(round_, flat)


def test_a_phase_of_some_classes_sees_no_other_and_keeps_its_place_over_cycles(tmp_path: Path) -> None:
    seen: list[Any] = []
    network = network_of(rules.bp(CHAIN), (0,))
    data = data_of()
    phases = (Phase(name="low", steps=2, classes=(0,)), Phase(name="high", epochs=1, classes=(1, 2)))
    from neurosal.runner import stages

    plain = stages.Feed.next

    def spy(self: Any) -> Any:
        x, y = plain(self)
        seen.append(y.flatten().tolist())
        return x, y

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.Feed, "next", spy)
        ns.train(
            network, data, store=tmp_path / "run", phases=phases, cycles=2, batch_size=4, dtype="float64",
            optimizer=ns.SGD(lr=0.1),
        )  # fmt: skip
    counts = np.bincount(data.train.y, minlength=3)
    high = -(-int(counts[1:].sum()) // 4)
    assert [set(labels) <= {0} for labels in seen] == ([True] * 2 + [False] * high) * 2
    assert all(set(labels) <= {1, 2} for labels in (*seen[2 : 2 + high], *seen[4 + high :]))
    low = [label for index in (0, 1, 2 + high, 3 + high) for label in seen[index]]
    assert len(low) >= counts[0]  # epochs go on over cycles: every sample comes before one comes twice
    assert sum(len(labels) for labels in seen[2 : 2 + high]) == counts[1:].sum()


def test_the_optimiser_of_a_phase_begins_anew_where_it_remembers_other_things(tmp_path: Path) -> None:
    adam = Phase(name="adam", steps=2, plastic=("output",), training={"optimizer": {"kind": "adam", "lr": 0.01}})
    network, _ = phased(rules.kp(CHAIN), tmp_path / "run", Phase(name="sgd", steps=3), adam)
    kinds = {name: set(state) for name, state in network._learner.states.items()}
    assert kinds["hidden2_to_output"] == kinds["output.bias"] == {"first", "second", "count"}
    assert kinds["input_to_hidden1"] == {"momentum"}


@pytest.mark.parametrize("stop", range(1, 11, 2))
def test_a_run_that_was_interrupted_in_any_phase_resumes_to_the_same_bits(stop: int, tmp_path: Path) -> None:
    phases = (
        Phase(name="learn", epochs=1),
        Phase(name="frozen", steps=2, frozen=("feedback",), classes=(0, 1)),
        Phase(name="adam", steps=3, training={"optimizer": {"kind": "adam"}, "batch_size": 3}),
    )
    settings = {
        "checkpoint_every_steps": 2, "record": (ns.probe("angle", every=1), ns.probe("update", every=2)),
        "tasks": {"low": (0, 1), "high": (2,)},
    }  # fmt: skip
    whole, run = phased(rules.kp(CHAIN), tmp_path / "whole", *phases, **settings)
    with pytest.raises(KeyboardInterrupt):
        phased(rules.kp(CHAIN), tmp_path / "cut", *phases, progress=Stop(stop), **settings)
    again, resumed = phased(rules.kp(CHAIN), tmp_path / "cut", *phases, resume=True, **settings)
    must_be_equal(again, whole)
    must_hold_the_same(resumed, run)


NOISE = Phase(name="mirror", steps=2, drive=ns.Noise(std=0.5), training={"optimizer": {"kind": "sgd", "lr": 0.02}})


def test_noise_changes_the_mirrored_feedback_and_nothing_else(tmp_path: Path) -> None:
    learn = Phase(name="learn", steps=3, training={"optimizer": {"kind": "adam", "lr": 0.01}})
    before, _ = phased(rules.wm(CHAIN), tmp_path / "before", learn)
    after, _ = phased(rules.wm(CHAIN), tmp_path / "after", learn, NOISE)
    one, two = tensors_of(before), tensors_of(after)
    moved = {name for name in one if not torch.equal(one[name], two[name])} - {"steps"}
    assert moved == {"weights/output_to_hidden2", "weights/hidden2_to_hidden1"}
    assert {name for name in two.keys() - one.keys() if not name.startswith("optimizer/")} == set()


def test_noise_and_data_in_turn_equal_the_list_written_out_and_resume_to_the_same_bits(tmp_path: Path) -> None:
    learn = Phase(name="learn", steps=1)
    settings = {"checkpoint_every_steps": 3, "record": (ns.probe("angle", every=1),)}
    round_, run = phased(rules.wm(CHAIN), tmp_path / "cycles", learn, NOISE, cycles=4, **settings)
    flat, _ = phased(rules.wm(CHAIN), tmp_path / "flat", *((learn, NOISE) * 4))
    must_be_equal(round_, flat)
    with pytest.raises(KeyboardInterrupt):
        phased(rules.wm(CHAIN), tmp_path / "cut", learn, NOISE, cycles=4, progress=Stop(8), **settings)
    again, resumed = phased(rules.wm(CHAIN), tmp_path / "cut", learn, NOISE, cycles=4, resume=True, **settings)
    must_be_equal(again, round_)
    must_hold_the_same(resumed, run)
