"""Circuits as scripts for Brian2, from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cli.invoking import invoke


def test_a_script_is_printed_or_written_with_its_numbers_beside_it(tmp_path: Path) -> None:
    options = ("--format", "brian2", "--duration-ms", "50", "--seed", "3")
    printed, _ = invoke("show", "cuba", *options)
    for line in ("from brian2 import *", "seed(3)", "run(50.0*ms)", '"e_leak": -49.0*mV', "connect(p=0.02)"):
        assert line in printed, line
    out = tmp_path / "cuba.py"
    invoke("show", "cuba", *options, "--out", out)
    assert out.read_text() == printed
    with np.load(tmp_path / "cuba.npz") as numbers:
        assert numbers["excitatory.v"].shape == (3200,)
        assert len(numbers["inhibitory_to_excitatory.i"]) == len(numbers["inhibitory_to_excitatory.j"]) > 40_000
    compile(out.read_text(), str(out), "exec")


def test_what_is_no_script_is_refused(tmp_path: Path) -> None:
    _, trained = invoke("show", "mlp", "--format", "brian2", code=2)
    assert "continuous time" in trained
    _, named = invoke("show", "cuba", "--format", "brian2", "--out", tmp_path / "cuba.txt", code=2)
    assert ".py" in named
    assert not list(tmp_path.iterdir())
