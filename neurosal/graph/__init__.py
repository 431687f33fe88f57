"""Describe: populations, projections, wiring, weights' origin, models, and the circuit they make. No tensors here."""

from neurosal.graph.blocks import register_block
from neurosal.graph.circuit import Circuit
from neurosal.graph.convolution import Broadcast, Conv1d, Conv2d, Convolution, Reversed
from neurosal.graph.dynamics import Decay, Dynamics, Program, Timed
from neurosal.graph.initialisers import (
    Constant,
    Given,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    LogNormal,
    Normal,
    Orthogonal,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.graph.models import Block, Model, Rate, Relay, Source
from neurosal.graph.normalisation import BatchNorm, GroupNorm, LayerNorm, Normalisation, RMSNorm
from neurosal.graph.partial import EdgeList, FixedInDegree, FixedOutDegree, FixedTotal, Sparse
from neurosal.graph.plasticity import Local, Plasticity, RouterPlasticity
from neurosal.graph.pooling import AvgPool2d, Flatten, GlobalAvgPool, MaxPool2d, Shortcut, Unpool
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.short_term import ShortTerm, TsodyksMarkram
from neurosal.graph.spiking import LIF, Dynamical, Emitter, PoissonSource, SpikeTrain
from neurosal.graph.synapses import (
    AlphaConductance,
    AlphaCurrent,
    Continuous,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    Joined,
    Jump,
    Modulation,
    Synapse,
)
from neurosal.graph.value import FrozenMap, Kinded, Value
from neurosal.graph.weights import Copy, Own, SignOf, Transpose, Weights
from neurosal.graph.wiring import Dense, OneToOne, Router, SameRoute, Wiring

__all__ = [
    "LIF",
    "AlphaConductance",
    "AlphaCurrent",
    "AvgPool2d",
    "BatchNorm",
    "Block",
    "Broadcast",
    "Circuit",
    "Constant",
    "Continuous",
    "Conv1d",
    "Conv2d",
    "Convolution",
    "Copy",
    "Decay",
    "Dense",
    "Dynamical",
    "Dynamics",
    "EdgeList",
    "Emitter",
    "ExponentialConductance",
    "ExponentialCurrent",
    "ExponentialDrive",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedTotal",
    "Flatten",
    "FrozenMap",
    "Given",
    "GlobalAvgPool",
    "GroupNorm",
    "Initialiser",
    "Joined",
    "Jump",
    "KaimingNormal",
    "KaimingUniform",
    "Kinded",
    "LayerNorm",
    "Local",
    "LogNormal",
    "MaxPool2d",
    "Model",
    "Modulation",
    "Normal",
    "Normalisation",
    "OneToOne",
    "Orthogonal",
    "Own",
    "Plasticity",
    "PoissonSource",
    "Population",
    "Program",
    "Projection",
    "RMSNorm",
    "Rate",
    "Relay",
    "Reversed",
    "Router",
    "RouterPlasticity",
    "SameRoute",
    "ShortTerm",
    "Shortcut",
    "SignOf",
    "Source",
    "Sparse",
    "SpikeTrain",
    "Synapse",
    "Timed",
    "Transpose",
    "TruncatedNormal",
    "TsodyksMarkram",
    "Uniform",
    "Unpool",
    "Value",
    "Weights",
    "Wiring",
    "XavierNormal",
    "XavierUniform",
    "register_block",
]
