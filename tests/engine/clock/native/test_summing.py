"""How populations fire, summed up by the program: the same numbers as numpy makes."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest

from neurosal.graph import LIF, Circuit, Population
from neurosal.lower.spiking import realise
from neurosal.record.firing import SAMPLE, Firing

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch
from neurosal.engine.clock.native import summing as module  # noqa: E402

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the program")
REPLICAS, STEPS = 3, 900
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def summing() -> Any:
    """What a circuit's program brings along, whatever the circuit."""
    circuit = Circuit(populations={"cells": Population(size=2, model=LIF())})
    clock = Clock([realise(circuit, 0, 0.1)], compiled=True)
    assert Clock([realise(circuit, 0, 0.1)]).summing is None
    return clock.summing


def spikes(units: int, share: float, seed: int = 0) -> tuple[Array, Array, Array]:
    """Replica by replica; one replica is silent for a while, and one unit spikes twice in some steps."""
    random = np.random.default_rng(seed)
    fired = random.random((REPLICAS, STEPS, units)) < share
    fired[1, 200:500] = False
    replica, step, unit = np.repeat(np.argwhere(fired), np.where(np.argwhere(fired)[:, 2] == 1, 2, 1), axis=0).T
    return step, replica.astype("int32"), unit.astype("int32")


def must_be_equal(one: Firing, other: Firing) -> None:
    mine, theirs = one.state(), other.state()
    assert mine.keys() == theirs.keys()
    for name, values in mine.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)
        assert values.dtype == theirs[name].dtype


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("settle_ms", [0.0, 21.3])
@pytest.mark.parametrize(
    ("units", "share", "window"), [(7, 0.05, 64), (7, 0.004, 1000), (130, 0.3, 33), (130, 0.01, 250)]
)
def test_every_sum_is_that_of_numpy_after_every_window(
    units: int, share: float, window: int, settle_ms: float, threads: int, summing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FEW", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    options: dict[str, Any] = {"dt_ms": 0.1, "bin_ms": 1.7, "settle_ms": settle_ms, "window_ms": window * 0.1}
    slow, fast = Firing(REPLICAS, units, **options), Firing(REPLICAS, units, **options, summing=summing)
    step, replica, unit = spikes(units, share)
    assert SAMPLE < 130
    for first in range(0, STEPS, window):
        here = (step >= first) & (step < first + window)
        for firing in (slow, fast):
            firing.add(first, min(first + window, STEPS), step[here], replica[here], unit[here])
        must_be_equal(slow, fast)
    assert slow.state()["intervals"].sum() > 5
    assert slow.state()["products"].sum() > 5
    assert slow.state()["pending"].any() or units == 7


def test_sums_go_on_from_those_of_numpy(summing: Any) -> None:
    step, replica, unit = spikes(130, 0.02)
    early = step < 410
    slow, fast = (
        Firing(REPLICAS, 130, dt_ms=0.1, bin_ms=3.0),
        Firing(REPLICAS, 130, dt_ms=0.1, bin_ms=3.0, summing=summing),
    )
    slow.add(0, 410, step[early], replica[early], unit[early])
    fast.take_up({name: value.copy() for name, value in slow.state().items()})
    for firing in (slow, fast):
        firing.add(410, STEPS, step[~early], replica[~early], unit[~early])
    must_be_equal(slow, fast)
