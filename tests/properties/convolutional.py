"""Random circuits with space for property tests: convolutions with all their options in one and two dimensions, every
kind of pooling and skip, parallel edges, fixed edges, all norms and activations."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from neurosal.graph import (
    AvgPool2d,
    BatchNorm,
    Broadcast,
    Circuit,
    Constant,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    MaxPool2d,
    Normalisation,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    RMSNorm,
    Shortcut,
    Source,
    Wiring,
)
from neurosal.plasticity import Fixed
from tests.properties.graphs import ACTIVATIONS

Extent = tuple[int, ...]
EPS = 0.05  # so that rounding is not what is compared where a few equal values are normalised
MODES = ("zeros", "zeros", "reflect", "replicate", "circular")


@st.composite
def norms(draw: st.DrawFn, channels: int) -> Normalisation | None:
    """Any norm that fits, or none."""
    groups = draw(st.sampled_from([each for each in (1, 2, 3) if channels % each == 0]))
    affine = draw(st.booleans())
    kinds: list[Any] = [
        None,
        BatchNorm(eps=EPS, affine=affine),
        BatchNorm(eps=EPS, affine=affine),
        LayerNorm(eps=EPS, affine=affine),
        RMSNorm(eps=EPS, affine=affine),
        GroupNorm(eps=EPS, affine=affine, groups=groups),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def models(draw: st.DrawFn, channels: int) -> Rate:
    """Any model of a population with so many channels."""
    return Rate(
        activation=draw(st.sampled_from(ACTIVATIONS)),
        bias=draw(st.booleans()),
        norm=draw(norms(channels)),
        gain=draw(st.sampled_from([1.0, 1.0, 0.4])),
    )


@st.composite
def convolutions(draw: st.DrawFn, pre: Extent, channels: int) -> Wiring:
    """Any convolution from a population of extent `pre` to one of so many channels, of whatever extent comes of it."""
    size = len(pre) - 1
    divisors = [groups for groups in (1, 2, 3) if pre[0] % groups == 0 and channels % groups == 0]

    def sides(low: int, high: int) -> Any:
        several = tuple(draw(st.integers(low, high)) for _ in range(size))
        return several[0] if size == 1 or draw(st.booleans()) else several

    kernel, dilation, mode = sides(1, 3), sides(1, 2), draw(st.sampled_from(MODES))
    same = draw(st.booleans())
    most = 2 if mode in ("zeros", "replicate") else max(0, min(2, min(pre[1:]) - 1))
    options: dict[str, Any] = {"kernel": kernel, "dilation": dilation, "groups": draw(st.sampled_from(divisors))}
    strided = {"stride": sides(1, 2), "padding": sides(0, most), "padding_mode": mode}
    make = Conv2d if size == 2 else Conv1d
    if same:
        found = make(**options, padding="same", padding_mode=mode)
        if found.mismatch((channels, *pre[1:]), pre) is None:
            return found
    found = make(**options, **strided)
    if min(found.output(pre, channels)) > 0:
        return found
    return make(kernel=1, groups=options["groups"], stride=strided["stride"])


@st.composite
def spatial_circuits(draw: st.DrawFn) -> Circuit:
    """A circuit from one or two inputs with space to an output in a row, without feedback."""
    growing = _Growing(draw)
    flat = draw(st.booleans())
    shape = (draw(st.integers(2, 6)),) if flat else (draw(st.integers(2, 6)), draw(st.integers(1, 6)))
    growing.populations["input"] = Population(shape=(draw(st.integers(1, 4)), *shape), model=Source())
    last = growing.convolved("input")
    for _ in range(draw(st.integers(0, 4))):
        steps = [growing.convolved, growing.convolved, growing.doubled, growing.summed, growing.broadcast]
        steps += [] if flat else [growing.pooled, growing.shortcut]
        last = draw(st.sampled_from(steps))(last)
    return growing.finished(last)


class _Growing:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.populations: dict[str, Population] = {}
        self.projections: dict[str, Projection] = {}

    def extent(self, name: str) -> Extent:
        return self.populations[name].extent

    def add(self, extent: Extent, model: Rate | None = None) -> str:
        name = f"layer{len(self.populations)}"
        shown: Any = {"shape": extent} if len(extent) > 1 else {"size": extent[0]}
        self.populations[name] = Population(**shown, model=model or self.draw(models(extent[0])))
        return name

    def join(self, source: str, target: str, wiring: Wiring | None, fixed: bool = False) -> None:
        options: dict[str, Any] = {} if wiring is None else {"wiring": wiring}
        if fixed or (wiring is not None and wiring.weightless):
            options["plasticity"] = Fixed()
        label = Circuit(populations=self.populations, projections=self.projections).free_name(f"{source}_to_{target}")
        self.projections[label] = Projection(source=source, target=target, **options)

    def convolved(self, source: str) -> str:
        channels = self.draw(st.integers(1, 4))
        wiring = self.draw(convolutions(self.extent(source), channels))
        name = self.add(wiring.output(self.extent(source), channels))  # type: ignore[attr-defined]
        self.join(source, name, wiring, fixed=self.draw(st.integers(0, 5)) == 0)
        return name

    def doubled(self, source: str) -> str:
        """A convolution, and a second edge between the same two."""
        name = self.convolved(source)
        first = next(edge.wiring for edge in self.projections.values() if edge.target == name)
        self.join(source, name, first)
        return name

    def pooled(self, source: str) -> str:
        kernel, stride = self.draw(st.integers(1, 3)), self.draw(st.integers(1, 2))
        make = self.draw(st.sampled_from([AvgPool2d, MaxPool2d]))
        wiring = make(kernel=kernel, stride=stride, padding=self.draw(st.integers(0, kernel // 2)))
        if min(wiring.output(self.extent(source))) < 1:
            wiring = make(kernel=1, stride=stride)
        name = self.add(wiring.output(self.extent(source)))
        self.join(source, name, wiring)
        return name

    def shortcut(self, source: str) -> str:
        """Option A beside a convolution of the same extent."""
        channels, *places = self.extent(source)
        stride, more = self.draw(st.integers(1, 2)), self.draw(st.integers(0, 2))
        wiring = Shortcut(stride=stride)
        name = self.add(wiring.output((channels, *places), channels + more))
        self.join(source, name, Conv2d(kernel=3, stride=stride, padding=1))
        self.join(source, name, wiring)
        return name

    def summed(self, source: str) -> str:
        """A branch of the same extent, and its sum with the source: as it is, scaled, or with weights that learn."""
        extent = self.extent(source)
        kind = Conv2d if len(extent) == 3 else Conv1d
        branch = self.add(extent)
        self.join(
            source, branch, kind(kernel=3, padding=1, padding_mode=self.draw(st.sampled_from(["zeros", "replicate"])))
        )
        name = self.add(extent)
        for each in (branch, source):
            factor = self.draw(st.sampled_from([1.0, 1.0, -0.5, None]))
            self.join(each, name, OneToOne(), fixed=factor is not None)
            if factor is not None:
                label = next(reversed(self.projections))
                weights = Own(init=Constant(value=factor))
                self.projections[label] = self.projections[label].replace(weights=weights)
        return name

    def broadcast(self, source: str) -> str:
        """Space left and entered again."""
        extent = self.extent(source)
        row = self.add((extent[0],) if len(extent) == 3 else (3,))
        self.join(source, row, GlobalAvgPool() if len(extent) == 3 else None)
        name = self.add((2, *extent[1:]))
        self.join(row, name, Broadcast())
        return name

    def finished(self, last: str) -> Circuit:
        ending = self.draw(st.sampled_from([None, Flatten(), GlobalAvgPool()]))
        if ending is not None:
            row = self.add(ending.output(self.extent(last)))
            self.join(last, row, ending)
            last = row
        self.populations["output"] = Population(size=3, model=Rate(activation="linear", bias=self.draw(st.booleans())))
        self.join(last, "output", None)
        return Circuit(name="random", populations=self.populations, projections=self.projections)
