"""Functions that return a circuit."""

from neurosal.circuits.foldiak import foldiak
from neurosal.circuits.mlp import mlp

__all__ = ["foldiak", "mlp"]
