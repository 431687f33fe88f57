"""Describe: populations, projections, wiring, weights' origin, models, and the circuit they make. No tensors here."""

from neurosal.graph.circuit import Circuit
from neurosal.graph.initialisers import (
    Constant,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Orthogonal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.graph.models import Model, Rate, Relay, Source
from neurosal.graph.normalisation import Normalisation, RMSNorm
from neurosal.graph.partial import EdgeList, FixedInDegree, FixedOutDegree, Sparse
from neurosal.graph.plasticity import Local, Plasticity, RouterPlasticity
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.value import FrozenMap, Kinded, Value
from neurosal.graph.weights import Copy, Own, SignOf, Transpose, Weights
from neurosal.graph.wiring import Dense, OneToOne, Router, SameRoute, Wiring

__all__ = [
    "Circuit",
    "Constant",
    "Copy",
    "Dense",
    "EdgeList",
    "FixedInDegree",
    "FixedOutDegree",
    "FrozenMap",
    "Initialiser",
    "KaimingNormal",
    "KaimingUniform",
    "Kinded",
    "Local",
    "Model",
    "Normal",
    "Normalisation",
    "OneToOne",
    "Orthogonal",
    "Own",
    "Plasticity",
    "Population",
    "Projection",
    "RMSNorm",
    "Rate",
    "Relay",
    "Router",
    "RouterPlasticity",
    "SameRoute",
    "SignOf",
    "Source",
    "Sparse",
    "Transpose",
    "Uniform",
    "Value",
    "Weights",
    "Wiring",
    "XavierNormal",
    "XavierUniform",
]
