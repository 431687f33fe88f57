"""Residual nets in the bench: the step by hand, what peaks are made of, and growing sizes."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import pytest
import torch

from neurosal.bench import depth, memory, scale
from neurosal.bench.agreement import Refused
from neurosal.bench.child import can_measure, measured
from neurosal.bench.contenders import FORMS
from neurosal.bench.residual import RULES, ResidualWork, TorchResidual, by_hand, net_of, ours, theirs
from neurosal.engine.learning import Learner
from neurosal.engine.network import compile
from neurosal.errors import NeurosalError
from tests.bench.making import EFFORT, console, printed

SMALL = ResidualWork(3, 8, 16)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_the_step_by_hand(rule: str) -> None:
    assert ours(SMALL, rule).check() < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_torch_takes_the_step_by_hand(form: str) -> None:
    assert theirs(SMALL, form).check() < 1e-4


def test_the_step_by_hand_is_that_of_autograd() -> None:
    model, (x, y) = TorchResidual(SMALL), SMALL.data()
    net = model.net().copy()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    before = net.copy()
    by_hand(net, x, y, 0.5)
    layers = [model.first, *model.blocks, model.last]
    for index, layer in enumerate(layers):
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        assert weight.grad is not None
        assert torch.allclose(before.weights[index] - net.weights[index], 0.5 * weight.grad, atol=1e-6)


def test_a_block_that_does_not_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn

    def half(self: Any, change: Any, *rest: Any) -> None:
        if "hidden2_to_stream2" not in change.projections:
            learn(self, change, *rest)

    monkeypatch.setattr(Learner, "learn", half)
    with pytest.raises(
        Refused, match=r"one step of dfa differs from the step by hand by 1 in (weight|bias) 2; not timed"
    ):
        ours(SMALL, "dfa").check()


def test_depth_stands_beside_torch() -> None:
    where = console()
    (row,) = depth.compare(where, EFFORT)
    assert row["work"] == "3 residual blocks of width 8, batch 8"
    assert list(row["contenders"])[1:] == list(RULES)
    assert "torch backprop" in printed(where)


def test_costs_are_products_and_bytes_counted_by_hand() -> None:
    square, output = 64, 80  # 8 × 8 and 8 × 10
    tied = SMALL.cost("tied")
    assert tied.operations == 2 * 16 * (2 * (4 * square + output) + 3 * square + output)
    assert SMALL.cost("direct").operations == 2 * 16 * (2 * (4 * square + output) + 4 * output)
    assert tied.weight_bytes == 4 * (3 * (4 * square + output) + 3 * square + output)
    assert SMALL.cost("learned").weight_bytes == tied.weight_bytes + 4 * 2 * (3 * square + output)


# Memory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_bytes_of_weights_are_those_of_the_network(rule: str) -> None:
    network = compile(RULES[rule][0](SMALL.circuit()), device="cpu")
    net = net_of(network, SMALL.blocks)
    held = [*net.weights, *net.biases, *net.feedback]
    assert memory.weight_bytes(SMALL, rule) == 4 * sum(tensor.numel() for tensor in held)


def test_peaks_stand_beside_torch_with_and_without_weights() -> None:
    peaks = {
        "torch backprop (foreach)": {"above_bytes": 300, "peak_bytes": 400},
        "torch backprop (fused)": {"above_bytes": 200, "peak_bytes": 300},
        "kp": {"above_bytes": 150, "peak_bytes": 330},
        "dfa": {"above_bytes": 150, "peak_bytes": 240},
    }
    found: dict[str, Any] = {"peaks": peaks}
    memory.add_goals(found)
    assert [(goal["measured"], goal["met"]) for goal in found["goals"]] == [
        (0.75, True),
        (0.75, True),
        (1.1, False),
        (0.8, True),
    ]


@pytest.mark.skipif(not can_measure(), reason="no /proc/self/clear_refs")
def test_a_process_of_its_own_measures_what_a_step_holds() -> None:
    """At least the stream and the hidden activity of each of 16 blocks, at batch 2048: 32 × 512 KiB."""
    asked = {"task": "memory", "contender": "bp", "work": (16, 64, 2048), "device": "cpu", "threads": 1}
    found = measured(asked)
    assert 32 * 2048 * 64 * 4 <= found["above_bytes"] <= 5 * 32 * 2048 * 64 * 4
    assert found["difference_of_one_step"] < 1e-2


def test_a_process_that_fails_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(NeurosalError, match=r"a process of \{'task': 'memory'\} ended with 1: no word"):
        measured({"task": "memory"})


# Scale ---------------------------------------------------------------------------------------------------------------


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What a child would say of a step of 2 s, with weights of 100 bytes."""
    assert request["sizes"][0] == 784
    return {
        "median_s": 2.0, "low_s": 1.9, "high_s": 2.1, "bytes": 6e9, "floor_s": 1.0, "copy_rate_gbs": 6.0,
        "peak_bytes": 130, "weight_bytes": 100,
    }  # fmt: skip


def test_sizes_that_do_not_fit_are_left_out_and_ratios_are_those_of_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "measured", answer)
    monkeypatch.setattr(scale, "available", lambda _: 2 << 30)
    where = console()
    (found,) = scale.compare(where, EFFORT)
    (entry,) = found["contenders"].values()
    assert (entry["samples_per_second"], entry["bytes_per_second"]) == (128.0, 3e9)
    assert (entry["peak_over_weights"], entry["floor_over_time"]) == (1.3, 0.5)
    assert found["goals"][0]["met"] is None
    monkeypatch.setattr(scale, "QUICK", (4096,))
    (found,) = scale.compare(where, EFFORT)
    assert "784-4096^5-10, 1,126 M forward: left out, 8.2 GiB of weights do not fit" in found["notes"]
    monkeypatch.setattr(scale, "available", lambda _: None)
    (found,) = scale.compare(where, EFFORT)
    assert found["goals"][0] == {
        "what": "peak resident memory over bytes of all weights, 1 billion parameters",
        "measured": 1.3, "goal": "≤ 1.25", "met": False,
    }  # fmt: skip
