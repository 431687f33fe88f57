"""Record: what a run leaves behind, in a store that survives being killed, and opening it again. No torch here."""

from neurosal.record.experiment import ExperimentFolder
from neurosal.record.run import Plot, Run, open_run
from neurosal.record.status import Status
from neurosal.record.writer import Recorder

__all__ = ["ExperimentFolder", "Plot", "Recorder", "Run", "Status", "open_run"]
