"""Measure: labelled arrays in, labelled arrays out, with `dim=`. The same statistics of plain arrays and tensors, with
`axis=`, are in `base`. `catalogue()` lists them with formula, range, null, cost and reference."""

from neurosal.stats.catalogue import Statistic, catalogue, find
from neurosal.stats.forgetting import average_accuracy, backward_transfer, forgetting, learning_accuracy
from neurosal.stats.routing import dead_areas, label_counts, usage_entropy, vote_accuracy
from neurosal.stats.seeds import mean_and_deviation
from neurosal.stats.symmetry import angle, chance_band, norm_ratio, path, sign_concordance

__all__ = [
    "Statistic",
    "angle",
    "average_accuracy",
    "backward_transfer",
    "catalogue",
    "chance_band",
    "dead_areas",
    "find",
    "forgetting",
    "label_counts",
    "learning_accuracy",
    "mean_and_deviation",
    "norm_ratio",
    "path",
    "sign_concordance",
    "usage_entropy",
    "vote_accuracy",
]
