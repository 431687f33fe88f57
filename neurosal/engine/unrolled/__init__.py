"""Circuits of spiking units unrolled over the steps of a sample: forward, errors back in time, and the same changes,
optimisers, records and checkpoints as networks without time."""
