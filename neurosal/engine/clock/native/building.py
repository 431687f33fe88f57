"""The program of a circuit, compiled in about a second, once a process for the same equations."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

from neurosal.engine.clock.native.emitting import Equations, emitted
from neurosal.errors import ExperimentError, Problem

FOLDER = Path(__file__).parent
# Products are rounded before they are added. Nothing asks why the logarithm of -1 is no number, or stops at it.
OPTIONS = ("-std=c++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
NUMBERS = {torch.float32: "float", torch.float64: "double"}
_ADDRESS, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS = {
    "update_all": ([_ADDRESS, _NUMBER, _ADDRESS, _NUMBER, _ADDRESS], _NUMBER),
    "reset_all": ([_ADDRESS, _NUMBER, _ADDRESS, _NUMBER], None),
    "arrive_all": ([_ADDRESS] * 3, None),
    "reached": ([_ADDRESS] * 3, _NUMBER),
    "listed": ([_ADDRESS] * 5, None),
    "run_some": ([_ADDRESS, _ADDRESS, *[_NUMBER] * 5], _ADDRESS),
    "recorded": ([_ADDRESS, _NUMBER], _NUMBER),
    "take": ([_ADDRESS, _NUMBER, _NUMBER, *[_ADDRESS] * 3], None),
    "later": ([_ADDRESS, _NUMBER], _NUMBER),
    "take_late": ([_ADDRESS, _NUMBER, _ADDRESS], None),
    "done": ([_ADDRESS], None),
    "sum_up": ([_ADDRESS, *[_NUMBER] * 4, *[_ADDRESS] * 3], None),
}


def built(blocks: Sequence[Equations], dtype: torch.dtype) -> ctypes.CDLL:
    """The program for blocks with these equations, in their order.

    Raises:
        ExperimentError: with what the compiler said.
    """
    return _compiled(emitted(blocks, NUMBERS[dtype]), dtype == torch.float32 and platform.libc_ver()[0] == "glibc")


@cache
def _compiled(laws: str, vector: bool) -> ctypes.CDLL:
    """
    Args:
        vector: whether exponentials may be those of glibc's vectors.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    # It is compiled where it runs, for each process.
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    native, vectors = (("-march=native",), ("-lmvec",)) if x86 else ((), ())
    try:
        with tempfile.TemporaryDirectory(prefix="neurosal_", ignore_cleanup_errors=True) as folder:
            Path(folder, "laws.hpp").write_text(laws, "utf-8")
            made = Path(folder) / "program.so"
            command = [
                *compiler.split(),
                *OPTIONS,
                *native,
                f"-I{folder}",
                str(FOLDER / "program.cpp"),
                "-o",
                str(made),
            ]
            command += ["-DVECTOR", *vectors] if vector else []
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            if done.returncode:
                said = done.stderr.splitlines()
                raise _failed(compiler, next((line for line in said if "error" in line), [*said, ""][0]))
            program = ctypes.CDLL(str(made))
    except OSError as error:  # no room, a compiler that cannot be run, a folder from which nothing may be
        raise _failed(compiler, str(error)) from error
    for name, (takes, gives) in _FUNCTIONS.items():
        function = getattr(program, name)
        function.argtypes, function.restype = takes, gives
    return program


def _failed(compiler: str, said: str) -> ExperimentError:
    return ExperimentError(Problem(place="compiled", expected=f"a compiler of C++17, as {compiler} should be, and room "
                                   "for what it makes (TMPDIR)", found=said[:200],
                                   remedy="Leave compiled=False, which computes the same."))  # fmt: skip
