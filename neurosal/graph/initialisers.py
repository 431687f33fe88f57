"""How a weight starts. Fans are those of the projection's own direction: ``fan_in`` counts pre-, ``fan_out``
post-synaptic units."""

from __future__ import annotations

from math import exp
from typing import ClassVar

from pydantic import Field, model_validator

from neurosal.graph.value import Kinded


class Initialiser(Kinded):
    """Distribution of a new weight. Members say their standard deviation for given fans, so that rules can match it."""

    family: ClassVar[str] = "initialiser"

    def deviation(self, fan_in: int, fan_out: int) -> float:
        """Standard deviation of one weight for these fans."""
        raise TypeError(f"{type(self).__name__} states no standard deviation")


class XavierUniform(Initialiser):
    """U(-l, l) with ``l = gain * sqrt(6 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""

    kind: ClassVar[str] = "xavier_uniform"
    gain: float = Field(default=1.0, gt=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.gain * float((2 / (fan_in + fan_out)) ** 0.5)


class XavierNormal(Initialiser):
    """N(0, s) with ``s = gain * sqrt(2 / (fan_in + fan_out))`` (Glorot & Bengio 2010)."""

    kind: ClassVar[str] = "xavier_normal"
    gain: float = Field(default=1.0, gt=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.gain * float((2 / (fan_in + fan_out)) ** 0.5)


class KaimingUniform(Initialiser):
    """U(-l, l) with ``l = gain * sqrt(3 / fan_in)``; the default gain ``sqrt(2)`` suits ReLU (He et al. 2015)."""

    kind: ClassVar[str] = "kaiming_uniform"
    gain: float = Field(default=2**0.5, gt=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.gain * float(fan_in**-0.5)


class KaimingNormal(Initialiser):
    """N(0, s) with ``s = gain / sqrt(fan_in)``; the default gain ``sqrt(2)`` suits ReLU (He et al. 2015)."""

    kind: ClassVar[str] = "kaiming_normal"
    gain: float = Field(default=2**0.5, gt=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.gain * float(fan_in**-0.5)


class Normal(Initialiser):
    """N(mean, deviation)."""

    kind: ClassVar[str] = "normal"
    mean: float = 0.0
    std: float = Field(default=1.0, ge=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.std


class Uniform(Initialiser):
    """U(low, high)."""

    kind: ClassVar[str] = "uniform"
    low: float = -1.0
    high: float = 1.0

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return (self.high - self.low) / 12**0.5


class TruncatedNormal(Initialiser):
    """N(mean, std) given that it lies between ``low`` and ``high``: draws outside are made anew, so that nothing piles
    up at the bounds. Mean and deviation are those before the cut.

    Args:
        low, high: bounds; None for none.
    """

    kind: ClassVar[str] = "truncated_normal"
    mean: float = 0.0
    std: float = Field(default=1.0, ge=0)
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _something_left(self) -> TruncatedNormal:
        low = self.mean if self.low is None else self.low
        high = self.mean if self.high is None else self.high
        if self.low is not None and self.high is not None and low >= high:
            raise ValueError("low below high")
        if max(low - self.mean, self.mean - high) > 4 * self.std:
            raise ValueError("bounds within four deviations of the mean, else draws take for ever")
        return self

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.std


class Given(Initialiser):
    """Numbers that are known: one for each unit, or one for each synapse in the order of its list of edges."""

    kind: ClassVar[str] = "given"
    values: tuple[float, ...] = Field(min_length=1)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        mean = sum(self.values) / len(self.values)
        return (sum((value - mean) ** 2 for value in self.values) / len(self.values)) ** 0.5


class LogNormal(Initialiser):
    """``exp`` of N(log_mean, log_std)."""

    kind: ClassVar[str] = "log_normal"
    log_mean: float = 0.0
    log_std: float = Field(default=1.0, ge=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return float((exp(self.log_std**2) - 1) ** 0.5 * exp(self.log_mean + self.log_std**2 / 2))


class Constant(Initialiser):
    """Every weight the same; with one-to-one wiring and value 1 this is an identity skip."""

    kind: ClassVar[str] = "constant"
    value: float = 1.0

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return 0.0


class Orthogonal(Initialiser):
    """Random matrix with orthonormal rows or columns (whichever are fewer), times ``gain`` (Saxe et al. 2014)."""

    kind: ClassVar[str] = "orthogonal"
    gain: float = Field(default=1.0, gt=0)

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return self.gain * float(max(fan_in, fan_out) ** -0.5)
