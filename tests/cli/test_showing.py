"""list, show, check and data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

import neurosal as ns
from neurosal import circuits, library, rules
from neurosal.data import DataSpec
from neurosal.graph import Circuit
from neurosal.settings import Experiment
from tests.cli.corpus import CIRCUIT, EXPERIMENT
from tests.cli.invoking import invoke


def test_list_names_every_member_with_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSAL_DATA", raising=False)  # where a folder has digits too, they are read from there
    output = invoke("list")[0]
    for kind in library.KINDS:
        for name in library.names(kind):
            assert re.search(rf"^{name} +\S", output, re.MULTILINE), name
    assert re.search(r"^digits .*package", output, re.MULTILINE)


def test_list_of_one_kind_leaves_the_others_out() -> None:
    output = invoke("list", "rules")[0]
    assert "pfa_o" in output
    assert "mlp" not in output


def test_list_of_parts_names_every_class_its_kind_and_its_door() -> None:
    output = invoke("list", "parts")[0]
    for line in (
        r"LIF +lif +neurosal\.graph +Leaky integrate-and-fire",
        r"RateCoded +rate_coded +neurosal\.data +Poisson spikes",
        r"ExponentialCurrent +exponential_current +neurosal\.graph +``τ di/dt = -i``",
        r"EdgeList +edge_list +neurosal\.graph +The synapses that are listed",
        r"STDP +stdp +neurosal\.plasticity +``Δw = A₊",
    ):
        assert re.search(rf"^{line}", output, re.MULTILINE), line
    assert "mlp" not in output


def test_list_of_an_unknown_kind_is_refused_with_near_names() -> None:
    assert "Did you mean 'circuits'?" in invoke("list", "circuit", code=2)[1]


def test_list_says_what_another_package_left_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = library.Problem(place="entry point 'other'", expected="a module", found="ruins")
    monkeypatch.setattr(library, "broken", lambda kind: [problem] if kind == "rules" else [])
    output, error = invoke("list", "rules")
    assert "pfa_o" in output
    assert "found ruins" in error


@pytest.mark.parametrize("name", [*library.names("circuits"), *library.names("experiments")])
def test_every_built_in_name_can_be_shown_and_checked(name: str) -> None:
    assert name in invoke("show", name)[0]
    found = library.find("experiments", name)() if name in library.names("experiments") else None
    if found is None or _is_here(found.data):
        assert "is sound" in invoke("check", name)[0]
    else:  # nothing but the data is missing, and it says how to get it
        error = invoke("check", name, code=2)[1]
        assert error.startswith("1 problem")
        assert "Ways to get it" in error


def test_a_script_for_brian2_needs_time_and_a_duration_of_whole_steps(tmp_path: Path) -> None:
    script = ("--format", "brian2", "--out", tmp_path / "script.py")
    assert "ns.train" in invoke("show", "mlp", *script, code=2)[1]
    for wrong in (("--duration-ms", "inf"), ("--duration-ms", "0"), ("--dt-ms", "0.3")):
        assert invoke("show", "cuba", *script, *wrong, code=2)[1].startswith("1 problem")
    assert not [*tmp_path.iterdir()]


def _is_here(data: DataSpec) -> bool:
    try:
        return bool(len(data.load().train.y))
    except ns.DataError:
        return False


def test_the_table_lists_projections_by_pathway_with_origin_and_plasticity() -> None:
    lines = invoke("show", "mlp", "--rule", "kp_tied")[0].splitlines()
    assert any(
        re.match(r"hidden1_to_output +hidden1 +output +dense +1 +own, xavier_uniform +delta +2,560$", line.rstrip())
        for line in lines
    )
    assert any(
        re.match(r"output_to_hidden1 +output +hidden1 +dense +1 +copy of hidden1_to_output +kolen_pollack", line)
        for line in lines
    )
    assert any(line.startswith("feedback") for line in lines)


def test_shown_yaml_reads_back_equal(tmp_path: Path) -> None:
    output = invoke(
        "show", "mlp", "--format", "yaml", "--rule", "sal", "--option", "areas=4", "--option", "feedback=pfa"
    )[0]
    assert Circuit.from_yaml(output) == rules.sal(circuits.mlp(), areas=4, feedback="pfa")
    invoke("show", EXPERIMENT, "--format", "yaml", "--out", tmp_path / "again.yaml")
    again = library.load_experiment(tmp_path / "again.yaml")
    assert again == library.load_experiment(EXPERIMENT)
    assert isinstance(again, Experiment)


def test_dot_needs_no_graphviz_and_quotes_names() -> None:
    output = invoke("show", CIRCUIT, "--format", "dot")[0]
    assert output.startswith('digraph "small" {')
    assert '"output" -> "relay"' in output
    assert output.count(" -> ") == 8


def test_a_picture_has_both_pathways_in_colours_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "mlp.png"
    invoke("show", "mlp", "--rule", "fa", "--format", "picture", "--out", file)
    pixels = (image.imread(file)[..., :3] * 255).round().astype(int).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (abs(pixels - colour).max(axis=1) <= 2).sum() > 100
    assert not (abs(pixels - (0x00, 0x9E, 0x73)).max(axis=1) <= 2).any()


def test_the_memory_of_a_step_is_shown_by_phase_and_shrinks_with_segments() -> None:
    arguments = ("show", "residual_mlp", "--rule", "kp", "--format", "memory", "--batch", 64)
    whole, cut = invoke(*arguments)[0].splitlines(), invoke(*arguments, "--recompute", 3)[0].splitlines()
    assert whole[2].split()[2:4] == ["forward", "stream0"]
    assert any(" again " in line for line in cut)
    assert float(cut[-1].split()[1]) < float(whole[-1].split()[1])
    assert "the experiment" in invoke("show", EXPERIMENT, "--format", "memory", code=2)[1]


def test_norm_and_gain_stand_in_the_table() -> None:
    assert "relu of rms norm, gain 0.3" in invoke("show", "residual_mlp")[0]


def test_an_arm_of_an_experiment_is_shown_as_a_circuit(tmp_path: Path) -> None:
    assert Circuit.from_yaml(invoke("show", EXPERIMENT, "--arm", "written", "--format", "yaml")[0]).name == "pair"
    invoke("show", EXPERIMENT, "--arm", "sal", "--format", "picture", "--out", tmp_path / "sal.svg")
    assert (tmp_path / "sal.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert "--arm: bp, sal, written" in invoke("show", EXPERIMENT, "--format", "picture", code=2)[1]
    assert "Did you mean 'sal'?" in invoke("show", EXPERIMENT, "--arm", "sla", code=2)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mlp", "--format", "tabel"], "Did you mean 'table'?"),
        (["mlp", "--rule", "pb"], "--rule: expected a known rule"),
        (["mlp", "--rule", "sal", "--option", "aeras=4"], "Did you mean 'areas'?"),
        (["mlp", "--rule", "sal", "--option", "areas=many"], "--rule sal.areas: expected a whole number"),
        (["mlp", "--rule", "sal", "--option", "areas"], "--option: expected name=value"),
        (["mlp", "--option", "areas=4"], "--option: expected --rule with it"),
        (["mlp", "--arm", "bp"], "--arm: expected an experiment"),
        (["mlp", "--format", "picture", "--out", "mlp.txt"], "expected a name that ends in .png"),
        (["mlp", "--format", "yaml", "--out", "no/such/folder.yaml"], "expected a file that can be written"),
        (["mlp.yaml"], "mlp.yaml: expected a file, found nothing there"),
        (["."], "expected a circuit or an experiment of the library, or a file"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output, error = invoke("show", *arguments, code=2)
    assert message in error
    assert output == ""
    assert list(tmp_path.iterdir()) == []


def test_check_reports_sound_and_unsound_sources_of_one_call(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("populations: {}\n", encoding="utf-8")
    output, error = invoke("check", "mlp", tmp_path / "bad.yaml", EXPERIMENT, "mpl", code=2)
    assert "mlp: circuit 'mlp' is sound" in output
    assert f"{EXPERIMENT}: experiment 'small' is sound (3 arms, 3 seeds, data digits)" in output
    assert "2 problems in input" in error
    assert "bad.yaml:1: populations" in error
    assert "Did you mean 'mlp'?" in error


def test_data_says_what_a_set_holds_and_how_to_get_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NEUROSAL_DATA", raising=False)
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path))
    assert "1438 samples" in invoke("data", "digits")[0]
    listed = {line.split()[0]: line for line in invoke("data")[0].splitlines() if line.strip()}
    assert "CC BY 4.0" in listed["semeion"]
    assert "package" in listed["semeion"]
    assert "not here: --download" in listed["cifar10"]
    assert "78.6 %" in invoke("data", "shuttle")[0]
    ways = " ".join(invoke("data", "cifar10", code=2)[1].split())
    for way in ("cifar10.npz", "data_batch_1.bin", "cifar-10-binary.tar.gz", "neurosal[download]", "cifar10_jpeg"):
        assert way in ways
    assert "NEUROSAL_DATA" in invoke("data", "svhn", code=2)[1]
    assert "expected the name of a data set" in invoke("data", "--download", code=2)[1]


def test_data_shows_a_file_of_the_user_by_its_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.eye(10), y=np.arange(10) % 3)
    shown = invoke("data", str(tmp_path / "mine.npz"))[0]
    assert "8 samples" in shown
    assert "3 to 4 samples a class" in shown
    assert "published" not in shown
    assert "expected an npz file, or a folder" in invoke("data", str(tmp_path / "other.npz"), code=2)[1]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["brian2"] = None
from neurosal.cli import main
sys.argv = ["neurosal", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "mlp", "--rule", "sal"], ["show", "sal_digits"], ["check", "sal_digits"], ["data"]]
)
def test_what_computes_nothing_works_with_torch_absent(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m neurosal list | head -1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(
        ["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert "Traceback" not in result.stderr
    assert result.returncode == 0
