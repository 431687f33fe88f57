"""The largest memory that steps of a network take, measured in a process of its own: ``python -m tests.checks.measured
JSON``."""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.checks.memory import estimate
from neurosal.runner.pace import forget_peak, peak_memory

OPTIMIZERS: dict[str, Any] = {
    "plain": ns.SGD(lr=0.01), "momentum": ns.SGD(lr=0.01, momentum=0.9), "adam": ns.Adam(lr=1e-3),
    "clipped": ns.SGD(lr=0.01, clip=1.0),
}  # fmt: skip


def measured(case: dict[str, Any]) -> dict[str, int]:
    """Bytes that making a network and two steps take beyond what was there, and what was estimated."""
    circuit = circuits.mlp(*case["sizes"])
    circuit = rules.sal(circuit, areas=case["areas"]) if case["areas"] > 1 else rules.kp(circuit)
    optimizer, samples = OPTIMIZERS[case["optimizer"]], case["samples"]
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(samples, case["sizes"][0], generator=random), torch.randint(10, (samples,), generator=random)
    gc.collect()
    forget_peak()
    before = peak_memory()
    network = ns.compile(circuit, device="cpu")
    for _ in range(2):
        network.step(x, y, optimizer=optimizer)
    return {
        "measured": peak_memory() - before,
        "estimated": sum(estimate(circuit, 1, samples, "float32", optimizer).values()),
    }


if __name__ == "__main__":
    network = ns.compile(rules.kp(circuits.mlp(8, 8, 8, 4)), device="cpu")  # what torch takes for itself at first
    network.step(torch.randn(4, 8), torch.zeros(4, dtype=torch.int64), optimizer=ns.SGD(lr=0.1))
    print(json.dumps(measured(json.loads(sys.argv[1]))))
