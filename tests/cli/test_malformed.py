"""Malformed files: exit code 2, a message that names the place, no traceback, nothing written, and soon.

The corpus is written by hand, one defect a file; hypothesis adds mutations that nobody thought of.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from neurosal.cli import app
from neurosal.graph.files import read_yaml, to_yaml
from tests.cli.corpus import CIRCUIT, EXPERIMENT, SYNTAX, Defect, defects

CIRCUITS = defects("circuits.txt", CIRCUIT)
EXPERIMENTS = defects("experiments.txt", EXPERIMENT)
SECONDS = 5


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Data sets that do not ship must be absent, whatever the machine has."""
    monkeypatch.delenv("NEUROSAL_DATA", raising=False)
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path.parent / "no-cache"))


def invoke(*arguments: str) -> tuple[int, str]:
    """Exit code and everything that was printed; raises what a user would see as a traceback."""
    start = time.process_time()
    result = CliRunner().invoke(app, list(arguments))
    taken = time.process_time() - start
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert taken < SECONDS, f"took {taken:.1f} s of computing"
    assert "Traceback" not in result.output
    return result.exit_code, result.output


def assert_names(output: str, file: str, place: str, line: int | None) -> None:
    number = r"\d+" if line is None else str(line)
    assert re.search(rf"{re.escape(file)}:{number}(:\d+)?: .*{re.escape(place)}", output), output


def test_the_corpus_is_large_and_its_bases_are_sound() -> None:
    assert len({entry.name for entry in CIRCUITS + EXPERIMENTS}) + len(SYNTAX) >= 200
    assert invoke("check", str(CIRCUIT), str(EXPERIMENT))[0] == 0


@pytest.mark.parametrize("defect", CIRCUITS, ids=lambda defect: defect.name)
def test_a_malformed_circuit_is_refused_with_its_place(
    defect: Defect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("circuit.yaml").write_text(defect.text, encoding="utf-8")
    code, output = invoke("check", "circuit.yaml")
    assert code == 2, output
    assert_names(output, "circuit.yaml", defect.place, defect.line)
    code, output = invoke("show", "circuit.yaml", "--format", "picture", "--out", "circuit.png")
    assert code == 2, output
    assert [path.name for path in tmp_path.iterdir()] == ["circuit.yaml"]


@pytest.mark.parametrize("defect", EXPERIMENTS, ids=lambda defect: defect.name)
def test_a_malformed_experiment_is_refused_with_its_place_before_anything_is_written(
    defect: Defect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("experiment.yaml").write_text(defect.text, encoding="utf-8")
    for arguments in (("check", "experiment.yaml"), ("run", "experiment.yaml", "--store", "store")):
        code, output = invoke(*arguments)
        assert code == 2, output
        assert_names(output, "experiment.yaml", defect.place, defect.line)
    assert [path.name for path in tmp_path.iterdir()] == ["experiment.yaml"]


@pytest.mark.parametrize(("content", "where"), [entry[1:] for entry in SYNTAX], ids=[entry[0] for entry in SYNTAX])
def test_a_text_that_is_no_yaml_of_ours_is_refused_with_its_line(
    content: bytes, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.yaml").write_bytes(content)
    for arguments in (("check", "file.yaml"), ("run", "file.yaml", "--store", "store")):
        code, output = invoke(*arguments)
        assert code == 2, output
        assert f"file.yaml{where}" in output
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]


def test_all_defects_of_one_file_are_reported_together(tmp_path: Path) -> None:
    text = CIRCUIT.read_text(encoding="utf-8")
    for old, new in (
        ("size: 4", "sze: 4"),
        ("target: output", "target: outptu"),
        ("rank: 4", "rank: 0"),
        ("tanh", "tahn"),
    ):
        text = text.replace(old, new, 1)
    (tmp_path / "circuit.yaml").write_text(text, encoding="utf-8")
    output = invoke("check", str(tmp_path / "circuit.yaml"))[1]
    for place in ("populations.input.sze", "populations.hidden.model.activation", "projections.top_to_output.target"):
        assert place in output
    assert "projections.route.wiring.rank" in output
    assert "'output'" in output  # the near name
    # `input` and `hidden` are there, only malformed: nothing that names them is at fault.
    assert "projections.input_to_hidden" not in output


# Mutations -----------------------------------------------------------------------------------------------------------


def paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [*([path] if path else []), *(found for key, entry in inner for found in paths(entry, (*path, key)))]


SOUND = {path: read_yaml(path).data for path in (CIRCUIT, EXPERIMENT)}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A sound file with one to three fields replaced, removed, renamed or doubled under another name."""
    data = copy.deepcopy(SOUND[draw(st.sampled_from(list(SOUND)))])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(paths(data)))
        owner = data
        for key in path[:-1]:
            owner = owner[key]
        action = draw(st.sampled_from(("replace", "remove", "rename", "copy")))
        if action == "replace":
            owner[path[-1]] = draw(JUNK)
        elif action == "remove":
            del owner[path[-1]]
        elif isinstance(owner, dict):
            entry = owner.pop(path[-1]) if action == "rename" else copy.deepcopy(owner[path[-1]])
            owner[draw(st.text(max_size=8))] = entry
        if not paths(data):
            break
    return to_yaml(data)


@st.composite
def scrambled(draw: st.DrawFn) -> bytes:
    """A sound file with bytes removed, doubled or replaced."""
    content = bytearray(draw(st.sampled_from(list(SOUND))).read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content) - 1))
        end = min(len(content), start + draw(st.integers(0, 12)))
        content[start:end] = draw(
            st.binary(max_size=4) | st.sampled_from([b":", b"{", b"]", b"\n", b"- ", b"'", b"&a ", b"# "])
        )
    return bytes(content)


def assert_sound_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.yaml"
        file.write_bytes(content)
        code, output = invoke("check", str(file))
        assert code in (0, 2), output
        if code == 2:
            assert "file.yaml" in output
            assert "expected" in output
        assert [path.name for path in Path(folder).iterdir()] == ["file.yaml"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(mutated())
def test_files_with_mutated_fields_are_sound_or_refused(text: str) -> None:
    assert_sound_or_refused(text.encode("utf-8", errors="surrogatepass"))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(scrambled())
@example(b"\xff")
def test_files_with_scrambled_bytes_are_sound_or_refused(content: bytes) -> None:
    assert_sound_or_refused(content)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_sound_or_refused(content: bytes) -> None:
    assert_sound_or_refused(content)


# As a user runs it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "defect", [CIRCUITS[3], CIRCUITS[60], EXPERIMENTS[12], EXPERIMENTS[45]], ids=lambda defect: defect.name
)
def test_the_installed_command_refuses_as_the_tests_say(defect: Defect, tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_text(defect.text, encoding="utf-8")
    command = [sys.executable, "-m", "neurosal", "run", "file.yaml", "--store", "store"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert defect.place in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file.yaml"]
