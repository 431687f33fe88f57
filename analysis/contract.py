"""The contract of an analysis: a stored run in, a labelled Dataset out, which it can also draw and tabulate.

A member of the library is one `Analysis` value made of three pure functions. Neither torch nor Brian2 is needed, and
matplotlib only for drawing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray

from neurosal import library
from neurosal.analysis.joining import joined
from neurosal.analysis.sources import ArmRecord, arms_of
from neurosal.analysis.style import styled
from neurosal.analysis.tables import Table
from neurosal.errors import ExperimentError, Problem, near

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 160  # sharp at the width of a README


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """One analysis, found by its name.

    Args:
        name: in the library, and of the files that `save` writes.
        compute: the arms of a run → Dataset; what it takes by keyword are the analysis' options.
        draw: that Dataset → matplotlib Figure.
        tabulate: that Dataset → `Table`.
        about: "training" refuses simulations, of which it has nothing to say; "simulation" is named to who asks such a
            one; "" takes what it is given.

    Example:
        ``dataset = learning_curves("runs/digits")``, then ``learning_curves.figure(dataset)`` and
        ``print(learning_curves.table(dataset))``.
    """

    name: str
    compute: Callable[..., xarray.Dataset]
    draw: Callable[[xarray.Dataset], Figure]
    tabulate: Callable[[xarray.Dataset], Table]
    about: Literal["training", "simulation", ""] = ""

    def __post_init__(self) -> None:
        # What `help` and the library's listing show of a member is its own documentation, not that of this class.
        object.__setattr__(self, "__doc__", self.compute.__doc__)
        object.__setattr__(self, "__name__", self.name)

    @property
    def options(self) -> dict[str, Any]:
        """Names of the options and what they are without being given."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {entry.name: entry.default for entry in parameters if entry.kind is entry.KEYWORD_ONLY}

    def __call__(self, run: Any, **options: Any) -> xarray.Dataset:
        """The numbers.

        Args:
            run: a `Run`, the folder of one, or an xarray.DataTree of its schema; or a list of them, of which arms of
                one name are put together (other seeds of the same arm).
            options: of this analysis; see its documentation.

        Raises:
            ExperimentError: when the run did not record what is asked (the message names the probe to add), for an
                option that there is not, and for runs that cannot be put together.
            StoreError: for a folder that holds no run.
        """
        self.refuse_unknown(options)
        runs = run if isinstance(run, list | tuple) else [run]
        arms = joined(record for one in runs for record in arms_of(one))
        if self.about == "training":
            self._refuse_simulations(arms)
        return self.compute(arms, **options)

    def _refuse_simulations(self, arms: Sequence[ArmRecord]) -> None:
        simulated = [arm for arm in arms if arm.simulated]
        if simulated:
            members = {name: library.find("analyses", name) for name in library.names("analyses")}
            fitting = [name for name, member in members.items() if getattr(member, "about", "") == "simulation"]
            remedy = f"Of simulations there are {', '.join(fitting)}; neurosal report shows all that is known."
            raise ExperimentError(
                Problem(place=arm.place, expected=f"a run that was trained, of which {self.name} tells",
                        found="a simulation", remedy=remedy)
                for arm in simulated
            )  # fmt: skip

    def refuse_unknown(self, options: Mapping[str, Any]) -> None:
        """Raises `ExperimentError` for options that there are not."""
        known = self.options
        expected = "an option of this analysis" if known else "no option: this analysis has none"
        problems = [
            Problem(place=self.name, expected=expected, found=repr(name), remedy=near(name, known) if known else "")
            for name in options
            if name not in known
        ]
        if problems:
            raise ExperimentError(problems)

    def figure(self, dataset: xarray.Dataset) -> Figure:
        """The figure of what a call returned. It belongs to no window: save it, or show it in a notebook."""
        return self.draw(dataset)

    def table(self, dataset: xarray.Dataset) -> Table:
        """The numbers of what a call returned that belong into a text; ``print`` it, or take its ``markdown()``."""
        return self.tabulate(dataset)

    def save(self, dataset: xarray.Dataset, folder: str | Path) -> list[Path]:
        """Write ``NAME.zarr``, ``NAME.png``, ``NAME.svg`` and ``NAME.md`` into `folder`, which is made; older ones are
        replaced.

        Returns:
            The paths.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}.{ending}" for ending in ("zarr", "png", "svg", "md")]
        # Text of fixed length has no specification in zarr's format 3, and warns.
        texts = {name: array.astype(object) for name, array in dataset.variables.items() if array.dtype.kind == "U"}
        # Without the encoding: that of a packed store (transposed chunks) does not fit what was computed from it.
        dataset.assign_coords(texts).drop_encoding().to_zarr(paths[0], mode="w", consolidated=False, zarr_format=3)
        figure = self.figure(dataset)
        with styled():  # its salt for names inside SVG makes the same figure the same file
            figure.savefig(paths[1], dpi=PIXELS_PER_INCH)
            figure.savefig(paths[2], metadata={"Date": None})
        paths[3].write_text(self.table(dataset).markdown() + "\n", encoding="utf-8")
        return paths
