"""Dearer measures of symmetry: the subspaces that feedback reaches, and what random orders of it give."""

from __future__ import annotations

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, lift, lift_matrix, names, require
from neurosal.stats.symmetry import angle


@statistic(
    family="symmetry",
    of="pair",
    array=base.subspace_angle,
    title="mean principal angle between the leading row spaces",
    formula="mean_i θ_i, cos θ_i = σ_i(V_Wᵀ V_B)",
    range=(0, 90),
    null="that of random subspaces: near 90° for rank ≪ pre, 0° for rank = pre",
    units="degree",
    cost="decomposition",
    form="matrix",
)
def subspace_angle(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims, rank: int = 10) -> xarray.DataArray:
    """Mean of the `principal_angles` of the leading row spaces, ``mean_i θ_i``.

    Range 0° to 90°; the null is that of two random subspaces of that rank: near 90° for rank ≪ pre, 0° where rank =
    pre. Matrices are taken one by one: a probe gives the mean over areas. Cost: two singular value decompositions.

    Args:
        w, b, dim, rank: as for `principal_angles`.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: as for `principal_angles`.
    """
    attrs = {"long_name": "mean principal angle", "units": "degree"}
    dims = names(dim)
    return lift_matrix(base.subspace_angle, w, b, dims=[dims, dims], name="subspace_angle", attrs=attrs, rank=rank)


@statistic(
    family="symmetry",
    of="pair",
    array=base.principal_angles,
    title="principal angles between the leading row spaces",
    formula="cos θ_i = σ_i(V_Wᵀ V_B)",
    range=(0, 90),
    null="those of random subspaces: near 90° for rank ≪ pre, 0° for rank = pre",
    units="degree",
    cost="decomposition",
    form="matrix",
    per=("direction",),
)
def principal_angles(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims, rank: int = 10) -> xarray.DataArray:
    """Angles between the subspaces of the pre-synaptic population that forward weights read and feedback writes,
    ``cos θ_i = σ_i(V_Wᵀ V_B)`` with the leading right singular vectors V of each.

    Errors that come through B lie in the row space of B as [post, pre], those of backpropagation in that of W: feedback
    whose space is right teaches something of use even where single weights do not agree. Range 0° to 90°; the null is
    that of two random subspaces of that rank: near 90° for rank ≪ pre, 0° for all where rank = pre. Rotations of the
    post-synaptic space change nothing. Small angles are taken from sines, so they keep their digits. Where fewer than
    `rank` singular values are above zero, or the last of them has an equal beside it, the space is not defined.
    NaN for weights that are not finite. Matrices are taken one by one: a probe gives the mean over areas. Cost: two
    singular value decompositions.

    Args:
        w, b: labelled arrays, matched by name.
        dim: (post, pre) of both, e.g. ``("output", "hidden1")``: rows are along the first.
        rank: leading directions that are compared, at most min(post, pre).

    Returns:
        Degrees, ascending along the new dimension ``direction``.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import numpy, xarray
        >>> w = xarray.DataArray(numpy.eye(2, 4), dims=("output", "hidden1"))
        >>> b = xarray.DataArray(numpy.eye(2, 4, k=1), dims=("output", "hidden1"))
        >>> principal_angles(w, b, dim=("output", "hidden1")).values.round(6).tolist()
        [0.0, 90.0]

    Reference: Björck & Golub, Numerical methods for computing angles between linear subspaces, Mathematics of
        Computation 27 (1973), doi 10.1090/S0025-5718-1973-0348991-3; sines: Knyazev & Argentati, SIAM J. Sci. Comput.
        23 (2002), doi 10.1137/S1064827500377332.
    """
    attrs = {"long_name": "principal angles", "units": "degree"}
    dims = names(dim)
    return lift_matrix(
        base.principal_angles, w, b, dims=[dims, dims], name="principal_angles", attrs=attrs, keep=["direction"],
        rank=rank,
    )  # fmt: skip


@statistic(
    family="symmetry",
    of="pair",
    array=base.alignment_p,
    title="share of random orders of the feedback that align as well",
    formula="(1 + #{π: ⟨W, πB⟩ ≥ ⟨W, B⟩}) / (1 + P)",
    range=(0, 1),
    null="uniform for independent weights; at least 1/(1 + P)",
    cost="repeats",
)
def alignment_p(
    w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims, permutations: int = 199, seed: int = 0
) -> xarray.DataArray:
    """Share of random orders of the feedback that align as well as the real one (one-sided permutation test),
    ``p = (1 + #{π: ⟨W, πB⟩ ≥ ⟨W, B⟩}) / (1 + P)``.

    An order changes neither norms nor means, so raw angle, centred angle and slope all rank orders as the dot product
    does: their p is the same. The null holds what is exchanged for exchangeable: entries over `dim`. Range 1/(1 + P) to
    1, uniform for independent weights. NaN for a zero vector. Cost: P passes in random order; for afterwards, or once
    an epoch.

    Args:
        w, b: labelled arrays, matched by name.
        dim: the dimensions over which entries are exchanged; ``"hidden1"`` gives one p for each unit of the output.
        permutations: P.
        seed: of the orders.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Phipson & Smyth, Permutation p-values should never be zero, Statistical Applications in Genetics and
        Molecular Biology 9 (2010), arXiv 1603.05766.
    """
    attrs = {"long_name": "p of the alignment", "units": "1", "permutations": permutations, "seed": seed}
    options = {"permutations": permutations, "seed": seed}
    return lift(base.alignment_p, w, b, dim=dim, name="alignment_p", attrs=attrs, **options)


def permutation_null(
    w: xarray.DataArray,
    b: xarray.DataArray,
    *,
    dim: Dims,
    centred: bool = False,
    permutations: int = 999,
    level: float = 0.95,
    seed: int = 0,
) -> xarray.Dataset:
    """The angle beside what random orders of the feedback give: its band and p.

    The band is made of the middle `level` of the angles between W and B with its entries in random order: unlike
    `chance_band` it needs no mean of zero. Raw angles of weights of one sign have their band far below 90°.

    Args:
        w, b, dim: as for `angle`.
        centred: of `centred_angle` instead.
        permutations, seed: how many orders, from which seed.
        level: share of the orders inside the band.

    Returns:
        Dataset with ``angle``, ``null_mean``, ``null_low``, ``null_high`` (degrees) and ``p`` (see `alignment_p`).

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import numpy, xarray
        >>> draws = numpy.random.default_rng(0).lognormal(size=(2, 500))
        >>> w, b = (xarray.DataArray(entry, dims="pre") for entry in draws)
        >>> found = permutation_null(w, b, dim="pre")
        >>> bool(found.null_low < found.angle < found.null_high < 80)
        True

    Reference: as for `alignment_p`.
    """
    dims = names(dim)
    require("permutation_null", [w, b], dims)
    if centred:
        w, b = w - w.mean(dims), b - b.mean(dims)
    found = angle(w, b, dim=dim)
    attrs = {"units": "degree"}
    dots = xarray.apply_ufunc(
        base.permuted_dots, w, b, input_core_dims=[dims, dims], output_core_dims=[["permutation"]], join="exact",
        kwargs={"axis": tuple(range(-len(dims), 0)), "permutations": permutations, "seed": seed},
    )  # fmt: skip
    lengths = (w.astype(float) ** 2).sum(dims) ** 0.5 * (b.astype(float) ** 2).sum(dims) ** 0.5
    random = numpy.degrees(numpy.arccos((dots / lengths.where(lengths > 0)).clip(-1, 1)))
    outside = (1 - level) / 2
    low, high = (random.quantile(share, "permutation").drop_vars("quantile") for share in (outside, 1 - outside))
    return xarray.Dataset(
        {
            "angle": found,
            "null_mean": random.mean("permutation").assign_attrs(attrs),
            "null_low": low.assign_attrs(attrs),
            "null_high": high.assign_attrs(attrs),
            "p": alignment_p(w, b, dim=dim, permutations=permutations, seed=seed),
        },
        attrs={"permutations": permutations, "seed": seed, "level": level, "centred": int(centred)},
    )
