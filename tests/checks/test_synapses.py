"""Memory of simulations: the estimate is near what a process takes, and what does not fit is refused in words."""

from __future__ import annotations

import subprocess
import sys

import pytest

import neurosal as ns
from neurosal import circuits
from neurosal.checks.memory import available_memory
from neurosal.checks.synapses import estimate_in_time, refuse_oversized_in_time
from neurosal.errors import ExperimentError
from neurosal.graph import LIF, Circuit, ExponentialDrive, FixedInDegree, Population, Projection
from neurosal.plasticity import STDP

MEASURED = """
import torch
from neurosal import circuits
from neurosal.engine.clock import Clock
from neurosal.lower.spiking import realise_all

def peak():
    lines = open("/proc/self/status").read().splitlines()  # getrusage also tells of the process that started this one
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

def ran(circuit, seeds, graph_seed):
    clock = Clock(realise_all(circuit, seeds, 0.1, graph_seed), dtype=torch.float32)
    clock.run(100, [])
    return clock

ran(circuits.cuba(80, 20), [0], None)
before = peak()
clock = ran(circuits.microcircuit(scale=0.15), range({replicas}), {graph_seed})
print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells peaks of memory")
@pytest.mark.parametrize(("replicas", "graph_seed"), [(2, None), (3, 0)])
def test_the_estimate_is_near_what_a_process_takes(replicas: int, graph_seed: int | None) -> None:
    program = MEASURED.format(replicas=replicas, graph_seed=graph_seed)
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    needs = estimate_in_time(circuits.microcircuit(scale=0.15), replicas, 0.1, "float32", graph_seed is not None)
    assert 0.8 < int(told) / sum(needs.values()) < 1.7


def test_replicas_need_synapses_of_their_own_unless_they_share_a_graph() -> None:
    circuit = circuits.microcircuit(scale=0.15)
    one, four = estimate_in_time(circuit), estimate_in_time(circuit, 4)
    shared = estimate_in_time(circuit, 4, one_graph=True)
    assert four["edges"] == pytest.approx(4 * one["edges"], rel=0.01)
    assert four["synapses"] == 4 * one["synapses"]
    assert (shared["edges"], shared["synapses"]) == (one["edges"], one["synapses"])
    assert shared["spikes"] == four["spikes"] == 4 * one["spikes"] > 0
    assert estimate_in_time(circuit, dtype="float32")["synapses"] < one["synapses"]


def test_what_synapses_remember_is_there_for_every_replica() -> None:
    def network(**fields: object) -> Circuit:
        edge = Projection(source="cells", target="cells", pathway="lateral", synapse=ExponentialDrive(),
                          wiring=FixedInDegree(inputs=50), **fields)  # fmt: skip
        return Circuit(populations={"cells": Population(size=100, model=LIF())}, projections={"edge": edge})

    static, plastic = (estimate_in_time(network(**more), 3, one_graph=True) for more in ({}, {"plasticity": STDP()}))
    remembered = 5000 * 8 * 3
    assert plastic["edges"] >= static["edges"] + remembered
    assert plastic["synapses"] >= static["synapses"] + 2 * remembered


def test_a_simulation_that_does_not_fit_is_refused_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = circuits.microcircuit(scale=0.1)
    with pytest.raises(ExperimentError, match=r"3 replicas.*fewer seeds.*graph_seed") as told:
        refuse_oversized_in_time(circuit, 3, 0.1, "float64", False, limit=10**6)
    assert "edges" in str(told.value)
    refuse_oversized_in_time(circuit, 3, 0.1, "float64", False, limit=10**9)

    def drawn(*_: object) -> None:
        raise AssertionError("something was drawn")

    monkeypatch.setattr("neurosal.runner.simulating.realise_all", drawn)
    free = available_memory()
    assert free is not None
    many = range(int(free / sum(estimate_in_time(circuit).values())) + 2)
    with pytest.raises(ExperimentError, match="memory"):
        ns.simulate(circuit, 10.0, seeds=many)
