"""What rules of spike timing share: bounds of the weight, and changes that depend on how far it is from them."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal

from pydantic import Field, model_validator

from neurosal.graph.plasticity import Plasticity

Pairing = Literal["all", "nearest", "nearest_pre_centred", "nearest_immediate"]


class Bounded(Plasticity):
    """Bounds that a weight never leaves, in its own unit. First weights lie between them: numbers and ranges that do
    not are refused, and draws of distributions without ends that fall outside start at the bound.

    Args:
        w_min, w_max: hard bounds; None for none.
    """

    w_min: float | None = 0.0
    w_max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bounded:
        if self.w_min is not None and self.w_max is not None and self.w_min >= self.w_max:
            raise ValueError("w_min below w_max")
        return self

    def bounds(self) -> tuple[float, float]:
        return (-inf if self.w_min is None else self.w_min), (inf if self.w_max is None else self.w_max)

    def limits(self) -> dict[str, float]:
        """The bounds as constants of a program."""
        named = {"w_min": self.w_min, "w_max": self.w_max}
        return {name: value for name, value in named.items() if value is not None}

    def change(self, sign: str, amount: str) -> str:
        """The statement ``w += amount`` or ``w -= amount``, within bounds."""
        match self.w_min, self.w_max:
            case None, None:
                return f"w {sign}= {amount}"
            case _, None:
                return f"w = maximum(w {sign} {amount}, w_min)"
            case None, _:
                return f"w = minimum(w {sign} {amount}, w_max)"
        return f"w = clip(w {sign} {amount}, w_min, w_max)"


class SpikeTiming(Bounded):
    """A rule that grows and shrinks weights by amounts that may depend on the weight.

    With x = (w - w_min) / (w_max - w_min) every growth is multiplied by ``(1 - x)^μ₊`` and every loss by ``x^μ₋``: 0
    and 0 is additive, 0 and 1 van Rossum's rule, 1 and 1 multiplicative, μ and μ that of Gütig. Bounds are hard too: a
    step that would go beyond one ends there.

    Args:
        mu_plus, mu_minus: exponents μ₊ and μ₋; other than 0 they need both bounds.
    """

    mu_plus: float = Field(default=0.0, ge=0)
    mu_minus: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _soft_within_bounds(self) -> SpikeTiming:
        if (self.mu_plus or self.mu_minus) and (self.w_min is None or self.w_max is None):
            raise ValueError("both bounds where mu_plus or mu_minus is not 0")
        return self

    def limits(self) -> dict[str, float]:
        found = super().limits()
        if self.mu_plus or self.mu_minus:
            found["span"] = found["w_max"] - found["w_min"]
        exponents = {"mu_plus": self.mu_plus, "mu_minus": self.mu_minus}
        return found | {name: value for name, value in exponents.items() if value not in (0, 1)}

    def grown(self, amount: str) -> str:
        """The statement that adds an amount, weaker near w_max."""
        return self.change("+", self._scaled(amount, "w_max - w", "mu_plus"))

    def shrunk(self, amount: str) -> str:
        """The statement that takes an amount away, weaker near w_min."""
        return self.change("-", self._scaled(amount, "w - w_min", "mu_minus"))

    def _scaled(self, amount: str, room: str, exponent: str) -> str:
        value = getattr(self, exponent)
        if value == 0:
            return amount
        if value == 1:
            return f"{amount} * ({room}) / span"
        # A first weight outside of its bounds has no room; a power of less than 0 would be no number.
        return f"{amount} * (maximum({room}, 0) / span) ** {exponent}"


def scaled(constants: Mapping[str, float], factor: float) -> dict[str, float]:
    """Constants times a factor: a learning rate costs nothing where amplitudes hold it."""
    return {name: value * factor for name, value in constants.items()}
