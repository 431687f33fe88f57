"""Circuits in continuous time on torch: a clock, replicas side by side, spikes as events."""
