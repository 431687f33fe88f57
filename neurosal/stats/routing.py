"""How evenly the areas of a population are used."""

from __future__ import annotations

from collections.abc import Hashable

import xarray

from neurosal.stats import base
from neurosal.stats.lifting import lift


def usage_entropy(usage: xarray.DataArray, *, dim: Hashable = "area", relative: bool = True) -> xarray.DataArray:
    """Entropy of the share of samples that each area takes, ``H = −Σ p_k log₂ p_k``; relative: ``H / log₂ K``.

    Range 0 (one area takes all) to 1 (all alike), or to log₂ K bits with ``relative=False``; ``2**bits`` is the number
    of areas in effective use.
    There is no chance level: n samples thrown evenly at random give 1 − (K − 1)/(2 n ln K) on average. Areas that are
    NaN do not exist (populations with fewer areas are padded); NaN where no area was used and, when relative, for a
    single area. Cost: one pass.

    Args:
        usage: share or count of samples; shares are taken of their sum.
        dim: the dimension of areas.
        relative: divide by the largest possible entropy.

    Raises:
        NeurosalError: when the dimension is missing (with near names).

    Reference: Shannon, A mathematical theory of communication, Bell System Technical Journal 27 (1948).
    """
    attrs = {
        "long_name": "relative usage entropy" if relative else "usage entropy",
        "units": "1" if relative else "bit",
    }
    return lift(base.usage_entropy, usage, dim=dim, name="usage_entropy", attrs=attrs, relative=relative)


def dead_areas(usage: xarray.DataArray, *, dim: Hashable = "area", below: float = 0.1) -> xarray.DataArray:
    """Number of areas that take less than `below` of the even share: ``#{k: p_k K < below}``.

    Range 0 to K − 1. Null level 0: with even chances and many samples none is dead. The limit is not zero because
    usage is often a running mean, which never gets there. Areas that are NaN do not exist; NaN where no area was used.
    Cost: one pass.

    Args:
        usage: share or count of samples; shares are taken of their sum.
        dim: the dimension of areas.
        below: share of the even share 1/K under which an area counts as dead.

    Raises:
        NeurosalError: when the dimension is missing (with near names).

    Reference: none; the count of experts without work, as reported for mixtures of experts (Shazeer et al. 2017, arXiv
        1701.06538).
    """
    return lift(
        base.dead_areas, usage, dim=dim, name="dead_areas", attrs={"long_name": "dead areas", "units": "1"}, below=below
    )
