"""Synapses: what a spike does to the unit that it reaches. A weight of a projection is in the synapse's unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import Field

from neurosal.graph.dynamics import unit_of
from neurosal.graph.initialisers import Initialiser
from neurosal.graph.value import Kinded


@dataclass(frozen=True)
class Joined:
    """What a kind of synapse adds to the population where it ends.

    Attributes:
        lands: the variable that an arriving spike changes by what the synapse transmits.
        equations: state variable → its derivative, per ms.
        constants: name → number.
        adds: port of the model → what the synapse adds to it, an expression.
        continuous: the port that hears ``Σ w · pre.x`` of this variable x all the time; "" for synapses of spikes.
        start: state variable → first value; 0 where none is given.
    """

    lands: str
    equations: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    adds: Mapping[str, str] = field(default_factory=dict)
    continuous: str = ""
    start: Mapping[str, float | Initialiser] = field(default_factory=dict)


class Synapse(Kinded):
    """What a spike does where it arrives. Equal synapses onto one population share their state, which is linear.

    Args:
        receptor: name of that state; None takes the name of the first projection that has it.
    """

    family: ClassVar[str] = "synapse"
    unit: ClassVar[str] = ""
    rare: ClassVar[frozenset[str]] = frozenset({"receptor"})
    receptor: str | None = None

    def joined(self, name: str) -> Joined:
        """What it adds to its target.

        Args:
            name: of the receptor.
        """
        raise NotImplementedError(f"{type(self).__name__} says no equations")


class Jump(Synapse):
    """A spike changes a variable of its target at once: ``v += w``, w in mV for the membrane potential."""

    kind: ClassVar[str] = "jump"
    unit: ClassVar[str] = "mv"
    rare: ClassVar[frozenset[str]] = Synapse.rare | {"variable"}
    variable: str = "v_mv"

    def joined(self, name: str) -> Joined:
        return Joined(lands=self.variable)


class ExponentialDrive(Synapse):
    """``τ dd/dt = -d``, a spike adds w in mV to d, and d drives the membrane: ``τ_m dv/dt = … + d``."""

    kind: ClassVar[str] = "exponential_drive"
    unit: ClassVar[str] = "mv"
    tau_ms: float = Field(default=5.0, gt=0)

    def joined(self, name: str) -> Joined:
        variable, tau = f"d_{name}_mv", f"tau_{name}_ms"
        return Joined(variable, {variable: f"-{variable} / {tau}"}, {tau: self.tau_ms}, {"drive_mv": variable})


class ExponentialCurrent(Synapse):
    """``τ di/dt = -i``, a spike adds w in pA to the current i."""

    kind: ClassVar[str] = "exponential_current"
    unit: ClassVar[str] = "pa"
    tau_ms: float = Field(default=5.0, gt=0)

    def joined(self, name: str) -> Joined:
        variable, tau = f"i_{name}_pa", f"tau_{name}_ms"
        return Joined(variable, {variable: f"-{variable} / {tau}"}, {tau: self.tau_ms}, {"current_pa": variable})


class AlphaCurrent(Synapse):
    """``τ dx/dt = -x``, ``τ di/dt = e x - i``, a spike adds w in pA to x: ``i = w (t/τ) exp(1 - t/τ)``, whose peak is
    w."""

    kind: ClassVar[str] = "alpha_current"
    unit: ClassVar[str] = "pa"
    tau_ms: float = Field(default=5.0, gt=0)

    def joined(self, name: str) -> Joined:
        rise, variable, tau, e = f"x_{name}_pa", f"i_{name}_pa", f"tau_{name}_ms", "2.718281828459045"
        equations = {rise: f"-{rise} / {tau}", variable: f"({e} * {rise} - {variable}) / {tau}"}
        return Joined(rise, equations, {tau: self.tau_ms}, {"current_pa": variable})


class ExponentialConductance(Synapse):
    """``τ dg/dt = -g``, a spike adds w in nS to g, and the current is ``g (E - v)``.

    Args:
        tau_ms, reversal_mv: τ and E.
        start_ns: first g; an initialiser draws one for each unit.
    """

    kind: ClassVar[str] = "exponential_conductance"
    unit: ClassVar[str] = "ns"
    rare: ClassVar[frozenset[str]] = Synapse.rare | {"start_ns"}
    tau_ms: float = Field(default=5.0, gt=0)
    reversal_mv: float = 0.0
    start_ns: float | Initialiser = 0.0

    def joined(self, name: str) -> Joined:
        variable, tau, reversal = f"g_{name}_ns", f"tau_{name}_ms", f"e_{name}_mv"
        return Joined(
            variable,
            {variable: f"-{variable} / {tau}"},
            {tau: self.tau_ms, reversal: self.reversal_mv},
            {"current_pa": f"{variable} * ({reversal} - v_mv)"},
            start={variable: self.start_ns},
        )


class AlphaConductance(Synapse):
    """``τ dx/dt = -x``, ``τ dg/dt = e x - g``, a spike adds w in nS to x, and the current is ``g (E - v)``; w is the
    peak."""

    kind: ClassVar[str] = "alpha_conductance"
    unit: ClassVar[str] = "ns"
    tau_ms: float = Field(default=5.0, gt=0)
    reversal_mv: float = 0.0

    def joined(self, name: str) -> Joined:
        rise, variable, tau, reversal = f"x_{name}_ns", f"g_{name}_ns", f"tau_{name}_ms", f"e_{name}_mv"
        equations = {rise: f"-{rise} / {tau}", variable: f"(2.718281828459045 * {rise} - {variable}) / {tau}"}
        adds = {"current_pa": f"{variable} * ({reversal} - v_mv)"}
        return Joined(rise, equations, {tau: self.tau_ms, reversal: self.reversal_mv}, adds)


class Modulation(Synapse):
    """A signal, such as reward or error, that plasticity reads at its target as ``post.NAME``: ``τ dm/dt = -m``, and a
    spike adds w. It moves no membrane.

    Args:
        variable: the signal's name.
        tau_ms: how fast it fades.
    """

    kind: ClassVar[str] = "modulation"
    variable: str = "reward"
    tau_ms: float = Field(default=200.0, gt=0)

    def joined(self, name: str) -> Joined:
        tau = f"tau_{self.variable}_ms"
        return Joined(self.variable, {self.variable: f"-{self.variable} / {tau}"}, {tau: self.tau_ms})


class ContinuousModulation(Synapse):
    """A signal at the target that follows ``Σ w x`` of a variable x of its sources: ``τ dm/dt = Σ w x - m``. Plasticity
    reads it as ``post.NAME``; it moves nothing else.

    Args:
        variable: the signal's name.
        of: x.
        tau_ms: τ.
    """

    kind: ClassVar[str] = "continuous_modulation"
    variable: str = "gate"
    of: str = "r"
    tau_ms: float = Field(default=10.0, gt=0)

    def joined(self, name: str) -> Joined:
        tau, heard = f"tau_{self.variable}_ms", f"s_{name}"
        return Joined(
            heard, {self.variable: f"({heard} - {self.variable}) / {tau}"}, {tau: self.tau_ms}, continuous=self.of
        )


class Continuous(Synapse):
    """The target hears ``Σ w x`` of a variable x of its sources all the time, as rates do; there are no spikes.

    Args:
        variable: x.
        port: what of the target's model hears it.
    """

    kind: ClassVar[str] = "continuous"
    variable: str = "r"
    port: str = "drive"

    def joined(self, name: str) -> Joined:
        unit = unit_of(self.port)
        total = f"s_{name}_{unit}" if unit else f"s_{name}"
        return Joined(lands=total, adds={self.port: total}, continuous=self.variable)
