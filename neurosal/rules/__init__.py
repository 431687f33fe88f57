"""Learning rules: functions from a circuit to a circuit, one file each. The feedback graph that they add *is* the rule.

Example:
    >>> from neurosal import rules
    >>> sorted(rules.__all__)
    ['bp', 'bptt', 'brsf', 'dfa', 'dkp', 'drtp', 'eprop', 'fa', 'frsf', 'kp', 'kp_tied', 'pfa', 'pfa_o', 'sal',
     'shallow', 'usf', 'wm']
"""

from neurosal.rules.backpropagation import bp
from neurosal.rules.backpropagation_through_time import bptt
from neurosal.rules.direct_feedback_alignment import dfa
from neurosal.rules.direct_kolen_pollack import dkp
from neurosal.rules.direct_random_target_projection import drtp
from neurosal.rules.eprop import eprop
from neurosal.rules.feedback_alignment import fa
from neurosal.rules.kolen_pollack import kp, kp_tied
from neurosal.rules.product_feedback_alignment import pfa, pfa_o
from neurosal.rules.selective_adaptive import sal
from neurosal.rules.shallow import shallow
from neurosal.rules.sign_symmetric import usf
from neurosal.rules.sign_symmetric_fixed import frsf
from neurosal.rules.sign_symmetric_redrawn import brsf
from neurosal.rules.weight_mirror import wm

__all__ = [
    "bp",
    "bptt",
    "brsf",
    "dfa",
    "dkp",
    "drtp",
    "eprop",
    "fa",
    "frsf",
    "kp",
    "kp_tied",
    "pfa",
    "pfa_o",
    "sal",
    "shallow",
    "usf",
    "wm",
]
