"""An exact step of linear equations: what cannot be computed is refused, and engines ask the same function."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.engine.clock import Clock
from neurosal.errors import CircuitError
from neurosal.graph import AdaptiveLIF, Circuit, LeakyIntegrator, Population
from neurosal.lower.brian2.describing import describe
from neurosal.lower.spiking import realise
from neurosal.lower.spiking.exact import exact_step


def test_a_step_of_a_membrane_is_its_closed_form() -> None:
    step = exact_step(np.array([[-0.05, -3.5], [0.0, 0.0]]), 2.0, "here")
    np.testing.assert_allclose(step, [[np.exp(-0.1), -70 * (1 - np.exp(-0.1))], [0, 1]], rtol=1e-14)


@pytest.mark.parametrize("rate", [-np.inf, np.inf, np.nan])
def test_a_rate_that_is_no_number_is_refused_even_where_its_exponential_is_one(rate: float) -> None:
    with pytest.raises(CircuitError, match=r"here\.model.* not finite"):
        exact_step(np.array([[rate, 0.0], [0.0, 0.0]]), 0.1, "here")


def test_a_rate_that_only_a_long_step_makes_infinite_is_refused() -> None:
    matrix = np.array([[-1e306, 0.0], [0.0, 0.0]])
    assert exact_step(matrix, 0.1, "here")[0, 0] == 0
    with pytest.raises(CircuitError, match="an exact step of 1000 ms"):
        exact_step(matrix, 1000.0, "here")


def test_engines_refuse_a_membrane_without_a_step() -> None:
    short = LeakyIntegrator(e_leak_mv=0.0, tau_m_ms=1e-309)
    with pytest.raises(CircuitError, match="an exact step"):
        Clock([realise(Circuit(populations={"cells": Population(size=1, model=short)}), 0, 0.1)])
    turning = AdaptiveLIF(coupling_ns=1.0, tau_current_ms=1e-309)
    with pytest.raises(CircuitError, match="an exact step"):
        describe(Circuit(populations={"cells": Population(size=1, model=turning)}), dt_ms=0.1)
