"""Spikes in a record: written window by window, read by time, and sparse weights as matrices.

Letters: L events, S synapses, T samples, U units.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neurosal.errors import DataError, Problem, near
from neurosal.record import schema

if TYPE_CHECKING:
    import xarray

    from neurosal.record.writer import Recorder

DROPPED = -1  # events of a window that were left out because the queue was full

Array = np.ndarray[Any, Any]


class SpikeRecord:
    """The spikes of one population on their way into a record.

    Args:
        recorder: of the run.
        population: its name.
        units: how many it has.
        expected: how many spikes there will be, as far as is known.

    Example:
        >>> import tempfile
        >>> from neurosal.record import Recorder, SpikeRecord, open_run, spikes_between
        >>> folder = tempfile.mkdtemp()
        >>> with Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        ...     spikes = SpikeRecord(recorder, "excitatory", 3)
        ...     spikes.put(0, 100, step=1000, time_ms=[12.5, 40.0], unit=[2, 0])
        ...     spikes.put(100, 200, step=2000, time_ms=[], unit=[])
        ...     spikes.put(200, 300, step=3000, time_ms=[250.0], unit=[2])
        >>> tree = open_run(folder).tree
        >>> tree["spikes/excitatory"].unit.values, tree["windows/excitatory"].events.values
        (array([2, 0, 2], dtype=int32), array([[2, 0, 1]]))
        >>> spikes_between(tree, "excitatory", 30, 300).time_ms.values
        array([ 40., 250.])
    """

    def __init__(self, recorder: Recorder, population: str, units: int, *, expected: int | None = None) -> None:
        self._recorder, self._units = recorder, units
        self._replicas = len(recorder.replicas[schema.SEED])
        self._events, self._windows = schema.spikes(population, units), schema.spike_windows(population)
        recorder.declare(self._events, expected=expected)
        recorder.declare(self._windows)
        self._stop_ms = -np.inf

    def go_on(self, stop_ms: float) -> None:
        """Say that a simulation which was resumed stands at `stop_ms`: no window may begin before."""
        self._stop_ms = stop_ms

    def put(self, start_ms: float, stop_ms: float, *, step: int, time_ms: Any, unit: Any, replica: Any = 0,
            in_order: bool = False) -> None:  # fmt: skip
        """Record all spikes of a window of time, from `start_ms` up to but not at `stop_ms`; it may have none.

        Args:
            start_ms, stop_ms: the window, at or after the end of the one before.
            step: how many steps of the simulation were done at its end.
            time_ms: [L], in any order.
            unit: [L].
            replica: [L], or one for all.
            in_order: whether they are known to be what they should, sorted by replica, time and unit.
        """
        assert self._stop_ms <= start_ms < stop_ms, f"a window from {start_ms} to {stop_ms} after {self._stop_ms}"
        time_L, unit_L = np.asarray(time_ms, "float64"), np.asarray(unit, "int32")
        replica_L = np.broadcast_to(np.asarray(replica, "int32"), time_L.shape)
        if not in_order:
            time_L, unit_L, replica_L = self._sorted(start_ms, stop_ms, time_L, unit_L, replica_L)
        ends = np.searchsorted(replica_L, np.arange(self._replicas + 1, dtype="int32"))
        events_R, first_R = np.diff(ends), self._recorder.lengths[self._events.path] + ends[:-1]
        kept = self._recorder.extend(
            self._events.path,
            {
                schema.TIME_MS: time_L,
                schema.UNIT: unit_L,
                schema.REPLICA_INDEX: replica_L,
            },
        )
        self._recorder.extend(
            self._windows.path,
            {
                schema.FIRST_EVENT: first_R[:, None] if kept else np.zeros_like(first_R)[:, None],
                schema.EVENTS: events_R[:, None] if kept else np.full_like(events_R, DROPPED)[:, None],
                schema.STEP: [step],
                schema.START_MS: [start_ms],
                schema.STOP_MS: [stop_ms],
            },
        )
        self._stop_ms = stop_ms

    def _sorted(
        self, start_ms: float, stop_ms: float, time_L: Array, unit_L: Array, replica_L: Array
    ) -> tuple[Array, ...]:
        """By replica, time and unit, once it is seen that all are within their limits."""
        limits = {"time": (start_ms, stop_ms), "unit": (0, self._units), "replica": (0, self._replicas)}
        for (name, (low, high)), values in zip(limits.items(), (time_L, unit_L, replica_L), strict=True):
            assert ((values >= low) & (values < high)).all(), f"{self._events.path}: a {name} out of [{low}, {high})"
        if _in_order(replica_L, time_L, unit_L):
            return time_L, unit_L, replica_L
        order = np.lexsort((unit_L, time_L, replica_L))
        return time_L[order], unit_L[order], replica_L[order]


def _in_order(*keys: Array) -> bool:
    """Whether rows are sorted by the first key, then the second, and so on: simulators give them so, and to look costs
    a tenth of sorting."""
    later: Any = True
    for key in reversed(keys):
        step = np.diff(key)
        later = (step > 0) | ((step == 0) & later)
    return bool(np.all(later))


def spikes_between(
    tree: xarray.DataTree,
    population: str,
    start_ms: float = 0.0,
    stop_ms: float = np.inf,
    *,
    replica: int | None = None,
) -> xarray.Dataset:
    """The spikes of a population from `start_ms` up to but not at `stop_ms`, of one replica or of all.

    Only what the windows in question hold is read from the store.

    Args:
        tree: of a run.
        population: its name.

    Returns:
        `time_ms`, `unit` and `replica_index` [event], window by window sorted by replica, time and unit.

    Raises:
        DataError: for a population without recorded spikes, and a time that was not recorded.
    """
    events, windows = _recorded(tree, population)
    starts, stops = windows[schema.START_MS].values, windows[schema.STOP_MS].values
    kept = windows[schema.EVENTS].values[0] != DROPPED
    asked = np.flatnonzero((stops > start_ms) & (starts < stop_ms) & kept)
    _refuse_gaps(population, starts[asked], stops[asked], start_ms, stop_ms, stops[-1] if len(stops) else 0.0)
    if len(asked) == 0:
        return events.isel({schema.EVENT: slice(0, 0)}).load()
    places = windows.isel({schema.WINDOW: asked[[0, -1]]}).load()
    first = int(places[schema.FIRST_EVENT].values[0, 0])
    last = int(places[schema.FIRST_EVENT].values[-1, -1] + places[schema.EVENTS].values[-1, -1])
    if last > events.sizes[schema.EVENT]:
        raise DataError(
            Problem(place=f"{schema.SPIKES}/{population}", expected=f"{last} events, as its windows say",
                    found=f"{events.sizes[schema.EVENT]}", remedy="`neurosal doctor` examines the record.")
        )  # fmt: skip
    found = events.isel({schema.EVENT: slice(first, last)}).load()
    time = found[schema.TIME_MS].values
    keep = (time >= start_ms) & (time < stop_ms)
    if replica is not None:
        keep &= found[schema.REPLICA_INDEX].values == replica
    return found.isel({schema.EVENT: np.flatnonzero(keep)})


def _recorded(tree: xarray.DataTree, population: str) -> tuple[xarray.Dataset, xarray.Dataset]:
    known = list(tree[schema.SPIKES].children) if schema.SPIKES in tree.children else []
    if population not in known:
        raise DataError(
            Problem(place=f"{schema.SPIKES}/{population}", expected="a population whose spikes were recorded",
                    found="none", remedy=near(population, known))
        )  # fmt: skip
    return tree[f"{schema.SPIKES}/{population}"].to_dataset(), tree[f"{schema.WINDOWS}/{population}"].to_dataset()


def _refuse_gaps(
    population: str, starts: Array, stops: Array, start_ms: float, stop_ms: float, recorded_ms: float
) -> None:
    """Silence that was not recorded must not look like silence."""
    stop_ms = recorded_ms if np.isinf(stop_ms) else stop_ms
    edges = [start_ms, *np.column_stack([starts, stops]).ravel(), stop_ms]
    gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
    if gaps and start_ms < stop_ms:
        raise DataError(
            Problem(place=f"{schema.SPIKES}/{population}", expected="times that were recorded",
                    found=f"none from {a:g} to {b:g} ms")
            for a, b in gaps
        )  # fmt: skip


def dense_weights(group: xarray.Dataset, variable: str = schema.WEIGHT) -> xarray.DataArray:
    """Weights of a synapse list as matrices: [replica, snapshot, post, pre], 0 where no synapse is.

    Several synapses between the same two units add up. The dimensions carry the names of the populations, as those of
    dense projections do, so that every statistic of weights takes them.

    Args:
        group: `/projections/<name>/<schedule>` of a record, or some snapshots of it.
        variable: which one.

    Example:
        >>> import numpy, xarray
        >>> ends = {"post": ("synapse", [0, 2], {"population": "b", "population_size": 3}),
        ...         "pre": ("synapse", [1, 1], {"population": "a", "population_size": 2})}
        >>> weights = (("replica", "snapshot", "synapse"), numpy.array([[[0.5, 0.25]]]))
        >>> dense_weights(xarray.Dataset({"weight": weights}, ends))[0, 0].values
        array([[0.  , 0.5 ],
               [0.  , 0.  ],
               [0.  , 0.25]])
    """
    import xarray

    ends = [group[schema.POST], group[schema.PRE]]
    names = schema.weight_dimensions(*(end.attrs["population"] for end in ends))
    units = [int(end.attrs["population_size"]) for end in ends]
    weights_RTS = group[variable].transpose(schema.REPLICA, ..., schema.SYNAPSE)
    found = np.zeros((*weights_RTS.shape[:-1], units[0] * units[1]), weights_RTS.dtype)
    for replica, values_TS in enumerate(weights_RTS.values):
        post_S, pre_S = (end.values[replica] if end.ndim == 2 else end.values for end in ends)
        real = post_S >= 0
        place: Any = (..., post_S[real] * units[1] + pre_S[real])
        np.add.at(found[replica], place, values_TS[..., real])
    dims = (*weights_RTS.dims[:-1], *names)
    coords = {name: values for name, values in weights_RTS.coords.items() if schema.SYNAPSE not in values.dims}
    return xarray.DataArray(
        found.reshape(*weights_RTS.shape[:-1], *units), dims=dims, coords=coords, name=variable, attrs=weights_RTS.attrs
    )
