"""Record: what a run leaves behind, in a store that survives being killed, and opening it again. No torch here."""

from neurosal.record.experiment import ExperimentFolder
from neurosal.record.run import Plot, Run, open_run
from neurosal.record.spiking import SpikeRecord, dense_weights, spikes_between
from neurosal.record.status import Status
from neurosal.record.writer import Recorder

__all__ = [
    "ExperimentFolder",
    "Plot",
    "Recorder",
    "Run",
    "SpikeRecord",
    "Status",
    "dense_weights",
    "open_run",
    "spikes_between",
]
