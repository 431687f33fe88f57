"""The check of what is drawn for single synapses: distributions, numbers that are given, delays, signs."""

from __future__ import annotations

from collections.abc import Iterator

from neurosal.errors import Problem
from neurosal.graph import (
    Constant,
    EdgeList,
    Given,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    LogNormal,
    OneToOne,
    Orthogonal,
    Projection,
    Uniform,
)

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
