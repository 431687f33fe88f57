"""Plasticity that a modulatory signal opens and closes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from neurosal.graph.dynamics import Program
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.programs import gated


class Gated(Plasticity):
    """Every change of w that another plasticity makes is multiplied by a signal at the target; traces go on as ever.

    The signal is what a `Modulation` projection brings, or any state variable of the target. Between 0 and 1 it lets
    through a part of a change; below 0 it turns changes round, and then bounds of the plasticity itself do not hold.

    Args:
        of: the plasticity, for synapses in continuous time.
        signal: name of the signal.

    Example:
        >>> from neurosal.plasticity import Oja
        >>> Gated(of=Oja(), signal="attention").program().each_step
        ('w += post.attention * (rate * dt_ms * post.r * (pre.r - post.r * w))',)
    """

    kind: ClassVar[str] = "gated"
    of: Plasticity
    signal: str = "gate"

    @field_validator("of")
    @classmethod
    def _in_time(cls, of: Plasticity) -> Plasticity:
        if of.program() is None:
            raise ValueError(f"a plasticity for synapses in continuous time, not {of.kind}")
        return of

    @field_validator("signal")
    @classmethod
    def _a_name(cls, signal: str) -> str:
        if not signal.isidentifier():
            raise ValueError("a name such as gate")
        return signal

    def bounds(self) -> tuple[float, float]:
        return self.of.bounds()

    def program(self) -> Program:
        program = self.of.program()
        assert program is not None
        return gated(program, f"post.{self.signal}" if self.rate == 1 else f"{self.rate} * post.{self.signal}")
