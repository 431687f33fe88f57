"""Memory: what a network will need, in bytes by part, before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from neurosal.errors import CircuitError, Problem
from neurosal.graph.circuit import Circuit
from neurosal.graph.models import Rate
from neurosal.graph.projection import Projection
from neurosal.graph.weights import SignOf
from neurosal.graph.wiring import Dense, Router
from neurosal.settings.optimizers import SGD, Optimizer

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2}
# Activation, gate and error of a population, and one copy of a signal in the order of areas.
SIGNALS = 4


def estimate(
    circuit: Circuit,
    replicas: int = 1,
    batch_size: int = 1,
    dtype: str = "float32",
    optimizer: Optimizer | None = None,
) -> dict[str, int]:
    """Bytes that training needs, by part: weights, masks, biases, routers, optimizer, changes, signals.

    Args:
        circuit: what is trained; ends that are not there count nothing.
        replicas: R.
        batch_size: N.
        dtype: of weights and signals.
        optimizer: whose state is counted; None for none.

    Example:
        >>> from neurosal import circuits
        >>> estimate(circuits.mlp(784, 1000, 10))["weights"]
        3176000
    """
    each = replicas * BYTES[dtype]
    numbers = {name: parameters(circuit, name) for name in circuit.projections}
    plastic = [
        name for name, edge in circuit.projections.items() if edge.plasticity.plastic and edge.pathway != "modulatory"
    ]
    units = sum(
        population.units * population.areas
        for population in circuit.populations.values()
        if _has_bias(population.model)
    )
    return {
        "weights": each
        * sum(count for name, count in numbers.items() if circuit.projections[name].pathway != "modulatory"),
        "masks": each * sum(numbers[name] for name, edge in circuit.projections.items() if _leaves_out(edge)),
        "biases": each * units,
        "routers": each
        * sum(count for name, count in numbers.items() if circuit.projections[name].pathway == "modulatory"),
        "optimizer": each * _states(optimizer) * (sum(numbers[name] for name in plastic) + units),
        # A change lives until its step is done; reciprocal projections share one.
        "changes": each * max((numbers[name] for name in plastic), default=0),
        "signals": each * SIGNALS * batch_size * sum(population.units for population in circuit.populations.values()),
    }


def _leaves_out(edge: Projection) -> bool:
    wiring = edge.wiring
    return isinstance(wiring, Dense) and (
        type(wiring) is not Dense or (edge.source == edge.target and not wiring.allow_autapses)
    )


def _has_bias(model: object) -> bool:
    return isinstance(model, Rate) and model.bias


def parameters(circuit: Circuit, name: str) -> int:
    """How many numbers a projection has of its own, in all areas: a tie none but for magnitudes that are drawn, a
    router its map and prototypes."""
    edge = circuit.projections[name]
    source, target = circuit.populations.get(edge.source), circuit.populations.get(edge.target)
    drawn = isinstance(edge.weights, SignOf) and edge.weights.magnitudes != "uniform"
    if source is None or target is None or (edge.tied_to is not None and not drawn):
        return 0
    if isinstance(edge.wiring, Router):
        return edge.wiring.rank * (source.units + target.areas)
    if edge.pathway == "modulatory":
        return 0
    try:
        return circuit.areas_of(name) * prod(edge.wiring.weight_shape(target.units, source.units))
    except TypeError:  # a wiring without weights of its own, which another check reports
        return 0


def _states(optimizer: Optimizer | None) -> int:
    """How many numbers an optimiser keeps for each weight."""
    if optimizer is None:
        return 0
    if isinstance(optimizer, SGD):
        return int(optimizer.momentum != 0)
    return 2


def machine_memory() -> int | None:
    """Bytes that this process may have at all, as far as the system says."""
    return min((size for size in (_meminfo("MemTotal"), *_control_groups()) if size), default=None)


def available_memory() -> int | None:
    """Bytes that are free now."""
    return min((size for size in (_meminfo("MemAvailable"), *_control_groups()) if size), default=machine_memory())


def _meminfo(key: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith(f"{key}:")]
    return int(found[0][1]) * 1024 if found else None


def _control_groups() -> Iterator[int]:
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (Path("/sys/fs/cgroup") / name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 2**60:  # version 1 writes a huge number for "no limit"
            yield int(text)


def memory_problem(needs: Mapping[str, int], limit: int | None, *, place: str, remedy: str) -> Problem | None:
    """A problem when the parts together need more than `limit` bytes."""
    total = sum(needs.values())
    if limit is None or total <= limit:
        return None
    parts = ", ".join(
        f"{part} {in_words(size)}" for part, size in sorted(needs.items(), key=lambda entry: -entry[1])[:3] if size
    )
    return Problem(
        place=place,
        expected=f"what fits into {in_words(limit)} of memory",
        found=f"{in_words(total)} ({parts})",
        remedy=remedy,
    )


def refuse_oversized(
    circuit: Circuit,
    replicas: int = 1,
    batch_size: int = 1,
    dtype: str = "float32",
    optimizer: Optimizer | None = None,
    *,
    limit: int | None = None,
) -> None:
    """Refuses what `estimate` says will not fit.

    Args:
        limit: bytes; None takes what is free on this machine.

    Raises:
        CircuitError: with the largest parts.
    """
    needs = estimate(circuit, replicas, batch_size, dtype, optimizer)
    problem = memory_problem(
        needs, available_memory() if limit is None else limit, place=f"circuit {circuit.name!r}",
        remedy="Take fewer replicas, smaller batches or smaller populations.",
    )  # fmt: skip
    if problem is not None:
        raise CircuitError(problem)


def in_words(size: int) -> str:
    """Bytes as a person reads them.

    Example:
        >>> in_words(3176000)
        '3.2 MB'
    """
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.3g} PB"
