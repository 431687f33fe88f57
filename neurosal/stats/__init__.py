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
from neurosal.stats.seeds import mean_and_deviation
from neurosal.stats.similarity import (
    debiased_cka,
    dissimilarity,
    linear_cka,
    procrustes_distance,
    rsa,
    shuffled_samples,
)
from neurosal.stats.symmetry import angle, chance_band, norm_ratio, path, sign_concordance

__all__ = [
    "Statistic",
    "active_share",
    "angle",
    "average_accuracy",
    "backward_transfer",
    "catalogue",
    "chance_band",
    "dead_areas",
    "dead_units",
    "debiased_cka",
    "dissimilarity",
    "find",
    "forgetting",
    "label_counts",
    "learning_accuracy",
    "lifetime_sparsity",
    "linear_cka",
    "mean_and_deviation",
    "norm_ratio",
    "participation_ratio",
    "path",
    "population_sparsity",
    "procrustes_distance",
    "rsa",
    "shuffled_samples",
    "sign_concordance",
    "usage_entropy",
    "vote_accuracy",
]
