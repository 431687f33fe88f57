"""Short-term plasticity: what a synapse transmits depends on the spikes that it transmitted just before."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from neurosal.graph.dynamics import Decay, Program
from neurosal.graph.value import Kinded


class ShortTerm(Kinded):
    """How transmission changes from spike to spike, while the weight stays."""

    family: ClassVar[str] = "short-term plasticity"

    def program(self) -> Program:
        """Variables, `before` and `transmits` of a synapse."""
        raise NotImplementedError(f"{type(self).__name__} says no program")


class TsodyksMarkram(ShortTerm):
    """Facilitation and depression: between spikes ``du/dt = -u/τ_f`` and ``dx/dt = (1 - x)/τ_d``; a spike first raises
    ``u += U (1 - u)``, transmits ``w u x``, and leaves ``x -= u x``.

    Args:
        utilisation: U.
        tau_facilitation_ms, tau_depression_ms: τ_f and τ_d.

    Reference:
        Tsodyks, Pawelzik & Markram (1998), Neural Computation 10:821.
    """

    kind: ClassVar[str] = "tsodyks_markram"
    utilisation: float = Field(default=0.5, gt=0, le=1)
    tau_facilitation_ms: float = Field(default=100.0, gt=0)
    tau_depression_ms: float = Field(default=200.0, gt=0)

    def program(self) -> Program:
        return Program(
            variables={"u": 0.0, "x": 1.0, "sent": 0.0},
            decays={"u": Decay("tau_facilitation_ms"), "x": Decay("tau_depression_ms", 1.0)},
            constants={
                "utilisation": self.utilisation,
                "tau_facilitation_ms": self.tau_facilitation_ms,
                "tau_depression_ms": self.tau_depression_ms,
            },
            before=("u += utilisation * (1 - u)", "sent = u * x", "x -= sent"),
            transmits="w * sent",
        )
