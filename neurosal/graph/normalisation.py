"""How a population normalises the input that it receives, sample by sample, before its activation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from neurosal.graph.value import Kinded


class Normalisation(Kinded):
    """``n = norm(a)``. The engine has the values of each kind and its local vector-Jacobian product."""

    family: ClassVar[str] = "normalisation"


class RMSNorm(Normalisation):
    """``n = a / √(mean(a²) + ε)``, the mean over the units of the population; it has no parameters.

    Args:
        eps: ε.

    Example:
        >>> from neurosal.graph import Rate
        >>> Rate(norm=RMSNorm()).to_dict()["norm"]
        {'kind': 'rms', 'eps': 1e-05}

    Reference:
        Zhang & Sennrich (2019), "Root mean square layer normalization", arXiv 1910.07467.
    """

    kind: ClassVar[str] = "rms"
    eps: float = Field(default=1e-5, gt=0)
