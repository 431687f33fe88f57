"""How a population normalises the input that it receives, before its activation.

Channels are the units of a population in a row, or the first axis of one with space: ``scale`` and ``shift`` have one
number a channel.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from neurosal.graph.value import Kinded

Shapes = dict[str, tuple[int, ...]]


class Normalisation(Kinded):
    """``n = norm(a)``. The engine has the values of each kind and its local vector-Jacobian product.

    Attributes:
        across: whether the samples of a batch are normalised together.
    """

    family: ClassVar[str] = "normalisation"
    across: ClassVar[bool] = False

    def parameters(self, extent: tuple[int, ...]) -> Shapes:
        """What learns, by name, and its shape in a population of this extent. A ``scale`` starts at 1, all else at
        0."""
        return {}

    def statistics(self, extent: tuple[int, ...]) -> Shapes:
        """Running statistics, by name, and their shape. A ``variance`` starts at 1, all else at 0."""
        return {}

    def mismatch(self, extent: tuple[int, ...]) -> str | None:
        """Why a population of this extent cannot be normalised so ("what is expected, found what is there"), or
        None."""
        return None


class BatchNorm(Normalisation):
    """``n = γ (a - μ) / √(σ² + ε) + β`` with mean and (biased) variance of a channel over the samples of the batch, and
    over space where the population has it.

    In a training step, and in what `updates` proposes, μ and σ² are those of the batch, and the error passes them as
    under backpropagation: ``δ = γ/σ (u - mean(u) - n̂ mean(u n̂))``. `predict` and `evaluate` take running statistics,
    which each step moves: ``μ_run += m (μ - μ_run)``, ``σ²_run`` likewise with the unbiased variance. γ and β learn
    from the error that reaches the population. The bias of the population would be of no effect: leave it out.

    Args:
        eps: ε.
        momentum: m.
        affine: whether there are γ (``{population}.scale``) and β (``{population}.shift``).

    Example:
        >>> from neurosal.graph import Population, Rate
        >>> population = Population(shape=(16, 8, 8), model=Rate(norm=BatchNorm(), bias=False))
        >>> population.parameters, population.statistics
        ({'scale': (16,), 'shift': (16,)}, {'mean': (16,), 'variance': (16,)})

    Reference:
        Ioffe & Szegedy (2015), "Batch normalization", arXiv 1502.03167.
    """

    kind: ClassVar[str] = "batch"
    across: ClassVar[bool] = True
    eps: float = Field(default=1e-5, gt=0)
    momentum: float = Field(default=0.1, gt=0, le=1)
    affine: bool = True

    def parameters(self, extent: tuple[int, ...]) -> Shapes:
        return {"scale": extent[:1], "shift": extent[:1]} if self.affine else {}

    def statistics(self, extent: tuple[int, ...]) -> Shapes:
        return {"mean": extent[:1], "variance": extent[:1]}


class RMSNorm(Normalisation):
    """``n = γ a / √(mean(a²) + ε)``, the mean over the units of the population, sample by sample.

    Args:
        eps: ε.
        affine: whether there is a γ (``{population}.scale``), which learns.

    Example:
        >>> from neurosal.graph import Rate
        >>> Rate(norm=RMSNorm()).to_dict()["norm"]
        {'kind': 'rms', 'eps': 1e-05}

    Reference:
        Zhang & Sennrich (2019), "Root mean square layer normalization", arXiv 1910.07467.
    """

    kind: ClassVar[str] = "rms"
    rare: ClassVar[frozenset[str]] = frozenset({"affine"})
    eps: float = Field(default=1e-5, gt=0)
    affine: bool = False

    def parameters(self, extent: tuple[int, ...]) -> Shapes:
        return {"scale": extent[:1]} if self.affine else {}


class GroupNorm(Normalisation):
    """``n = γ (a - μ) / √(σ² + ε) + β`` with mean and (biased) variance over each of ``groups`` groups of channels and
    over space, sample by sample.

    Args:
        groups: into how many the channels are parted, in their order.
        eps: ε.
        affine: whether there are γ (``{population}.scale``) and β (``{population}.shift``), one a channel.

    Example:
        >>> GroupNorm(groups=4).mismatch((10, 3, 3))
        'channels that part into 4 groups, found 10'

    Reference:
        Wu & He (2018), "Group normalization", arXiv 1803.08494.
    """

    kind: ClassVar[str] = "group"
    groups: int = Field(default=8, gt=0)
    eps: float = Field(default=1e-5, gt=0)
    affine: bool = True

    def parameters(self, extent: tuple[int, ...]) -> Shapes:
        return {"scale": extent[:1], "shift": extent[:1]} if self.affine else {}

    def mismatch(self, extent: tuple[int, ...]) -> str | None:
        if extent[0] % self.groups == 0:
            return None
        return f"channels that part into {self.groups} groups, found {extent[0]}"


class LayerNorm(Normalisation):
    """``n = γ (a - μ) / √(σ² + ε) + β`` with mean and (biased) variance over all units of the population, sample by
    sample.

    Args:
        eps: ε.
        affine: whether there are γ (``{population}.scale``) and β (``{population}.shift``), one a channel.

    Example:
        >>> from neurosal.graph import Population, Rate
        >>> Population(size=64, model=Rate(norm=LayerNorm(), bias=False)).parameters
        {'scale': (64,), 'shift': (64,)}

    Reference:
        Ba, Kiros & Hinton (2016), "Layer normalization", arXiv 1607.06450.
    """

    kind: ClassVar[str] = "layer"
    eps: float = Field(default=1e-5, gt=0)
    affine: bool = True

    def parameters(self, extent: tuple[int, ...]) -> Shapes:
        return {"scale": extent[:1], "shift": extent[:1]} if self.affine else {}
