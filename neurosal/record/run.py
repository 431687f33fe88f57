"""Opening a stored run. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neurosal.errors import NeurosalError, Problem, StoreError, near
from neurosal.graph.circuit import Circuit
from neurosal.record import schema
from neurosal.record.card import card, standing
from neurosal.record.files import damaged, read_json, read_yaml_file, store_errors
from neurosal.record.lazy import in_blocks, too_large
from neurosal.record.root import ROOT, read_root
from neurosal.record.status import Status, check_version, read_status

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, kw_only=True)
class Run:
    """What happened: one stored run, or an experiment with one run for each arm.

    Args:
        folder: where it lies.
        circuit: what was run (None for an experiment: each arm has its own).
        settings: how it was run; for an experiment, the experiment.
        status: how it stands.
        environment: what it was made with.
        arms: name → run, for an experiment; empty for a single run.
        lazy_above: bytes of a record above which `tree` holds dask arrays (where dask is installed), so that what
            xarray computes of it needs little memory; None is half of this machine's memory.
    """

    folder: Path
    circuit: Circuit | None
    settings: Mapping[str, Any]
    status: Status
    environment: Mapping[str, Any]
    arms: Mapping[str, Run] = field(default_factory=lambda: MappingProxyType({}))
    lazy_above: int | None = field(default=None, repr=False, compare=False)

    @property
    def of_experiment(self) -> bool:
        """Whether this is an experiment, whose record lies in its arms."""
        return (self.folder / schema.EXPERIMENT_FILE).is_file()

    @cached_property
    def tree(self) -> xarray.DataTree:
        """The record as it was committed last, opened lazily; for an experiment, one child for each arm.

        Raises:
            StoreError: for a store that is absent or damaged.
        """
        import xarray

        if self.of_experiment:
            return xarray.DataTree(children={name: run.tree for name, run in self.arms.items()}, name=self.folder.name)
        path = self.folder / schema.STORE
        check_version(read_root(path / ROOT).attributes.get(schema.VERSION_ATTRIBUTE), path / ROOT)
        try:
            with store_errors(path, "open the record"):
                tree = xarray.open_datatree(path, engine="zarr", consolidated=True)
                return in_blocks(tree) if too_large(tree, self.lazy_above) else tree
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path, "a record", f"{type(error).__name__}: {error}") from error

    def reopened(self) -> Run:
        """The same run as it stands now, for one that is still going on."""
        return open_run(self.folder, lazy_above=self.lazy_above)

    @property
    def plot(self) -> Plot:
        """Figures of this run by the library's analyses: ``run.plot.symmetry()`` or ``run.plot("symmetry")``."""
        return Plot(self)

    def _repr_html_(self) -> str:
        return card(self)

    def __repr__(self) -> str:
        if self.of_experiment:
            lines = [f"Run({str(self.folder)!r}, {standing(self.status)}, {len(self.arms)} arms)"]
            width = max(map(len, self.arms), default=0)
            lines += [f"  {name:{width}}  {run._summary()}" for name, run in self.arms.items()]
            return "\n".join(lines)
        return f"Run({str(self.folder)!r}, {self._summary()})"

    def _summary(self) -> str:
        status = self.status
        return f"{self.circuit!r}, {standing(status)} at step {status.step}, epoch {status.epoch:.4g}"


ALIASES = {"curves": "learning_curves"}


class Plot:
    """Draws the library's analyses of a run, by name: ``run.plot.symmetry()`` is a figure that a notebook shows."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, name: str, **options: Any) -> Any:
        """The figure that the analysis `name` draws of the run; what it returns where it draws none.

        The numbers themselves are what the analysis returns: ``neurosal.analysis.symmetry(run)``.

        Args:
            name: of an analysis, or "curves" for learning_curves.
            options: of that analysis.

        Raises:
            NeurosalError: when there is none of that name, with near names.
        """
        from neurosal import library

        analysis = library.find("analyses", ALIASES.get(name, name))
        found = analysis(self._run, **options)
        figure = getattr(analysis, "figure", None)
        return found if figure is None else figure(found)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        from neurosal import library

        known = [*library.names("analyses"), *ALIASES]
        if name not in known:  # AttributeError, so that hasattr, copy and completion work
            raise AttributeError(f"no analysis is called {name!r}. {near(name, known)}")
        return partial(self, name)

    def __dir__(self) -> list[str]:
        from neurosal import library

        return sorted([*library.names("analyses"), *ALIASES])


def open_run(folder: str | Path, *, lazy_above: int | None = None) -> Run:
    """Open what `train` or `run` stored.

    Args:
        folder: of one run, or of an experiment.
        lazy_above: bytes of a record above which `Run.tree` holds dask arrays where dask is installed; None is half of
            this machine's memory, 0 always.

    Raises:
        StoreError: when there is no run, or it is damaged or of another schema.

    Example:
        >>> from neurosal.errors import StoreError
        >>> try:
        ...     open_run("nowhere")
        ... except StoreError as error:
        ...     print(error.problems[0].found)
        no such folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise _no_run(folder, "a file" if folder.exists() else "no such folder")
    status = read_status(folder)
    if status is None:
        raise _no_run(folder, f"no {schema.STATUS_FILE} in it")
    environment = MappingProxyType(read_json(folder / schema.ENVIRONMENT_FILE))
    if (folder / schema.EXPERIMENT_FILE).is_file():
        arms = folder / schema.ARMS
        names = sorted(path.name for path in arms.iterdir() if read_status(path)) if arms.is_dir() else []
        experiment = read_yaml_file(folder / schema.EXPERIMENT_FILE)
        order = {name: index for index, name in enumerate(experiment.get("arms") or ())}
        names.sort(key=lambda name: order.get(name, len(order)))
        return Run(
            folder=folder,
            circuit=None,
            settings=MappingProxyType(experiment),
            status=status,
            environment=environment,
            lazy_above=lazy_above,
            arms=MappingProxyType({name: open_run(arms / name, lazy_above=lazy_above) for name in names}),
        )
    return Run(
        folder=folder,
        circuit=_circuit(folder / schema.CIRCUIT_FILE),
        settings=MappingProxyType(read_yaml_file(folder / schema.SETTINGS_FILE)),
        status=status,
        environment=environment,
        lazy_above=lazy_above,
    )


def _circuit(path: Path) -> Circuit | None:
    content = read_yaml_file(path)
    if not content:
        return None
    from neurosal import library

    library.load_plasticity()  # kinds of other packages are known only once these are imported
    try:
        return Circuit.from_dict(content, place=str(path))
    except NeurosalError as error:
        raise StoreError(error.problems) from None


def _no_run(folder: Path, found: str) -> StoreError:
    remedy = "Check the path; `neurosal run` and `train` print where they store."
    near_runs = _runs_near(folder)
    if near_runs:
        remedy = near(folder.name, near_runs)
    return StoreError(Problem(place=str(folder), expected="the folder of a run", found=found, remedy=remedy))


def _runs_near(folder: Path) -> list[str]:
    parent = folder.parent
    if not parent.is_dir():
        return []
    return [path.name for path in parent.iterdir() if (path / schema.STATUS_FILE).is_file()][:1000]
