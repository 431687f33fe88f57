"""Train and run experiments: the verbs that turn values into stored runs."""

from neurosal.runner.experiment import run
from neurosal.runner.training import train
from neurosal.runner.tuning import tune

__all__ = ["run", "train", "tune"]
