"""neurosal: circuits that learn without weight symmetry.

Importing this package imports neither torch nor Brian2; the verbs that need them load them when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurosal import data, plasticity, rules
from neurosal.checks import check
from neurosal.errors import CircuitError, DataError, DivergedError, ExperimentError, NeurosalError, StoreError
from neurosal.graph import Circuit, Population, Projection
from neurosal.settings import (
    SGD,
    Adam,
    AdamW,
    Experiment,
    Lesion,
    Noise,
    PadCrop,
    Phase,
    RandomFlip,
    Reset,
    Rewire,
    Search,
    Simulation,
    Training,
    Tuned,
    probe,
    record_spikes,
    record_state,
    record_weights,
)
from neurosal.version import __version__

if TYPE_CHECKING:
    from neurosal import stats
    from neurosal.drawing import draw
    from neurosal.engine.network import compile
    from neurosal.engine.storing import load
    from neurosal.library import load_experiment
    from neurosal.lower.brian2 import to_brian2
    from neurosal.record.run import open_run
    from neurosal.record.simulated import Simulated
    from neurosal.runner import run, simulate, train, tune
    from neurosal.runner.crosschecking import crosscheck

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Circuit",
    "CircuitError",
    "DataError",
    "DivergedError",
    "Experiment",
    "ExperimentError",
    "Lesion",
    "NeurosalError",
    "Noise",
    "PadCrop",
    "Phase",
    "Population",
    "Projection",
    "RandomFlip",
    "Reset",
    "Rewire",
    "Search",
    "Simulated",
    "Simulation",
    "StoreError",
    "Training",
    "Tuned",
    "__version__",
    "check",
    "compile",
    "crosscheck",
    "data",
    "draw",
    "load",
    "load_experiment",
    "open_run",
    "plasticity",
    "probe",
    "record_spikes",
    "record_state",
    "record_weights",
    "rules",
    "run",
    "simulate",
    "stats",
    "to_brian2",
    "train",
    "tune",
]
_LAZY = {
    "compile": "neurosal.engine.network",
    "crosscheck": "neurosal.runner.crosschecking",
    "draw": "neurosal.drawing",
    "load": "neurosal.engine.storing",
    "load_experiment": "neurosal.library",
    "open_run": "neurosal.record.run",
    "run": "neurosal.runner",
    "Simulated": "neurosal.record.simulated",
    "simulate": "neurosal.runner",
    "stats": "",
    "to_brian2": "neurosal.lower.brian2",
    "train": "neurosal.runner",
    "tune": "neurosal.runner",
    "circuits": "",
    "experiments": "",
    "analysis": "",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_LAZY[name] or f"{__name__}.{name}")
    return getattr(module, name) if _LAZY[name] else module
