"""How many threads a step is worth. Two threads that wait for each other cost a small network more than they give."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from neurosal.engine.network import Network

# Floating-point operations of a step below which one thread is as fast as two on a quiet machine and several times
# faster on a busy one (measured with 64-256-10 at batch 16 and 784-128-128-10 at batch 32, 1 to 8 replicas).
WORTH_TWO = 5e7


def operations(network: Network, batch_size: int) -> float:
    """Floating-point operations of the products of one step: forward, error and change of every selected area."""
    weights = sum(tensor[:, 0].numel() for tensor in network.weights.full.values())
    return 6.0 * batch_size * weights


@contextmanager
def fitting_threads(network: Network, batch_size: int) -> Iterator[None]:
    """One thread for small steps on the CPU; else as many as torch was given. What was set before is put back."""
    before = torch.get_num_threads()
    small = network.device.type == "cpu" and operations(network, batch_size) < WORTH_TWO
    try:
        torch.set_num_threads(1 if small else before)
        yield
    finally:
        torch.set_num_threads(before)
