"""The torch engine in continuous time against closed forms, and replicas against single runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neurosal.engine.clock import Clock
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialDrive,
    Jump,
    OneToOne,
    Own,
    Population,
    Projection,
    Sparse,
    SpikeTrain,
    Uniform,
)
from neurosal.lower.spiking import realise

DT = 0.1


def clock_of(circuit: Circuit, seeds: tuple[int, ...] = (0,)) -> Clock:
    return Clock([realise(circuit, seed, DT) for seed in seeds])


def chain(delay_ms: float, synapse: object, weight: float, **cell: float) -> Circuit:
    """One spike at 1 ms onto one cell."""
    return Circuit(
        populations={
            "input": Population(size=1, model=SpikeTrain(times_ms=(1.0,), units=(0,))),
            "cell": Population(size=1, model=LIF(**cell)),
        },
        projections={
            "input_to_cell": Projection(
                source="input", target="cell", wiring=OneToOne(), synapse=synapse, delay_ms=delay_ms,
                weights=Own(init=Constant(value=weight)),
            )
        },
    )  # fmt: skip


def test_membrane_under_constant_drive_follows_its_exponential() -> None:
    clock = clock_of(Circuit(populations={"cell": Population(size=1, model=LIF(bias_mv=15.0, tau_m_ms=10.0))}))
    clock.run(300)
    expected = -70 + 15 * (1 - np.exp(-30 / 10))
    assert clock.state["cell"]["v_mv"].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("delay_ms", [0.0, 0.1, 1.5])
def test_one_event_arrives_after_its_delay_and_decays_exactly(delay_ms: float) -> None:
    clock = clock_of(chain(delay_ms, ExponentialDrive(tau_ms=5.0), 4.0, tau_m_ms=20.0))
    arrives = round((1.0 + delay_ms) / DT)
    for _ in range(200):
        clock.step()
        since = (clock.step_number - 1 - arrives) * DT  # a spike of step n is felt from the update of step n + 1 on
        drive = 4 * np.exp(-since / 5) if since >= 0 else 0.0
        membrane = 4 * 5 / (20 - 5) * (np.exp(-since / 20) - np.exp(-since / 5)) if since >= 0 else 0.0
        assert clock.state["cell"]["d_input_to_cell_mv"].item() == pytest.approx(drive, rel=1e-12, abs=1e-15)
        assert clock.state["cell"]["v_mv"].item() == pytest.approx(-70 + membrane, rel=1e-13)


def test_what_arrives_in_refractory_time_is_lost_where_v_is_held() -> None:
    circuit = chain(0.0, Jump(), 30.0, refractory_ms=1.0)
    circuit = circuit.replace(
        populations={**circuit.populations,
                     "input": Population(size=1, model=SpikeTrain(times_ms=(1.0, 1.2, 3.0), units=(0, 0, 0)))}
    )  # fmt: skip
    clock = clock_of(circuit)
    step, _, _ = clock.run(100)["cell"]
    assert step.tolist() == [11, 31]  # 1.2 ms lies in refractory time


def test_a_replica_equals_its_seed_alone() -> None:
    cell = LIF(e_leak_mv=-49.0, start_mv=Uniform(low=-60, high=-50))
    circuit = Circuit(
        populations={"cells": Population(size=60, model=cell)},
        projections={
            "lateral": Projection(
                source="cells", target="cells", pathway="lateral", wiring=Sparse(density=0.2),
                synapse=ExponentialDrive(), weights=Own(init=Uniform(low=-1, high=2)),
                delay_ms=Uniform(low=0.1, high=2.0),
            )
        },
    )  # fmt: skip
    together, alone = clock_of(circuit, (3, 7)), clock_of(circuit, (7,))
    step, replica, unit = together.run(600)["cells"]
    step_7, _, unit_7 = alone.run(600)["cells"]
    assert len(step_7) > 50
    assert torch.equal(step[replica == 1], step_7)
    assert torch.equal(unit[replica == 1], unit_7)
    assert torch.equal(together.state["cells"]["v_mv"][1], alone.state["cells"]["v_mv"][0])
