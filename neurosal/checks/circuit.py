"""The check of a circuit: every problem at once, and nothing is changed."""

from __future__ import annotations

from typing import Any

from neurosal.checks.fit import check_routing, check_ties, check_wiring
from neurosal.checks.flow import check_cycles, check_ends, check_error, check_pathways
from neurosal.checks.memory import estimate, machine_memory, memory_problem
from neurosal.checks.models import check_models
from neurosal.checks.names import check_names
from neurosal.checks.space import check_space
from neurosal.checks.spiking import check_no_time, in_time, time_problems
from neurosal.checks.synapses import estimate_in_time
from neurosal.checks.timed import check_timed
from neurosal.checks.view import View, view_of
from neurosal.errors import CircuitError, Problem
from neurosal.graph.circuit import Circuit

CHECKS = (
    check_names,
    check_models,
    check_pathways,
    check_ends,
    check_cycles,
    check_error,
    check_wiring,
    check_space,
    check_ties,
    check_routing,
    check_no_time,
    check_timed,
)
IN_TIME = (check_names, time_problems)


def check(circuit: Circuit) -> Circuit:
    """The same circuit, when its parts fit together.

    Raises:
        CircuitError: with every problem, each with its place, what was expected, what was found and what to do.

    Example:
        >>> from neurosal import circuits
        >>> check(circuits.mlp(4, 3, 2))
        Circuit('mlp', 3 populations, 2 projections)
    """
    if not isinstance(circuit, Circuit):
        remedy = "neurosal.circuits makes them, and ns.Circuit.from_dict and from_yaml read them."
        found = type(circuit).__name__
        raise CircuitError(Problem(place="circuit", expected="a Circuit", found=found, remedy=remedy))
    if found := problems_in(View(circuit)):
        raise CircuitError(found)
    return circuit


def problems_in(view: View) -> list[Problem]:
    """Everything that does not fit in what a view shows."""
    timed = in_time(view.circuit)
    found = [problem for look in (IN_TIME if timed else CHECKS) for problem in look(view)]
    needs = estimate_in_time(view.circuit) if timed else estimate(view.circuit)
    fewer = "synapses fewer" if timed else "areas fewer"
    oversized = memory_problem(
        needs, machine_memory(), place="populations", remedy=f"Make populations smaller or {fewer}."
    )
    return [*found, oversized] if oversized else found


def check_circuit_data(data: Any) -> tuple[Circuit | None, list[Problem]]:
    """A circuit's dict and all that is wrong with it, fields and graph; no circuit when something is."""
    view, found = view_of(data)
    if view is not None:
        found = [*found, *problems_in(view)]
    return (None if found or view is None else view.circuit), found
