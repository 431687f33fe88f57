"""Memory: what a network will need, in bytes by part, before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from neurosal.errors import CircuitError, Problem
from neurosal.graph.circuit import Circuit
from neurosal.graph.convolution import density_of
from neurosal.graph.initialisers import Constant
from neurosal.graph.plasticity import Plasticity
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.timed import timing_of
from neurosal.graph.weights import Own, SignOf
from neurosal.graph.wiring import Dense, Router
from neurosal.settings.optimizers import SGD, Optimizer
from neurosal.settings.training import Training

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2}
# Activity and error of a population, and one copy of a signal in the order of areas or while it is gated.
SIGNALS = 3
STATE = ("weights", "feedback", "biases", "routers", "optimizer", "plasticity")  # what a checkpoint holds
KEPT_BYTES = 1 << 28  # a larger state has no second copy: see `neurosal.runner.finite`
EVALUATED_ROWS = 1 << 15  # samples that are judged together, in all replicas
EVALUATED_BYTES = 1 << 29  # and what their activity may take: wide networks are judged in smaller pieces
LIBRARIES = 1 << 28  # at most: small networks free little
REMEDIES = {
    "weights": "fewer areas, smaller populations or fewer replicas",
    "feedback": "feedback that needs fewer synapses (direct: dfa or dkp), fewer areas, or fewer replicas",
    "masks": "dense wiring",
    "optimizer": "plain SGD, which keeps nothing",
    "plasticity": "plasticity that remembers less",
    "changes": "plain SGD without clip, which makes no tensor of changes",
    "signals": "smaller batches, or fewer replicas",
    "data": "a smaller subset of the data",
    "kept": "fewer replicas",
    "records": "a smaller training.queue_mb",
    "evaluation": "fewer samples to judge by",
}


def estimate(
    circuit: Circuit,
    replicas: int = 1,
    batch_size: int = 1,
    dtype: str = "float32",
    optimizer: Optimizer | None = None,
) -> dict[str, int]:
    """Bytes that training steps need, by part: weights (forward and lateral), feedback, masks, biases (and what norms
    have), routers, optimizer, plasticity, changes, signals.

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
    by_pathway = {name: circuit.projections[name].pathway for name in numbers}
    plastic = [
        name for name, edge in circuit.projections.items() if edge.plasticity.plastic and edge.pathway != "modulatory"
    ]
    units = sum(own_parameters(population) for population in circuit.populations.values())
    running = sum(prod(shape) for each in circuit.populations.values() for shape in each.statistics.values())
    forward = sum(count for name, count in numbers.items() if by_pathway[name] in ("feedforward", "lateral"))
    return {
        "weights": each * forward,
        "feedback": each * sum(count for name, count in numbers.items() if by_pathway[name] == "feedback"),
        "masks": each * sum(numbers[name] for name, edge in circuit.projections.items() if _leaves_out(edge)),
        "biases": each * (units + running),
        "routers": each * sum(count for name, count in numbers.items() if by_pathway[name] == "modulatory"),
        "optimizer": each * _states(optimizer) * (sum(numbers[name] for name in plastic) + units),
        "plasticity": each * sum(_remembered(circuit, name) for name in plastic),
        "changes": each * _changes(circuit, {name: numbers[name] for name in plastic}, optimizer),
        "signals": each * SIGNALS * batch_size * units_in_time(circuit),
    }


def units_in_time(circuit: Circuit) -> int:
    """Numbers that a signal of all populations has for one sample: one a unit, or one a unit and step."""
    timing = timing_of(circuit)
    steps = 1 if timing is None else timing.steps
    return steps * sum(population.units for population in circuit.populations.values())


def estimate_run(
    circuit: Circuit,
    replicas: int,
    training: Training,
    samples: int = 0,
    features: int = 0,
    evaluated: int = 0,
    as_bytes: bool = False,
) -> dict[str, int]:
    """Bytes that a run needs, by part: those of its steps, and beside them

    - data: samples as tensors on the device, next to the data set itself;
    - kept: the copy of the last good state, of states up to 256 MiB;
    - records: the queue of what waits to be written, and the copy of a checkpoint that fits into it (larger ones are
      written from where they lie);
    - evaluation: signals of samples that are judged together, beyond those of a batch;
    - libraries: freed memory that the process keeps (`neurosal.engine.heap`) and what torch's kernels keep.

    Args:
        samples, features: of all parts of the data.
        evaluated: samples of the largest part to judge by.
        as_bytes: whether samples stay bytes: see `neurosal.engine.images`.
    """
    needs = estimate(circuit, replicas, training.batch_size, training.dtype, training.optimizer)
    state = sum(needs[part] for part in STATE)
    units = units_in_time(circuit)
    judged = min(evaluated * replicas, EVALUATED_ROWS) * SIGNALS * units * BYTES[training.dtype]
    queue = int(training.queue_mb * 2**20)
    return needs | {
        "data": samples * features * (2 if as_bytes else 4 + BYTES[training.dtype]),
        "kept": state if state <= KEPT_BYTES else needs["biases"] + needs["routers"],
        "records": queue + (state if state <= queue else 0),
        "evaluation": max(0, min(judged, 2 * EVALUATED_BYTES) - needs["signals"]),
        "libraries": LIBRARIES,
    }


def _remembered(circuit: Circuit, name: str) -> int:
    """How many numbers the plasticity of a projection keeps."""
    edge = circuit.projections[name]
    source, target = circuit.populations.get(edge.source), circuit.populations.get(edge.target)
    if source is None or target is None or type(edge.plasticity).init is Plasticity.init:
        return 0
    shape = (1, circuit.areas_of(name), *edge.wiring.weight_shape(target.extent, source.extent))
    state = edge.plasticity.init(_Shaped(shape))
    return sum(prod(entry.shape) for entry in state.values() if hasattr(entry, "shape"))


class _Shaped:
    """Stands for a weight where only sizes count: whatever is made of it or done with it keeps its shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def new_zeros(self, *shape: Any, **_: Any) -> _Shaped:
        return _Shaped(tuple(shape[0]) if shape and isinstance(shape[0], (tuple, list)) else shape)

    new_ones = new_empty = new_zeros

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: self


def _changes(circuit: Circuit, numbers: Mapping[str, int], optimizer: Optimizer | None) -> int:
    """How many numbers of changes, and of what an optimiser makes of them, are there at a time.

    A plain step takes a product straight into the weights, area by area. Others make the change a tensor; clipping
    makes all of them before the first weight moves. Plasticity with an update of its own always makes one, and puts it
    into the layout of the storage.
    """
    known = [name for name in numbers if {*_ends(circuit, name)} <= circuit.populations.keys()]
    areas = {name: max(1, circuit.areas_of(name)) if name in known else 1 for name in numbers}
    own = [count for name, count in numbers.items() if circuit.projections[name].plasticity.product is None]
    most = max(numbers.values(), default=0)
    if optimizer is None or optimizer.plain:
        by_area = max((count // areas[name] for name, count in numbers.items()), default=0)
        return max(by_area, 3 * max(own, default=0))
    working = most * (1 + (1 if isinstance(optimizer, SGD) else 3))
    if optimizer.clip is not None:
        shared = {tuple(sorted((edge.source, edge.target))): numbers[name]
                  for name, edge in circuit.projections.items() if name in numbers}  # fmt: skip
        working += sum(shared.values())
    return max(working, 3 * max(own, default=0))


def _ends(circuit: Circuit, name: str) -> tuple[str, str]:
    edge = circuit.projections[name]
    return edge.source, edge.target


def _leaves_out(edge: Projection) -> bool:
    wiring = edge.wiring
    if not isinstance(wiring, Dense):
        return density_of(wiring) < 1
    return type(wiring) is not Dense or (edge.source == edge.target and not wiring.allow_autapses)


def own_parameters(population: Population) -> int:
    """How many numbers a population can learn of its own, in all areas: its bias, scale and shift of its norm."""
    return population.areas * sum(prod(shape) for shape in population.parameters.values())


def constant(edge: Projection) -> bool:
    """Whether all weights of a projection are one number for good, as those of a skip."""
    return isinstance(edge.weights, Own) and isinstance(edge.weights.init, Constant) and not edge.plasticity.plastic


def parameter_count(circuit: Circuit) -> int:
    """How many parameters a circuit has: weights that are not another's, feedback and routers, biases, and scales and
    shifts of norms. Constant skips are none.

    Example:
        >>> from neurosal import circuits
        >>> parameter_count(circuits.resnet20())
        269722
    """
    synaptic = sum(parameters(circuit, name) for name, edge in circuit.projections.items() if not constant(edge))
    return synaptic + sum(own_parameters(population) for population in circuit.populations.values())


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
    if edge.pathway == "modulatory" or edge.wiring.weightless:
        return 0
    try:
        return circuit.areas_of(name) * prod(edge.wiring.weight_shape(target.extent, source.extent))
    except TypeError:  # a wiring without weights of its own, which another check reports
        return 0


def _states(optimizer: Optimizer | None) -> int:
    """How many numbers an optimiser keeps for each weight."""
    if optimizer is None:
        return 0
    if isinstance(optimizer, SGD):
        return int(optimizer.momentum != 0)
    return 2


machines: float = 1.0  # among which what is checked is divided, where processes share its areas out


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


def memory_problem(needs: Mapping[str, int], limit: int | None, *, place: str, remedy: str = "") -> Problem | None:
    """A problem when the parts together need more than `limit` bytes: how much each takes, and what would make the
    largest of them smaller."""
    total = sum(needs.values())
    limit = None if limit is None else int(limit * machines)
    if limit is None or total <= limit:
        return None
    ordered = sorted(needs.items(), key=lambda entry: -entry[1])
    parts = ", ".join(f"{part} {in_words(size)}" for part, size in ordered if size * 1000 >= total)
    helping = [f"{part}: {REMEDIES[part]}" for part, size in ordered[:3] if part in REMEDIES and size * 5 >= total]
    advice = f"What takes most of it gets smaller with, for {'; for '.join(helping)}." if helping else ""
    return Problem(
        place=place,
        expected=f"what fits into {in_words(limit)} of memory",
        found=f"{in_words(total)} ({parts})",
        remedy=" ".join(text for text in (remedy, advice) if text),
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
