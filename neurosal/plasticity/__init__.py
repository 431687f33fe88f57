"""Learn: local synaptic plasticity, one file a rule. A member sees only what is at its synapse."""

from neurosal.plasticity.anti_hebbian import AntiHebbian
from neurosal.plasticity.attract import Attract
from neurosal.plasticity.bcm import BCM
from neurosal.plasticity.delta import Delta
from neurosal.plasticity.fixed import Fixed
from neurosal.plasticity.hebbian import Hebbian
from neurosal.plasticity.k_means import KMeans
from neurosal.plasticity.kolen_pollack import KolenPollack
from neurosal.plasticity.oja import Oja
from neurosal.plasticity.online_balanced import OnlineBalanced
from neurosal.plasticity.weight_mirror import WeightMirror

__all__ = [
    "BCM",
    "AntiHebbian",
    "Attract",
    "Delta",
    "Fixed",
    "Hebbian",
    "KMeans",
    "KolenPollack",
    "Oja",
    "OnlineBalanced",
    "WeightMirror",
]
