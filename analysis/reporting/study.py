"""What a report is about: the arms of one or several runs, opened so that what is damaged leaves the rest readable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.joining import joined
from neurosal.analysis.sources import ArmRecord, arms_of
from neurosal.errors import ExperimentError, NeurosalError
from neurosal.record import schema
from neurosal.record.card import standing

POINTS = 8000  # of all lines of a chart: about 200 kB of the page


@dataclass(frozen=True, kw_only=True)
class ArmState:
    """How one arm stands.

    Args:
        run: title of the run that it is in.
        name, label, note: of the arm.
        state: in words.
        step, epoch: of its newest record.
        message: why it ended as it did.
        settings: what was given for it, as plain fields.
    """

    run: str
    name: str
    label: str
    note: str
    state: str
    step: int = 0
    epoch: float = 0.0
    message: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One or several runs.

    Args:
        runs: as they were opened; trees are not among them, for they say nothing of how they were made.
        records: of the arms that can be read, those of one name together.
        problems: what could not be read or put together, a sentence each.
        points: that the lines of a chart have together, at most about.
    """

    runs: Sequence[Any]
    records: Sequence[ArmRecord]
    problems: Sequence[str]
    points: int = POINTS

    @property
    def title(self) -> str:
        """Of the page."""
        titles = [title_of(run) for run in self.runs] or [record.run for record in self.records]
        return " · ".join(dict.fromkeys(title for title in titles if title)) or "Run"

    @cached_property
    def shown(self) -> list[Contender]:
        """What figures show: each arm at its best setting. Its place decides its colour."""
        return contenders(self.records)

    @cached_property
    def states(self) -> list[ArmState]:
        """All arms, those that have not begun too."""
        return [state for run in self.runs for state in _states(run)]

    @property
    def unfinished(self) -> list[str]:
        """What a reader must know first: runs that are going on or did not end well, in words."""
        return [sentence for run in self.runs if (sentence := _warning(run))]


def title_of(run: Any) -> str:
    """What a run is called."""
    settings = run.settings
    return str(settings.get("title") or settings.get("name") or run.folder.name)


def study_of(given: Any) -> Study:
    """What to report on.

    Args:
        given: a Run, the folder of one or an xarray.DataTree of its schema; or a list of them.

    Raises:
        StoreError: for a folder that holds no run. ExperimentError: for anything else that is none.
    """
    from neurosal.record import open_run
    from neurosal.record.run import Run

    runs: list[Any] = []
    parts: list[list[ArmRecord]] = []
    problems: list[str] = []
    for one in given if isinstance(given, list | tuple) else [given]:
        if isinstance(one, xarray.DataTree):
            parts.append(arms_of(one))
            continue
        run = one if isinstance(one, Run) else open_run(one)
        runs.append(run)
        readable, wrong = _readable(run)
        problems += wrong
        try:
            parts.append([] if readable is None else arms_of(readable))
        except ExperimentError:
            parts.append([])  # begun, but no arm yet: its state says so
    records, remark = _joined(parts)
    return Study(runs=runs, records=records, problems=[*problems, *remark])


def _readable(run: Any) -> tuple[Any | None, list[str]]:
    """The run without the arms whose record cannot be read; None where nothing can."""
    if not run.of_experiment:
        wrong = _unreadable(run)
        return (None, [f"The record cannot be read: {wrong}"]) if wrong else (run, [])
    found = {name: _unreadable(arm) for name, arm in run.arms.items()}
    good = {name: arm for name, arm in run.arms.items() if not found[name]}
    told = [f"The record of arm {name} cannot be read: {wrong}" for name, wrong in found.items() if wrong]
    return (replace(run, arms=MappingProxyType(good)) if told else run), told


def _unreadable(run: Any) -> str:
    try:
        run.tree  # noqa: B018 - opening is what may fail
    except NeurosalError as wrong:
        return str(wrong)
    return ""


def _joined(parts: Sequence[Sequence[ArmRecord]]) -> tuple[list[ArmRecord], list[str]]:
    """Arms of one name together; where they do not belong together, side by side under the name of their run."""
    try:
        return joined(record for part in parts for record in part), []
    except ExperimentError:
        records = [
            replace(record, name=f"{number}-{record.name}", label=f"{record.title} ({record.run})")
            for number, part in enumerate(parts, start=1)
            for record in part
        ]
        return records, ["Runs have arms of the same name that are not the same; each is shown with its run."]


def _states(run: Any) -> Iterator[ArmState]:
    if not run.of_experiment:
        status = run.status
        yield ArmState(
            run=title_of(run), name=run.folder.name, label=run.folder.name, note="", state=standing(status),
            step=status.step, epoch=status.epoch, message=status.message, settings=run.settings,
        )  # fmt: skip
        return
    for name, fields in (run.settings.get("arms") or {}).items():
        described = {"run": title_of(run), "name": name, "settings": fields,
                     "label": fields.get("label") or name, "note": fields.get("note") or ""}  # fmt: skip
        if name not in run.arms:
            yield ArmState(**described, state="not begun")
            continue
        status = run.arms[name].status
        yield ArmState(
            **described, state=standing(status), step=status.step, epoch=status.epoch, message=status.message
        )


def _warning(run: Any) -> str:
    status, title = run.status, title_of(run)
    state = standing(status)
    where = f" Its newest record is of step {status.step:,}, epoch {status.epoch:.4g}, written {status.updated}."
    more = f" {status.message}" if status.message else ""
    if state == "running":
        return f"{title} is still running: what follows is what was committed so far.{where}"
    if state == "diverged":
        return f"{title}: numbers stopped being finite in some replicas, which are left out of means.{more}"
    if state == "done":
        return ""
    if state in ("interrupted", "failed"):
        ended = "was interrupted" if state == "interrupted" else "failed"
        return f"{title} {ended}: it did not come to its end.{more}{where}"
    return f"{title} stopped without saying why (killed, or the machine went down): it did not come to its end.{where}"


def provenance(run: Any) -> Mapping[str, Any]:
    """Data and device that a run says it was made with."""
    found = run.environment.get("provenance")
    if not isinstance(found, Mapping) or "data" not in found:
        arms = [arm.environment.get("provenance") for arm in run.arms.values()]
        found = next((one for one in arms if isinstance(one, Mapping)), found)
    return found if isinstance(found, Mapping) else {}


def growing(record: ArmRecord) -> Iterator[tuple[str, xarray.Dataset]]:
    """All groups of a record that grow, with their paths."""
    for node in record.tree.subtree:
        dataset = node.to_dataset(inherit=False)
        if dataset.data_vars and schema.GROWING & set(dataset.sizes):
            yield node.path.strip("/"), dataset
