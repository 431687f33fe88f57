"""Validate: circuits, experiments and memory. A check never changes what it checks and reports all problems at once."""

from neurosal.checks.circuit import check, check_circuit_data
from neurosal.checks.experiment import check_experiment, check_experiment_data
from neurosal.checks.learning import nothing_changes
from neurosal.checks.memory import (
    available_memory,
    estimate,
    estimate_run,
    machine_memory,
    parameter_count,
    refuse_oversized,
)

__all__ = [
    "available_memory",
    "check",
    "check_circuit_data",
    "check_experiment",
    "check_experiment_data",
    "estimate",
    "estimate_run",
    "machine_memory",
    "nothing_changes",
    "parameter_count",
    "refuse_oversized",
]
