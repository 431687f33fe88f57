"""A threshold that seeks a rate: the exact balance of spikes and time, and the rate that it comes to."""

from __future__ import annotations

import numpy as np
import pytest

import neurosal as ns
from neurosal.engine.clock import Clock
from neurosal.graph import LIF, Circuit, Dynamical, Homeostatic, Izhikevich, PoissonSource, Population, Rate, Uniform
from neurosal.lower.spiking import realise


def circuit_of(model: Dynamical, size: int = 4) -> Circuit:
    return Circuit(populations={"cells": Population(size=size, model=model)})


def test_the_threshold_is_what_spikes_added_less_what_time_took() -> None:
    model = Homeostatic(of=LIF(bias_mv=Uniform(low=18.0, high=60.0)), target_hz=20.0, eta_mv=0.5, start_mv=1.5)
    clock = Clock([realise(circuit_of(model), seed, 1.0) for seed in (0, 1)])
    _, replica, unit = clock.run(500)["cells"]
    counts = np.zeros((2, 4))
    np.add.at(counts, (replica.numpy(), unit.numpy()), 1)
    assert abs(clock.state["cells"]["theta_mv"].numpy() - 1.5 - 0.5 * (counts - 20 * 0.5)).max() < 1e-12
    assert counts.min() < counts.max()


def test_all_units_come_to_the_rate_whatever_drives_them() -> None:
    model = Homeostatic(of=LIF(bias_mv=Uniform(low=15.0, high=60.0), refractory_ms=0.0), target_hz=20.0, eta_mv=0.5)
    clock = Clock([realise(circuit_of(model, 8), 0, 1.0)])
    clock.run(4000)
    _, _, unit = clock.run(1500)["cells"]
    assert np.bincount(unit.numpy(), minlength=8) == pytest.approx(np.full(8, 30), abs=2)
    theta = clock.state["cells"]["theta_mv"][0].numpy()
    assert np.ptp(theta) > 10


def test_models_without_such_a_threshold_are_refused() -> None:
    for model in (PoissonSource(), Rate(), Izhikevich()):
        with pytest.raises(ns.CircuitError, match="a model that"):
            Homeostatic(of=model)
    with pytest.raises(ns.CircuitError, match="moves it by nothing else"):
        Homeostatic(of=Homeostatic(of=LIF()))


def test_it_round_trips() -> None:
    circuit = circuit_of(Homeostatic(of=LIF(bias_mv=20.0), target_hz=7.0))
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
