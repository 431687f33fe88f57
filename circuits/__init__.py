"""Functions that return a circuit."""

from neurosal.circuits.all_conv import all_conv
from neurosal.circuits.brunel import brunel, brunel_small
from neurosal.circuits.connectome import connectome
from neurosal.circuits.diehl_cook import diehl_cook
from neurosal.circuits.foldiak import foldiak
from neurosal.circuits.lenet5 import lenet5
from neurosal.circuits.microcircuit import microcircuit
from neurosal.circuits.mlp import mlp
from neurosal.circuits.pattern_generator import pattern_generator
from neurosal.circuits.rate_dynamics import rate_dynamics
from neurosal.circuits.residual_mlp import residual_mlp
from neurosal.circuits.resnet import resnet20, resnet32, resnet56
from neurosal.circuits.resnet18 import resnet18
from neurosal.circuits.row_reader import row_reader
from neurosal.circuits.song_stdp import song_stdp
from neurosal.circuits.spike_alignment import spike_alignment
from neurosal.circuits.spike_pairs import spike_pairs
from neurosal.circuits.vgg import vgg
from neurosal.circuits.vogels_abbott import coba, cuba

__all__ = [
    "all_conv",
    "brunel",
    "brunel_small",
    "coba",
    "connectome",
    "cuba",
    "diehl_cook",
    "foldiak",
    "lenet5",
    "microcircuit",
    "mlp",
    "pattern_generator",
    "rate_dynamics",
    "residual_mlp",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet56",
    "row_reader",
    "song_stdp",
    "spike_alignment",
    "spike_pairs",
    "vgg",
]
