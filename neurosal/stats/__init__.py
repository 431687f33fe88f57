"""Measure: labelled arrays in, labelled arrays out, with `dim=`. The same statistics of plain arrays and tensors, with
`axis=`, are in `base`."""

from neurosal.stats.forgetting import average_accuracy, backward_transfer, forgetting, learning_accuracy
from neurosal.stats.routing import dead_areas, label_counts, usage_entropy, vote_accuracy
from neurosal.stats.seeds import mean_and_deviation
from neurosal.stats.symmetry import angle, chance_band, norm_ratio, path, sign_concordance

__all__ = [
    "angle",
    "average_accuracy",
    "backward_transfer",
    "chance_band",
    "dead_areas",
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
