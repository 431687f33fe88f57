"""Data sets that are computed, the same on every machine, in place of being read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neurosal.data.content import Content, make_content

STEPS, OUTPUTS = 1000, 3
FREQUENCIES_HZ = (1.0, 2.0, 3.0, 5.0)
UNITS, GROUPS, EVERY_MS = 20, 5, 20


def sum_of_sines() -> Content:
    """One second to be reproduced, in steps of 1 ms: three targets, each a sum of sines of 1, 2, 3 and 5 Hz with
    amplitudes from .5 to 2 and phases drawn from seed 0, divided by its largest value; and a clock of 20 units in five
    groups, which take turns of 200 ms and spike at 50 Hz, the units of a group 5 ms after each other.

    Features are spikes, step after step (20 × 1000); so are targets (3 × 1000). The three parts hold the same second:
    it is to be reproduced, and there is nothing to generalise to.

    Reference:
        The task of Bellec et al. (2020), Nature Communications 11:3625; the numbers are reconstructed, not read there.
    """
    drawn = np.random.Generator(np.random.PCG64(0)).random((2, OUTPUTS, len(FREQUENCIES_HZ)))
    amplitude, phase = 0.5 + 1.5 * drawn[0], 2 * np.pi * drawn[1]
    seconds = np.arange(STEPS) / 1000
    waves = np.sin(2 * np.pi * np.asarray(FREQUENCIES_HZ)[:, None] * seconds + phase[..., None])
    target = (amplitude[..., None] * waves).sum(1).T  # [step, output]
    target /= np.abs(target).max(0)
    clock = np.zeros((STEPS, UNITS), np.uint8)
    turn, size = STEPS // GROUPS, UNITS // GROUPS
    for unit in range(UNITS):
        group, place = divmod(unit, size)
        clock[group * turn + place * (EVERY_MS // size) : (group + 1) * turn : EVERY_MS, unit] = 1
    x, y = clock.reshape(1, -1).repeat(3, 0), target.reshape(1, -1).repeat(3, 0)
    return make_content(
        x, y, name="sum_of_sines", parts=([0], [1], [2]), value_range=(0.0, 1.0),
        source="computed, after Bellec et al. (2020)", licence="Apache-2.0",
        note="The parts hold the same second: it is to be reproduced.",
    )  # fmt: skip


GENERATED: dict[str, Callable[[], Content]] = {"sum_of_sines": sum_of_sines}
