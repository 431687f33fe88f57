"""Functions that return a circuit."""

from neurosal.circuits.foldiak import foldiak
from neurosal.circuits.mlp import mlp
from neurosal.circuits.residual_mlp import residual_mlp

__all__ = ["foldiak", "mlp", "residual_mlp"]
