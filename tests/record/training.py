"""A small real training run that records everything there is to record, for the tests that kill it."""

from __future__ import annotations

import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.record import background, faults
from neurosal.settings import Training

PROBES = (
    ns.probe("angle", every=2),
    ns.probe("norm_ratio", every=2),
    ns.probe("weight", every=5),
    ns.probe("update", "input_to_hidden1", every=5),
    ns.probe("usage", log=4),
    ns.probe("update_angle", every=7),
    ns.probe("activity", epochs=1, samples=3),
    ns.probe("error", epochs=1, samples=3),
    ns.probe("area", epochs=1, samples=3),
)
TRAINING = Training(
    epochs=4,
    batch_size=128,
    optimizer=ns.SGD(lr=(0.05, 0.1), momentum=0.9, weight_decay=1e-4),
    evaluate_every=2,
    log_every=3,
    checkpoint_every=1,
    record=PROBES,
)


def train(folder: str, fault: tuple[str, int] | None = None) -> None:
    """Begin or resume the training in `folder` and bring it to its end, or to the fault (point, count)."""
    torch.set_num_threads(1)  # the same bits are promised for the same count of threads
    background.COMMIT_SECONDS = 0.0  # a commit after every step, so that there are many moments to be killed at
    if fault is not None:
        faults._handler = faults.kill_at(*fault)
    circuit = rules.sal(circuits.mlp(64, 16, 10), areas=3)
    network = ns.compile(circuit, seeds=(0, 1), device="cpu")
    data = ns.data.load("digits")
    replicas = {"lr": [0.05, 0.1]}
    ns.train(network, data, TRAINING, store=folder, resume=True, replicas=replicas)
