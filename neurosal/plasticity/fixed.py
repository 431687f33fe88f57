"""No change: synapses that stay as they were made."""

from __future__ import annotations

from typing import ClassVar

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity


class Fixed(Plasticity):
    """``ΔW = 0``, and no decay."""

    kind: ClassVar[str] = "fixed"
    plastic: ClassVar[bool] = False

    def program(self) -> Program:
        return Program()
