"""Noise that drives populations with space: the mirror phase of convolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.settings import Phase, Training
from tests.rules.convolutional import PLASTIC, RESIDUAL
from tests.runner.making import must_be_equal, must_hold_the_same, tensors_of

LEARN = Phase(name="learn", steps=2)
NOISE = Phase(name="mirror", steps=5, drive=ns.Noise(std=0.5), training={"optimizer": {"kind": "sgd", "lr": 0.1}})


def phased(
    folder: Path, *phases: Phase, cycles: int = 1, progress: Any = None, resume: bool = False, **settings: Any
) -> Any:
    """A network after its phases, and the run."""
    random = np.random.default_rng(0)
    data = ns.data.from_arrays(random.normal(size=(20, 72)).astype("float32"), random.integers(3, size=20))
    network = ns.compile(rules.wm(RESIDUAL), seeds=(0, 1), device="cpu")
    training = Training(batch_size=6, optimizer=ns.SGD(lr=0.05, momentum=0.9), **settings)
    return network, ns.train(
        network, data, training, store=folder, phases=phases, cycles=cycles, progress=progress, resume=resume
    )


def test_noise_turns_kernels_of_the_feedback_and_leaves_norms_and_forward_weights_alone(tmp_path: Path) -> None:
    before, _ = phased(tmp_path / "before", LEARN)
    after, _ = phased(tmp_path / "after", LEARN, NOISE)
    start, end = tensors_of(ns.compile(rules.wm(RESIDUAL), seeds=(0, 1), device="cpu")), tensors_of(after)
    mirrored = {name for name, edge in after.circuit.projections.items() if edge.plasticity.while_driven}
    assert len(mirrored) == len(PLASTIC) - 1
    for name, tensor in tensors_of(before).items():
        kind, _, owner = name.partition("/")
        if kind == "weights" and owner in mirrored:
            assert torch.equal(tensor, start[name]), name
            assert not torch.equal(tensor, end[name]), name
        elif name != "steps":
            assert torch.equal(tensor, end[name]), name


def test_a_run_that_is_cut_in_its_noise_resumes_to_the_same_bits(tmp_path: Path) -> None:
    class Stop:
        def __call__(self, done: int, *_: Any) -> None:
            if done == 10:
                raise KeyboardInterrupt

    settings: Any = {"cycles": 2, "checkpoint_every_steps": 3, "record": (ns.probe("angle", every=1),)}
    whole, run = phased(tmp_path / "whole", LEARN, NOISE, **settings)
    with pytest.raises(KeyboardInterrupt):
        phased(tmp_path / "cut", LEARN, NOISE, progress=Stop(), **settings)
    again, resumed = phased(tmp_path / "cut", LEARN, NOISE, resume=True, **settings)
    must_be_equal(again, whole)
    must_hold_the_same(resumed, run)
