"""Spikes of some populations only: the others are made all the same, and are not handed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neurosal.graph import LIF, Circuit, Jump, Own, PoissonSource, Population, Projection, Sparse, Uniform
from neurosal.lower.spiking import realise_all

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch
from neurosal.engine.clock.outlets import AT_ONCE, _by_delay  # noqa: E402

DT, STEPS = 0.1, (300, 1, 40, 400)


def network() -> Circuit:
    cells = LIF(bias_mv=Uniform(low=10.0, high=17.0), refractory_ms=0.7)
    edge = Projection(source="noise", target="cells", wiring=Sparse(density=0.4), synapse=Jump(), delay_ms=1.5,
                      weights=Own(init=Uniform(low=0.5, high=2.0)))  # fmt: skip
    return Circuit(
        populations={
            "noise": Population(size=9, model=PoissonSource(rate_hz=20.0, merged=30)),
            "few": Population(size=3, model=PoissonSource(rate_hz=100.0)),
            "cells": Population(size=20, model=cells),
            "others": Population(size=4, model=cells),
        },
        projections={
            "noise_to_cells": edge,
            "few_to_cells": edge.replace(source="few", delay_ms=0.2),
            "cells_to_others": edge.replace(source="cells", target="others", delay_ms=0.0),
        },
    )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("of", [("cells",), ("others", "few"), (), ("noise", "cells")])
def test_the_spikes_that_are_asked_for_are_those_of_all_and_nothing_else_changes(
    of: Sequence[str], compiled: bool
) -> None:
    realised = realise_all(network(), (3, 4), DT)
    one, other = Clock(realised, compiled=compiled), Clock(realised, compiled=compiled)
    for steps in STEPS:
        every, some = one.run(steps), other.run(steps, of)
        assert set(some) == set(of)
        for name, parts in some.items():
            assert all(torch.equal(mine, theirs) for mine, theirs in zip(parts, every[name], strict=True)), name
    mine, theirs = one.state_dict(), other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert int((every["others"][0]).numel()) > 0
    steps, _, _ = every["noise"]
    assert (steps[1:] == steps[:-1]).any()


@pytest.mark.parametrize("units", [1, 40])
def test_edges_are_counted_by_delay_and_unit(units: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert AT_ONCE > 10_000
    monkeypatch.setattr("neurosal.engine.clock.outlets.AT_ONCE", 25)
    random = np.random.default_rng(units)
    edges: Any = random.integers(0, 60, units)
    edges[units // 2] = 0
    begins = np.concatenate([[0], np.cumsum(edges)])
    delay = random.choice([0, 3, 4, 90_000], begins[-1]).astype("int32")
    delays, counts = _by_delay(delay, begins)
    assert delays.tolist() == sorted(set(delay.tolist()))
    for row, value in enumerate(delays):
        for unit in range(units):
            assert counts[row, unit] == (delay[begins[unit] : begins[unit + 1]] == value).sum()


@pytest.mark.parametrize("worth_two", [0, 100])
def test_threads_that_share_the_drawing_draw_the_same(worth_two: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosal.engine.clock.sources.WORTH_TWO", worth_two)
    realised, before = realise_all(network(), (3, 4), DT), torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        clock = Clock(realised)
        try:
            found.append(clock.run(600, ("noise", "few")))
        finally:
            torch.set_num_threads(before)
        assert (clock._sources[0]._threads is not None) == (threads > 1 and worth_two == 0)
    for name, parts in found[0].items():
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(parts, found[1][name], strict=True)), name
