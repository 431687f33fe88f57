"""Curves of a run while it goes on, from what it has committed: each look reads only the rows that are new."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import ExperimentError, Problem, StoreError, near
from neurosal.record import schema
from neurosal.record.root import ROOT, Root, read_root
from neurosal.record.status import Status, check_version, read_status
from neurosal.record.verify import growing_axis, lengths_of

LINES = 6  # labels of one variable that get a curve of their own; of more, the mean is drawn
PREFERRED = ("test_accuracy", "validation_accuracy", "train_accuracy", "test_loss", "validation_loss")

Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Curve:
    """One line: the mean over replicas (and over what has no line of its own) at each step."""

    label: str
    steps: Values
    values: Values


@dataclass(frozen=True)
class Panel:
    """Lines of one variable."""

    path: str
    curves: tuple[Curve, ...]


@dataclass
class _Series:
    steps: Values = field(default_factory=lambda: np.zeros(0))
    values: Values = field(default_factory=lambda: np.zeros((0, 0)))  # [row, line]
    labels: tuple[str, ...] = ()


class Follower:
    """Looks at a run, or at all arms of an experiment, again and again.

    Example:
        >>> import tempfile, numpy
        >>> from neurosal.record import Recorder, schema
        >>> folder = tempfile.mkdtemp()
        >>> with Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0, 1]}) as recorder:
        ...     recorder.declare(schema.training_metrics())
        ...     recorder.append("metrics/train", step=10, epoch=0.5, values={"loss": numpy.array([2.0, 3.0])})
        >>> [panel] = Follower(folder).look()
        >>> panel.path, panel.curves[0].values
        ('metrics/train/loss', array([2.5]))
    """

    def __init__(self, folder: str | Path, show: Sequence[str] = ()) -> None:
        """Follow a run.

        Args:
            folder: of the run or experiment.
            show: variables as ``group/name``; by default the training loss, one result on data that was held out, and
                one statistic.

        Raises:
            StoreError: when there is no run.
        """
        self.folder = Path(folder)
        self.show = tuple(show)
        self._series: dict[tuple[str, str], _Series] = {}
        if read_status(self.folder) is None:
            remedy = "Check the path; `neurosal ls` lists the runs below a folder."
            raise StoreError(
                Problem(place=str(self.folder), expected="the folder of a run", found="none", remedy=remedy)
            )

    @property
    def status(self) -> Status:
        """How it stands now."""
        status = read_status(self.folder)
        assert status is not None
        return status

    def look(self) -> list[Panel]:
        """What is committed now, one panel a variable.

        Raises:
            StoreError: for a store that is damaged. ExperimentError: for a variable that is not recorded.
        """
        roots = {name: (place, read_root(place / ROOT)) for name, place in self._stores().items()}
        for place, root in roots.values():
            check_version(root.attributes.get(schema.VERSION_ATTRIBUTE), place / ROOT)
        panels = []
        for path in self._chosen([root for _, root in roots.values()]):
            curves: list[Curve] = []
            for name, (place, root) in roots.items():
                if path in root.nodes:
                    curves += self._curves(name, place, root, path)
            if curves:
                panels.append(Panel(path, tuple(curves)))
        return panels

    def _stores(self) -> dict[str, Path]:
        if not (self.folder / schema.EXPERIMENT_FILE).is_file():
            places = {"": self.folder / schema.STORE}
        else:
            arms = self.folder / schema.ARMS
            places = {arm.name: arm / schema.STORE for arm in sorted(arms.iterdir())} if arms.is_dir() else {}
        return {name: place for name, place in places.items() if (place / ROOT).is_file()}

    def _chosen(self, roots: Sequence[Root]) -> list[str]:
        known: list[str] = []
        for root in roots:
            lengths = lengths_of(root)
            for path, node in root.nodes.items():
                group = path.rpartition("/")[0]
                if growing_axis(node) == 1 and path not in known and (lengths[group] or path in self.show):
                    known.append(path)
        if self.show:
            wrong = [path for path in self.show if path not in known]
            if wrong and roots:
                raise ExperimentError(
                    Problem(place="--show", expected="a recorded variable", found=repr(path), remedy=near(path, known))
                    for path in wrong
                )
            return list(self.show)
        wanted = [f"{schema.TRAIN}/{schema.LOSS}"]
        wanted += [path for name in PREFERRED if (path := f"{schema.EVALUATION}/{name}") in known][:1]
        wanted += [path for path in known if path.startswith(f"{schema.SYMMETRY}/") and path.endswith(schema.ANGLE)][:1]
        return [path for path in wanted if path in known] or known[:3]

    def _curves(self, arm: str, place: Path, root: Root, path: str) -> list[Curve]:
        import zarr

        series = self._series.setdefault((arm, path), _Series())
        group = path.rpartition("/")[0]
        length = lengths_of(root)[group]
        if length < len(series.steps):  # it was resumed from before
            series.steps, series.values = np.zeros(0), np.zeros((0, 0))
        done = len(series.steps)
        if length > done:
            tree = zarr.open_group(place, mode="r", use_consolidated=True)
            steps: Any = tree[f"{group}/{schema.STEP}"]
            values: Any = tree[path]
            # The root may have been replaced since it was read: never more than both hold.
            length = min(length, steps.shape[0], values.shape[1])
            rows, labels = _lines(np.asarray(values[:, done:length]), root.nodes[path], tree, group)
            series.labels = labels
            series.steps = np.concatenate([series.steps, steps[done:length]])
            series.values = rows if not done else np.concatenate([series.values, rows])
        return [
            Curve(" ".join(part for part in (arm, label) if part), series.steps, series.values[:, index])
            for index, label in enumerate(series.labels)
        ]


def _lines(values: Values, node: dict[str, Any], tree: Any, group: str) -> tuple[Values, tuple[str, ...]]:
    """Means [row, line] of values [replica, row, ...], and the name of each line."""
    labels: tuple[str, ...] = ("",)
    dims = node["dimension_names"][2:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a mean of nothing but NaN is NaN
        found = np.nanmean(values.astype(np.float64), axis=0)
        if dims and found.shape[1] <= LINES and f"{group}/{dims[0]}" in tree:
            labels = tuple(str(label) for label in tree[f"{group}/{dims[0]}"][:])
            found = np.nanmean(found.reshape(*found.shape[:2], -1), axis=2)
        else:
            found = np.nanmean(found.reshape(len(found), -1), axis=1)[:, None]
    return found, labels
