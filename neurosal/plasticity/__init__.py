"""Learn: local synaptic plasticity, one file a rule. A member sees only what is at its synapse."""

from neurosal.plasticity.anti_hebbian import AntiHebbian
from neurosal.plasticity.attract import Attract
from neurosal.plasticity.bcm import BCM
from neurosal.plasticity.combined import Combined
from neurosal.plasticity.delta import Delta
from neurosal.plasticity.fixed import Fixed
from neurosal.plasticity.gated import Gated
from neurosal.plasticity.hebbian import Hebbian
from neurosal.plasticity.inhibitory_stdp import InhibitorySTDP
from neurosal.plasticity.k_means import KMeans
from neurosal.plasticity.kolen_pollack import KolenPollack
from neurosal.plasticity.normalised import Normalised
from neurosal.plasticity.oja import Oja
from neurosal.plasticity.online_balanced import OnlineBalanced
from neurosal.plasticity.reward_stdp import RewardSTDP
from neurosal.plasticity.spike_alignment import SpikeAlignment
from neurosal.plasticity.stdp import STDP
from neurosal.plasticity.synaptic_scaling import SynapticScaling
from neurosal.plasticity.triplet_stdp import TripletSTDP
from neurosal.plasticity.voltage_stdp import VoltageSTDP
from neurosal.plasticity.weight_mirror import WeightMirror

__all__ = [
    "BCM",
    "STDP",
    "AntiHebbian",
    "Attract",
    "Combined",
    "Delta",
    "Fixed",
    "Gated",
    "Hebbian",
    "InhibitorySTDP",
    "KMeans",
    "KolenPollack",
    "Normalised",
    "Oja",
    "OnlineBalanced",
    "RewardSTDP",
    "SpikeAlignment",
    "SynapticScaling",
    "TripletSTDP",
    "VoltageSTDP",
    "WeightMirror",
]
