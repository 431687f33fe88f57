"""Train, simulate and run experiments: the verbs that turn values into stored runs."""

from neurosal.runner.experiment import run
from neurosal.runner.simulating import simulate
from neurosal.runner.training import train
from neurosal.runner.tuning import tune

__all__ = ["run", "simulate", "train", "tune"]
