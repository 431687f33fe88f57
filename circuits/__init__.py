"""Functions that return a circuit."""

from neurosal.circuits.mlp import mlp

__all__ = ["mlp"]
