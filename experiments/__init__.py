"""Functions that return an experiment."""

from neurosal.experiments.eprop import eprop_digits, eprop_pattern, eprop_reset
from neurosal.experiments.kp_wm import kp_wm
from neurosal.experiments.lateral_decorrelation import lateral_decorrelation
from neurosal.experiments.pfa_cifar10 import pfa_cifar10, pfa_cifar10_full
from neurosal.experiments.pfa_density import pfa_density
from neurosal.experiments.pfa_expansion import pfa_expansion
from neurosal.experiments.plasticity import (
    align_then_learn,
    freeze_feedback,
    lesion_recover,
    split_digits,
    transfer,
    weight_mirror,
)
from neurosal.experiments.precision_mnist import precision_mnist, precision_mnist_sal
from neurosal.experiments.real_feedback import real_feedback
from neurosal.experiments.rules_mnist import rules_mnist, rules_mnist_to_input
from neurosal.experiments.sal_1b import sal_1b
from neurosal.experiments.sal_areas import sal_areas, sal_areas_satimage, sal_areas_total
from neurosal.experiments.sal_depth import sal_depth, sal_depth_search
from neurosal.experiments.sal_digits import sal_digits, sal_digits_choices, sal_digits_rates
from neurosal.experiments.sal_table import sal_table_cifar10, sal_table_digits, sal_table_mnist, sal_table_semeion
from neurosal.experiments.sal_width import sal_width

__all__ = [
    "align_then_learn",
    "eprop_digits",
    "eprop_pattern",
    "eprop_reset",
    "freeze_feedback",
    "kp_wm",
    "lateral_decorrelation",
    "lesion_recover",
    "pfa_cifar10",
    "pfa_cifar10_full",
    "pfa_density",
    "pfa_expansion",
    "precision_mnist",
    "precision_mnist_sal",
    "real_feedback",
    "rules_mnist",
    "rules_mnist_to_input",
    "sal_1b",
    "sal_areas",
    "sal_areas_satimage",
    "sal_areas_total",
    "sal_depth",
    "sal_depth_search",
    "sal_digits",
    "sal_digits_choices",
    "sal_digits_rates",
    "sal_table_cifar10",
    "sal_table_digits",
    "sal_table_mnist",
    "sal_table_semeion",
    "sal_width",
    "split_digits",
    "transfer",
    "weight_mirror",
]
