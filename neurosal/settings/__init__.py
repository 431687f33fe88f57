"""What is asked of a run, as values: optimisers, schedules, probes, training, experiments. No tensors are made here."""

from neurosal.settings.augmentation import Augmentation, PadCrop, RandomFlip
from neurosal.settings.experiment import Arm, Experiment, Recipe
from neurosal.settings.optimizers import SGD, Adam, AdamW, Optimizer
from neurosal.settings.phases import Lesion, Noise, Phase, Reset, Rewire
from neurosal.settings.probes import Probe, probe
from neurosal.settings.recording import (
    RecordedSpikes,
    RecordedState,
    RecordedWeights,
    Recording,
    record_spikes,
    record_state,
    record_weights,
)
from neurosal.settings.schedules import Cosine, Piecewise, Schedule, Steps, WarmUp
from neurosal.settings.search import LogUniform, Range, Search, Uniform
from neurosal.settings.simulation import Simulation
from neurosal.settings.training import Training
from neurosal.settings.tuned import Best, Trial, Tuned

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Arm",
    "Augmentation",
    "Best",
    "Cosine",
    "Experiment",
    "Lesion",
    "LogUniform",
    "Noise",
    "Optimizer",
    "PadCrop",
    "Phase",
    "Piecewise",
    "Probe",
    "RandomFlip",
    "Range",
    "Recipe",
    "RecordedSpikes",
    "RecordedState",
    "RecordedWeights",
    "Recording",
    "Reset",
    "Rewire",
    "Schedule",
    "Search",
    "Simulation",
    "Steps",
    "Training",
    "Trial",
    "Tuned",
    "Uniform",
    "WarmUp",
    "probe",
    "record_spikes",
    "record_state",
    "record_weights",
]
