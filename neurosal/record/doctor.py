"""Is a stored run whole? What is wrong with it, place by place, and what that means. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from neurosal.errors import Problem, StoreError
from neurosal.graph.files import read_yaml
from neurosal.record import checkpoint as checkpoints
from neurosal.record import schema
from neurosal.record.checksums import SUMS_FILE, wrong_files
from neurosal.record.files import PARTIAL, read_json
from neurosal.record.lock import locked
from neurosal.record.pack import ASIDE_SUFFIX
from neurosal.record.status import Status, read_status
from neurosal.record.verify import Damage, Looked, Progress, look_over

CLOCKS_APART = timedelta(minutes=5)  # two machines' clocks may differ by that


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found in the folder of a run or an experiment.

    Args:
        folder: where it lies.
        status: how it stands; None where that cannot be read.
        damages: what is wrong. What is only left over is no damage, see `left_over`.
        left_over: what an end at a bad moment left; harms nothing.
        notes: what is worth knowing and no damage.
        looked: the store as it was looked at; None for an experiment.
        arms: of an experiment.
    """

    folder: Path
    status: Status | None
    damages: tuple[Damage, ...] = ()
    left_over: tuple[Damage, ...] = ()
    notes: tuple[str, ...] = ()
    looked: Looked | None = None
    arms: Mapping[str, Diagnosis] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def all_damages(self) -> tuple[Damage, ...]:
        """With those of all arms."""
        return (*self.damages, *(damage for arm in self.arms.values() for damage in arm.all_damages))

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, in no arm."""
        return not self.all_damages

    def refuse(self) -> None:
        """Raise for what is wrong.

        Raises:
            StoreError: with every damage as a problem, unless it is healthy.
        """
        if not self.healthy:
            raise StoreError(
                Problem(place=one.place, expected="what was written", found=one.found, remedy=one.means)
                for one in self.all_damages
            )


def examine(folder: str | Path, progress: Progress = lambda _: None) -> Diagnosis:
    """Look a run or an experiment over. One that is being written is looked at as it was committed last.

    Args:
        folder: of the run or experiment.
        progress: called with bytes as they are read.

    Raises:
        StoreError: where no run is.

    Example:
        >>> import tempfile
        >>> from neurosal.record import Recorder
        >>> folder = tempfile.mkdtemp()
        >>> Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0]}).close()
        >>> examine(folder).healthy
        True
    """
    folder = Path(folder)
    traces = (schema.STATUS_FILE, schema.STORE, schema.EXPERIMENT_FILE, schema.ARMS, schema.CHECKPOINTS)
    if not any((folder / name).exists() for name in traces):
        remedy = "Check the path; `neurosal ls` lists the runs below a folder."
        raise StoreError(Problem(place=str(folder), expected="the folder of a run", found="none", remedy=remedy))
    running = locked(folder)
    status, damages, notes = _status(folder, running)
    if (folder / schema.EXPERIMENT_FILE).exists() or (folder / schema.ARMS).is_dir():
        files = (schema.EXPERIMENT_FILE, schema.ENVIRONMENT_FILE)
        damages += _files(folder, files, notes)
        arms, missing = _arms(folder, status, progress)
        return Diagnosis(
            folder=folder, status=status, damages=(*damages, *missing), notes=tuple(notes),
            left_over=() if running else tuple(_left_over(folder, deep=False)), arms=MappingProxyType(arms),
        )  # fmt: skip
    damages += _files(folder, (schema.CIRCUIT_FILE, schema.SETTINGS_FILE, schema.ENVIRONMENT_FILE), notes)
    saved, bad = _checkpoints(folder, running)  # before the store: a checkpoint is written after its commit
    looked = look_over(folder / schema.STORE, progress)
    packing = not running and (folder / f"{schema.STORE}{ASIDE_SUFFIX}").exists()
    unfinished = [one for one in looked.damages if packing and one.kind == "metadata"]  # rewritten after its commit
    damages += [one for one in (*looked.damages, *bad) if one not in unfinished]
    if looked.root is not None:
        damages += _beyond(folder, saved, looked)
    if looked.unsummed:
        notes.append(f"{looked.unsummed} pages have no checksum: an earlier release wrote them")
    return Diagnosis(
        folder=folder, status=status, damages=tuple(damages), notes=tuple(notes), looked=looked,
        left_over=() if running else (*unfinished, *_left_over(folder, deep=True, packed=looked.packed)),
    )  # fmt: skip


def _status(folder: Path, running: bool) -> tuple[Status | None, list[Damage], list[str]]:
    path = folder / schema.STATUS_FILE
    means = "How the run ended is not known; its record is not concerned."
    notes = ["A process writes it now: only what it has committed was looked at."] if running else []
    try:
        status = read_status(folder)
    except StoreError as error:
        kind = "status"
        if "schema" in error.problems[0].found:
            kind, means = "file", "Another release of neurosal wrote it."
        wrong = [
            Damage(place=one.place, found=f"expected {one.expected}, found {one.found}", kind=kind, means=means)
            for one in error.problems
        ]
        return None, wrong, notes
    if status is None:
        return None, [Damage(place=str(path), found="no such file", means=means, kind="status")], notes
    wrong = []
    for name in ("started", "updated"):
        text = getattr(status, name)
        moment = _moment(text)
        if moment is None:
            found = f"{name} is {text!r}, which is no time"
            wrong.append(Damage(place=str(path), found=found, means=means, kind="status"))
        elif moment - datetime.now(UTC) > CLOCKS_APART:
            notes.append(f"{name} is {text}, which is still to come: a clock was set back, or differs between machines")
    if status.state == "running" and not running:
        notes.append("No process writes it although it says running: it was killed. --resume goes on with it.")
    return status, wrong, notes


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _files(folder: Path, names: tuple[str, ...], notes: list[str]) -> list[Damage]:
    """The small files: held against their list, and readable."""
    means = {
        schema.CIRCUIT_FILE: "Which circuit was run is not known for sure; the recorded values are not concerned.",
        schema.SETTINGS_FILE: "How it was run is not known for sure; the recorded values are not concerned.",
        schema.EXPERIMENT_FILE: "What was asked is not known for sure; the arms are runs of their own.",
        schema.ENVIRONMENT_FILE: "With what it was made is not known for sure; the recorded values are not concerned.",
        SUMS_FILE: "Damage of the small files beside it cannot be found.",
    }
    found: dict[str, Damage] = {}

    def add(name: str, text: str) -> None:
        kind = "sums" if name == SUMS_FILE else "file"
        found.setdefault(name, Damage(place=str(folder / name), found=text, means=means[name], kind=kind))

    for problem in wrong_files(folder):
        name = Path(problem.place).name
        add(name if name in means else SUMS_FILE, f"expected {problem.expected}, found {problem.found}")
    for name in names:
        try:
            _parse(folder / name)
        except StoreError as error:
            add(name, error.problems[0].found)
    if not (folder / SUMS_FILE).exists():
        notes.append(f"no {SUMS_FILE}: an earlier release wrote the small files, or it was removed")
    return list(found.values())


def _parse(path: Path) -> None:
    if path.suffix == ".json":
        read_json(path)
    else:
        read_yaml(path, error=StoreError)


def _checkpoints(folder: Path, running: bool) -> tuple[dict[Path, checkpoints.Checkpoint], list[Damage]]:
    good, bad = {}, []
    for _, path in sorted(checkpoints.numbered(folder / schema.CHECKPOINTS).items()):
        try:
            good[path] = checkpoints.load(path)
        except StoreError as error:
            if running and not path.exists():
                continue  # a newer one took its place
            found = "; ".join(f"expected {one.expected}, found {one.found}" for one in error.problems)
            means = "The run cannot be resumed from there; an older one is taken where there is one."
            bad.append(Damage(place=str(path), found=found, means=means, kind="checkpoint"))
    return good, bad


def _beyond(folder: Path, saved: Mapping[Path, checkpoints.Checkpoint], looked: Looked) -> Iterator[Damage]:
    """Checkpoints that are farther than the record."""
    for path, one in saved.items():
        short = sorted(group for group, length in one.lengths.items() if looked.lengths.get(group, 0) < length)
        if short:
            found = (
                f"{one.lengths[short[0]]} entries in {short[0]}, where the record has {looked.lengths.get(short[0], 0)}"
            )
            means = "The run cannot be resumed from there: the record would have a gap."
            yield Damage(place=str(path), found=found, means=means, kind="checkpoint")


def _arms(folder: Path, status: Status | None, progress: Progress) -> tuple[dict[str, Diagnosis], list[Damage]]:
    """Every arm that there is, and those that there should be."""
    place = folder / schema.ARMS
    there = sorted(path.name for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
    try:
        named = read_yaml(folder / schema.EXPERIMENT_FILE, error=StoreError).data.get("arms") or {}
        names = [name for name in named if isinstance(name, str)]
    except (StoreError, AttributeError):
        names = []  # said elsewhere
    missing = []
    arms = {}
    for name in dict.fromkeys([*names, *there]):
        if name not in there:
            if status is not None and status.finished:
                means = "That arm is lost, or was left out."
                missing.append(Damage(place=str(place / name), found="no such folder", means=means, kind="file"))
            continue
        try:
            arms[name] = examine(place / name, progress)
        except StoreError as error:
            missing.append(
                Damage(place=str(place / name), found=error.problems[0].found, means="That arm is lost.", kind="file")
            )
    return arms, missing


def _left_over(folder: Path, *, deep: bool, packed: bool = False) -> Iterator[Damage]:
    means = "It was left when writing was cut short, and harms nothing."
    places = [folder.glob(f"*{PARTIAL}"), (folder / schema.CHECKPOINTS).glob(f"*{PARTIAL}")]
    if deep:
        places.append((folder / schema.STORE).rglob(f"*{PARTIAL}"))
        if packed:  # the chunks of the time before
            places.append((folder / schema.STORE).rglob("c.*"))
        else:  # a packing that did not come to its commit
            places.append(path for path in (folder / schema.STORE).rglob("c") if path.is_dir())
    for paths in places:
        for path in paths:
            yield Damage(place=str(path), found="left over", means=means, kind="left over")
