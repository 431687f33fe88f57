"""Stored run in, labelled arrays and figure out. Each name here is an `Analysis`: call it with a run, then `.figure`
and `.table` what it returns."""

from neurosal.analysis.areas import areas
from neurosal.analysis.compare import compare
from neurosal.analysis.credit import credit
from neurosal.analysis.decorrelation import decorrelation
from neurosal.analysis.forgetting import forgetting
from neurosal.analysis.intervals import intervals
from neurosal.analysis.layers import layers
from neurosal.analysis.lazy_rich import lazy_rich
from neurosal.analysis.learning_curves import learning_curves
from neurosal.analysis.phases import phases
from neurosal.analysis.plasticity import plasticity
from neurosal.analysis.raster import raster
from neurosal.analysis.rates import rates
from neurosal.analysis.reciprocity import reciprocity
from neurosal.analysis.relays import relays
from neurosal.analysis.reporting import report
from neurosal.analysis.representations import representations
from neurosal.analysis.series import series
from neurosal.analysis.states import states
from neurosal.analysis.stdp_window import stdp_window
from neurosal.analysis.symmetry import symmetry
from neurosal.analysis.tuning import tuning
from neurosal.analysis.weight_distribution import weight_distribution

__all__ = [
    "areas",
    "compare",
    "credit",
    "decorrelation",
    "forgetting",
    "intervals",
    "layers",
    "lazy_rich",
    "learning_curves",
    "phases",
    "plasticity",
    "raster",
    "rates",
    "reciprocity",
    "relays",
    "report",
    "representations",
    "series",
    "states",
    "stdp_window",
    "symmetry",
    "tuning",
    "weight_distribution",
]
