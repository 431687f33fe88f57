"""Commands whose stores are read together, and written as a table, numbers and a figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def report(
    name: str,
    said: str | None,
    stores: Iterable[str],
    measured: Callable[[str], Any],
    table: Callable[[list[Any]], str],
    figure: Callable[[list[Any]], Any],
    arguments: Sequence[str] | None = None,
    indent: int | None = None,
) -> None:
    """Write ``NAME.md``, ``.json`` and ``.png`` of the stores that are there.

    Args:
        name: of the experiment's module.
        said: what the command says of itself.
        stores: folders that are read where no other are given.
        measured: gives the numbers of a store; table, figure: the text and the figure of the numbers of all.
        arguments: of the command; None for those of the process.
        indent: of the file of numbers; None for one line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m neurosal.experiments.{name}", description=said)
    parser.add_argument("stores", nargs="*", default=list(stores))
    parser.add_argument("--out", default="experiments/results")
    given = parser.parse_args(arguments)
    found = [measured(store) for store in given.stores if Path(store).is_dir()]
    folder = Path(given.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(table(found), encoding="utf-8")
    (folder / f"{name}.json").write_text(json.dumps(found, indent=indent) + "\n", encoding="utf-8")
    figure(found).savefig(folder / f"{name}.png", dpi=120)
