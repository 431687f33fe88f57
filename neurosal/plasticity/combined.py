"""Several plasticities at one synapse."""

from __future__ import annotations

from math import inf
from typing import ClassVar

from pydantic import model_validator

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.programs import gated, together


class Combined(Plasticity):
    """All parts act on the same weight, each at its own events, in their order: STDP beside scaling or normalisation.

    Args:
        parts: for synapses in continuous time; those that act at intervals share one.

    Example:
        >>> from neurosal.plasticity import STDP, Normalised
        >>> Combined(parts=(STDP(), Normalised(total=78.0))).program().at_intervals
        ('w = w * total / maximum(sum_in, 1e-300)',)
    """

    kind: ClassVar[str] = "combined"
    parts: tuple[Plasticity, ...]

    @model_validator(mode="after")
    def _can_act_together(self) -> Combined:
        programs = [part.program() for part in self.parts]
        for part, program in zip(self.parts, programs, strict=True):
            if program is None:
                raise ValueError(f"plasticities for synapses in continuous time, not {part.kind}")
        together(*(program for program in programs if program is not None))
        return self

    def bounds(self) -> tuple[float, float]:
        """Those within all bounds of the parts."""
        found = [part.bounds() for part in self.parts]
        return max((low for low, _ in found), default=-inf), min((high for _, high in found), default=inf)

    def program(self) -> Program:
        whole = together(*(program for part in self.parts if (program := part.program()) is not None))
        return whole if self.rate == 1 else gated(whole, str(self.rate))
