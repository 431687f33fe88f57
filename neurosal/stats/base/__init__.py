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
from neurosal.stats.base.seeds import bootstrap_interval, interquartile_mean, mean_and_deviation
from neurosal.stats.base.similarity import debiased_cka, dissimilarity, linear_cka, procrustes_distance, rsa
from neurosal.stats.base.symmetry import (
    alignment_p,
    angle,
    both_ways,
    centred_angle,
    centred_unit_angle,
    norm_ratio,
    path,
    permuted_dots,
    principal_angles,
    sign_concordance,
    sign_kappa,
    slope,
    subspace_angle,
    unit_angle,
)
from neurosal.stats.base.weights import (
    akaike,
    drift,
    effective_rank,
    hoyer,
    lognormality,
    singular_values,
    stable_rank,
    survival,
    treves_rolls,
    turnover,
    update_size,
)

__all__ = [
    "DEGREES",
    "Axis",
    "active_share",
    "akaike",
    "alignment_p",
    "angle",
    "average_accuracy",
    "backward_transfer",
    "bootstrap_interval",
    "both_ways",
    "centred_angle",
    "centred_unit_angle",
    "dead_areas",
    "dead_units",
    "debiased_cka",
    "dissimilarity",
    "drift",
    "effective_rank",
    "forgetting",
    "hoyer",
    "interquartile_mean",
    "learning_accuracy",
    "lifetime_sparsity",
    "linear_cka",
    "lognormality",
    "mean_and_deviation",
    "namespace",
    "norm",
    "norm_ratio",
    "participation_ratio",
    "path",
    "permuted_dots",
    "population_sparsity",
    "principal_angles",
    "procrustes_distance",
    "rsa",
    "sign_concordance",
    "sign_kappa",
    "singular_values",
    "slope",
    "stable_rank",
    "subspace_angle",
    "survival",
    "treves_rolls",
    "turnover",
    "unit_angle",
    "update_size",
    "usage_entropy",
    "wide",
]
