"""Circuits, rules, experiments and analyses by name, found through entry points: the door that other packages use too.

An entry of the group ``neurosal.<kind>`` names a module, whose functions in ``__all__`` (without it: its public
functions) are the members, or one function. An entry that cannot be imported is reported by `broken`, and the others
work on.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from neurosal.errors import CircuitError, ExperimentError, NeurosalError, Problem, near
from neurosal.graph.circuit import Circuit
from neurosal.graph.files import load_value, misread
from neurosal.graph.value import Value, problems_of, shown
from neurosal.settings.experiment import Experiment, Recipe

KINDS = ("circuits", "rules", "experiments", "analyses")
_ONE = {"circuits": "circuit", "rules": "rule", "experiments": "experiment", "analyses": "analysis"}

_registered: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}
_problems: dict[str, list[Problem]] = {}


def register(kind: str, name: str, function: Callable[..., Any]) -> None:
    """Make `function` known by `name` in this process, e.g. in a notebook; it hides a member of the same name.

    Args:
        kind: "circuits", "rules", "experiments" or "analyses".
    """
    _registered[_kind(kind)][name] = function


def names(kind: str) -> list[str]:
    """Names of all members of a kind, sorted."""
    return sorted({*_found(_kind(kind)), *_registered[kind]})


def find(kind: str, name: str, *, place: str = "name") -> Callable[..., Any]:
    """The member called `name`.

    Args:
        kind: "circuits", "rules", "experiments" or "analyses".
        place: where the name stands, for the message.

    Raises:
        CircuitError: when there is none, with near names (`ExperimentError` for experiments and analyses).
    """
    members = {**_found(_kind(kind)), **_registered[kind]}
    if name not in members:
        family = CircuitError if kind in ("circuits", "rules") else ExperimentError
        raise family(
            Problem(place=place, expected=f"a known {_ONE[kind]}", found=shown(name), remedy=near(name, members))
        )
    return members[name]


def broken(kind: str) -> list[Problem]:
    """Entries of other packages that could not be used, and why."""
    _found(_kind(kind))
    return list(_problems.get(kind, []))


def summary(function: Callable[..., Any]) -> str:
    """The first line of a member's docstring."""
    return (inspect.getdoc(function) or "").strip().partition("\n")[0]


def build(recipe: Recipe, *, place: str = "") -> Circuit:
    """The circuit of a recipe: its function called with its arguments, then its rule with its options.

    Args:
        place: path of the recipe, for messages.

    Raises:
        CircuitError: for unknown names, unknown, missing or unfit arguments (all at once), and what the functions
            themselves refuse.
    """
    prefix = f"{place}." if place else ""
    load_plasticity()
    problems: list[Problem] = []
    calls = (
        ("circuits", recipe.circuit, recipe.arguments, f"{prefix}circuit", f"{prefix}arguments"),
        ("rules", recipe.rule, recipe.options, f"{prefix}rule", f"{prefix}options"),
    )
    circuit: Circuit | None = None
    for kind, name, given, name_place, given_place in calls:
        try:
            function = find(kind, name, place=name_place)
            arguments = bound(function, given, place=given_place, skip=int(kind == "rules"))
            if kind == "circuits":
                circuit = _called(function, arguments.args, arguments.kwargs, given_place)
            elif circuit is not None:
                circuit = _called(function, (circuit, *arguments.args), arguments.kwargs, given_place)
        except NeurosalError as wrong:
            problems += wrong.problems
    if problems or circuit is None:
        raise CircuitError(problems)
    return circuit


def apply_rule(
    circuit: Circuit, rule: str, options: Mapping[str, Any] | None = None, *, place: str = "rule"
) -> Circuit:
    """The circuit that the rule of that name makes of `circuit`.

    Raises:
        CircuitError: for an unknown rule, options that do not fit it, and what the rule itself refuses.
    """
    load_plasticity()
    function = find("rules", rule, place=place)
    arguments = bound(function, options or {}, place=f"{place} {rule}", skip=1)
    return cast(Circuit, _called(function, (circuit, *arguments.args), arguments.kwargs, f"{place} {rule}"))


def bound(
    function: Callable[..., Any], given: Mapping[str, Any], *, place: str, skip: int = 0
) -> inspect.BoundArguments:
    """Arguments from a file, checked against a function's signature and annotations, ready to call it with.

    A variable positional parameter (``*sizes``) takes a list under its name.

    Args:
        skip: how many leading parameters the caller fills (a rule's circuit).

    Raises:
        CircuitError: with a problem for each unknown, missing or unfit argument.
    """
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    known = [entry.name for entry in parameters if entry.kind is not entry.VAR_KEYWORD]
    open_ended = any(entry.kind is entry.VAR_KEYWORD for entry in parameters)
    hints = _hints(function)
    problems = [
        Problem(
            place=f"{place}.{name}",
            expected=f"an argument of {function.__name__}",
            found=shown(name),
            remedy=near(name, known),
        )
        for name in given
        if name not in known and not open_ended
    ]
    positional: list[Any] = []
    keywords: dict[str, Any] = {name: value for name, value in given.items() if name not in known}
    for entry in parameters:
        if entry.kind is entry.VAR_KEYWORD:
            continue
        if entry.name not in given:
            if entry.default is entry.empty and entry.kind is not entry.VAR_POSITIONAL:
                problems.append(
                    Problem(
                        place=f"{place}.{entry.name}",
                        expected=f"a value ({function.__name__} requires it)",
                        found="nothing",
                    )
                )
            continue
        several = entry.kind is entry.VAR_POSITIONAL
        hint = hints.get(entry.name, Any)
        value, wrong = _fitted(list[hint] if several else hint, given[entry.name], f"{place}.{entry.name}")  # type: ignore[valid-type]
        problems += wrong
        if several:
            positional += value if isinstance(value, list) else []
        else:
            keywords[entry.name] = value
    if problems:
        raise CircuitError(problems)
    filled = inspect.Signature([entry.replace(annotation=inspect.Parameter.empty) for entry in parameters])
    return filled.bind(*positional, **keywords)


def load_circuit(source: str | Path) -> Circuit:
    """The circuit in a YAML file, or the one that the library's function of that name makes by default.

    Its fields are checked, not its graph: that is what `neurosal.checks.check` is for.

    Raises:
        CircuitError: with every wrong field, its file, line and path.
    """
    load_plasticity()
    if is_file(source):
        return load_value(Circuit, Path(source))
    return _made(find("circuits", str(source)), Circuit, str(source))


def make_circuit(name: str, arguments: Mapping[str, Any], *, place: str = "arguments") -> Circuit:
    """The circuit that the library's function of that name makes of these arguments.

    Args:
        place: of the arguments, for messages.

    Raises:
        CircuitError: for an unknown name, unfit arguments, and what the function itself refuses.

    Example:
        >>> make_circuit("microcircuit", {"scale": 0.01}).populations["l23e"].units
        207
    """
    load_plasticity()
    function = find("circuits", name)
    called = bound(function, arguments, place=place)
    return cast(Circuit, _called(function, called.args, called.kwargs, place))


def load_experiment(source: str | Path) -> Experiment:
    """The experiment in a YAML file, or the library's of that name.

    Its fields are checked; `neurosal.checks.check_experiment` checks the rest.

    Raises:
        ExperimentError: with every wrong field, its file, line and path.
    """
    load_plasticity()
    if is_file(source):
        return load_value(Experiment, Path(source))
    return _made(find("experiments", str(source)), Experiment, str(source))


def is_file(source: str | Path) -> bool:
    """Whether `source` means a file, not a name of the library."""
    return isinstance(source, Path) or source.endswith((".yaml", ".yml")) or "/" in source or "\\" in source


def load_plasticity() -> None:
    """Import the plasticities and torch modules of all packages, so that files can name them."""
    _modules("plasticity")
    _modules("blocks")


# Finding ------------------------------------------------------------------------------------------------------------


def _kind(kind: str) -> str:
    if kind not in KINDS:
        raise ExperimentError(
            Problem(place="kind", expected=f"one of {', '.join(KINDS)}", found=shown(kind), remedy=near(kind, KINDS))
        )
    return kind


@cache
def _modules(kind: str) -> tuple[tuple[str, Any], ...]:
    """What the entries of a group name, by the entry's name; built-in ones first."""
    loaded: list[tuple[str, Any]] = []
    entries = {(entry.name, entry.value): entry for entry in importlib.metadata.entry_points(group=f"neurosal.{kind}")}
    for entry in sorted(entries.values(), key=lambda entry: (entry.name != "builtin", entry.name, entry.value)):
        try:
            loaded.append((entry.name, entry.load()))
        except Exception as wrong:  # another package's mistake must not take ours down
            if entry.name == "builtin":
                raise
            _report(kind, entry.name, f"{entry.value}, which fails with {type(wrong).__name__}: {wrong}")
    return tuple(loaded)


@cache
def _found(kind: str) -> dict[str, Callable[..., Any]]:
    members: dict[str, Callable[..., Any]] = {}
    for name, target in _modules(kind):
        offered = _functions(target) if isinstance(target, ModuleType) else {name: target}
        for member, function in offered.items():
            if not callable(function):
                _report(kind, name, f"{member}, which is {shown(function)}")
            elif member in members:
                _report(kind, name, f"a second member called {member!r}, which stays hidden")
            else:
                members[member] = function
    return members


def _functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    listed: Iterable[str] | None = getattr(module, "__all__", None)
    if listed is not None:
        return {name: getattr(module, name) for name in listed if _is_member(getattr(module, name, None))}
    return {
        name: entry
        for name, entry in vars(module).items()
        if inspect.isfunction(entry) and not name.startswith("_") and entry.__module__.startswith(module.__name__)
    }


def _is_member(entry: Any) -> bool:
    return callable(entry) and not isinstance(entry, type)


def _report(kind: str, entry: str, found: str) -> None:
    _problems.setdefault(kind, []).append(
        Problem(
            place=f"entry point {entry!r} in neurosal.{kind}",
            expected="a module or function that can be used",
            found=found,
            remedy="Update or remove the package that installs it.",
        )
    )


# Calling ------------------------------------------------------------------------------------------------------------


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception:  # an annotation that only type checkers can resolve is no reason to refuse a call
        return {}


def _fitted(hint: Any, given: Any, place: str) -> tuple[Any, list[Problem]]:
    """`given` as the type that an annotation asks for, with what is wrong about it."""
    if hint is Any:
        return given, []
    config = (
        None
        if isinstance(hint, type) and issubclass(hint, Value)
        else ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    )
    adapter: TypeAdapter[Any] = TypeAdapter(hint, config=config)
    try:
        value = adapter.validate_python(given)
    except ValidationError as wrong:
        return None, problems_of(wrong, Value, place=place)
    return value, list(misread(given, value, place))


def _called(function: Callable[..., Any], positional: tuple[Any, ...], keywords: Mapping[str, Any], place: str) -> Any:
    """A member's result. What it cannot take ends as a problem: its arguments came from a file."""
    try:
        result = function(*positional, **keywords)
    except NeurosalError as wrong:
        own = {*inspect.signature(function).parameters}
        places = [problem.place.removeprefix(f"rules.{function.__name__}.") for problem in _listed(wrong)]
        joints = ["." if inner.partition(".")[0] in own else ": " for inner in places]
        moved = zip(_listed(wrong), places, joints, strict=True)
        raise CircuitError(
            [replace(problem, place=f"{place}{joint}{inner}") for problem, inner, joint in moved]
        ) from wrong
    except (TypeError, ValueError, ArithmeticError, LookupError) as wrong:
        found = f"{type(wrong).__name__}: {wrong}"
        raise CircuitError(
            Problem(place=place, expected=f"arguments that {function.__name__} can take", found=found)
        ) from wrong
    if not isinstance(result, Circuit):
        raise CircuitError(Problem(place=place, expected=f"a Circuit from {function.__name__}", found=shown(result)))
    return result


def _listed(wrong: NeurosalError) -> tuple[Problem, ...]:
    return wrong.problems or (Problem(place="circuit", expected="a circuit", found=str(wrong)),)


def _made(function: Callable[..., Any], cls: type[Any], name: str) -> Any:
    result = function()
    if not isinstance(result, cls):
        raise cls.error(
            Problem(place=name, expected=f"a {cls.__name__} from {function.__name__}()", found=shown(result))
        )
    return result
