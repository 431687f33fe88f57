"""Where a projection's weights come from: its own synapses, or another projection's."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

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
    """Sign-symmetric: at every moment ``magnitude * sign(W of the projection 'of')ᵀ``.

    ``magnitude`` None takes the standard deviation that Xavier initialisation gives to a weight of that shape (Xiao et
    al. 2018, arXiv 1811.03567).
    """

    kind: ClassVar[str] = "sign_of"
    of: str
    magnitude: float | None = Field(default=None, gt=0)


class Copy(Weights):
    """Own synapses that *start* as the transpose of projection ``of``: weight transport at birth, none afterwards."""

    kind: ClassVar[str] = "copy"
    of: str
