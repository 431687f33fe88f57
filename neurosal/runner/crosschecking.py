"""Both engines on one circuit: do they agree, up to which spike, and if they part, do they still do alike?

Small differences of rounding stay small until they decide whether a unit spikes in this step or in the next. From there
on the spikes of chaotic circuits are others, so equality is asked for up to the first of these, and from there on equal
distributions. See docs/spiking.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosal.checks import check
from neurosal.checks.spiking import refuse_no_time
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Circuit
from neurosal.graph.dynamics import names_in
from neurosal.graph.programs import SLOTS, written
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised, realise
from neurosal.runner.distributions import Compared, compared
from neurosal.runner.sides import OnBrian2, OnTorch, Side, Spikes, Values

FEWEST = 100  # spikes of populations that compute: fewer say little about order in a step
SHARES = 20  # of the duration, at whose ends circuits that do not spike are compared


@dataclass(frozen=True)
class Divergence:
    """The first spike that only one of the engines has.

    Attributes:
        step, time_ms: of the spike.
        population, unit: that spiked.
        engine: which has it.
        variable: whose threshold it is.
        torch, brian2: value of that variable at the start of the step, in the engines.
        margin: how far Brian2's unit was above its threshold after the update of that step, in the unit of the
            variable; None where the threshold is no plain comparison.
        others: how many more spikes of that step only one of the engines has.
    """

    step: int
    time_ms: float
    population: str
    unit: int
    engine: str
    variable: str
    torch: float
    brian2: float
    margin: float | None
    others: int = 0


@dataclass(frozen=True)
class Gap:
    """The largest difference between the engines in one variable.

    Attributes:
        place: of the variable, "population.v_mv" or "projection.w".
        absolute: difference.
        relative: to the largest magnitude of that variable.
    """

    place: str
    absolute: float
    relative: float


@dataclass(frozen=True)
class CrossCheck:
    """What two engines made of one circuit.

    Attributes:
        circuit, seed, dt_ms, duration_ms: what was simulated.
        spikes: population → how many on torch and on Brian2; sources left out.
        identical: whether all spikes of all populations are the same.
        divergence: the first that is not.
        gaps: of state and synapses, at the start of the step of the divergence, or at the end without one.
        changed: projection with plastic weights → share of its weights that changed, on torch and on Brian2.
        compared: distributions over units, where the engines part.
        faults: where they differ by more than rounding.
        missing: evidence without which they are not said to agree.
        seconds: engine → what it took to build and to simulate. Only `timing` gives them.
    """

    circuit: str
    seed: int
    dt_ms: float
    duration_ms: float
    spikes: Mapping[str, tuple[int, int]]
    identical: bool
    divergence: Divergence | None
    gaps: tuple[Gap, ...]
    changed: Mapping[str, tuple[float, float]]
    compared: tuple[Compared, ...]
    faults: tuple[str, ...]
    missing: tuple[str, ...]
    seconds: Mapping[str, Mapping[str, float]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def agrees(self) -> bool:
        """Whether the engines do the same, as far as can be told."""
        return not self.faults and not self.missing

    @property
    def timing(self) -> Mapping[str, Mapping[str, float]]:
        """Seconds to build and to simulate, by engine; none where the engines do not agree: how fast something else is
        done says nothing."""
        return self.seconds if self.agrees else {}

    def __str__(self) -> str:
        from neurosal.runner.saying import said

        return said(self)


@quiet()
def crosscheck(
    circuit: Circuit,
    *,
    duration_ms: float = 1000.0,
    dt_ms: float = 0.1,
    seed: int = 0,
    seeds: Iterable[int] = range(1, 6),
    tolerance: float = 1e-6,
    target: str = "numpy",
) -> CrossCheck:
    """Run a circuit on torch and on Brian2, from the same edges, spikes of sources and first state, in float64.

    They agree where all spikes are the same and state, weights and what else synapses remember differ by rounding only.
    Where they part at a spike, they agree if all this holds up to that spike, the unit was as near to its threshold as
    rounding is, and over the whole duration rates, coefficients of variation and pairwise correlations are distributed
    over units as alike on the two engines as those of different seeds are. Fewer than 100 spikes, and plastic weights
    of which none changed, are no evidence, and so no agreement.

    Args:
        circuit: in continuous time.
        duration_ms, dt_ms: how long, in which steps.
        seed: of edges, weights, first state and sources.
        seeds: of replicas on torch whose distances from each other are the measure, where the engines part.
        tolerance: relative difference that rounding may make.
        target: of Brian2's code, "numpy" or "cython" (which compiles first).

    Raises:
        CircuitError: for circuits with problems, or without time.
        ExperimentError: for a duration that is no whole number of steps, or a target that is not there.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population, Uniform
        >>> cells = Population(size=20, model=LIF(bias_mv=Uniform(low=20, high=40)))
        >>> found = crosscheck(Circuit(name="cells", populations={"cells": cells}), duration_ms=200)
        >>> found.agrees, found.identical
        (True, True)
    """
    refuse_no_time(circuit)
    check(circuit)
    steps = _steps(duration_ms, dt_ms, target)
    realised = realise(circuit, seed, dt_ms)
    sides: tuple[Side, Side] = (OnTorch(realised), OnBrian2(realised, steps, target))
    computed = [name for name in realised.populations if realised.populations[name].dynamics is not None]
    spiking = any(realised.populations[name].dynamics.threshold for name in computed)  # type: ignore[union-attr]
    faults: list[str] = []
    gaps: tuple[Gap, ...] = ()
    done = 0
    for stop in [steps] if spiking else sorted({steps * share // SHARES for share in range(1, SHARES + 1)} - {0}):
        for side in sides:
            side.advance(stop - done)
        done = stop
        gaps = _largest(gaps, gaps_between(sides))
    torch_spikes, brian2_spikes = (side.spikes() for side in sides)
    counts = {name: (len(torch_spikes[name][0]), len(brian2_spikes[name][0])) for name in computed}
    changed = _changed(realised, sides)
    first = first_difference(torch_spikes, brian2_spikes)
    divergence: Divergence | None = None
    distributions: tuple[Compared, ...] = ()
    if first is not None:
        divergence, gaps = _at_divergence(realised, first, target)
        faults += _not_rounding(realised, divergence, tolerance)
        distributions = compared(realised, torch_spikes, brian2_spikes, steps, tuple(seeds))
        faults += [str(row) for row in distributions if not row.alike]
    where = "at the end" if divergence is None else "before the first different spike"
    faults += [
        f"{gap.place} differs by {gap.absolute:.3g} ({gap.relative:.3g} of its largest value) {where}"
        for gap in gaps
        if not gap.relative <= tolerance
    ]
    missing = _without_evidence(counts, changed, spiking, realised, sides)
    return CrossCheck(
        circuit=circuit.name, seed=seed, dt_ms=dt_ms, duration_ms=duration_ms, spikes=counts, identical=first is None,
        divergence=divergence, gaps=gaps, changed=changed, compared=distributions, faults=tuple(faults),
        missing=tuple(missing), seconds={side.name: dict(side.seconds) for side in sides},
    )  # fmt: skip


def _steps(duration_ms: float, dt_ms: float, target: str) -> int:
    problems = []
    steps = round(duration_ms / dt_ms) if dt_ms > 0 else 0
    if not dt_ms > 0:
        problems.append(Problem(place="dt_ms", expected="a time above 0", found=str(dt_ms)))
    elif steps < 1 or abs(steps * dt_ms - duration_ms) > 1e-6 * dt_ms * max(steps, 1):
        problems.append(Problem(place="duration_ms", expected=f"a whole number of steps of {dt_ms:g} ms, one at least",
                                found=f"{duration_ms:g}"))  # fmt: skip
    if target not in ("numpy", "cython"):
        problems.append(Problem(place="target", expected="numpy or cython", found=repr(target)))
    if problems:
        raise ExperimentError(problems)
    return steps


# Equality ------------------------------------------------------------------------------------------------------------


def first_difference(one: Spikes, other: Spikes) -> tuple[int, str, int, bool, int] | None:
    """The first spike that only one has: its step, population and unit, whether `one` has it, and how many others of
    that step only one has; None where all are the same.

    In one step, populations count in their order, then units.
    """
    found: tuple[int, str, int, bool, int] | None = None
    for name in one:
        here, there = (np.stack(side[name], 1) for side in (one, other))
        length = min(len(here), len(there))
        unequal = np.flatnonzero((here[:length] != there[:length]).any(1))
        if len(unequal) == 0 and len(here) == len(there):
            continue
        place = int(unequal[0]) if len(unequal) else length
        step = min(int(side[place, 0]) for side in (here, there) if place < len(side))
        mine, theirs = ({int(unit) for at, unit in side[place:] if at == step} for side in (here, there))
        if mine == theirs:  # the same unit more often
            unit, others = min(mine), 0
            ours = bool((here[place:, 0] == step).sum() > (there[place:, 0] == step).sum())
        else:
            unit, others, ours = min(mine ^ theirs), len(mine ^ theirs) - 1, min(mine ^ theirs) in mine
        if found is None or step < found[0]:
            found = (step, name, unit, ours, others)
        elif step == found[0]:
            found = (*found[:4], found[4] + others + 1)
    return found


def gaps_between(sides: Sequence[Side]) -> tuple[Gap, ...]:
    """The largest difference of each variable of populations and synapses."""
    pairs: list[tuple[Values, Values]] = [
        (sides[0].state(), sides[1].state()),
        (sides[0].synapses(), sides[1].synapses()),
    ]
    found = []
    for one, other in pairs:
        for name, variables in one.items():
            for variable, here in variables.items():
                there = other[name][variable]
                if len(here) == 0 or np.array_equal(here, there):
                    absolute = relative = 0.0
                else:
                    scale = max(float(np.abs(here).max()), float(np.abs(there).max()), 1e-12)
                    absolute = float(np.abs(here - there).max())
                    relative = absolute / scale
                found.append(Gap(f"{name}.{variable}", absolute, relative))
    return tuple(found)


def _largest(first: Iterable[Gap], second: Iterable[Gap]) -> tuple[Gap, ...]:
    """Of two moments, the larger gap of each variable; one that is no number is the largest."""
    largest: dict[str, Gap] = {}
    for gap in (*first, *second):
        known = largest.get(gap.place)
        if known is None or not gap.relative <= known.relative:
            largest[gap.place] = gap
    return tuple(largest.values())


def _at_divergence(
    realised: Realised, first: tuple[int, str, int, bool, int], target: str
) -> tuple[Divergence, tuple[Gap, ...]]:
    """Both engines once more, up to the step of the first different spike, to look at them there."""
    step, population, unit, on_torch, others = first
    dynamics = realised.populations[population].dynamics
    watched = None if dynamics is None else (population, unit)
    sides = (OnTorch(realised), OnBrian2(realised, step + 1, target, watched))
    for side in sides:
        if step:
            side.advance(step)
    gaps = gaps_between(sides)
    variable, values, margin = "", [np.nan, np.nan], None
    if dynamics is not None:
        read = names_in(dynamics.threshold)
        variable = next((name for name in dynamics.equations if name in read), next(iter(dynamics.equations)))
        values = [float(side.state()[population][variable][unit]) for side in sides]
        sides[1].advance(1)
        margin = _margin(realised, population, unit, step, sides[1].before_threshold(population))
    divergence = Divergence(
        step=step, time_ms=step * realised.dt_ms, population=population, unit=unit,
        engine=("brian2", "torch")[on_torch], variable=variable, torch=values[0], brian2=values[1], margin=margin,
        others=others,
    )  # fmt: skip
    return divergence, gaps


def _margin(realised: Realised, population: str, unit: int, step: int, state: Mapping[str, float]) -> float | None:
    """How far a unit is above its threshold: left minus right of a comparison, the other way round for ``<``."""
    dynamics = realised.populations[population].dynamics
    assert dynamics is not None
    tree = ast.parse(dynamics.threshold, mode="eval").body
    if not isinstance(tree, ast.Compare) or len(tree.ops) != 1:
        return None
    known: dict[str, Any] = {
        name: value for name, value in dynamics.constants.items() if isinstance(value, (int, float))
    }
    known |= {name: float(values[unit]) for name, values in realised.constants[population].items()}
    for name, timed in dynamics.timed.items():
        row = timed.values[min(step // max(round(timed.every_ms / realised.dt_ms), 1), len(timed.values) - 1)]
        known[name] = row[unit] if isinstance(row, tuple) else row
    known |= {name: getattr(np, name) for name in ("exp", "log", "sqrt", "tanh", "abs", "clip", "minimum", "maximum")}
    known |= state
    left, right = (eval(ast.unparse(side), {"__builtins__": {}}, known) for side in (tree.left, tree.comparators[0]))
    return float(left - right) if isinstance(tree.ops[0], (ast.Gt, ast.GtE)) else float(right - left)


def _not_rounding(realised: Realised, divergence: Divergence, tolerance: float) -> list[str]:
    """Why a different spike cannot come from rounding."""
    at = f"{divergence.population} unit {divergence.unit} at {divergence.time_ms:g} ms"
    if realised.populations[divergence.population].dynamics is None:
        return [f"the source {at} spikes on {divergence.engine} only, though its spikes are given"]
    scale = max(abs(divergence.torch), abs(divergence.brian2), 1.0)
    if divergence.margin is not None and not abs(divergence.margin) <= tolerance * scale:
        return [f"{at} spikes on {divergence.engine} only, {abs(divergence.margin):.3g} away from its threshold"]
    return []


# Evidence ------------------------------------------------------------------------------------------------------------


def _changed(realised: Realised, sides: Sequence[Side]) -> dict[str, tuple[float, float]]:
    """The share of weights that changed, of each projection that has statements which change them."""
    found = {}
    values = [side.synapses() for side in sides]
    for name, program in realised.programs.items():
        writes = any(written(text) == "w" for slot in SLOTS for text in getattr(program, slot))
        start = realised.edges[name].weight
        if writes and len(start):
            first, second = (float(np.mean(side[name]["w"] != start)) for side in values)
            found[name] = first, second
    return found


def _without_evidence(
    counts: Mapping[str, tuple[int, int]], changed: Mapping[str, tuple[float, float]], spiking: bool,
    realised: Realised, sides: Sequence[Side],
) -> list[str]:  # fmt: skip
    """What is missing for a comparison to say something."""
    faults = []
    for place, side in enumerate(sides):
        total = sum(pair[place] for pair in counts.values())
        if spiking and total < FEWEST:
            faults.append(f"{total} spikes on {side.name}, fewer than {FEWEST}")
        faults += [
            f"no weight of {name} changed on {side.name}" for name, share in changed.items() if share[place] == 0
        ]
        if not spiking:
            state = side.state()
            still = all(np.array_equal(values, realised.state[name][variable])
                        for name, variables in state.items() for variable, values in variables.items())  # fmt: skip
            faults += [f"no state changed on {side.name}"] if still else []
    return faults
