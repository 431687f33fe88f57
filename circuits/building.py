"""What circuits of convolutions share: a circuit that grows from its input, population by population, each with the
extent that its wiring gives it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    Circuit,
    Constant,
    Dense,
    Flatten,
    Initialiser,
    Model,
    Normalisation,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Source,
    Wiring,
    XavierUniform,
)
from neurosal.graph.models import Activation
from neurosal.graph.value import shown
from neurosal.plasticity import Delta, Fixed

Extent = tuple[int, ...]


class Growing:
    """A circuit from its input on; projections are called ``{source}_to_{target}``.

    Args:
        shape: extent of the input, (channels, rows, columns).
        init: distribution of all weights, Xavier uniform if None.
    """

    def __init__(self, shape: Extent, init: Initialiser | None = None) -> None:
        self.own = Own(init=XavierUniform() if init is None else init)
        self.populations = {"input": _population(shape, Source())}
        self.projections: dict[str, Projection] = {}

    def extent(self, population: str) -> Extent:
        """The extent of a population."""
        return self.populations[population].extent

    def convolved(self, name: str, source: str, wiring: Any, channels: int, model: Model) -> str:
        """Adds a population that hears from another through a convolution with plastic weights."""
        self._add(name, source, wiring.output(self.extent(source), channels), wiring, model)
        return name

    def dense(self, name: str, source: str, units: int, model: Model) -> str:
        """Adds a population of units in a row that hears from all of another; space is laid out first, as ``flat``."""
        if len(self.extent(source)) > 1:
            source = self.weightless("flat", source, Flatten())
        self._add(name, source, (units,), Dense(), model)
        return name

    def weightless(self, name: str, source: str, wiring: Any) -> str:
        """Adds a linear population that hears from another through pooling, or the like."""
        model = Rate(activation="linear", bias=False)
        self._add(name, source, wiring.output(self.extent(source)), wiring, model, plastic=False)
        return name

    def summed(self, name: str, branch: str, skip: str, wiring: Wiring | None, activation: Activation) -> str:
        """Adds the sum of a branch and of what a skip brings, as it is or through a wiring of its own."""
        model = Rate(activation=activation, bias=False)
        self.populations[name] = Population(shape=self.extent(branch), model=model)
        self._skip(branch, name, None)
        self._skip(skip, name, wiring)
        return name

    def circuit(self, name: str) -> Circuit:
        """What has grown."""
        return Circuit(name=name, populations=self.populations, projections=self.projections)

    def _add(
        self, name: str, source: str, extent: Extent, wiring: Wiring, model: Model, *, plastic: bool = True
    ) -> None:
        if any(size < 1 for size in extent):
            raise CircuitError(
                Problem(
                    place="shape",
                    expected=f"an input of which {name!r} has something left",
                    found=f"{_by(self.extent('input'))}, of which {source!r} leaves {_by(self.extent(source))}",
                    remedy="Take more rows and columns, or fewer layers.",
                )
            )
        self.populations[name] = _population(extent, model)
        weights = {"weights": self.own, "plasticity": Delta()} if plastic else {"plasticity": Fixed()}
        self.projections[f"{source}_to_{name}"] = Projection(source=source, target=name, wiring=wiring, **weights)

    def _skip(self, source: str, target: str, wiring: Wiring | None) -> None:
        weights = {"weights": Own(init=Constant(value=1))} if wiring is None else {}
        self.projections[f"{source}_to_{target}"] = Projection(
            source=source, target=target, wiring=wiring or OneToOne(), plasticity=Fixed(), **weights
        )


def normed(activation: Activation, norm: Normalisation | None, bias: bool | None = None) -> Rate:
    """The model of units behind a convolution: with a bias where no norm shifts them, unless `bias` says otherwise."""
    return Rate(activation=activation, norm=norm, bias=norm is None if bias is None else bias)


def refuse(problems: Iterable[Problem]) -> None:
    """Raises one `CircuitError` with all of these problems, if there are any."""
    if problems := list(problems):
        raise CircuitError(problems)


def whole(**sizes: object) -> list[Problem]:
    """A problem for each argument that is no positive whole number, or list of these."""
    found = []
    for name, size in sizes.items():
        several = isinstance(size, (tuple, list))
        for index, entry in enumerate(size if isinstance(size, (tuple, list)) else [size]):
            if not isinstance(entry, int) or isinstance(entry, bool) or entry < 1:
                place = f"{name}.{index}" if several else name
                found.append(Problem(place=place, expected="a positive whole number", found=shown(entry)))
    return found


def image(shape: object) -> list[Problem]:
    """Problems unless `shape` is that of an image: channels, rows, columns."""
    if isinstance(shape, (tuple, list)) and len(shape) == 3:
        return whole(shape=shape)
    return [Problem(place="shape", expected="three extents: channels, rows, columns", found=shown(shape))]


def one_of(place: str, value: object, known: Iterable[object]) -> list[Problem]:
    """A problem unless `value` is one of those known."""
    known = list(known)
    if any(value == entry and type(value) is type(entry) for entry in known):
        return []
    return [Problem(place=place, expected=f"one of {', '.join(map(str, known))}", found=shown(value))]


def _population(extent: Extent, model: Model) -> Population:
    return Population(size=extent[0], model=model) if len(extent) == 1 else Population(shape=extent, model=model)


def _by(extent: Extent) -> str:
    return " × ".join(str(size) for size in extent)
