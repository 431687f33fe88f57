"""Learn: local synaptic plasticity, one file a rule. A member sees only what is at its synapse."""

from neurosal.plasticity.attract import Attract
from neurosal.plasticity.delta import Delta
from neurosal.plasticity.fixed import Fixed
from neurosal.plasticity.k_means import KMeans
from neurosal.plasticity.kolen_pollack import KolenPollack
from neurosal.plasticity.online_balanced import OnlineBalanced
from neurosal.plasticity.weight_mirror import WeightMirror

__all__ = ["Attract", "Delta", "Fixed", "KMeans", "KolenPollack", "OnlineBalanced", "WeightMirror"]
