"""The library: members by name, arguments from files, and other packages that are broken."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from neurosal import circuits, library, rules
from neurosal.checks.spiking import in_time
from neurosal.errors import CircuitError, ExperimentError
from neurosal.graph import Circuit
from neurosal.settings import Recipe


@pytest.fixture
def forget() -> Iterator[None]:
    """A library that looks again, and forgets what the test made it find."""

    def clear() -> None:
        library._modules.cache_clear()
        library._found.cache_clear()
        library._problems.clear()
        for members in library._registered.values():
            members.clear()

    clear()
    yield
    clear()


def test_a_recipe_builds_what_its_functions_build() -> None:
    recipe = Recipe(
        circuit="mlp", arguments={"sizes": [4, 3, 2], "activation": "tanh"}, rule="sal", options={"areas": 2}
    )
    assert library.build(recipe) == rules.sal(circuits.mlp(4, 3, 2, activation="tanh"), areas=2)


def test_arguments_that_are_values_are_read_from_their_dicts() -> None:
    recipe = Recipe(circuit="mlp", arguments={"init": {"kind": "normal", "std": 0.5}}, rule="shallow")
    weights = library.build(recipe).projections["input_to_hidden1"].weights
    assert weights.to_dict()["init"] == {"kind": "normal", "mean": 0.0, "std": 0.5}


def test_everything_wrong_with_a_recipe_is_said_at_once() -> None:
    arguments = {"sizes": [4, "x"], "activaton": "relu", "bias": "maybe"}
    recipe = Recipe(circuit="mlp", arguments=arguments, rule="sal", options={"aras": 2, "areas": "two"})
    with pytest.raises(CircuitError) as caught:
        library.build(recipe, place="arms.a.recipe")
    places = {problem.place.removeprefix("arms.a.recipe.") for problem in caught.value.problems}
    assert places == {"arguments.sizes.1", "arguments.activaton", "arguments.bias", "options.aras", "options.areas"}
    assert "'activation'" in str(caught.value)


def test_a_member_that_fails_on_its_arguments_gives_a_problem_not_a_traceback(forget: None) -> None:
    def fragile(count: int = 1) -> Circuit:
        return circuits.mlp(10 // count, 3)

    library.register("circuits", "fragile", fragile)
    with pytest.raises(
        CircuitError, match=r"arguments: expected arguments that fragile can take, found ZeroDivisionError"
    ):
        library.build(Recipe(circuit="fragile", arguments={"count": 0}))


def test_a_member_that_returns_no_circuit_is_refused(forget: None) -> None:
    library.register("rules", "nothing", lambda circuit: None)
    with pytest.raises(CircuitError, match="expected a Circuit"):
        library.build(Recipe(circuit="mlp", rule="nothing"))


def test_required_arguments_are_named(forget: None) -> None:
    def needy(size: int) -> Circuit:
        return circuits.mlp(size, 2)

    library.register("circuits", "needy", needy)
    with pytest.raises(CircuitError, match=r"arguments\.size: expected a value \(needy requires it\)"):
        library.build(Recipe(circuit="needy"))


def test_unknown_names_come_with_near_ones() -> None:
    with pytest.raises(CircuitError, match="Did you mean 'mlp'"):
        library.find("circuits", "mpl")
    with pytest.raises(ExperimentError, match="expected one of circuits"):
        library.names("circus")


def test_every_built_in_circuit_has_defaults_and_every_rule_takes_those_without_time() -> None:
    for name in library.names("circuits"):
        circuit = library.load_circuit(name)
        if in_time(circuit):
            continue
        for rule in library.names("rules"):
            assert isinstance(library.apply_rule(circuit, rule), Circuit)


def test_other_packages_add_members_and_broken_ones_are_reported_not_fatal(
    forget: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other_circuits.py").write_text(
        "from neurosal.circuits import mlp\n"
        "__all__ = ['ring', 'mlp', 'Ring']\n"
        "class Ring: ...\n"
        "def ring():\n    return mlp(3, 3)\n", encoding="utf-8",
    )  # fmt: skip
    (tmp_path / "broken_circuits.py").write_text("raise RuntimeError('half installed')\n", encoding="utf-8")
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[neurosal.circuits]\nother = other_circuits\nhalf = broken_circuits\ngone = no_such_module\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert "ring" in library.names("circuits")
    assert "Ring" not in library.names("circuits")
    assert library.find("circuits", "mlp") is circuits.mlp
    reported = " ".join(str(problem) for problem in library.broken("circuits"))
    for words in ("half installed", "no_such_module", "second member called 'mlp'"):
        assert words in reported
    for name in ("other_circuits", "broken_circuits"):
        sys.modules.pop(name, None)


def test_a_module_without_a_list_offers_its_public_functions() -> None:
    module = ModuleType("some_rules")
    exec("import os\nfrom neurosal.rules import bp\ndef mine(c): return c\ndef _hidden(c): return c", vars(module))
    assert list(library._functions(module)) == ["mine"]


def test_members_say_what_they_are_in_one_line() -> None:
    for kind in library.KINDS:
        for name in library.names(kind):
            assert library.summary(library.find(kind, name)), name
