"""The wheel is tested, not the tree: what it holds, and that it works from outside the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = SETTINGS["tool"]["setuptools"]["packages"]
FOLDERS = SETTINGS["tool"]["setuptools"]["package-dir"]
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "neurosal", "circuits", "experiments", "analysis")


def source_files() -> set[str]:
    """What must be in the wheel, by its path there."""
    wanted = set()
    for top in ("neurosal", *(folder for folder in FOLDERS.values())):
        inside = next((package.replace(".", "/") for package, folder in FOLDERS.items() if folder == top), top)
        for path in (ROOT / top).rglob("*"):
            relative = path.relative_to(ROOT / top)
            data = relative.parts[:-1] in (("data", "embedded"), ("reporting", "assets"))
            if path.suffix in (".py", ".cpp") or path.name == "py.typed" or data:
                wanted.add(f"{inside}/{relative.as_posix()}")
    return {name for name in wanted if "__pycache__" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build folder in the tree would put modules that are long gone into the wheel."""
    copy = tmp_path_factory.mktemp("copy")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    target = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(target), str(copy))
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--target", str(target), str(wheel))
    return target


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", arguments[0], "--no-deps", "--no-index", "--quiet", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def outside(installed: Path, code: str) -> str:
    """What `code` prints when it runs outside the clone on the installed copy."""
    environment = {name: value for name, value in os.environ.items() if name != "NEUROSAL_DATA"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        cwd=installed.parent,
        env=environment | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_folders_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == source_files()
    assert {name.split("/")[0] for name in names} == {"neurosal"}


def test_every_package_folder_is_listed() -> None:
    folders = {"neurosal": ROOT / "neurosal"} | {package: ROOT / folder for package, folder in FOLDERS.items()}
    found = set()
    for package, folder in folders.items():
        for path in folder.rglob("__init__.py"):
            inner = path.parent.relative_to(folder).parts
            found.add(".".join((package, *inner)))
    assert found == set(PACKAGES)


def test_licences_travel_with_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert any(name.endswith("licenses/neurosal/data/embedded/NOTICE") for name in names)
        assert any(name.endswith("licenses/analysis/reporting/assets/LICENSE.plotly") for name in names)
        metadata = archive.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata


def test_the_installed_copy_is_imported_from_outside_the_clone(installed: Path) -> None:
    code = "\n".join(f"import {package}; print({package}.__file__)" for package in PACKAGES)
    files = outside(installed, code).splitlines()
    assert len(files) == len(PACKAGES)
    assert all(file.startswith(str(installed)) for file in files)


def test_the_installed_copy_brings_its_data(installed: Path) -> None:
    code = "from neurosal import data; print([len(data.load(name)) for name in data.names()[:5]])"
    assert outside(installed, code).strip() == "[1797, 5620, 10992, 20000, 6435]"


def test_the_installed_copy_says_its_version(installed: Path) -> None:
    code = "import importlib.metadata as m, neurosal.version as v; print(m.version('neurosal'), v.__version__)"
    assert len(set(outside(installed, code).split())) == 1


def test_built_in_members_are_found_through_entry_points(installed: Path) -> None:
    groups = SETTINGS["project"]["entry-points"]
    code = f"""
from importlib.metadata import entry_points
for group in {sorted(groups)!r}:
    for point in entry_points(group=group, name="builtin"):
        print(group, point.load().__name__)
"""
    found = {tuple(line.split()) for line in outside(installed, code).splitlines()}
    assert found == {(group, members["builtin"]) for group, members in groups.items()}
