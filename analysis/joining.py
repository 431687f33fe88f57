"""Several stores as one run: arms that were run apart stand side by side, seeds of one arm that were run apart are put
together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import xarray

from neurosal.analysis.sources import ArmRecord
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema


def joined(records: Iterable[ArmRecord]) -> list[ArmRecord]:
    """Records with those of one name put together along the replicas, in the order in which names first come.

    Raises:
        ExperimentError: where records of one name are of different circuits or trainings, share a replica (seed and
            varied settings), or were recorded at different steps.
    """
    by_name: dict[str, list[ArmRecord]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    problems = [problem for same in by_name.values() for problem in _misfits(same)]
    if problems:
        raise ExperimentError(problems)
    return [same[0] if len(same) == 1 else _together(same) for same in by_name.values()]


def _misfits(same: list[ArmRecord]) -> list[Problem]:
    first, *others = same
    found, taken = [], _replicas(first)
    for other in others:
        for what, mine, theirs in (
            ("circuit", first.circuit, other.circuit),
            ("training", _common(first), _common(other)),
        ):
            if mine != theirs:
                remedy = "Analyse them one by one, or give their arms different names."
                expected = f"the {what} of {first.place}, to be put together as arm {first.name!r}"
                found.append(Problem(place=other.place, expected=expected, found="another", remedy=remedy))
        if twice := [entry for entry in _replicas(other) if entry in taken]:
            expected = f"replicas that {first.place} does not have"
            found.append(Problem(place=other.place, expected=expected, found=f"again {dict(twice[0])}"))
        taken += _replicas(other)
    return found


def _common(record: ArmRecord) -> dict[str, Any]:
    """Settings that do not differ between replicas."""
    training = dict(record.training)
    optimizer = training.get("optimizer")
    if isinstance(optimizer, dict):
        training["optimizer"] = {key: value for key, value in optimizer.items() if not isinstance(value, list | tuple)}
    return training


def _replicas(record: ArmRecord) -> list[tuple[tuple[str, float], ...]]:
    for node in record.tree.subtree:
        dataset = node.to_dataset(inherit=False)
        if schema.REPLICA in dataset.sizes:
            named = {
                str(name): coordinate.values
                for name, coordinate in dataset.coords.items()
                if coordinate.dims == (schema.REPLICA,) and name != schema.REPLICA
            }
            return [
                tuple((name, float(values[index])) for name, values in sorted(named.items()))
                for index in range(dataset.sizes[schema.REPLICA])
            ]
    return []


def _together(same: list[ArmRecord]) -> ArmRecord:
    trees = [{node.path: node.to_dataset(inherit=False) for node in record.tree.subtree} for record in same]
    whole = {}
    for path, first in trees[0].items():
        parts = [tree[path] for tree in trees if path in tree]
        if schema.REPLICA in first.sizes and len(parts) == len(trees):
            try:
                whole[path] = xarray.concat(
                    parts, dim=schema.REPLICA, join="exact", coords="minimal", compat="override", data_vars="minimal"
                )
            except ValueError as wrong:
                raise ExperimentError(
                    Problem(
                        place=f"{same[1].place}, {path}",
                        expected=f"the same steps as in {same[0].place}",
                        found="others",
                        remedy="Finish both runs (--resume).",
                    )
                ) from wrong
        elif schema.REPLICA not in first.sizes:
            whole[path] = first
    return replace(same[0], tree=xarray.DataTree.from_dict(whole))
