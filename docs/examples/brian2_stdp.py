"""A spiking circuit in Brian2, recorded as every run is: ``python docs/examples/brian2_stdp.py runs/stdp``.

Poisson input reaches leaky integrate-and-fire neurons through sparse synapses that learn by pair STDP: a synapse grows
by A₊ exp(-Δ/τ₊) when its target fires Δ after its source, and shrinks by A₋ exp(-Δ/τ₋) when it fires Δ before. Spikes,
membrane potentials and weights are drained after every window, so the memory that they take does not grow with time;
the record opens with plain xarray and with `neurosal.open_run`, beside circuits that were trained.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import brian2
import numpy as np

import neurosal as ns
from neurosal.record import Recorder, dense_weights, spikes_between
from neurosal.record.monitors import Simulation

SETTINGS: dict[str, Any] = {
    "inputs": 100,
    "neurons": 20,
    "density": 0.3,
    "rate_hz": 20.0,
    "dt_ms": 0.1,
    "tau_ms": 10.0,
    "rest_mv": -60.0,
    "threshold_mv": -50.0,
    "refractory_ms": 5.0,
    "w_max_mv": 3.0,
    "a_plus": 0.777 / 100,  # of w_max
    "a_minus": 0.273 / 100,
    "tau_plus_ms": 16.8,
    "tau_minus_ms": 33.7,
}


def stdp_synapses(source: Any, target: Any, settings: dict[str, Any], transmits: str = "v_post += w * mV") -> Any:
    """Synapses with weight `w` from 0 to `w_max_mv` that learn from all pairs of spikes."""
    namespace = {"mV": brian2.mV, "w_max": settings["w_max_mv"]}
    namespace |= {name: settings[f"{name}_ms"] * brian2.ms for name in ("tau_plus", "tau_minus")}
    namespace |= {name: settings[name] * settings["w_max_mv"] for name in ("a_plus", "a_minus")}
    return brian2.Synapses(
        source,
        target,
        """w : 1
           dplus/dt = -plus / tau_plus : 1 (event-driven)
           dminus/dt = -minus / tau_minus : 1 (event-driven)""",
        on_pre=f"""{transmits}
           w = clip(w - minus, 0, w_max)
           plus += a_plus""",
        on_post="""w = clip(w + plus, 0, w_max)
           minus += a_minus""",
        namespace=namespace,
    )


def build(seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Brian2's objects by name. Everything random follows from the seed."""
    brian2.prefs.codegen.target = "numpy"  # needs no compiler
    brian2.defaultclock.dt = settings["dt_ms"] * brian2.ms
    brian2.seed(seed)
    random = np.random.default_rng(seed)
    inputs = brian2.PoissonGroup(settings["inputs"], rates=settings["rate_hz"] * brian2.Hz)
    neurons = brian2.NeuronGroup(
        settings["neurons"],
        "dv/dt = (rest - v) / tau : volt (unless refractory)",
        threshold="v > threshold",
        reset="v = rest",
        refractory=settings["refractory_ms"] * brian2.ms,
        method="exact",
        namespace={
            "rest": settings["rest_mv"] * brian2.mV,
            "threshold": settings["threshold_mv"] * brian2.mV,
            "tau": settings["tau_ms"] * brian2.ms,
        },
    )
    neurons.v = settings["rest_mv"] * brian2.mV
    synapses = stdp_synapses(inputs, neurons, settings)
    pre, post = np.nonzero(random.random((settings["inputs"], settings["neurons"])) < settings["density"])
    synapses.connect(i=pre, j=post)
    synapses.w = random.uniform(0, settings["w_max_mv"], len(pre))
    monitors = {
        "input_spikes": brian2.SpikeMonitor(inputs),
        "spikes": brian2.SpikeMonitor(neurons),
        "potential": brian2.StateMonitor(neurons, "v", record=[0, 3], dt=1 * brian2.ms),
    }
    objects = {"inputs": inputs, "neurons": neurons, "synapses": synapses, **monitors}
    return {**objects, "network": brian2.Network(*objects.values())}


GRAPH = {
    "population": ["input", "excitatory"],
    "size": [SETTINGS["inputs"], SETTINGS["neurons"]],
    "areas": [1, 1],
    "model": ["poisson", "lif"],
    "projection": ["input_to_excitatory"],
    "source": ["input"],
    "target": ["excitatory"],
    "pathway": ["feedforward"],
    "wiring": ["sparse"],
    "weights": ["own"],
    "plasticity": ["stdp"],
    "pair": [""],
}


def record(folder: str | Path, *, seed: int = 0, windows: int = 10, window_ms: float = 100.0) -> None:
    """Simulate some windows and record all of them, committed one by one."""
    made = build(seed, SETTINGS)
    settings = {**SETTINGS, "windows": windows, "window_ms": window_ms, "simulator": f"brian2 {brian2.__version__}"}
    with Recorder.create(folder, circuit={}, settings=settings, replicas={"seed": [seed]}, graph=GRAPH) as recorder:
        simulation = Simulation(recorder, dt_ms=SETTINGS["dt_ms"])
        simulation.spikes("input", made["input_spikes"])
        simulation.spikes("excitatory", made["spikes"])
        simulation.trace("excitatory", made["potential"], {"v_mv": ("v", brian2.mV, "membrane potential")})
        simulation.weights("input_to_excitatory", made["synapses"], "w", pre="input", post="excitatory",
                           schedule="every_window")  # fmt: skip
        simulation.snapshot()
        for window in range(1, windows + 1):
            made["network"].run(window_ms * brian2.ms)
            simulation.drain(window * window_ms)
            simulation.snapshot()
            recorder.commit()


def main(folder: str) -> None:
    """Record half a second, then say what is in the record."""
    record(folder, windows=5)
    run = ns.open_run(folder)
    print(run.tree["spikes/excitatory"].to_dataset())
    late = spikes_between(run.tree, "excitatory", 250, 500)
    print(f"rate in the second half: {late.sizes['event'] / SETTINGS['neurons'] / 0.25:.1f} Hz")
    weights = dense_weights(run.tree["projections/input_to_excitatory/every_window"].to_dataset())
    print(weights.isel(replica=0, snapshot=-1))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/brian2_stdp")
