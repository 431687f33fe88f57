"""How alike forward weights and a feedback path are: angle, norm ratio, concordance of signs, and what chance gives.

Orientation: weights are stored [post, pre] of their own projection, so the feedback partner of W (post, pre) is stored
(pre, post). Labelled arrays carry the populations as names of their dimensions and are matched by name: nothing is
transposed by hand, and a square pair cannot be compared the wrong way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy
import xarray

from neurosal.errors import NeurosalError, Problem
from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, disagreement, lift, told, without_labels


@statistic(
    of="pair",
    array=base.angle,
    title="angle between forward weights and feedback path",
    formula="arccos(⟨W, B⟩ / (‖W‖ ‖B‖))",
    range=(0, 180),
    null="90° ± 57.3°/√n for independent weights of mean zero",
    units="degree",
)
def angle(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Angle between forward weights and feedback seen as vectors over `dim`, ``arccos(⟨W, B⟩ / (‖W‖ ‖B‖))``.

    Range 0° (same direction) to 180° (opposite). Two independent random vectors of n entries are at 90° ± 57.3°/√n
    (`chance_band`). Neither the scale of one of them nor a rotation of both changes it. Computed in float64 as
    ``2 atan2(‖u − v‖, ‖u + v‖)`` of the unit vectors u and v, which keeps full precision near 0° and 180°. NaN for a
    zero vector. Cost: a few passes over the entries and three float64 copies of them.

    Args:
        w, b: labelled arrays. For a feedback route of several projections give the product, `path`; for direct
            feedback compare with the `path` of the forward weights.
        dim: the dimensions that make up one vector: ``("hidden1", "output")`` for the weight angle of an area,
            ``("area", "hidden1", "output")`` for all areas together, ``"hidden1"`` for one angle for each unit of the
            other population.

    Returns:
        Degrees, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import numpy, xarray
        >>> w = xarray.DataArray(numpy.arange(6.0).reshape(2, 3), dims=("output", "hidden1"))
        >>> b = xarray.DataArray(w.values.T, dims=("hidden1", "output"))
        >>> float(angle(w, b, dim=("hidden1", "output")))
        0.0

    Reference: Lillicrap et al., Random synaptic feedback weights support error backpropagation for deep learning,
        Nature Communications 7 (2016), arXiv 1411.0247.
    """
    return lift(base.angle, w, b, dim=dim, name="angle", attrs={"long_name": "angle", "units": "degree"})


@statistic(
    of="pair",
    array=base.norm_ratio,
    title="norm of the feedback path over norm of forward weights",
    formula="‖B‖ / ‖W‖",
    range=(0, numpy.inf),
    null="1 for a transpose, about 1 for independent weights of one initialisation and shape",
)
def norm_ratio(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Norm of the feedback over the norm of the forward weights, ``‖B‖ / ‖W‖`` over `dim`.

    Range 0 to ∞. No chance level but: 1 for a transpose, about 1 for independent weights of one initialisation and
    shape. A converged product of random feedback with ratio ρ of relay to sending units has √(1 + 1/ρ). NaN where W
    is zero. Cost: two passes over the entries.

    Args:
        w, b: labelled arrays, matched by name.
        dim: the dimensions that make up one vector, as in `angle`.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Li et al., Deep learning without weight symmetry (2024), arXiv 2405.20594.
    """
    return lift(base.norm_ratio, w, b, dim=dim, name="norm_ratio", attrs={"long_name": "norm ratio", "units": "1"})


@statistic(
    of="pair",
    array=base.sign_concordance,
    title="share of weights with the sign of their feedback",
    formula="mean(sign W = sign B)",
    range=(0, 1),
    null="1/2 ± 1/(2√n) for independent weights of mean zero",
)
def sign_concordance(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Share of weights with the sign of their feedback partner, ``mean(sign W = sign B)`` where neither is zero.

    Range 0 to 1. Chance level 1/2 ± 1/(2√n) for n weights; for two Gaussian vectors at angle θ it is ``1 − θ/180°`` on
    average. NaN where no place has both. Cost: two passes over the entries.

    Args:
        w, b: labelled arrays, matched by name.
        dim: the dimensions over which signs are counted.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Liao, Leibo and Poggio, How important is weight symmetry in backpropagation? (2016), arXiv 1510.05067.
    """
    return lift(
        base.sign_concordance,
        w,
        b,
        dim=dim,
        name="sign_concordance",
        attrs={"long_name": "share of equal signs", "units": "1"},
    )


def path(*weights: xarray.DataArray) -> xarray.DataArray:
    """Effective weights of a route, ``W_n ... W_2 W_1`` with W_1 the projection that the signal passes first.

    The last two dimensions of each array are its (post, pre), as weights are stored; the pre of each must be the post
    of the one before, by name. Other dimensions (replica, snapshot, area) are kept and matched by name, so the areas
    of a route multiply one by one. Linear: what units in between do to the signal is left out. Cost: the matrix
    products, in float64.

    Args:
        weights: in travel order, [..., post, pre].

    Returns:
        Weights [..., post of the last, pre of the first]. Where both are the same population, the second is called
        ``<name>_pre``.

    Raises:
        NeurosalError: when the projections do not follow one another.

    Example:
        >>> import numpy, xarray
        >>> first = xarray.DataArray(numpy.ones((5, 2)), dims=("relay", "output"))
        >>> second = xarray.DataArray(numpy.ones((3, 5)), dims=("hidden1", "relay"))
        >>> path(first, second).sizes
        Frozen({'hidden1': 3, 'output': 2})

    Reference: Li et al., Deep learning without weight symmetry (2024), arXiv 2405.20594.
    """
    problems = without_labels("path", weights)
    if not weights:
        problems = [Problem(place="stats.path", expected="at least one projection's weights", found="none")]
    if not problems:
        problems = _breaks(weights)
    if problems:
        raise NeurosalError(problems)
    post, pre = weights[-1].dims[-2], weights[0].dims[-1]
    ends = [post, f"{pre}_pre" if post == pre else pre]
    try:
        product = xarray.apply_ufunc(
            base.path,
            *weights,
            input_core_dims=[weight.dims[-2:] for weight in weights],
            output_core_dims=[ends],
            join="exact",
            keep_attrs=False,
        )
    except ValueError as error:
        raise disagreement("path", weights, error) from None
    return product.rename("path").assign_attrs(long_name="effective weights of the route", units="1")


def _breaks(weights: Sequence[xarray.DataArray]) -> list[Problem]:
    """Where a route does not hold together."""
    problems = [
        Problem(place=f"stats.path, argument {position}", expected="weights [..., post, pre]", found=told(weight))
        for position, weight in enumerate(weights, start=1)
        if weight.ndim < 2
    ]
    if problems:
        return problems
    for position, (before, after) in enumerate(pairwise(weights), start=2):
        reached, read = before.dims[-2], after.dims[-1]
        if read not in (reached, f"{reached}_pre"):
            problems.append(
                Problem(
                    place=f"stats.path, argument {position}",
                    expected=f"a projection that starts at {reached!r}, where the one before ends",
                    found=f"post {after.dims[-2]!r}, pre {read!r}",
                    remedy="Give projections in the order in which the signal passes them, [..., post, pre].",
                )
            )
    return problems


def chance_band(n: Any, deviations: float = 1.0) -> tuple[Any, Any]:
    """Where the angle between two independent random vectors of n entries lies: ``90° ± deviations · 57.3°/√n``.

    The normal approximation, kept within 0° to 180°. The true standard deviation is 5 % larger at n = 10 and 0.5 % at
    n = 100; for n = 1 the angle is 0° or 180°.

    Args:
        n: count of weights; a number or any array.
        deviations: half-width in standard deviations; 1 covers 68 % of random pairs, 2 covers 95 %.

    Returns:
        Lower and upper bound in degrees, as `n` is.

    Example:
        >>> low, high = chance_band(10_000)
        >>> f"{low:.2f} to {high:.2f}"
        '89.43 to 90.57'
    """
    width = deviations * base.DEGREES / n**0.5
    return numpy.clip(90 - width, 0, 180), numpy.clip(90 + width, 0, 180)
