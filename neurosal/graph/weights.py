"""Where a projection's weights come from: its own synapses, or another projection's."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from neurosal.graph.initialisers import Initialiser, XavierUniform
from neurosal.graph.value import Kinded


class Weights(Kinded):
    """Origin of the weights of a projection. ``of`` names the projection they depend on, where there is one."""

    family: ClassVar[str] = "weights' origin"


class Own(Weights):
    """The projection's own synapses, the normal case.

    ``across_areas`` says whether the areas start from one draw ("same") or each from its own ("independent").
    """

    kind: ClassVar[str] = "own"
    init: Initialiser = Field(default_factory=XavierUniform)
    across_areas: Literal["same", "independent"] = "independent"


class Transpose(Weights):
    """Tied: at every moment the transpose of projection ``of``, i.e. weight transport, which is what makes
    backpropagation."""

    kind: ClassVar[str] = "transpose"
    of: str


class SignOf(Weights):
    """Sign-symmetric: at every moment ``B = M * sign(W of the projection 'of')ᵀ``, unit by unit. Where W is exactly 0,
    so is B.

    Args:
        of: whose signs are transported.
        magnitudes: where M comes from (names of Liao et al. 2016): "uniform" is one number for all synapses (uSF),
            "fixed" the absolute value of a draw from `init` made once (frSF), "redrawn" one made anew for every
            training step from (seed, name, step) (brSF).
        magnitude: that one number; None takes the standard deviation that `init` gives to a weight of that shape
            (Xiao et al. 2018).
        init: distribution of M before its sign is dropped.

    Reference:
        Liao, Leibo & Poggio (2016), arXiv 1510.05067; Xiao et al. (2018), arXiv 1811.03567.
    """

    kind: ClassVar[str] = "sign_of"
    of: str
    magnitudes: Literal["uniform", "fixed", "redrawn"] = "uniform"
    magnitude: float | None = Field(default=None, gt=0)
    init: Initialiser = Field(default_factory=XavierUniform)

    @field_validator("magnitude")
    @classmethod
    def _one_for_all(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("magnitudes", "uniform") != "uniform":
            raise ValueError("none, since magnitudes are drawn")
        return value


class Copy(Weights):
    """Own synapses that *start* as the transpose of projection ``of``: weight transport at birth, none afterwards."""

    kind: ClassVar[str] = "copy"
    of: str
