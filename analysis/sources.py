"""What analyses read: the arms of a stored run, whichever way it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray

from neurosal.errors import ExperimentError, Problem
from neurosal.graph.circuit import Circuit
from neurosal.record import schema
from neurosal.settings.experiment import overlaid


@dataclass(frozen=True, kw_only=True)
class ArmRecord:
    """What was recorded of one arm; a run of a single network is one arm.

    Args:
        name: of the arm.
        place: where it is stored, for messages.
        tree: its record, of schema 1.0.
        run: what the whole run is called, for titles.
        label, note: for tables and figures.
        circuit, training: what made it (training as plain fields), where that is known.
        phases, cycles: what it went through, as plain fields; no phases where the whole data drove it throughout. With
            phases it is they who say how long training is.
        tasks: name → classes.
        simulated: whether it is a simulation, which has no training.
    """

    name: str
    place: str
    tree: xarray.DataTree
    run: str = ""
    label: str = ""
    note: str = ""
    circuit: Circuit | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    phases: Sequence[Mapping[str, Any]] = ()
    cycles: int = 1
    tasks: Mapping[str, Sequence[int]] = field(default_factory=dict)
    simulated: bool = False

    @property
    def title(self) -> str:
        """What figures and tables call it."""
        return self.label or self.name

    def group(self, path: str) -> xarray.Dataset | None:
        """The dataset of a group, without what it inherits; None where it is not there."""
        node = self._node(path)
        return None if node is None else node.to_dataset(inherit=False)

    def topics(self, path: str) -> list[str]:
        """Paths of the topics below a group, e.g. ``stats/symmetry`` of ``stats``."""
        node = self._node(path)
        return [] if node is None else [f"{path}/{name}" for name in node.children]

    def schedules(self, topic: str) -> Iterator[tuple[str, xarray.Dataset]]:
        """The schedules under a topic (`stats/symmetry`, ...), by name."""
        node = self._node(topic)
        for name, child in node.children.items() if node is not None else ():
            yield name, child.to_dataset(inherit=False)

    def children(self, path: str) -> list[str]:
        """Names of the groups below a group."""
        node = self._node(path)
        return [] if node is None else list(node.children)

    def _node(self, path: str) -> xarray.DataTree | None:
        node: xarray.DataTree | None = self.tree
        for part in path.split("/"):
            node = None if node is None else node.children.get(part)
        return node

    def statistic(self, name: str) -> xarray.DataArray | None:
        """A recorded statistic from whichever topic and schedule has it most often, with `step` as its growing
        dimension; without labels of which only other statistics were recorded."""
        found = [array for topic in self.topics(schema.STATISTICS) if (array := self.finest(topic, name)) is not None]
        if not found:
            return None
        longest = max(found, key=lambda array: array.sizes[schema.STEP])
        for dim in (dim for dim in (schema.PAIR, schema.PROJECTION, schema.POPULATION) if dim in longest.dims):
            known = longest.notnull().any([other for other in longest.dims if other != dim]).values
            longest = longest.isel({dim: known}) if known.any() else longest
        return longest

    def finest(self, topic: str, variable: str) -> xarray.DataArray | None:
        """`variable` of a topic from the schedule that recorded it most often, with `step` as its growing dimension."""
        found = [dataset[variable] for _, dataset in self.schedules(topic) if variable in dataset]
        growing = schema.SNAPSHOT if topic.startswith(f"{schema.PROJECTIONS}/") else schema.SAMPLE
        found = [array for array in found if array.sizes[growing]]
        if not found:
            return None
        longest = max(found, key=lambda array: array.sizes[growing])
        return longest.swap_dims({growing: schema.STEP})


def arms_of(run: Any) -> list[ArmRecord]:
    """The arms of a run.

    Args:
        run: a `Run`, the folder of one, or an xarray.DataTree of its schema (for an experiment one child an arm).

    Raises:
        ExperimentError: for anything else.
        StoreError: for a folder that holds no run.
    """
    if isinstance(run, str | Path):
        from neurosal.record import open_run  # it reads zarr, which trees given directly do without

        run = open_run(run)
    if isinstance(run, xarray.DataTree):
        return _of_tree(run)
    if not hasattr(run, "tree") or not hasattr(run, "arms"):
        raise ExperimentError(
            Problem(place="run", expected="a Run, its folder or an xarray.DataTree", found=type(run).__name__)
        )
    return _of_run(run)


def _of_tree(tree: xarray.DataTree) -> list[ArmRecord]:
    place = str(tree.name or "run")
    if _is_record(tree):
        return [ArmRecord(name=place, place=place, tree=tree, run=place)]
    arms = {name: child for name, child in tree.children.items() if _is_record(child)}
    if not arms:
        found = ", ".join(tree.children) or "no group at all"
        raise ExperimentError(Problem(place=place, expected=f"groups of a run of schema {schema.VERSION}", found=found))
    return [ArmRecord(name=name, place=f"{place}/{name}", tree=child, run=place) for name, child in arms.items()]


def _is_record(tree: xarray.DataTree) -> bool:
    return any(
        name in tree.children for name in ("graph", "metrics", "stats", "projections", "probes", "spikes", "traces")
    )


def _of_run(run: Any) -> list[ArmRecord]:
    if not run.arms:
        name = run.folder.name
        return [
            ArmRecord(
                name=name,
                place=str(run.folder),
                tree=run.tree,
                run=name,
                circuit=run.circuit,
                simulated="simulation" in run.settings,
                **_course(run.settings, _training(run.settings)),
            )
        ]
    described = run.settings.get("arms") or {}
    common = _training(run.settings)
    records = []
    for name in described:
        if name not in run.arms:
            continue  # not begun yet
        arm, fields = run.arms[name], described[name]
        records.append(
            ArmRecord(
                name=name,
                place=f"{run.folder}, arm {name}",
                tree=arm.tree,
                run=run.settings.get("title") or run.settings.get("name") or run.folder.name,
                label=fields.get("label") or "",
                note=fields.get("note") or "",
                circuit=arm.circuit,
                **_course(
                    arm.settings, overlaid(overlaid(common, fields.get("training") or {}), _training(arm.settings))
                ),
            )
        )
    if not records:
        raise ExperimentError(
            Problem(
                place=str(run.folder), expected="at least one arm with a record", found="none", remedy="Run it first."
            )
        )
    return records


def _course(settings: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Training and phases in the settings of one run."""
    phases = settings.get("phases") or ()
    if phases:
        training = {name: value for name, value in training.items() if name != "epochs"}
    tasks = settings.get("tasks") or {}
    return {"training": training, "phases": phases, "cycles": settings.get("cycles") or 1, "tasks": tasks}


def _training(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The training in what a run says about its settings: under that name, or the whole of it."""
    training = settings.get("training", settings)
    return training if isinstance(training, Mapping) else {}
