"""Rates in continuous time."""

from __future__ import annotations

from typing import ClassVar, Literal

from neurosal.graph.dynamics import Dynamics, Timed
from neurosal.graph.spiking import Dynamical, Number, Positive
from neurosal.graph.waveforms import Waveform

_RESPONSES = {
    "linear": "{input}",
    "relu": "maximum({input}, 0)",
    "tanh": "tanh({input})",
    "sigmoid": "1 / (1 + exp(-({input})))",
}


class LeakyRate(Dynamical):
    """A rate in continuous time: ``τ dr/dt = -r + f(drive + bias + injected)``; `Continuous` synapses add ``Σ w r`` of
    their sources to ``drive``.

    The drive stands still over a step, and so the step is exact for this drive: ``r ← f + (r - f) exp(-dt/τ)``.

    Args:
        tau_ms: τ.
        activation: f.
        bias: constant drive; an initialiser draws one for each unit.
        injected: drive over time; None for none.
        start: first r.

    Example:
        >>> LeakyRate(tau_ms=10.0, activation="tanh").dynamics().equations
        {'r': '(tanh(drive) - r) / tau_ms'}

    Reference:
        Wilson & Cowan (1972), Biophysical Journal 12:1; Dayan & Abbott (2001), Theoretical Neuroscience, chapter 7.
    """

    kind: ClassVar[str] = "leaky_rate"
    carries: ClassVar[frozenset[str]] = frozenset({"activity"})
    rare: ClassVar[frozenset[str]] = frozenset({"bias", "start"})
    tau_ms: Positive = 10.0
    activation: Literal["linear", "relu", "tanh", "sigmoid"] = "linear"
    bias: Number = 0.0
    injected: Waveform | None = None
    start: Number = 0.0

    def dynamics(self) -> Dynamics:
        timed: dict[str, Timed] = {} if self.injected is None else {"injected": self.injected.timed()}
        names = ["bias"] if self.bias != 0.0 else []
        total = " + ".join((*names, *timed, "drive"))
        return Dynamics(
            equations={"r": f"({_RESPONSES[self.activation].format(input=total)} - r) / tau_ms"},
            constants={"tau_ms": self.tau_ms, "bias": self.bias},
            start={"r": self.start},
            method="exponential_euler",
            timed=timed,
            ports=("drive",),
        )
