"""Dense projections: rows where few units spike, products where many do, each replica by its own spikes."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.graph import (
    LIF,
    Circuit,
    Dense,
    ExponentialDrive,
    Jump,
    Own,
    PoissonSource,
    Population,
    Projection,
    Synapse,
    Uniform,
)
from neurosal.lower.spiking import realise

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock, products  # noqa: E402 - it needs torch

PRE, POST, DT = 24, 11, 0.1


def driven(rate_hz: float, synapse: Synapse, delay_ms: float = 0.3) -> Circuit:
    model = LIF(start_mv=Uniform(low=-70, high=-51), refractory_ms=1.0)
    return Circuit(
        populations={"other": Population(size=5, model=PoissonSource(rate_hz=rate_hz)),
                     "input": Population(size=PRE, model=PoissonSource(rate_hz=rate_hz, merged=2)),
                     "cells": Population(size=POST, model=model)},
        projections={"in": Projection(source="input", target="cells", wiring=Dense(), synapse=synapse,
                                      weights=Own(init=Uniform(low=-0.5, high=1)), delay_ms=delay_ms)},
    )  # fmt: skip


@pytest.mark.parametrize("rate_hz", [40.0, 600.0, 3000.0])  # few spikes, many in some replicas, many in all
def test_what_arrives_is_the_sum_of_the_weights_of_spikes(rate_hz: float) -> None:
    realised = [realise(driven(rate_hz, ExponentialDrive(tau_ms=1e12)), seed, DT) for seed in range(3)]
    clock = Clock(realised)
    clock.run(100)
    for replica, one in enumerate(realised):
        _, unit = one.all_spikes("input", 97)
        weight = one.edges["in"].weight.reshape(PRE, POST)
        expected = weight[unit].sum(0)
        assert len(unit) > 5
        np.testing.assert_allclose(clock.state["cells"]["d_in_mv"][replica], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rate_hz", [40.0, 600.0, 3000.0])
def test_a_replica_equals_its_seed_alone_and_the_list_of_edges_to_rounding(
    rate_hz: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    realised = [realise(driven(rate_hz, Jump()), seed, DT) for seed in range(3)]
    together = Clock(realised)
    found = together.run(200)["cells"]
    for replica, one in enumerate(realised):
        alone = Clock([one])
        step, _, unit = alone.run(200)["cells"]
        mine = found[1] == replica
        assert torch.equal(found[0][mine], step)
        assert torch.equal(found[2][mine], unit)
        assert torch.equal(together.state["cells"]["v_mv"][replica], alone.state["cells"]["v_mv"][0])
    monkeypatch.setattr("neurosal.engine.clock.clock.complete", lambda wire: False)
    listed = Clock(realised)
    again = listed.run(200)["cells"]
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    torch.testing.assert_close(listed.state["cells"]["v_mv"], together.state["cells"]["v_mv"], rtol=1e-12, atol=1e-12)


def test_products_are_used_where_many_units_spike_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    mv = torch.mv
    monkeypatch.setattr(products.torch, "mv", lambda one, other: asked.append(1) or mv(one, other))
    Clock([realise(driven(40.0, ExponentialDrive()), 0, DT)]).run(100)
    assert not asked
    Clock([realise(driven(3000.0, ExponentialDrive()), 0, DT)]).run(100)
    assert len(asked) > 50
