"""Measure: labelled arrays in, labelled arrays out, with `dim=`. The same statistics of plain arrays and tensors, with
`axis=`, are in `base`. `catalogue()` lists them with formula, range, null, cost and reference."""

from neurosal.stats.activity import (
    active_share,
    dead_units,
    lifetime_sparsity,
    participation_ratio,
    population_sparsity,
)
from neurosal.stats.catalogue import Statistic, catalogue, find
from neurosal.stats.forgetting import average_accuracy, backward_transfer, forgetting, learning_accuracy
from neurosal.stats.routing import dead_areas, label_counts, usage_entropy, vote_accuracy
from neurosal.stats.seeds import bootstrap_interval, interquartile_mean, mean_and_deviation
from neurosal.stats.similarity import (
    debiased_cka,
    dissimilarity,
    linear_cka,
    procrustes_distance,
    rsa,
    shuffled_samples,
)
from neurosal.stats.subspaces import alignment_p, permutation_null, principal_angles, subspace_angle
from neurosal.stats.symmetry import (
    angle,
    centred_angle,
    centred_unit_angle,
    chance_band,
    norm_ratio,
    path,
    sign_concordance,
    sign_kappa,
    slope,
    unit_angle,
)
from neurosal.stats.weights import (
    drift,
    effective_rank,
    hoyer,
    lognormality,
    magnitude_fits,
    stable_rank,
    survival,
    treves_rolls,
    turnover,
    update_size,
)

__all__ = [
    "Statistic",
    "active_share",
    "alignment_p",
    "angle",
    "average_accuracy",
    "backward_transfer",
    "bootstrap_interval",
    "catalogue",
    "centred_angle",
    "centred_unit_angle",
    "chance_band",
    "dead_areas",
    "dead_units",
    "debiased_cka",
    "dissimilarity",
    "drift",
    "effective_rank",
    "find",
    "forgetting",
    "hoyer",
    "interquartile_mean",
    "label_counts",
    "learning_accuracy",
    "lifetime_sparsity",
    "linear_cka",
    "lognormality",
    "magnitude_fits",
    "mean_and_deviation",
    "norm_ratio",
    "participation_ratio",
    "path",
    "permutation_null",
    "population_sparsity",
    "principal_angles",
    "procrustes_distance",
    "rsa",
    "shuffled_samples",
    "sign_concordance",
    "sign_kappa",
    "slope",
    "stable_rank",
    "subspace_angle",
    "survival",
    "treves_rolls",
    "turnover",
    "unit_angle",
    "update_size",
    "usage_entropy",
    "vote_accuracy",
]
