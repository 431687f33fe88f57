"""The groups of statistics that any probe of the registry may ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurosal.record.schema.names import (
    PLASTICITY,
    POPULATION,
    POPULATION_STATS,
    PROJECTION,
    REPLICA,
    SAMPLE,
    UNITS,
)
from neurosal.record.schema.values import Coordinate, Group, Variable

Attributes = Mapping[str, Mapping[str, Any]]  # name of a statistic → long_name, units


def variables(statistics: Attributes, *along: str) -> dict[str, Variable]:
    """Each statistic [replica, sample, *along]."""
    return {name: Variable(dims=(REPLICA, SAMPLE, *along), attrs=attrs) for name, attrs in statistics.items()}


def plasticity(schedule: str, projections: Sequence[str], statistics: Attributes) -> Group:
    """Statistics of the weights of projections, of how far they went and of their proposed changes; NaN where one was
    not asked for."""
    return _along(PLASTICITY, PROJECTION, schedule, projections, statistics)


def population_statistics(schedule: str, populations: Sequence[str], statistics: Attributes) -> Group:
    """Statistics of what populations do on the step's batch; NaN where one was not asked for."""
    return _along(POPULATION_STATS, POPULATION, schedule, populations, statistics)


def unit_statistics(target: str, schedule: str, statistics: Attributes, dims: Mapping[str, tuple[str, int]]) -> Group:
    """Statistics of a pair, projection or population with a number for each unit (or direction, ...).

    Args:
        target: of the probe.
        dims: name of each statistic → its own dimension and length.
    """
    # A population may be called as a statistic is.
    own = {name: (f"{dim}_units" if dim in statistics else dim, length) for name, (dim, length) in dims.items()}
    return Group(
        path=f"{UNITS}/{target}/{schedule}",
        growing=SAMPLE,
        sizes=dict(own.values()),
        variables={
            name: Variable(dims=(REPLICA, SAMPLE, own[name][0]), attrs=attrs) for name, attrs in statistics.items()
        },
    )


def _along(topic: str, dim: str, schedule: str, targets: Sequence[str], statistics: Attributes) -> Group:
    return Group(
        path=f"{topic}/{schedule}",
        growing=SAMPLE,
        variables=variables(statistics, dim),
        coords={dim: Coordinate(dims=(dim,), values=tuple(targets))},
    )
