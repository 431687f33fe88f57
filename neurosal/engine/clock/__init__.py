"""Circuits in continuous time on torch: a clock, replicas side by side, spikes as events."""

from neurosal.engine.clock.clock import Clock

__all__ = ["Clock"]
