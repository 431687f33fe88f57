"""The probe of the vote of areas, against a count by hand."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

import pytest
import torch

import neurosal as ns
from neurosal.errors import ExperimentError
from neurosal.runner import voting
from tests.runner.making import data_of, sal
from tests.runner.test_probing import run_of, steps_by_hand


def test_the_vote_answers_with_the_commonest_training_label_of_the_area(tmp_path: Path) -> None:
    circuit = sal(route="population", readout="shared", feedback="fa")
    probes = [ns.probe("vote", every=5), ns.probe("usage", "hidden1", every=5)]
    record = run_of(circuit, tmp_path / "run", *probes).tree["stats/routing/every_5"]
    assert {"validation_vote_accuracy", "test_vote_accuracy", "usage"} == set(record.data_vars)
    assert record.test_vote_accuracy.sizes == {"replica": 2, "sample": 4, "population": 2}
    data = data_of()
    for step, _, _, network in steps_by_hand(circuit):
        for part in ("validation", "test") if step % 5 == 0 else ():
            judged = getattr(data, part)
            seen = network.signals(torch.tensor(data.train.x).double())
            asked = network.signals(torch.tensor(judged.x).double())
            for name, replica in itertools.product(("hidden1", "hidden2"), range(2)):
                right = 0
                for area, label in zip(asked[name]["area"][replica], judged.y, strict=True):
                    voters = data.train.y[seen[name]["area"][replica].numpy() == int(area)]
                    labels = collections.Counter((voters if len(voters) else data.train.y).tolist())
                    right += min(labels, key=lambda entry: (-labels[entry], entry)) == label
                found = record[f"{part}_vote_accuracy"].sel(population=name).values[replica, step // 5]
                assert found == right / len(judged.y)


def test_a_vote_in_pieces_is_the_vote_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_of(sal(), tmp_path / "whole", ns.probe("vote")).tree["stats/routing/epochs_1"]
    assert set(whole.data_vars) == {"validation_vote_accuracy", "test_vote_accuracy"}
    monkeypatch.setattr(voting, "rows_at_once", lambda _: 8)
    pieces = run_of(sal(), tmp_path / "pieces", ns.probe("vote")).tree["stats/routing/epochs_1"]
    assert whole.identical(pieces)
    other = run_of(sal(), tmp_path / "other", ns.probe("vote"), loss="mse").tree["stats/routing/epochs_1"]
    assert whole.isel(sample=0).identical(other.isel(sample=0))  # labels vote, whatever the loss makes of them


def test_a_vote_needs_labels_and_data_to_be_judged_on(tmp_path: Path) -> None:
    for data, message in (
        (data_of(targets="numbers"), "class labels"), (data_of(validation=0, test=0), "validation or test part"),
    ):  # fmt: skip
        with pytest.raises(ExperimentError, match=message):
            run_of(sal(), tmp_path / "run", ns.probe("vote"), data=data, loss="mse")
    assert not (tmp_path / "run").exists()
