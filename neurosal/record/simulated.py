"""What a simulation left: spikes, state and weights as labelled arrays, and how the network fired. No engine here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosal.errors import DataError, Problem, near
from neurosal.graph import Circuit, Dynamical
from neurosal.record import schema
from neurosal.record.spiking import DROPPED, spikes_between
from neurosal.stats.base import spike_counts

if TYPE_CHECKING:
    import xarray

    from neurosal.record.run import Run

SIMULATION = "simulation"  # in the settings of a run
LIMIT = 0.5  # of the rate that refractory time allows: a population that fires so has exploded
GAPS = 20.0  # spikes that were to be expected since the last one: a population that misses so many fell silent
QUIET_MS = 100.0  # silence that is shorter says nothing
SECONDS = ("build", "compile", "simulate", "write")


@dataclass(frozen=True, kw_only=True, repr=False)
class Simulated:
    """A simulation that was run.

    Attributes:
        circuit: what was simulated.
        settings: how, as plain fields of a `Simulation`.
        tree: all that was recorded, as `open_run(...).tree` has it.
        folder: where it is stored; None for one that is not.
        seconds: of building, compiling, simulating and writing, where they are known.
        state_of_run: "done", "diverged", "interrupted", "failed" or "running".
    """

    circuit: Circuit
    settings: Mapping[str, Any]
    tree: xarray.DataTree
    folder: Path | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    state_of_run: str = "done"

    @classmethod
    def of(cls, run: Run | str | Path) -> Simulated:
        """A stored run, or its folder, as what a simulation left.

        Raises:
            StoreError: where there is no run. DataError: for a run that is none of a simulation.
        """
        from neurosal.record.run import open_run

        run = open_run(run) if isinstance(run, (str, Path)) else run
        if SIMULATION not in run.settings or run.circuit is None:
            raise DataError(Problem(place=str(run.folder), expected="a run of a simulation", found="another run",
                                    remedy="`neurosal simulate` makes them."))  # fmt: skip
        seconds = {name: getattr(run.status, f"{name}_seconds") for name in SECONDS}
        settings = run.settings[SIMULATION]
        return cls(circuit=run.circuit, settings=settings, tree=run.tree, folder=run.folder, seconds=seconds,
                   state_of_run=run.status.state)  # fmt: skip

    # What was recorded -----------------------------------------------------------------------------------------------

    @property
    def spikes(self) -> Mapping[str, xarray.Dataset]:
        """Population → its spikes: `time_ms`, `unit` and `replica_index` [event], sorted by window of time, replica,
        time and unit."""
        return _Lazy(self._below(schema.SPIKES), lambda name: spikes_between(self.tree, name), "spikes")

    @property
    def state(self) -> Mapping[str, Mapping[str, xarray.DataArray]]:
        """Population → variable → [replica, time_ms, unit]."""
        return _Lazy(self._below(schema.TRACES), lambda name: self._variables(schema.TRACES, name), "state")

    @property
    def weights(self) -> Mapping[str, xarray.DataArray]:
        """Projection → weights [replica, time_ms, synapse], with the units `pre` and `post` of each synapse; where
        replicas are wired in their own ways, -1 and NaN stand for synapses that one has not."""
        names = self._below(schema.PROJECTIONS)
        return _Lazy(names, lambda name: self._variables(schema.PROJECTIONS, name)[schema.WEIGHT], "weights")

    @property
    def synapses(self) -> Mapping[str, Mapping[str, xarray.DataArray]]:
        """Projection → variable → [replica, time_ms, synapse]."""
        names = self._below(schema.PROJECTIONS)
        return _Lazy(names, lambda name: self._variables(schema.PROJECTIONS, name), "weights")

    def _below(self, group: str) -> list[str]:
        return list(self.tree[group].children) if group in self.tree.children else []

    def _variables(self, group: str, name: str) -> Mapping[str, xarray.DataArray]:
        """Variables of all schedules; of one that has several the finest."""
        found: dict[str, xarray.DataArray] = {}
        growing = {schema.TRACES: schema.SAMPLE, schema.PROJECTIONS: schema.SNAPSHOT}[group]
        for child in self.tree[f"{group}/{name}"].children.values():
            for variable, array in child.to_dataset(inherit=False).data_vars.items():
                known = found.get(str(variable))
                if known is None or array.sizes[growing] > known.sizes[schema.TIME_MS]:
                    found[str(variable)] = array.swap_dims({growing: schema.TIME_MS})
        return found

    def rates(self, population: str | None = None, *, bin_ms: float | None = None) -> xarray.DataArray:
        """Mean rates in Hz: of every population over all of the time, [replica, population]; or of one in bins of time,
        [replica, time_ms].

        Args:
            population: None for all.
            bin_ms: with a population: length of the bins; their middles label them. None takes a hundredth of the time.

        Raises:
            DataError: for a population whose spikes were not recorded.
        """
        import xarray

        seeds = (schema.REPLICA, list(self.settings["seeds"]))
        if population is None:
            rows = [self._mean_rate(name) for name in self.spikes]
            values = np.stack(rows, axis=-1) if rows else np.zeros((len(seeds[1]), 0))
            coords: dict[str, Any] = {schema.SEED: seeds, schema.POPULATION: list(self.spikes)}
            return xarray.DataArray(
                values, coords, (schema.REPLICA, schema.POPULATION), schema.RATE_HZ, {"units": "Hz"}
            )
        events, replicas = self.spikes[population], len(seeds[1])
        start_ms, stop_ms = self.span(population)
        bin_ms = (stop_ms - start_ms) / 100 if bin_ms is None else bin_ms
        counts = spike_counts(
            events[schema.TIME_MS].values, events[schema.REPLICA_INDEX].values, units=replicas, bin_ms=bin_ms,
            start_ms=start_ms, stop_ms=stop_ms,
        )  # fmt: skip
        middles = start_ms + bin_ms * (np.arange(counts.shape[1]) + 0.5)
        values = counts / (self._units(population) * bin_ms * 1e-3)
        coords = {schema.SEED: seeds, schema.TIME_MS: middles}
        return xarray.DataArray(values, coords, (schema.REPLICA, schema.TIME_MS), schema.RATE_HZ, {"units": "Hz"})

    def span(self, population: str) -> tuple[float, float]:
        """From when to when the spikes of a population were recorded, in ms."""
        windows = self._windows(population)
        if not windows.sizes[schema.WINDOW]:
            return 0.0, 0.0
        return float(windows[schema.START_MS][0]), float(windows[schema.STOP_MS][-1])

    def _mean_rate(self, population: str) -> np.ndarray[Any, Any]:
        windows = self._windows(population)
        events = windows[schema.EVENTS].values
        kept = events[0] != DROPPED
        seconds = float((windows[schema.STOP_MS] - windows[schema.START_MS]).values[kept].sum()) * 1e-3
        found: np.ndarray[Any, Any] = events[:, kept].sum(-1) / (self._units(population) * seconds or np.nan)
        return found

    def _windows(self, population: str) -> xarray.Dataset:
        node: Any = self.tree[f"{schema.WINDOWS}/{population}"]
        found: xarray.Dataset = node.to_dataset(inherit=False)
        return found

    def _units(self, population: str) -> int:
        return int(np.prod(self.circuit.populations[population].extent))

    # How it fired ----------------------------------------------------------------------------------------------------

    @property
    def summary(self) -> xarray.Dataset:
        """How populations fired: `rate_hz`, `interval_cv`, `correlation`, `population_fano`, `last_spike_ms` and others
        [replica, population], of all spikes since the settling time.

        Raises:
            DataError: where the run was stopped before it said so.
        """
        path = f"{schema.FIRING_STATS}/so_far"
        node: Any = self.tree
        for part in path.split("/"):
            node = None if node is None else node.children.get(part)
        if node is None or not node.sizes[schema.SAMPLE]:
            raise DataError(Problem(place=str(self.folder or "simulation"), expected=f"a summary (group {path})",
                                    found="none", remedy="The run was stopped before its first."))  # fmt: skip
        found: xarray.Dataset = node.to_dataset(inherit=False).isel({schema.SAMPLE: -1}).load()
        return found

    @property
    def remarks(self) -> list[str]:
        """What is wrong with how the network fired, in words; nothing where nothing is."""
        try:
            return remarks(self.summary, self.circuit, float(self.settings["dt_ms"]))
        except DataError as none:
            return [none.problems[0].remedy]

    def lines(self) -> list[str]:
        """The summary as lines of text."""
        try:
            rows = _rows(self.summary)
        except DataError:
            return self.remarks
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows
        ]  # fmt: skip
        times = ", ".join(f"{name} {self.seconds[name]:.3g} s" for name in SECONDS if name in self.seconds)
        graph = self.settings.get("graph_seed")
        shared = [] if graph is None else [f"one graph for all replicas, that of seed {graph}"]
        return [*lines, *shared, *self.remarks, *([times] if times else [])]

    def __repr__(self) -> str:
        settings = self.settings
        where = f" in {str(self.folder)!r}" if self.folder is not None else ""
        count = len(settings["seeds"])
        head = f"{self.circuit.name}, {settings['duration_ms']:g} ms, {count} replica{'s' * (count > 1)}"
        return "\n".join([f"Simulated({head}, {settings['backend']}, {self.state_of_run}{where})", *self.lines()])


class _Lazy(Mapping[str, Any]):
    """Names → what is read when it is asked for; a name that is not there is told with near ones."""

    def __init__(self, names: Sequence[str], read: Any, what: str) -> None:
        self._names, self._read, self._what = list(names), read, what

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise DataError(
                Problem(place=self._what, expected="a name under which something was recorded", found=repr(name),
                        remedy=near(name, self._names))
            )  # fmt: skip
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


def _rows(summary: xarray.Dataset) -> list[tuple[str, ...]]:
    """Cells: populations as rows, mean ± sd over replicas."""
    rows: list[tuple[str, ...]] = [("population", "rate (Hz)", "CV", "correlation", "Fano")]
    columns = ((schema.RATE_HZ, 2), (schema.INTERVAL_CV, 2), (schema.CORRELATION, 4), (schema.POPULATION_FANO, 2))
    for place, population in enumerate(summary[schema.POPULATION].values.tolist()):
        cells = []
        for name, digits in columns:
            values = summary[name].values[:, place]
            values = values[np.isfinite(values)]
            spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.{digits}f}{spread}" if len(values) else "–")
        rows.append((str(population), *cells))
    return rows


def remarks(summary: xarray.Dataset, circuit: Circuit, dt_ms: float) -> list[str]:
    """What is wrong with how a network fired: state that is not finite, populations that exploded, never spiked or fell
    silent. Sources are not judged.

    Args:
        summary: as `Simulated.summary`.
    """
    found: list[str] = []
    seeds = summary[schema.SEED].values.tolist()
    time_ms = float(summary[schema.TIME_MS])
    broken = np.zeros(len(seeds), bool)
    for place, name in enumerate(summary[schema.POPULATION].values.tolist()):
        model = circuit.populations[name].model
        if not isinstance(model, Dynamical):
            continue
        values = {str(key): array.values[:, place] for key, array in summary.data_vars.items()}
        bad = np.isfinite(values[schema.NOT_FINITE_MS])
        if bad.any():
            first = np.nanmin(values[schema.NOT_FINITE_MS])
            found.append(f"{name} exploded: state is not finite from {first:g} ms on at the latest"
                         f"{_who(bad, seeds)}.")  # fmt: skip
        broken |= bad
        dynamics = model.dynamics()
        if not dynamics.threshold:
            continue
        limit_hz = 1e3 / (max(1, round(dynamics.refractory_ms / dt_ms)) * dt_ms)
        fast = ~bad & (values[schema.RECENT_RATE_HZ] > LIMIT * limit_hz)
        if fast.any():
            rate = np.nanmax(values[schema.RECENT_RATE_HZ][fast])
            found.append(f"{name} exploded: it fires at {rate:,.0f} Hz at the end, of {limit_hz:,.0f} Hz that "
                         f"refractory time allows{_who(fast, seeds)}.")  # fmt: skip
        last = values[schema.LAST_SPIKE_MS]
        never = ~bad & np.isnan(last) & (time_ms >= QUIET_MS)
        if never.any():
            found.append(f"{name} is silent: it never spiked{_who(never, seeds)}.")
        # As many spikes as came until the last one, at that pace, were to be expected since.
        expected = (time_ms - last) * values[schema.EVENTS] / (last + dt_ms)
        quiet = ~bad & (time_ms - last >= QUIET_MS) & (expected > GAPS)
        if quiet.any():
            found.append(
                f"{name} fell silent after {np.nanmax(last[quiet]):g} ms of {time_ms:g} ms{_who(quiet, seeds)}."
            )
    return found


def _who(which: np.ndarray[Any, Any], seeds: Sequence[int]) -> str:
    """Of which replicas something is said."""
    if which.all():
        return "" if len(seeds) == 1 else " in all replicas"
    named = [str(seed) for seed, here in zip(seeds, which, strict=True) if here]
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return f" (seed{'s' if len(named) > 1 else ''} {', '.join(named[:8])}{more})"
