"""Describe: populations, projections, wiring, weights' origin, models, and the circuit they make. No tensors here."""

from neurosal.graph.blocks import register_block
from neurosal.graph.circuit import Circuit
from neurosal.graph.convolution import Broadcast, Conv1d, Conv2d, Convolution, Reversed
from neurosal.graph.dynamics import Decay, Dynamics, Program, Timed
from neurosal.graph.emitters import InhomogeneousPoisson, PoissonSource, RegularTrain, SpikeTrain
from neurosal.graph.homeostatic import Homeostatic
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
from neurosal.graph.neurons import LIF, AdaptiveLIF, LeakyIntegrator
from neurosal.graph.nonlinear import AdEx, Izhikevich
from neurosal.graph.normalisation import BatchNorm, GroupNorm, LayerNorm, Normalisation, RMSNorm
from neurosal.graph.partial import EdgeList, FixedInDegree, FixedOutDegree, FixedTotal, OneToOthers, Sparse
from neurosal.graph.plasticity import Local, Plasticity, RouterPlasticity
from neurosal.graph.pooling import AvgPool2d, Flatten, GlobalAvgPool, MaxPool2d, Shortcut, Unpool
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.rates import LeakyRate
from neurosal.graph.short_term import ShortTerm, TsodyksMarkram
from neurosal.graph.spiking import Dynamical, Emitter
from neurosal.graph.synapses import (
    AlphaConductance,
    AlphaCurrent,
    Continuous,
    ContinuousModulation,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    Joined,
    Jump,
    Modulation,
    Synapse,
)
from neurosal.graph.timed import TimedReadout, TimedSource, Timing, targets_of, timing_of
from neurosal.graph.value import FrozenMap, Kinded, Value
from neurosal.graph.waveforms import Ramp, Samples, Sine, Steps, Waveform
from neurosal.graph.weights import Copy, Own, SignOf, Transpose, Weights
from neurosal.graph.wiring import Dense, OneToOne, Router, SameRoute, Wiring

__all__ = [
    "LIF",
    "AdEx",
    "AdaptiveLIF",
    "AlphaConductance",
    "AlphaCurrent",
    "AvgPool2d",
    "BatchNorm",
    "Block",
    "Broadcast",
    "Circuit",
    "Constant",
    "Continuous",
    "ContinuousModulation",
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
    "Homeostatic",
    "InhomogeneousPoisson",
    "Initialiser",
    "Izhikevich",
    "Joined",
    "Jump",
    "KaimingNormal",
    "KaimingUniform",
    "Kinded",
    "LayerNorm",
    "LeakyIntegrator",
    "LeakyRate",
    "Local",
    "LogNormal",
    "MaxPool2d",
    "Model",
    "Modulation",
    "Normal",
    "Normalisation",
    "OneToOne",
    "OneToOthers",
    "Orthogonal",
    "Own",
    "Plasticity",
    "PoissonSource",
    "Population",
    "Program",
    "Projection",
    "RMSNorm",
    "Ramp",
    "Rate",
    "RegularTrain",
    "Relay",
    "Reversed",
    "Router",
    "RouterPlasticity",
    "SameRoute",
    "Samples",
    "ShortTerm",
    "Shortcut",
    "SignOf",
    "Sine",
    "Source",
    "Sparse",
    "SpikeTrain",
    "Steps",
    "Synapse",
    "Timed",
    "TimedReadout",
    "TimedSource",
    "Timing",
    "Transpose",
    "TruncatedNormal",
    "TsodyksMarkram",
    "Uniform",
    "Unpool",
    "Value",
    "Waveform",
    "Weights",
    "Wiring",
    "XavierNormal",
    "XavierUniform",
    "register_block",
    "targets_of",
    "timing_of",
]
