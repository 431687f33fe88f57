"""Circuits in continuous time that are simulated in a moment."""

from __future__ import annotations

from typing import Any, ClassVar

from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    Dynamical,
    Dynamics,
    ExponentialDrive,
    Own,
    PoissonSource,
    Population,
    Projection,
    Sparse,
    Uniform,
)
from neurosal.graph.short_term import TsodyksMarkram

DT = 0.5


def cells(**fields: Any) -> Population:
    model = {"bias_mv": 18.0, "start_mv": Uniform(low=-70, high=-50), "refractory_ms": 2.0, **fields}
    return Population(size=12, model=LIF(**model))


def driven(**fields: Any) -> Circuit:
    """Cells that are driven from outside and drive each other, with depression."""
    synapse = ExponentialDrive(tau_ms=5.0)
    return Circuit(
        name="driven",
        populations={"input": Population(size=8, model=PoissonSource(rate_hz=80.0)), "cells": cells(**fields)},
        projections={
            "input_to_cells": Projection(
                source="input", target="cells", wiring=Sparse(density=0.4), synapse=synapse, delay_ms=1.0,
                weights=Own(init=Constant(value=3.0)),
            ),
            "cells_to_cells": Projection(
                source="cells", target="cells", pathway="lateral", wiring=Sparse(density=0.3), synapse=synapse,
                weights=Own(init=Uniform(low=0.1, high=0.5)), delay_ms=1.5, short_term=TsodyksMarkram(),
            ),
        },
    )  # fmt: skip


def alone(**fields: Any) -> Circuit:
    """Cells that nobody drives but their own bias."""
    return Circuit(name="alone", populations={"cells": cells(**fields)})


class Exploding(Dynamical):
    """``dx/dt = x²``: from below 0 it goes to 0, from above 0 out of all bounds, in finite time."""

    kind: ClassVar[str] = "exploding"

    def dynamics(self) -> Dynamics:
        return Dynamics(equations={"x": "x * x"}, start={"x": Uniform(low=-1.0, high=1.0)}, method="euler",
                        threshold="x > 1e9", reset=("x = x",))  # fmt: skip


def exploding() -> Circuit:
    """One unit, which explodes or not as its seed has it."""
    return Circuit(name="exploding", populations={"cells": Population(size=1, model=Exploding())})
