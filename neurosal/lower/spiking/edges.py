"""Edge lists: which synapses a projection has, their weights and delays, drawn from streams of their own.

Sparse wiring is drawn in time and memory proportional to its synapses, never to the pairs of units.
Letters: S synapses.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import (
    Circuit,
    Constant,
    Copy,
    Dense,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    FixedTotal,
    Given,
    Initialiser,
    LogNormal,
    Normal,
    OneToOne,
    OneToOthers,
    Own,
    Projection,
    Sparse,
    Transpose,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.streams import number

Array = np.ndarray[Any, Any]
DRAWN_AT_ONCE = 4_000_000  # numbers, so that what is drawn is small beside what is kept
GIVEN = (int, float, Constant, Given)  # numbers of which no seed makes others
LONGEST_DELAY = 2**24  # steps; engines keep a table as long


@dataclass(frozen=True)
class Edges:
    """Synapses of one projection in one replica, sorted by pre, then post.

    Attributes:
        pre, post: unit at each end, int32 [S].
        weight: float64 [S], in the unit of the synapse.
        delay: steps from a spike to its arrival, int32 [S], or one number for all.
    """

    pre: Array
    post: Array
    weight: Array
    delay: Array | int

    def __len__(self) -> int:
        return len(self.pre)


def random_of(seed: int, *name: object) -> np.random.Generator:
    """The random numbers of an object: a function of the replica's seed and the object's name only."""
    return np.random.Generator(np.random.PCG64(number(seed, *name)))


def edges_of(circuit: Circuit, name: str, seed: int, dt_ms: float, like: Edges | None = None) -> Edges:
    """The synapses of a projection in the replica of that seed.

    Args:
        like: those of another seed: arrays that no seed changes are taken from them.

    Raises:
        CircuitError: for wiring or weights that cannot be drawn as a list.
    """
    edge = circuit.projections[name]
    units = tuple(prod(circuit.populations[end].extent) for end in (edge.source, edge.target))
    if isinstance(edge.weights, (Copy, Transpose)):
        return _turned(circuit, name, seed, dt_ms, like)
    if not isinstance(edge.weights, Own):
        raise CircuitError(
            Problem(place=f"projections.{name}.weights", expected="own, copy or transpose", found=edge.weights.kind)
        )
    given_ends, given_weights = _given(circuit, name)
    if like is not None and given_ends:
        pre, post = like.pre, like.post
    else:
        pre, post = wired(edge.wiring, *units, recurrent=edge.source == edge.target,
                          random=random_of(seed, name, "wiring"), place=f"projections.{name}.wiring")  # fmt: skip
    if like is not None and given_weights:
        return Edges(pre, post, like.weight, _delays(edge, name, len(pre), seed, dt_ms, like))
    fan_in, fan_out = len(pre) / units[1], len(pre) / units[0]
    weight = drawn(listed(edge.weights.init, edge.wiring), len(pre), random_of(seed, name, "weight"), fan_in, fan_out)
    if edge.sign is not None:
        weight = np.maximum(weight, 0) if edge.sign == "excitatory" else np.minimum(weight, 0)
    weight = within(weight, edge)
    return Edges(pre, post, weight, _delays(edge, name, len(pre), seed, dt_ms, like if given_ends else None))


def within(weight: Array, edge: Projection) -> Array:
    """Draws beyond the bounds of what changes weights start at the bound."""
    low, high = edge.plasticity.bounds()
    return weight if low == -np.inf and high == np.inf else np.clip(weight, low, high)


def _given(circuit: Circuit, name: str) -> tuple[bool, bool]:
    """Whether the ends of synapses are the same for every seed, and whether their first weights are too."""
    edge = circuit.projections[name]
    if isinstance(edge.weights, (Copy, Transpose)):
        return _given(circuit, edge.weights.of)
    ends = type(edge.wiring) in (Dense, OneToOne, OneToOthers, EdgeList)
    return ends, ends and isinstance(edge.weights, Own) and type(edge.weights.init) in GIVEN


def _turned(circuit: Circuit, name: str, seed: int, dt_ms: float, like: Edges | None) -> Edges:
    """The synapses of another projection the other way round."""
    edge = circuit.projections[name]
    given_ends, given_weights = _given(circuit, name)
    if like is not None and given_weights:
        return Edges(like.pre, like.post, like.weight, _delays(edge, name, len(like), seed, dt_ms, like))
    origin = edges_of(circuit, edge.weights.of, seed, dt_ms)  # type: ignore[attr-defined]
    order = np.lexsort((origin.pre, origin.post))
    if like is not None and given_ends:
        pre, post = like.pre, like.post
    else:
        pre, post, like = origin.post[order], origin.pre[order], None
    return Edges(pre, post, within(origin.weight[order], edge), _delays(edge, name, len(order), seed, dt_ms, like))


def _delays(edge: Projection, name: str, count: int, seed: int, dt_ms: float, like: Edges | None) -> Array | int:
    """Delays in steps; where none is drawn, those of the same synapses of another seed."""
    place = f"projections.{name}.delay_ms"
    if not isinstance(edge.delay_ms, Initialiser):
        refuse_long(edge.delay_ms, dt_ms, LONGEST_DELAY, place)
        return round(edge.delay_ms / dt_ms)
    if like is not None and type(edge.delay_ms) in GIVEN:
        return like.delay
    delay_ms = drawn(listed(edge.delay_ms, edge.wiring), count, random_of(seed, name, "delay"), 1.0, 1.0)
    refuse_long(delay_ms.max(initial=0.0), dt_ms, LONGEST_DELAY, place)
    return np.rint(np.maximum(delay_ms, 0.0) / dt_ms).astype("int32")


def refuse_long(time_ms: float, dt_ms: float, most: int, place: str) -> None:
    """Refuse a time of more steps than engines count.

    Raises:
        CircuitError: saying how long it may be.
    """
    if not time_ms <= most * dt_ms:
        raise CircuitError(
            Problem(place=place, expected=f"at most {most * dt_ms:g} ms in steps of {dt_ms:g} ms",
                    found=f"{time_ms:g} ms", remedy="Take a shorter time, or longer steps.")
        )  # fmt: skip


def drawn(init: Initialiser | float, count: int, random: np.random.Generator, fan_in: float, fan_out: float) -> Array:
    """That many numbers of a distribution, float64.

    Args:
        fan_in, fan_out: synapses that arrive at a unit and leave one, for distributions that depend on them.
    """
    if not count and not isinstance(init, Given):
        return np.empty(0)  # without synapses there are no fans
    match init:
        case float() | int():
            return np.full(count, float(init))
        case Constant():
            return np.full(count, init.value)
        case Normal():
            return random.normal(init.mean, init.std, count)
        case TruncatedNormal():
            return _truncated(init, count, random)
        case Given():
            if len(init.values) != count:
                raise CircuitError(
                    Problem(place="initialiser given", expected=f"{count} values", found=str(len(init.values)))
                )
            return np.array(init.values)
        case LogNormal():
            return random.lognormal(init.log_mean, init.log_std, count)
        case Uniform():
            return random.uniform(init.low, init.high, count)
        case XavierNormal():
            return random.normal(0.0, init.deviation(fan_in, fan_out), count)  # type: ignore[arg-type]
        case XavierUniform():
            limit = 3**0.5 * init.deviation(fan_in, fan_out)  # type: ignore[arg-type]
            return random.uniform(-limit, limit, count)
    raise CircuitError(
        Problem(place=f"initialiser {init.kind}", expected="a distribution of single numbers", found=init.kind,
                remedy=near(init.kind, ("constant", "normal", "log_normal", "uniform")))
    )  # fmt: skip


def _truncated(init: TruncatedNormal, count: int, random: np.random.Generator) -> Array:
    low, high = (-np.inf if init.low is None else init.low), (np.inf if init.high is None else init.high)
    values = random.normal(init.mean, init.std, count)
    while len(outside := np.flatnonzero((values < low) | (values > high))):
        values[outside] = random.normal(init.mean, init.std, len(outside))
    return values


def listed(init: Initialiser | float, wiring: Any) -> Initialiser | float:
    """Given numbers in the order in which synapses are kept: they stand in that of a list of edges."""
    if not (isinstance(init, Given) and isinstance(wiring, EdgeList)) or len(init.values) != len(wiring.edges):
        return init
    ends = np.asarray(wiring.edges)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    return init.replace(values=tuple(np.asarray(init.values)[order].tolist()))


def wired(
    wiring: Any, pre: int, post: int, *, recurrent: bool, random: np.random.Generator, place: str
) -> tuple[Array, Array]:
    """The pairs of units that a wiring connects: (pre [S], post [S]), int32, sorted by pre, then post."""
    own = recurrent and not getattr(wiring, "allow_autapses", False)  # no unit to itself
    match wiring:
        case FixedTotal():
            pairs = np.sort(random.integers(0, pre * post, wiring.synapses))
            return (pairs // post).astype("int32"), (pairs % post).astype("int32")
        case EdgeList():
            ends = np.asarray(wiring.edges, "int32")
            pre_S, post_S = ends[:, 0], ends[:, 1]
            order = np.lexsort((post_S, pre_S))
            pre_S, post_S = pre_S[order], post_S[order]
        case OneToOne():
            pre_S = post_S = np.arange(pre, dtype="int32")
            return pre_S, post_S
        case Sparse():
            return _sparse(pre, post, own, wiring.density, random)
        case FixedOutDegree():
            return _rows(np.full(pre, wiring.outputs), post, own, random)
        case FixedInDegree():
            post_S, pre_S = _rows(np.full(post, wiring.inputs), pre, own, random)
            order = np.argsort(pre_S, kind="stable")  # by post they are sorted already
            return pre_S[order], post_S[order]
        case Dense():
            pre_S = np.repeat(np.arange(pre, dtype="int32"), post)
            post_S = np.tile(np.arange(post, dtype="int32"), pre)
        case OneToOthers():
            pre_S = np.repeat(np.arange(pre, dtype="int32"), post)
            post_S = np.tile(np.arange(post, dtype="int32"), pre)
            own = True
        case _:
            raise CircuitError(Problem(place=place, expected="wiring of single units", found=wiring.kind))
    if own:
        keep = pre_S != post_S
        pre_S, post_S = pre_S[keep], post_S[keep]
    return pre_S, post_S


def _sparse(rows: int, columns: int, own: bool, density: float, random: np.random.Generator) -> tuple[Array, Array]:
    """Each pair with that probability: gaps between pairs that are there are geometric, so that the time goes with the
    synapses. A row's own column is left out if `own`."""
    free = columns - own
    pairs, at = rows * free, -1
    row_S, column_S = [np.empty(0, "int32")], [np.empty(0, "int32")]
    while density > 0 and at < pairs - 1:
        expected = (pairs - 1 - at) * density
        count = int(min(expected + 4 * expected**0.5 + 16, DRAWN_AT_ONCE))
        place_S = at + np.cumsum(random.geometric(density, count))
        at = int(place_S[-1])
        row, column = np.divmod(place_S[: np.searchsorted(place_S, pairs)], free)
        row_S.append(row.astype("int32"))
        column_S.append((column + (column >= row) if own else column).astype("int32"))
    return np.concatenate(row_S), np.concatenate(column_S)


def _rows(count: Array, columns: int, own: bool, random: np.random.Generator) -> tuple[Array, Array]:
    """For each row that many different columns, sorted, its own left out if `own`.

    Columns are drawn, and those that are there already are drawn again until all of a row differ: by symmetry every set
    of columns is as likely. Rows that take more than half draw those that they leave out.
    """
    free = columns - own
    column_S = np.empty(int(count.sum()), "int32")
    ends = np.cumsum(count)
    for most in np.unique(count).tolist():
        drawn_, chosen = min(most, free - most), np.nonzero(count == most)[0]
        height = max(DRAWN_AT_ONCE // max(most, 2 * drawn_, free if drawn_ < most else 1), 1)
        for begin in range(0, len(chosen), height):
            here = chosen[begin : begin + height]
            some = _different(len(here), drawn_, free, random)
            if drawn_ < most:
                keep = np.ones((len(here), free), bool)
                np.put_along_axis(keep, some, False, axis=1)
                some = np.nonzero(keep)[1].reshape(len(here), most)
            if own:
                some = some + (some >= here[:, None])
            place = (ends[here] - most)[:, None] + np.arange(most)
            column_S[place.ravel()] = some.ravel()
    return np.repeat(np.arange(len(count), dtype="int32"), count), column_S


def _different(rows: int, count: int, free: int, random: np.random.Generator) -> Array:
    """In each row that many different numbers below `free`, sorted, [rows, count]."""
    found = np.sort(random.integers(0, free, (rows, count), dtype="int32"), axis=1)
    while True:
        again = np.zeros(found.shape, bool)
        again[:, 1:] = found[:, 1:] == found[:, :-1]
        some = np.nonzero(again.any(axis=1))[0]
        if not len(some):
            return found
        part = found[some]
        part[again[some]] = random.integers(0, free, int(again.sum()), dtype="int32")
        found[some] = np.sort(part, axis=1)
