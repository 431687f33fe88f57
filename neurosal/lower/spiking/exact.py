"""An exact step of linear equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosal.errors import CircuitError, Problem


def exact_step(matrix: Any, dt_ms: float, place: str) -> Any:
    """``exp(M dt)`` of ``dx/dt = M x``.

    Args:
        matrix: M, per ms.
        place: of the population, for messages.

    Raises:
        CircuitError: where this is not finite.

    Example:
        >>> exact_step(np.array([[-0.1]]), 10.0, "populations.cells").round(4)
        array([[0.3679]])
    """
    import scipy.linalg

    with np.errstate(over="ignore", invalid="ignore"):
        change = matrix * dt_ms
        step = scipy.linalg.expm(change) if np.isfinite(change).all() else np.full_like(change, np.nan)
    if not np.isfinite(step).all():
        raise CircuitError(
            Problem(place=f"{place}.model", expected="constants with which a step can be computed",
                    found=f"an exact step of {dt_ms:g} ms that is not finite",
                    remedy="A time constant is far too short for this step, or a number far too large.")
        )  # fmt: skip
    return step
