"""The check of what is drawn for single synapses: distributions, numbers that are given, delays, signs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import exp, inf

from neurosal.errors import Problem
from neurosal.graph import (
    Constant,
    EdgeList,
    Given,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    LogNormal,
    Normal,
    OneToOne,
    Orthogonal,
    Own,
    Projection,
    TruncatedNormal,
    Uniform,
)
from neurosal.graph.value import shown

OF_MATRICES = (KaimingNormal, KaimingUniform, Orthogonal)  # distributions of layers, not of single synapses


def drawable_problems(place: str, init: Initialiser) -> Iterator[Problem]:
    """Distributions must be of single numbers, with bounds the right way round."""
    if isinstance(init, OF_MATRICES):
        yield Problem(
            place=place, expected="a distribution of single numbers", found=init.kind,
            remedy="Take constant, normal, log_normal or uniform.",
        )  # fmt: skip
    if isinstance(init, Uniform) and init.low > init.high:
        yield Problem(place=place, expected="low not above high", found=f"low {init.low}, high {init.high}")


def as_many_problems(place: str, edge: Projection, init: Initialiser) -> Iterator[Problem]:
    """Numbers that are given need synapses that are listed, one for each."""
    if not isinstance(init, Given):
        return
    if isinstance(edge.wiring, OneToOne):
        return
    if not isinstance(edge.wiring, EdgeList):
        yield Problem(place=place, expected="edges that are listed, of which these are the numbers",
                      found=edge.wiring.kind, remedy="Take the wiring edge_list, or one_to_one.")  # fmt: skip
    elif len(init.values) != len(edge.wiring.edges):
        yield Problem(place=place, expected=f"{len(edge.wiring.edges)} values, one for each edge",
                      found=str(len(init.values)))  # fmt: skip


def delays_problems(place: str, delay: Initialiser) -> Iterator[Problem]:
    """Delays are never negative."""
    least = {
        Uniform: lambda: delay.low,  # type: ignore[attr-defined]
        Constant: lambda: delay.value,  # type: ignore[attr-defined]
        Given: lambda: min(delay.values),  # type: ignore[attr-defined]
    }.get(type(delay), lambda: 0.0)()
    if least < 0:
        yield Problem(place=place, expected="delays of 0 ms or more", found=f"{least:g}")


def first_weights(init: Initialiser) -> tuple[float, float, float]:
    """Of weights that are drawn: the lowest, one in the middle, and the highest; infinite where there is no end. Where
    the ends depend on how many synapses there are, none is said.

    Example:
        >>> from neurosal.graph import LogNormal
        >>> first_weights(LogNormal(log_mean=0.0, log_std=0.5))
        (0.0, 1.0, inf)
    """
    match init:
        case Constant():
            return init.value, init.value, init.value
        case Given():
            return min(init.values), sorted(init.values)[len(init.values) // 2], max(init.values)
        case Uniform():
            return init.low, (init.low + init.high) / 2, init.high
        case TruncatedNormal():
            low, high = (-inf if init.low is None else init.low), (inf if init.high is None else init.high)
            return low, min(max(init.mean, low), high), high
        case LogNormal():
            return 0.0, exp(min(init.log_mean, 700.0)), inf
        case Normal():
            return -inf, init.mean, inf
    return -inf, 0.0, inf


def bounds_problems(place: str, edge: Projection, known: Mapping[str, Projection]) -> Iterator[Problem]:
    """First weights lie between the bounds of what changes them, and a sign leaves room between these.

    Numbers and distributions with ends must lie there wholly. Of those without ends a part may lie outside, which
    starts at the bound, but not the most.

    Args:
        known: projections by name: weights may come from another one.
    """
    origin = edge if isinstance(edge.weights, Own) else known.get(str(getattr(edge.weights, "of", "")))
    if origin is None or not isinstance(origin.weights, Own):
        return
    init, drawn_with = origin.weights.init, origin.sign
    low, high = edge.plasticity.bounds()
    said = f"weights from {low:g} to {high:g}, as its plasticity ({edge.plasticity.kind}) keeps them"
    if low >= high:
        yield Problem(place=f"{place}.plasticity", expected="parts whose bounds leave room for a weight",
                      found=f"bounds from {low:g} to {high:g}")  # fmt: skip
        return
    if (edge.sign == "excitatory" and high <= 0) or (edge.sign == "inhibitory" and low >= 0):
        yield Problem(
            place=f"{place}.sign", expected=said, found=f"{edge.sign}, so that all would be 0",
            remedy="Give bounds of that side (w_min, w_max), or leave the sign out.",
        )  # fmt: skip
        return
    lowest, middle, highest = first_weights(init)
    if drawn_with is not None:
        side = max if drawn_with == "excitatory" else min
        lowest, middle, highest = (side(value, 0.0) for value in (lowest, middle, highest))
    wholly = lowest >= low and highest <= high
    # Those of the other sign are 0 already, and may be the most.
    most = low < middle < high or (drawn_with is not None and middle == 0.0 and low <= 0.0 <= high)
    partly = most and (lowest >= low or lowest == -inf) and (highest <= high or highest == inf)
    if not (wholly or partly):
        remedy = "Draw them between the bounds, or give the plasticity other ones (w_min, w_max; None for none)."
        yield Problem(place=f"{place}.weights.init", expected=said, found=shown(init), remedy=remedy)


def signed_problems(place: str, edge: Projection, init: Initialiser) -> Iterator[Problem]:
    """A sign must leave something of the weights that are drawn."""
    if edge.sign is None:
        return
    low, high = {
        Constant: lambda: (init.value, init.value),  # type: ignore[attr-defined]
        Uniform: lambda: (init.low, init.high),  # type: ignore[attr-defined]
        LogNormal: lambda: (0.0, 1.0),
        Given: lambda: (min(init.values), max(init.values)),  # type: ignore[attr-defined]
    }.get(type(init), lambda: (-1.0, 1.0))()
    if (edge.sign == "excitatory" and high < 0) or (edge.sign == "inhibitory" and low >= 0 and high > 0):
        yield Problem(
            place=f"{place}.weights.init", expected=f"weights of the sign {edge.sign}", found=repr(init),
            remedy="All of them would be 0: give inhibitory weights a minus, or leave the sign out.",
        )  # fmt: skip
