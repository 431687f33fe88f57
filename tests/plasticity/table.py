"""Every plasticity that needs no error, with a slow reference for each: sample by sample, in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosal.graph import Plasticity
from neurosal.plasticity import BCM, AntiHebbian, Hebbian, Oja
from tests.reference.interpreter import Seen, divisor
from tests.reference.numerics import Array


def by_area(seen: Seen) -> list[tuple[int, list[int], float]]:
    """(area, its samples, what their sum is divided by) for each area that has samples."""
    found = []
    for area in sorted(set(seen.areas)):
        mine = [n for n, other in enumerate(seen.areas) if other == area]
        found.append((area, mine, divisor(seen.fields["reduction"], len(seen.areas), len(mine))))
    return found


def product(post: Array, pre: Array, like: Array) -> Array:
    return post * pre if like.ndim == 2 else np.outer(post, pre)


def hebbian(seen: Seen, _: dict[str, Any]) -> Array:
    change = np.zeros_like(seen.weight)
    for area, mine, count in by_area(seen):
        means = [sum(rows[n] for n in mine) / len(mine) for rows in (seen.post_activity, seen.pre_activity)]
        for n in mine:
            post, pre = seen.post_activity[n], seen.pre_activity[n]
            if seen.fields["centred"]:
                post, pre = post - means[0], pre - means[1]
            change[area] -= product(post, pre, seen.weight) / count
        change[area] += seen.fields["decay"] * seen.weight[area]
    return change


def oja(seen: Seen, _: dict[str, Any]) -> Array:
    change = np.zeros_like(seen.weight)
    for area, mine, count in by_area(seen):
        for n in mine:
            post, pre = seen.post_activity[n], seen.pre_activity[n]
            grown = product(post, pre, seen.weight)
            for unit in range(len(post)):
                change[area, unit] -= (grown[unit] - post[unit] ** 2 * seen.weight[area, unit]) / count
    return change


def bcm(seen: Seen, state: dict[str, Any]) -> Array:
    change = np.zeros_like(seen.weight)
    for area, mine, count in by_area(seen):
        square = sum(seen.post_activity[n] ** 2 for n in mine) / len(mine)
        times, threshold = state.get(area, (0, np.zeros_like(square)))
        times += 1
        threshold = threshold + (square - threshold) / min(times, seen.fields["time_constant"])
        state[area] = times, threshold
        for n in mine:
            post = seen.post_activity[n]
            change[area] -= product(post * (post - threshold), seen.pre_activity[n], seen.weight) / count
    return change


def anti_hebbian(seen: Seen, _: dict[str, Any]) -> Array:
    change = np.zeros_like(seen.weight)
    for area, mine, count in by_area(seen):
        mean = sum(seen.post_activity[n] for n in mine) / len(mine) if seen.fields["centred"] else 0.0
        for n in mine:
            together = product(seen.post_activity[n] - mean, seen.pre_activity[n], seen.weight)
            change[area] += (together - seen.fields["target"] ** 2) / count
    return change


@dataclass(frozen=True)
class Case:
    """One member with its settings, and its reference."""

    name: str
    member: Plasticity
    by_hand: Callable[[Seen, dict[str, Any]], Array]


TABLE = (
    Case("hebbian", Hebbian(decay=0.1), hebbian),
    Case("hebbian_centred", Hebbian(centred=True, reduction="area"), hebbian),
    Case("oja", Oja(), oja),
    Case("oja_area", Oja(reduction="area", rate=0.5), oja),
    Case("bcm", BCM(time_constant=2.5), bcm),
    Case("bcm_sum", BCM(reduction="sum", rate=0.1), bcm),
    Case("anti_hebbian", AntiHebbian(), anti_hebbian),
    Case("anti_hebbian_centred", AntiHebbian(centred=True), anti_hebbian),
    Case("anti_hebbian_target", AntiHebbian(target=0.3, reduction="area"), anti_hebbian),
)
BY_HAND = {case.member.kind: case.by_hand for case in TABLE}
