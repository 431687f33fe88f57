"""Torch modules by name, for populations whose model is a `Block`.

A circuit names a module and says its options; it never holds one. Names are those that somebody registered, and those
of modules in ``torch.nn``. torch is loaded when a module is made, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from neurosal.errors import CircuitError, Problem, near

Maker = Callable[..., Any]
BUILT_IN = "torch.nn."
_makers: dict[str, Maker] = {}


def register_block(name: str, make: Maker) -> None:
    """Make a torch module known by a name, which circuits and files then use.

    Other packages do so in a module that an entry point of the group ``neurosal.blocks`` names.

    Args:
        name: not beginning with ``torch.``, whose modules are known already.
        make: ``make(extent, **options)`` gives a `torch.nn.Module` that takes rows [N, *extent] and gives rows of the
            same shape, each sample by itself and without drawing numbers.

    Example:
        >>> import torch
        >>> def doubled(extent):
        ...     up, down = torch.nn.Linear(extent[0], 8), torch.nn.Linear(8, extent[0])
        ...     return torch.nn.Sequential(up, torch.nn.Tanh(), down)
        >>> register_block("doubled", doubled)
        >>> from neurosal.graph import Block, Population
        >>> sorted(Population(size=4, model=Block(module="doubled")).parameters.items())
        [('module.0.bias', (8,)), ('module.0.weight', (8, 4)), ('module.2.bias', (4,)), ('module.2.weight', (4, 8))]
    """
    if name.startswith("torch."):
        raise CircuitError(Problem(place="register_block", expected="a name of your own", found=repr(name)))
    _makers[name] = make
    shapes_of.cache_clear()


def make_module(name: str, options: Mapping[str, Any], extent: tuple[int, ...]) -> Any:
    """A new module of that name, drawn from torch's own generator.

    Raises:
        CircuitError: for a name that is not known, and options that it does not take.
    """
    found, problem = _maker(name), None
    if found is None:
        problem = Problem(
            place="module",
            expected="a module that is registered (register_block), or one of torch.nn",
            found=repr(name),
            remedy=near(name, [*_makers, *_names_in_torch()]),
        )
        raise CircuitError(problem)
    try:
        return found(**options) if name.startswith(BUILT_IN) else found(extent, **options)
    except Exception as wrong:  # whatever another's function raises is a matter of its options
        said = f"{type(wrong).__name__}: {' '.join(str(wrong).split())[:200]}"
        raise CircuitError(Problem(place="options", expected=f"options that {name} takes", found=said)) from wrong


def shapes(name: str, options: Mapping[str, Any], extent: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Parameters of a module, by name, and their shape; made without memory and without drawing.

    Raises:
        CircuitError: as `make_module`.
    """
    return dict(shapes_of(name, _key(options), extent)[0])


def misfit(name: str, options: Mapping[str, Any], extent: tuple[int, ...]) -> str | None:
    """Why a module cannot be the model of a population of this extent ("what is expected, found what is there"), or
    None."""
    return shapes_of(name, _key(options), extent)[1]


@lru_cache(maxsize=256)
def shapes_of(
    name: str, options: tuple[tuple[str, Any], ...], extent: tuple[int, ...]
) -> tuple[tuple[tuple[str, tuple[int, ...]], ...], str | None]:
    """What `shapes` and `misfit` say."""
    torch = _torch()
    with torch.random.fork_rng(devices=()), torch.device("meta"):
        module = make_module(name, dict(options), extent)
        found = tuple((key, tuple(each.shape)) for key, each in module.named_parameters() if each.requires_grad)
        return found, _looked_at(module, torch.zeros(2, *extent), torch)


def _looked_at(module: Any, rows: Any, torch: Any) -> str | None:
    for part in module.modules():
        kind = type(part).__name__
        if getattr(part, "track_running_stats", False):
            return f"a module without running statistics (the population's norm: batch has them), found {kind}"
        drops = getattr(part, "p", 0) if "Dropout" in kind else getattr(part, "dropout", 0)
        if isinstance(drops, float) and drops > 0:
            return f"a module that draws no numbers (the population's dropout does), found {kind} with {drops:g}"
    try:
        with torch.no_grad():
            out = module(rows)
    except Exception as wrong:  # a module may do anything
        said = " ".join(str(wrong).split())[:200]
        return f"a module that takes rows {list(rows.shape)}, found {type(wrong).__name__}: {said}"
    shape = getattr(out, "shape", None)
    if shape != rows.shape:
        given = type(out).__name__ if shape is None else f"{list(shape)} of {list(rows.shape)}"
        return f"rows of the population's own shape from the module, found {given}"
    return None


def _maker(name: str) -> Maker | None:
    if name in _makers or not name.startswith(BUILT_IN):
        return _makers.get(name)
    torch = _torch()
    found = getattr(torch.nn, name.removeprefix(BUILT_IN), None)
    return found if isinstance(found, type) and issubclass(found, torch.nn.Module) else None


def _names_in_torch() -> list[str]:
    torch = _torch()
    return [f"{BUILT_IN}{name}" for name in dir(torch.nn) if _maker(f"{BUILT_IN}{name}") is not None]


def _torch() -> Any:
    if find_spec("torch") is None:
        raise CircuitError(Problem(place="module", expected="torch, of whose modules blocks are made", found="none"))
    return import_module("torch")


def _key(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((name, tuple(each) if isinstance(each, list) else each) for name, each in options.items()))
