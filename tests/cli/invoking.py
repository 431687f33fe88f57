"""Calling the command line inside the test's process."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from neurosal.cli import app
from neurosal.graph.files import to_yaml

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits", "subset": {"train": 100, "test": 50}},
    "arms": {
        "bp": {"recipe": {"circuit": "mlp", "arguments": {"sizes": [64, 4, 10]}, "rule": "bp"}},
        "sal": {
            "recipe": {"circuit": "mlp", "arguments": {"sizes": [64, 4, 10]}, "rule": "sal", "options": {"areas": 2}}
        },
    },
    "seeds": [0, 1],
    "training": {"epochs": 1, "optimizer": {"kind": "sgd", "lr": 0.1}},
    "analyses": ["learning_curves"],
}


def invoke(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Standard output and standard error; raises what a user would see as a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def small(folder: Path, **changes: Any) -> Path:
    """A file with an experiment of seconds."""
    file = folder / "small.yaml"
    file.write_text(to_yaml({**copy.deepcopy(SMALL), **changes}), encoding="utf-8")
    return file
