"""The same circuit, weights and input on the clock: the same spikes and the same read-out, step by step, float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal.engine.clock import Clock
from neurosal.graph import LIF, AdaptiveLIF, Circuit, SpikeTrain, Uniform
from neurosal.lower.spiking import realise
from neurosal.plasticity import Fixed
from tests.engine.unrolled.making import SOFT, circuit, spikes

MODELS = {
    "lif": LIF(**SOFT),
    "drive and start of each unit": LIF(**{**SOFT, "bias_mv": Uniform(low=0.2, high=1.3), "start_mv": 0.4}),
    "current": LIF(**{**SOFT, "bias_pa": 11.0, "capacitance_pf": 250.0}),
    "adapting": AdaptiveLIF(**SOFT, threshold_step_mv=Uniform(low=0.0, high=0.6), start_adaptation_mv=0.3),
    "refractory": LIF(**{**SOFT, "refractory_ms": 3.0, "clamped": False}),
    "refractory for one step": LIF(**{**SOFT, "refractory_ms": 1.0, "clamped": True}),
    "clamped": AdaptiveLIF(**{**SOFT, "refractory_ms": 4.0, "clamped": True}, threshold_step_mv=0.2),
    "clamped without refractory time": LIF(**{**SOFT, "clamped": True}),
    "put back": LIF(**{**SOFT, "reset": "set", "refractory_ms": 2.0, "v_reset_mv": -0.3, "clamped": True}),
    "thresholds of each unit": LIF(**{**SOFT, "v_threshold_mv": Uniform(low=0.5, high=1.5)}),
}
STEPS = 60


def on_the_clock(described: Circuit, weights: dict[str, torch.Tensor], sample: np.ndarray, seed: int) -> Clock:
    """The clock of one sample, with these weights."""
    model = described.populations["input"].model
    step, unit = np.nonzero(sample.reshape(model.steps, -1))
    train = SpikeTrain(times_ms=tuple(step * model.dt_ms), units=tuple(unit))
    still = {name: edge.replace(plasticity=Fixed()) for name, edge in described.projections.items()}
    source = described.populations["input"].replace(model=train)
    timed = described.replace(projections=still).with_populations(input=source)
    clock = Clock([realise(timed, seed=seed, dt_ms=model.dt_ms)])
    for name, weight in weights.items():
        projecting = clock.projections[name]
        projecting.values["w"].copy_(weight[projecting.post, projecting.pre])
    return clock


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_spikes_and_read_out_are_those_of_the_clock(model):
    described = circuit(model, steps=STEPS, std=0.6)
    seeds, samples = (2, 5), 2
    network = ns.compile(described, seeds=seeds, device="cpu", dtype="float64")
    x = spikes(samples, described)
    played = network.play(x)
    assert 0.02 < played["hidden"].mean() < 0.6
    for replica, seed in enumerate(seeds):
        weights = {name: network.weights[name][replica, 0] for name in described.projections}
        for sample in range(samples):
            clock = on_the_clock(described, weights, x[sample].numpy(), seed)
            read = []
            found = torch.zeros(STEPS, 9, dtype=torch.float64)
            for n in range(STEPS):
                found[n, clock.step()["hidden"]] = 1.0
                read.append(clock.state["output"]["v_mv"][0].clone())
            assert torch.equal(found, played["hidden"][replica, :, sample])
            torch.testing.assert_close(torch.stack(read), played["output"][replica, :, sample], rtol=1e-10, atol=1e-12)
