"""The names that the package promises stay what they are, in whatever order modules are imported."""

from __future__ import annotations

import importlib
import pkgutil

import neurosal


def test_no_module_hides_a_function_of_the_package() -> None:
    for module in pkgutil.iter_modules(neurosal.__path__):
        importlib.import_module(f"neurosal.{module.name}") if module.name != "__main__" else None
    verbs = ("check", "compile", "crosscheck", "draw", "load", "load_experiment", "open_run", "probe", "run", "train")
    assert [name for name in verbs if not callable(getattr(neurosal, name))] == []


def test_a_lazy_name_is_the_same_each_time() -> None:
    for name in neurosal.__all__:
        assert getattr(neurosal, name) is getattr(neurosal, name), name


def test_a_misspelt_name_is_an_attribute_error() -> None:
    assert not hasattr(neurosal, "trian")
