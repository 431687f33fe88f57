"""Statistics of plain arrays: one file a family. `neurosal.stats` lifts them to labelled arrays with `dim=` and says
what each one means.

numpy arrays and torch tensors are taken alike (torch is never imported from here: a tensor brings its module along),
computed in float64 and returned as the same kind of array. What has no answer (a zero vector, no value at all) is NaN,
never a warning. Vector-like statistics take `axis=`; matrix-like ones work on the last two axes and keep the rest.
"""

from neurosal.stats.base.activity import (
    active_share,
    dead_units,
    lifetime_sparsity,
    participation_ratio,
    population_sparsity,
)
from neurosal.stats.base.arrays import DEGREES, Axis, namespace, norm, wide
from neurosal.stats.base.forgetting import average_accuracy, backward_transfer, forgetting, learning_accuracy
from neurosal.stats.base.routing import dead_areas, usage_entropy
from neurosal.stats.base.seeds import mean_and_deviation
from neurosal.stats.base.similarity import debiased_cka, dissimilarity, linear_cka, procrustes_distance, rsa
from neurosal.stats.base.symmetry import angle, norm_ratio, path, sign_concordance

__all__ = [
    "DEGREES",
    "Axis",
    "active_share",
    "angle",
    "average_accuracy",
    "backward_transfer",
    "dead_areas",
    "dead_units",
    "debiased_cka",
    "dissimilarity",
    "forgetting",
    "learning_accuracy",
    "lifetime_sparsity",
    "linear_cka",
    "mean_and_deviation",
    "namespace",
    "norm",
    "norm_ratio",
    "participation_ratio",
    "path",
    "population_sparsity",
    "procrustes_distance",
    "rsa",
    "sign_concordance",
    "usage_entropy",
    "wide",
]
