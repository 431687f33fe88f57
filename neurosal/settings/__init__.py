"""What is asked of a run, as values: optimisers, schedules, probes, training, experiments. No tensors are made here."""

from neurosal.settings.experiment import Arm, Experiment, Recipe
from neurosal.settings.optimizers import SGD, Adam, AdamW, Optimizer
from neurosal.settings.probes import Probe, probe
from neurosal.settings.schedules import Cosine, Piecewise, Schedule, Steps, WarmUp
from neurosal.settings.training import Training

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Arm",
    "Cosine",
    "Experiment",
    "Optimizer",
    "Piecewise",
    "Probe",
    "Recipe",
    "Schedule",
    "Steps",
    "Training",
    "WarmUp",
    "probe",
]
