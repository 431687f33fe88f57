"""Normalisation: the weights that arrive at a unit keep their sum."""

from __future__ import annotations

from math import inf
from typing import ClassVar, Literal

from pydantic import Field

from neurosal.graph.dynamics import Program
from neurosal.plasticity.timing import Bounded


class Normalised(Bounded):
    """Every ``every_ms`` the weights of a projection that end at the same unit are made to sum up to ``total``: all
    times the same factor, or all less the same amount.

    It runs at the end of the first step too. For the first way all weights must have the sign of ``total``: sums near 0
    would make factors without end.

    Args:
        total: the sum, in the weight's unit; not 0.
        every_ms: how often.
        by: "factor" or "amount"; bounds hold after the latter, which may then miss the sum.

    Example:
        >>> Normalised(total=78.0, every_ms=500.0).program().at_intervals
        ('w = w * total / maximum(sum_in, 1e-300)',)

    Reference:
        Diehl & Cook (2015), Frontiers in Computational Neuroscience 9:99 (factor); Miller & MacKay (1994), Neural
        Computation 6:100 (both).
    """

    kind: ClassVar[str] = "normalised"
    w_min: float | None = None
    total: float
    every_ms: float = Field(default=100.0, gt=0)
    by: Literal["factor", "amount"] = "factor"

    def bounds(self) -> tuple[float, float]:
        if self.by == "amount":
            return super().bounds()
        return (0.0, inf) if self.total > 0 else (-inf, 0.0)

    def program(self) -> Program:
        if self.by == "amount":
            statement = self.change("+", "(total - sum_in) / count_in")
        else:
            # A unit whose weights are all 0 keeps them.
            some = "maximum(sum_in, 1e-300)" if self.total > 0 else "minimum(sum_in, -1e-300)"
            statement = f"w = w * total / {some}"
        return Program(
            constants={"total": self.total, **(self.limits() if self.by == "amount" else {})},
            at_intervals=(statement,),
            every_ms=self.every_ms,
        )
