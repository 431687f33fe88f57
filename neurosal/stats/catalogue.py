"""The registry of statistics: what each one is computed from, its formula, range, null, cost and reference.

A statistic is registered where it is defined, by the decorator `statistic` on its labelled form:

    @statistic(of="pair", array=base.angle, title=..., formula=..., range=(0, 180), null=..., units="degree")
    def angle(w, b, *, dim): ...

Its family is the module, its reference the last paragraph of the docstring. `Statistic.measure` is the one way from
arrays of a known layout to numbers: probes call it with live tensors while training, analyses with what was recorded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from neurosal.errors import ExperimentError, Problem, near

Form = Literal["vector", "unit", "matrix"]
Cost = Literal["passes", "products", "decomposition", "repeats"]
F = TypeVar("F", bound=Callable[..., Any])

COSTS: dict[str, str] = {
    "passes": "a few passes over the entries: fit for every few steps",
    "products": "matrix products as large as a layer's own",
    "decomposition": "singular values: about min(post, pre)² · max(post, pre), fit for once an epoch",
    "repeats": "hundreds of repeats (permutations, resamples): fit for afterwards",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a statistic is computed from.

    Args:
        says: in words.
        arguments: of the array form, in order.
        dims: of each argument behind the leading ones (replica, time), in order.
    """

    says: str
    arguments: tuple[str, ...]
    dims: tuple[tuple[str, ...], ...]


_WEIGHTS = ("area", "post", "pre")
_SAMPLE_CHANGES = (("sample", "post"), ("sample", "pre"), ("sample",), ("sample",))
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "pair": Source(
            says="forward weights and their effective feedback path, as [post, pre] of the forward weights",
            arguments=("w", "b"),
            dims=(_WEIGHTS, _WEIGHTS),
        ),
        "weight": Source(says="weights of a projection", arguments=("w",), dims=(_WEIGHTS,)),
        "change": Source(
            says="weights of a projection now and at the start", arguments=("now", "start"), dims=(_WEIGHTS, _WEIGHTS)
        ),
        "update": Source(
            says="proposed change of a projection and its weights", arguments=("update", "w"), dims=(_WEIGHTS, _WEIGHTS)
        ),
        "credit": Source(
            says="proposed change of a projection and that of backpropagation on the same state and batch",
            arguments=("update", "reference"),
            dims=(_WEIGHTS, _WEIGHTS),
        ),
        "step": Source(
            says="gradient of a projection, a step of its weights, and the batch's loss before and after it",
            arguments=("gradient", "step", "before", "after"),
            dims=(_WEIGHTS, _WEIGHTS, (), ()),
        ),
        "sample_changes": Source(
            says="error at a projection's target, activity of its source, class and area of each sample",
            arguments=("error", "activity", "label", "area"),
            dims=_SAMPLE_CHANGES,
        ),
        "area_changes": Source(
            says="the same, of a target with areas",
            arguments=("error", "activity", "label", "area"),
            dims=_SAMPLE_CHANGES,
        ),
        "activity": Source(
            says="activity of a population over samples", arguments=("activity",), dims=(("sample", "unit"),)
        ),
        "activity_labels": Source(
            says="activity of a population over samples, and the classes of these",
            arguments=("activity", "labels"),
            dims=(("sample", "unit"), ("sample",)),
        ),
        "activities": Source(
            says="two activities over the same samples",
            arguments=("x", "y"),
            dims=(("sample", "unit"), ("sample", "other_unit")),
        ),
        "kernels": Source(
            says="a kernel between samples now and at the start; while training the tangent kernel of a projection",
            arguments=("kernel", "before"),
            dims=(("sample", "other_sample"),) * 2,
        ),
        "kernel_labels": Source(
            says="a kernel between samples, and the classes of these",
            arguments=("kernel", "label"),
            dims=(("sample", "other_sample"), ("sample",)),
        ),
        "usage": Source(says="share or count of samples that each area takes", arguments=("usage",), dims=(("area",),)),
        "routes": Source(
            says="areas that the same samples selected at two times",
            arguments=("before", "now"),
            dims=(("sample",),) * 2,
        ),
        "routes_labels": Source(
            says="selected area and class of samples", arguments=("area", "label"), dims=(("sample",), ("sample",))
        ),
        "intervals": Source(
            says="intervals between the spikes of a unit", arguments=("intervals",), dims=(("interval",),)
        ),
        "counts": Source(says="spikes of units in equal bins of time", arguments=("counts",), dims=(("unit", "bin"),)),
        "samples": Source(says="two samples of numbers", arguments=("x", "y"), dims=(("sample",), ("other_sample",))),
        "graph": Source(says="directed connections", arguments=("adjacency",), dims=(("post", "pre"),)),
        "replicas": Source(says="one number for each replica", arguments=("values",), dims=(("replica",),)),
        "tasks": Source(
            says="accuracy of each task after each task", arguments=("accuracy",), dims=(("after", "task"),)
        ),
    }
)


# What a network in training has at hand.
LIVE = frozenset(
    {
        "pair", "weight", "change", "update", "credit", "step", "sample_changes", "area_changes",
        "activity", "activity_labels", "activities", "usage", "routes", "routes_labels", "kernels", "kernel_labels",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """One statistic.

    Args:
        name: as it is called in `neurosal.stats`, by a probe and in a record.
        title: for axes and tables.
        family: file in which it is defined.
        of: a name of `SOURCES`.
        formula, null: one line each; null says what chance or a trivial case gives.
        range: lowest and highest value that it can take.
        cost: a name of `COSTS`.
        units: "1", "degree", "bit" ...
        reference: where it is from.
        form: how the array form is called: "vector" with ``axis=`` over all dims of the source, "unit" with ``axis=``
            over all but those in `per`, "matrix" without axis on the last axes (areas are averaged).
        per: dims of the source or own dims that the result keeps, e.g. ``("post",)``.
        results: names of the results where there are several; the array form then returns a tuple, the labelled a
            Dataset.
        array: function of plain arrays, in float64.
        labelled: function of labelled arrays.
        options: of both forms, where `measure` and `lifted` call them.
        together: function (names, *arrays) → dict that computes several of [replica, area, post, pre] arrays at once.
        labels: keywords by which the labelled form is told dimensions; None: ``dim=`` those of the source.
    """

    name: str
    title: str
    family: str
    of: str
    formula: str
    range: tuple[float, float]
    null: str
    cost: Cost
    units: str
    reference: str
    array: Callable[..., Any]
    labelled: Callable[..., Any]
    form: Form = "vector"
    per: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    together: Callable[..., dict[str, Any]] | None = None
    labels: Mapping[str, Any] | None = None

    @property
    def source(self) -> Source:
        """What it is computed from."""
        return SOURCES[self.of]

    def measure(self, *arrays: Any) -> Any:
        """The statistic of plain arrays or tensors whose last axes are `source.dims`; what comes before is kept.

        Args:
            arrays: [..., *dims], as `source` lists them, e.g. [replica, area, post, pre].

        Returns:
            float64 [..., *per]; a matrix-like statistic of areas is their mean.
        """
        dims = self.source.dims[0]
        if self.form == "matrix":
            found = self.array(*arrays, **self.options)
            return found.mean(-1 - len(self.per)) if dims[0] == "area" else found
        over = [place - len(dims) for place, dim in enumerate(dims) if dim not in self._left]
        return self.array(*arrays, axis=over[0] if len(over) == 1 else tuple(over), **self.options)

    def lifted(self, *arrays: Any) -> Any:
        """The same of labelled arrays whose dimensions are called as in `source`; others are kept."""
        dims, given = self.source.dims[0], dict(self.labels or {})
        if self.labels is None:
            over = dims[-2:] if self.form == "matrix" else [dim for dim in dims if dim not in self._left]
            given = {"dim": over[0] if len(over) == 1 else tuple(over)}
        found = self.labelled(*arrays, **given, **self.options)
        return found.mean("area", skipna=False) if self.form == "matrix" and dims[0] == "area" else found

    @property
    def _left(self) -> tuple[str, ...]:
        return self.per if self.form == "unit" else ()

    def __str__(self) -> str:
        return f"{self.name}: {self.title} ({self.units})"


_STATISTICS: dict[str, Statistic] = {}


def statistic(
    *,
    of: str,
    array: Callable[..., Any],
    title: str,
    formula: str,
    range: tuple[float, float],  # noqa: A002 - the field that it fills is called so
    null: str,
    units: str = "1",
    cost: Cost = "passes",
    form: Form = "vector",
    per: tuple[str, ...] = (),
    results: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    together: Callable[..., dict[str, Any]] | None = None,
    labels: Mapping[str, Any] | None = None,
    family: str | None = None,
) -> Callable[[F], F]:
    """Register the labelled function below as a statistic; see `Statistic` for the arguments. Its family is that of the
    module where none is given."""
    assert of in SOURCES, of
    assert cost in COSTS, cost

    def register(function: F) -> F:
        name = function.__name__
        assert name not in _STATISTICS, f"a second statistic called {name!r}"
        _STATISTICS[name] = Statistic(
            name=name, title=title, family=family or function.__module__.rpartition(".")[2], of=of, formula=formula,
            range=range, null=null, cost=cost, units=units, reference=_reference(function), array=array,
            labelled=function, form=form, per=per, results=results, options=MappingProxyType(dict(options or {})),
            together=together, labels=labels,
        )  # fmt: skip
        return function

    return register


def catalogue(family: str | None = None) -> dict[str, Statistic]:
    """All statistics by name, in the order of families.

    Args:
        family: only those of one, e.g. "symmetry".

    Raises:
        ExperimentError: for an unknown family, with near names.

    Example:
        >>> catalogue("symmetry")["angle"].range
        (0, 180)
    """
    families = {entry.family for entry in _STATISTICS.values()}
    if family is not None and family not in families:
        raise ExperimentError(
            Problem(
                place="family", expected="a family of statistics", found=repr(family), remedy=near(family, families)
            )
        )
    ordered = sorted(_STATISTICS.items(), key=lambda item: item[1].family)
    return {name: entry for name, entry in ordered if family in (None, entry.family)}


def find(name: str, *, place: str = "statistic") -> Statistic:
    """The statistic of that name.

    Args:
        place: where the name stands, for the message.

    Raises:
        ExperimentError: when there is none, with near names.

    Example:
        >>> find("norm_ratio").of
        'pair'
    """
    if name not in _STATISTICS:
        raise ExperimentError(
            Problem(place=place, expected="a known statistic", found=repr(name), remedy=near(name, _STATISTICS))
        )
    return _STATISTICS[name]


def measure(names: Iterable[str], *arrays: Any) -> dict[str, Any]:
    """Several statistics of the same arrays; what can share a pass does.

    This is what probes call with live tensors and analyses with recorded arrays.

    Args:
        names: of statistics with one source.
        arrays: [replica, *dims], as the source lists them.

    Returns:
        float64 [replica, *per] by name.

    Example:
        >>> w, b = np.ones((1, 1, 2, 3)), np.ones((1, 1, 2, 3))
        >>> {name: value.tolist() for name, value in measure(["angle", "norm_ratio"], w, b).items()}
        {'angle': [0.0], 'norm_ratio': [1.0]}
    """
    chosen = [find(name) for name in names]
    shared: dict[Callable[..., dict[str, Any]], list[str]] = {}
    for entry in chosen:
        if entry.together is not None:
            shared.setdefault(entry.together, []).append(entry.name)
    found: dict[str, Any] = {}
    for together, some in shared.items():
        found |= together(some, *arrays)
    return {entry.name: found[entry.name] if entry.name in found else entry.measure(*arrays) for entry in chosen}


def probes() -> dict[str, Statistic]:
    """The statistics that a probe can take while a network trains: one array, of what the network has at hand.

    Example:
        >>> "drift" in probes(), "interquartile_mean" in probes()
        (True, False)
    """
    import neurosal.stats  # noqa: F401 - every family registers its statistics when it is imported

    return {name: entry for name, entry in _STATISTICS.items() if entry.of in LIVE and not entry.results}


def _reference(function: Callable[..., Any]) -> str:
    """The reference in a docstring, on one line."""
    _, _, text = (inspect.getdoc(function) or "").partition("Reference:")
    return " ".join(text.partition("\n\n")[0].split())
