"""A simulation goes on from what it kept, to the same bits, and says what its synapses are at a moment."""

from __future__ import annotations

import math

import pytest

from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialDrive,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    Uniform,
)
from neurosal.graph.short_term import TsodyksMarkram
from neurosal.lower.spiking import realise

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch


def made() -> Circuit:
    """Cells that drive each other with delays of their own and depression, and are driven from outside."""
    cells = Population(size=40, model=LIF(bias_mv=18.0, start_mv=Uniform(low=-70, high=-50), refractory_ms=2.0))
    return Circuit(
        populations={"input": Population(size=20, model=PoissonSource(rate_hz=100.0)), "cells": cells},
        projections={
            "input_to_cells": Projection(
                source="input", target="cells", wiring=Sparse(density=0.3), synapse=ExponentialDrive(tau_ms=5.0),
                weights=Own(init=Constant(value=4.0)), delay_ms=Uniform(low=0.1, high=6.0),
            ),
            "cells_to_cells": Projection(
                source="cells", target="cells", pathway="lateral", wiring=Sparse(density=0.2),
                synapse=ExponentialDrive(tau_ms=5.0), weights=Own(init=Constant(value=2.0)), delay_ms=1.5,
                short_term=TsodyksMarkram(),
            ),
        },
    )  # fmt: skip


@pytest.mark.parametrize("at", [37, 300])
def test_a_simulation_goes_on_from_what_it_kept_to_the_same_bits(at: int) -> None:
    realised = [realise(made(), seed=seed, dt_ms=0.1) for seed in (0, 1)]
    whole, first, second = Clock(realised), Clock(realised), Clock(realised)
    expected = whole.run(600)
    before = first.run(at)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    after = second.run(600 - at)
    for name, parts in expected.items():
        for place, part in enumerate(parts):
            assert torch.equal(part, torch.cat([before[name][place], after[name][place]])), name
    assert len(expected["cells"][0]) > 100
    mine, theirs = second.state_dict(), whole.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(mine[name], tensor), name


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_that_nothing_changed_are_drawn_again_and_those_that_somebody_changed_are_kept(compiled: bool) -> None:
    realised = [realise(made(), seed=0, dt_ms=0.1)]
    one, other = Clock(realised, compiled=compiled), Clock(realised, compiled=compiled)
    one.run(50)
    static, depressing = "projections.input_to_cells.values.w", "projections.cells_to_cells.values"
    state = one.state_dict()
    assert static not in state
    assert {f"{depressing}.x", f"{depressing}.u"} <= state.keys()
    assert f"{depressing}.w" not in state
    one.projections["input_to_cells"].values["w"].mul_(2.0)
    assert static in one.state_dict()
    other.load_state_dict({name: tensor.clone() for name, tensor in one.state_dict().items()})
    mine, theirs = one.run(300), other.run(300)
    assert all(torch.equal(a, b) for name, parts in mine.items() for a, b in zip(parts, theirs[name], strict=True))
    assert static in other.state_dict()


def test_a_trace_of_a_synapse_has_the_value_of_the_moment() -> None:
    clock = Clock([realise(made(), seed=seed, dt_ms=0.1) for seed in (0, 1)])
    projecting = clock.projections["cells_to_cells"]
    while not bool((projecting.of_replica("u", 1) > 0).any()):
        clock.run(10)
    clock.run(25)
    clock.run(1)
    now, later = (projecting.of_replica("u", 1, clock.step_number + ahead) for ahead in (0, 100))
    assert float(now.max()) > 0
    torch.testing.assert_close(later, now * math.exp(-10.0 / 100.0), rtol=1e-12, atol=0)
    depressed = projecting.of_replica("x", 1, clock.step_number)
    recovered = projecting.of_replica("x", 1, clock.step_number + 10**6)
    assert float(depressed.min()) < 0.9
    torch.testing.assert_close(recovered, torch.ones_like(recovered))
    assert torch.equal(projecting.of_replica("w", 1, 10**6), projecting.of_replica("w", 1))
