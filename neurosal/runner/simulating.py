"""Simulating circuits in continuous time: windows of steps, records, checkpoints, and what is to be said of the run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from neurosal.checks import check
from neurosal.checks.synapses import refuse_oversized_in_time
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Circuit
from neurosal.graph.value import shown
from neurosal.lower.spiking import realise_all
from neurosal.record import Recorder, open_run, schema
from neurosal.record.files import read_yaml_file
from neurosal.record.held import HeldRecorder
from neurosal.record.refusing import refuse_other, refuse_run
from neurosal.record.simulated import SECONDS, SIMULATION, Simulated
from neurosal.runner.garbage import passed_over
from neurosal.runner.simulations.engines import Engine, OnTorch
from neurosal.runner.simulations.planning import Plan, planned, refuse_no_time
from neurosal.runner.simulations.records import Records
from neurosal.settings import Recording, Simulation

Progress = Callable[[int, int, str], None]
CHECKPOINT_SECONDS = 60.0
SUMMED_EVERY = 10  # windows between two rows of the summary; the last one is always there


class NetworkWarning(UserWarning):
    """A network fell silent or exploded."""


def simulate(
    circuit: Circuit,
    duration_ms: float | None = None,
    dt_ms: float | None = None,
    *,
    seeds: Iterable[int] | None = None,
    graph_seed: int | None = None,
    backend: str | None = None,
    mode: str | None = None,
    compiled: bool | None = None,
    record: Any = None,
    simulation: Simulation | None = None,
    store: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    **settings: Any,
) -> Simulated:
    """Simulate a circuit in continuous time, from its first state.

    Args:
        circuit: with populations in continuous time; described, and drawn anew for each seed.
        graph_seed: gives all replicas one graph, that of this seed: the same synapses, delays, first weights and
            constants of single units; first state and spikes of sources stay those of their own seeds.
        duration_ms, dt_ms, seeds, backend, mode, record, settings: fields of a `Simulation`, which lie over those of
            `simulation`; 0.1 ms, seed 0, torch and all spikes where nothing is said.
        compiled: the same as the modes "compiled" and "eager" of torch.
        simulation: as one value, in place of single fields.
        store: folder of the run; without one all that is recorded stays in memory.
        resume: go on with the run in `store` from its newest checkpoint, to the same bits; start it where there is
            none, and only open it where it is finished. Brian2 cannot: a run there begins anew.
        device: of torch: "auto", "cpu" or "cuda".
        progress: called with (steps done, steps in all, what is happening).

    Returns:
        What it left: ``.spikes``, ``.state``, ``.weights``, ``.rates()``, ``.summary``. `NetworkWarning` says when the
        network fell silent or exploded.

    Raises:
        CircuitError, ExperimentError: for what cannot be simulated or recorded, before anything is written. StoreError:
            when the store cannot be used.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population, Uniform
        >>> cells = Population(size=5, model=LIF(bias_mv=30.0, start_mv=Uniform(low=-70, high=-50)))
        >>> circuit = Circuit(name="cells", populations={"cells": cells})
        >>> simulated = ns.simulate(circuit, 200, seeds=(0, 1), record=[ns.record_spikes(), "state:cells.v_mv@1"])
        >>> simulated.rates().values.round(), simulated.state["cells"]["v_mv"].sizes["time_ms"]
        (array([[62.],
               [62.]]), 200)
    """
    _refuse_types(simulation, store, progress)
    if compiled is not None:
        if mode is not None or backend not in (None, "torch"):
            raise ExperimentError(Problem(place="compiled", expected="torch, and no mode beside it",
                                          found=f"backend {backend!r}, mode {mode!r}"))  # fmt: skip
        mode = "compiled" if compiled else "eager"
    given = {"duration_ms": duration_ms, "dt_ms": dt_ms, "backend": backend, "mode": mode, **settings}
    given |= {
        "graph_seed": graph_seed,
        "seeds": tuple(seeds) if isinstance(seeds, Iterable) else seeds,
        "record": _listed(record),
    }
    fields = {name: value for name, value in given.items() if value is not None}
    if simulation is None:
        simulation = Simulation(**fields)
    elif fields:
        simulation = simulation.replace(**fields)
    refuse_no_time(circuit)
    simulator = Simulator(check(circuit), simulation, device, progress)
    found = simulator.run(None if store is None else Path(store), resume)
    if found.remarks and found.state_of_run != "interrupted":
        warnings.warn("\n".join(found.remarks), NetworkWarning, stacklevel=2)
    return found


def _refuse_types(simulation: object, store: object, progress: object) -> None:
    """Refuse what would end in a mistake of Python's far from here."""
    problems = []
    if simulation is not None and not isinstance(simulation, Simulation):
        remedy = "ns.Simulation(duration_ms=...) makes one; its fields can also be given one by one."
        problems.append(
            Problem(place="simulation", expected="a Simulation", found=shown(simulation), remedy=remedy)
        )  # fmt: skip
    if store is not None and (not isinstance(store, (str, Path)) or not str(store)):
        remedy = "Without a store all that is recorded stays in memory."
        problems.append(Problem(place="store", expected="the path of a folder", found=shown(store), remedy=remedy))
    if progress is not None and not callable(progress):
        problems.append(Problem(place="progress", expected="a function", found=shown(progress)))
    if problems:
        raise ExperimentError(problems)


def _listed(record: Any) -> tuple[Any, ...] | None:
    if record is None:
        return None
    alone = isinstance(record, (str, Recording, Mapping)) or not isinstance(record, Iterable)
    return (record,) if alone else tuple(record)


class Simulator:
    """One simulation in the making."""

    def __init__(self, circuit: Circuit, simulation: Simulation, device: str, progress: Progress | None) -> None:
        self.circuit, self.simulation, self.device, self.progress = circuit, simulation, device, progress
        self.plan: Plan = planned(circuit, simulation)
        self.seconds = dict.fromkeys(SECONDS, 0.0)
        self.step = 0

    def run(self, folder: Path | None, resume: bool) -> Simulated:
        """Simulate to the end, or as far as it goes."""
        if folder is None:
            return self._held()
        status = Recorder.status(folder) if resume else None
        if status is not None and status.finished:
            for given, file in zip(self.request.values(), (schema.CIRCUIT_FILE, schema.SETTINGS_FILE), strict=True):
                refuse_other(folder / file, read_yaml_file(folder / file), given)
            return Simulated.of(open_run(folder))
        request: dict[str, Any] = dict(self.request)
        tensors: Mapping[str, Any] | None = None
        engine: Engine | None = None
        if status is not None:
            recorder, tensors, _ = Recorder.resume(folder, **request)
        else:
            if folder.is_dir():
                refuse_run(folder)
            engine = self._engine()  # what it refuses leaves no run behind
            replicas = {schema.SEED: list(self.simulation.seeds)}
            provenance = {"device": self.device, "backend": self.simulation.backend, "mode": self.simulation.way}
            recorder = Recorder.create(folder, **request, replicas=replicas, provenance=provenance)
        with recorder:
            engine = engine or self._engine()
            records = Records(recorder, self.plan, self.simulation, engine)
            if tensors is not None:
                self._take_up(engine, records, tensors)
            with passed_over():
                self._go(engine, records, recorder)
            began = time.perf_counter()
            recorder.commit()
            self.seconds["write"] += time.perf_counter() - began
            self._tell(recorder, engine, records)
            found = Simulated.of(open_run(folder))
            recorder.close("diverged" if records.broken.any() else "done", " ".join(found.remarks))
        return Simulated.of(open_run(folder))

    def _held(self) -> Simulated:
        recorder = HeldRecorder({schema.SEED: list(self.simulation.seeds)})
        engine = self._engine()
        records = Records(recorder, self.plan, self.simulation, engine)
        with passed_over():
            self._go(engine, records, None)
        seconds = {**self.seconds, **engine.seconds, "write": records.seconds}
        state = "diverged" if records.broken.any() else "done"
        return Simulated(circuit=self.circuit, settings=self.simulation.to_dict(), tree=recorder.tree(),
                         seconds=seconds, state_of_run=state)  # fmt: skip

    @property
    def request(self) -> dict[str, dict[str, Any]]:
        """What a run must have been begun with, to be resumed by this one."""
        return {"circuit": self.circuit.to_dict(), "settings": {SIMULATION: self.simulation.to_dict()}}

    def _engine(self) -> Engine:
        began = time.perf_counter()
        simulation = self.simulation
        refuse_oversized_in_time(self.circuit, len(simulation.seeds), simulation.dt_ms, simulation.dtype,
                                 simulation.graph_seed is not None)  # fmt: skip
        realised = realise_all(self.circuit, simulation.seeds, simulation.dt_ms, simulation.graph_seed)
        self.seconds["build"] = time.perf_counter() - began
        if simulation.backend == "torch":
            from neurosal.engine.inputs import pick_device

            compiled = simulation.way == "compiled"
            device = pick_device(self.device)
            engine: Engine = OnTorch(realised, self.plan, dtype=simulation.dtype, device=device, compiled=compiled)
        else:
            from neurosal.runner.simulations.on_brian2 import OnBrian2

            engine = OnBrian2(realised, self.plan, mode=simulation.way)
        engine.seconds["build"] += self.seconds["build"]
        return engine

    def _go(self, engine: Engine, records: Records, recorder: Recorder | None) -> None:
        plan, saved, summed = self.plan, time.monotonic(), self.plan.window * SUMMED_EVERY
        every_ms = self.simulation.checkpoint_every_ms
        while self.step < plan.steps and not records.broken.all():
            start = self.step
            self.step = min((start // engine.piece + 1) * engine.piece, plan.steps)
            seen = engine.advance(self.step - start)
            records.put(start, self.step, seen)
            # Told by the step and not by windows since the beginning: a resumed run sums up where the whole one does.
            if self.step // summed > start // summed and self.step < plan.steps:
                records.sum_up(self.step)
            if self.progress is not None:
                self.progress(self.step, plan.steps, self.circuit.name)
            if recorder is None:
                continue
            self._tell(recorder, engine, records)
            due = time.monotonic() - saved >= CHECKPOINT_SECONDS if every_ms is None else self._crossed(start, every_ms)
            if due and self.step < plan.steps and (state := engine.state_dict()) is not None:
                recorder.checkpoint({**state, **{f"records.{k}": v for k, v in records.state().items()}}, {})
                saved = time.monotonic()
        records.sum_up(self.step)

    def _crossed(self, start: int, every_ms: float) -> bool:
        """Whether a moment of keeping lies in the steps that were made."""
        every = max(1, round(every_ms / self.simulation.dt_ms))
        return every_ms > 0 and self.step // every > start // every

    def _tell(self, recorder: Recorder, engine: Engine, records: Records) -> None:
        told = {**self.seconds, **engine.seconds, "write": self.seconds["write"] + records.seconds}
        recorder.pace(**{f"{name}_seconds": round(told[name], 4) for name in SECONDS})

    def _take_up(self, engine: Engine, records: Records, tensors: Mapping[str, Any]) -> None:
        mine = {name: value for name, value in tensors.items() if name.startswith("records.")}
        engine.load_state_dict({name: value for name, value in tensors.items() if name not in mine})
        self.step = int(tensors["step_number"])
        records.take_up({name.removeprefix("records."): value for name, value in mine.items()}, self.step)
