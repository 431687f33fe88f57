"""Feedback that learns from spike timing alone comes closer to the transpose of the forward weights."""

from __future__ import annotations

import numpy as np

from neurosal.circuits import spike_alignment
from neurosal.engine.clock import Clock
from neurosal.lower.spiking import realise


def test_the_angle_between_the_ways_falls_and_only_feedback_changes() -> None:
    circuit = spike_alignment(amplitude_mv=0.04)
    clock = Clock([realise(circuit, seed, 1.0) for seed in (0, 1)])

    def dense(name: str, replica: int) -> np.ndarray:
        edges = clock.realised[replica].edges[name]
        found = np.zeros((8, 8))
        found[edges.post, edges.pre] = clock.projections[name].of_replica("w", replica).numpy()
        return found

    def angles() -> np.ndarray:
        pairs = [(dense("lower_to_upper", r), dense("upper_to_lower", r).T) for r in (0, 1)]
        return np.degrees([np.arccos((w * b).sum() / np.linalg.norm(w) / np.linalg.norm(b)) for w, b in pairs])

    before, forward = angles(), dense("lower_to_upper", 0)
    clock.run(6000)
    after = angles()
    assert before.min() > 75
    assert (before - after).min() > 20
    assert (dense("lower_to_upper", 0) == forward).all()
