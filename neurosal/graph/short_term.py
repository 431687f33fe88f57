"""Short-term plasticity: what a synapse transmits depends on the spikes that it transmitted just before."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from neurosal.graph.dynamics import Decay, Program
from neurosal.graph.value import Kinded

Sign = Literal["excitatory", "inhibitory"]
# U, τ_d and τ_f in ms.
_BETWEEN: dict[tuple[Sign, Sign], tuple[float, float, float]] = {
    ("excitatory", "excitatory"): (0.5, 1100.0, 50.0),
    ("excitatory", "inhibitory"): (0.05, 125.0, 1200.0),
    ("inhibitory", "excitatory"): (0.25, 700.0, 20.0),
    ("inhibitory", "inhibitory"): (0.32, 144.0, 60.0),
}
_INHIBITORY = {"F1": (0.016, 45.0, 376.0), "F2": (0.25, 706.0, 21.0), "F3": (0.32, 144.0, 62.0)}


class ShortTerm(Kinded):
    """How transmission changes from spike to spike, while the weight stays."""

    family: ClassVar[str] = "short-term plasticity"

    def program(self) -> Program:
        """Variables, `before` and `transmits` of a synapse."""
        raise NotImplementedError(f"{type(self).__name__} says no program")


class TsodyksMarkram(ShortTerm):
    """Facilitation and depression: between spikes ``du/dt = -u/τ_f`` and ``dx/dt = (1 - x)/τ_d``; a spike first raises
    ``u += U (1 - u)``, transmits ``w u x``, and leaves ``x -= u x``: a first spike transmits ``w U``.

    This order is that of the paper: release takes the utilisation after its jump and the resources before theirs. The
    paper's resources that are in use for a few ms of the synaptic current (its state y) count as gone at once here.

    Args:
        utilisation: U.
        tau_facilitation_ms, tau_depression_ms: τ_f and τ_d; without τ_f u is always U, and the synapse depresses only.

    Example:
        >>> TsodyksMarkram.between("excitatory", "inhibitory").tau_facilitation_ms
        1200.0

    Reference:
        Tsodyks, Pawelzik & Markram (1998), Neural Computation 10:821; depression alone: Tsodyks & Markram (1997), PNAS
        94:719.
    """

    kind: ClassVar[str] = "tsodyks_markram"
    utilisation: float = Field(default=0.5, gt=0, le=1)
    tau_facilitation_ms: float | None = Field(default=100.0, gt=0)
    tau_depression_ms: float = Field(default=200.0, gt=0)

    @classmethod
    def depressing(cls) -> TsodyksMarkram:
        """Between pyramidal cells: U .5, τ_d 800 ms, no facilitation (Tsodyks & Markram 1997)."""
        return cls(utilisation=0.5, tau_facilitation_ms=None, tau_depression_ms=800.0)

    @classmethod
    def between(cls, source: Sign, target: Sign) -> TsodyksMarkram:
        """Mean values between kinds of cells, as in circuits of liquid computing (Maass, Natschläger & Markram 2002,
        Neural Computation 14:2531)."""
        return cls._of(*_BETWEEN[source, target])

    @classmethod
    def inhibitory(cls, group: Literal["F1", "F2", "F3"]) -> TsodyksMarkram:
        """Inhibition of neocortex, mean values: F1 facilitates, F2 depresses, F3 does both (Gupta, Wang & Markram 2000,
        Science 287:273)."""
        return cls._of(*_INHIBITORY[group])

    @classmethod
    def _of(cls, utilisation: float, depression_ms: float, facilitation_ms: float) -> TsodyksMarkram:
        return cls(utilisation=utilisation, tau_depression_ms=depression_ms, tau_facilitation_ms=facilitation_ms)

    def program(self) -> Program:
        if self.tau_facilitation_ms is None:
            return Program(
                variables={"x": 1.0, "sent": 0.0},
                decays={"x": Decay("tau_depression_ms", 1.0)},
                constants={"utilisation": self.utilisation, "tau_depression_ms": self.tau_depression_ms},
                before=("sent = utilisation * x", "x -= sent"),
                transmits="w * sent",
            )
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
