"""What is done to a circuit when a phase begins: lesions, resets, rewiring, and their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.settings import Lesion, Phase, Reset, Rewire
from tests.runner.making import CHAIN, data_of, must_be_equal, must_hold_the_same, sal, tensors_of, values_of
from tests.runner.test_phases import Stop, phased

LEARN = Phase(name="learn", steps=3)
UNITS = Phase(name="units", steps=3, lesion=(Lesion(population="hidden1", share=0.5),))
SYNAPSES = Phase(
    name="synapses",
    steps=3,
    lesion=(Lesion(projection="hidden1_to_hidden2", share=0.3), Lesion(projection="input_to_hidden1", edges=((0, 1),))),
)


@pytest.mark.parametrize("circuit", [rules.kp(CHAIN), rules.pfa(CHAIN), sal()], ids=["kp", "pfa", "sal"])
def test_lesioned_units_carry_no_activity_and_no_error_and_their_synapses_stay(circuit: Any, tmp_path: Path) -> None:
    before, _ = phased(circuit, tmp_path / "before", LEARN)
    after, _ = phased(circuit, tmp_path / "after", LEARN, UNITS)
    gone = after.silenced["hidden1"]
    assert gone.sum(1).tolist() == [3, 3]
    assert not torch.equal(gone[0], gone[1])
    data = data_of()
    signals = after.signals(torch.tensor(data.train.x).double(), torch.tensor(data.train.y))["hidden1"]
    for kind in ("activity", "error"):
        for replica in range(2):
            assert not signals[kind][replica][:, gone[replica]].any(), kind
            assert signals[kind][replica][:, ~gone[replica]].any(), kind
    for name, axis in (("input_to_hidden1", 2), ("hidden1_to_hidden2", 3)):
        one, two = before.weights[name], after.weights[name]
        for replica in range(2):
            where = gone[replica].nonzero()[:, 0]
            assert torch.equal(one[replica].index_select(axis - 1, where), two[replica].index_select(axis - 1, where))
    assert not torch.equal(before.weights["hidden1_to_hidden2"], after.weights["hidden1_to_hidden2"])


def test_lesioned_synapses_are_zero_until_they_are_restored_and_then_grow_from_zero(tmp_path: Path) -> None:
    cut, _ = phased(rules.kp(CHAIN), tmp_path / "cut", LEARN, SYNAPSES)
    back = Phase(name="back", steps=2, restore=("*",))
    again, _ = phased(rules.kp(CHAIN), tmp_path / "again", LEARN, SYNAPSES, back)
    gone = ~cut.masks["hidden1_to_hidden2"]
    assert gone.flatten(1).sum(1).tolist() == [9, 9]  # of 30
    assert not torch.equal(gone[0], gone[1])
    assert not cut.weights["hidden1_to_hidden2"][gone].any()
    assert not cut.weights["input_to_hidden1"][:, :, 1, 0].any()
    assert cut.weights["input_to_hidden1"][:, :, 1, 1:].all()
    assert again.masks == {}
    assert again.weights["hidden1_to_hidden2"][gone].any()


def test_a_replica_is_lesioned_alone_as_in_a_batch(tmp_path: Path) -> None:
    done = (
        LEARN,
        UNITS,
        SYNAPSES,
        Phase(name="new", steps=1, rewire=(Rewire(projection="hidden2_to_output", share=0.4),)),
    )
    both, _ = phased(rules.kp(CHAIN), tmp_path / "both", *done, seeds=(3, 7))
    alone, _ = phased(rules.kp(CHAIN), tmp_path / "alone", *done, seeds=(7,))
    for name, weight in alone.weights.items():
        torch.testing.assert_close(weight[0], both.weights[name][1], rtol=0, atol=1e-10)


def test_a_reset_read_out_starts_anew_without_memory_and_the_rest_goes_on(tmp_path: Path) -> None:
    before, _ = phased(rules.kp(CHAIN), tmp_path / "before", LEARN)
    reset = Phase(name="reset", steps=0, reset=(Reset(population="output"),))
    after, run = phased(rules.kp(CHAIN), tmp_path / "after", LEARN, reset)
    one, two = tensors_of(before), tensors_of(after)
    moved = {name for name in one.keys() & two.keys() if not torch.equal(one[name], two[name])}
    assert moved == {"weights/hidden2_to_output", "biases/output.bias"}
    assert not after.biases["output.bias"].any()
    assert {name.split("/")[1] for name in one.keys() - two.keys()} == {"hidden2_to_output", "output.bias"}
    start = ns.compile(rules.kp(CHAIN), seeds=(0, 1), device="cpu", dtype="float64").weights["hidden2_to_output"]
    drawn = after.weights["hidden2_to_output"]
    assert not torch.equal(drawn, start)
    assert abs(float(drawn.std() / start.std()) - 1) < 0.5
    begins = run.tree["metrics/phases"]
    assert begins.phase_index.values[0].tolist() == [0, 1]
    assert begins.step.values.tolist() == [0, 3]
    accuracy, last = begins.test_accuracy.values, run.tree["metrics/eval"].test_accuracy.values
    assert np.array_equal(accuracy[:, 0], last[:, 0])  # nothing was done before the first


def test_each_visit_of_a_phase_draws_other_values(tmp_path: Path) -> None:
    reset = Phase(name="reset", steps=1, reset=(Reset(projection="hidden2_to_output"),))
    once, _ = phased(rules.kp(CHAIN), tmp_path / "once", reset)
    twice, _ = phased(rules.kp(CHAIN), tmp_path / "twice", reset, cycles=2)
    flat, _ = phased(rules.kp(CHAIN), tmp_path / "flat", reset, reset)
    assert not torch.equal(once.weights["hidden2_to_output"], twice.weights["hidden2_to_output"])
    must_be_equal(twice, flat)


@pytest.mark.parametrize("how", ["replace", "shuffle"])
def test_a_share_of_the_synapses_is_rewired(how: Any, tmp_path: Path) -> None:
    phase = Phase(name="new", steps=0, rewire=(Rewire(projection="hidden1_to_hidden2", share=0.5, how=how),))
    before, _ = phased(rules.kp(CHAIN), tmp_path / "before", LEARN)
    after, _ = phased(rules.kp(CHAIN), tmp_path / "after", LEARN, phase)
    one, two = before.weights["hidden1_to_hidden2"], after.weights["hidden1_to_hidden2"]
    moved = (one != two).flatten(1).sum(1)
    assert all(10 <= count <= 15 for count in moved.tolist())
    same_values = torch.equal(one.flatten(1).sort().values, two.flatten(1).sort().values)
    assert same_values == (how == "shuffle")
    memory = after._learner.states["hidden1_to_hidden2"]["momentum"]
    assert not memory[one != two].any()
    assert (memory != 0).flatten(1).sum(1).tolist() == [15, 15]


@pytest.mark.parametrize("stop", [1, 4, 5, 8, 10])
def test_an_interrupted_run_resumes_to_the_same_bits_whatever_was_done_to_it(stop: int, tmp_path: Path) -> None:
    done = (
        LEARN,
        UNITS,
        Phase(
            name="new", steps=2, reset=(Reset(population="output"),), rewire=(Rewire(projection="input_to_hidden1"),)
        ),
        Phase(name="back", steps=3, restore=("hidden*",), lesion=(Lesion(projection="output_to_hidden2", share=0.5),)),
    )
    settings = {"checkpoint_every": 1, "record": (ns.probe("angle", every=1),), "tasks": {"low": (0, 1), "high": (2,)}}
    whole, run = phased(rules.kp(CHAIN), tmp_path / "whole", *done, **settings)
    with pytest.raises(KeyboardInterrupt):
        phased(rules.kp(CHAIN), tmp_path / "cut", *done, progress=Stop(stop), **settings)
    again, resumed = phased(rules.kp(CHAIN), tmp_path / "cut", *done, resume=True, **settings)
    must_be_equal(again, whole)
    must_hold_the_same(resumed, run)
    assert values_of(run)["/metrics/tasks/accuracy"].shape[-1] == 2
