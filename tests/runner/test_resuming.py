"""Going on with a run: the same bits as without the interruption, and refused in words where it is another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import StoreError
from neurosal.runner.recordable import recordable
from neurosal.settings.schedules import Cosine, Steps, WarmUp
from tests.runner.making import CHAIN, data_of, must_be_equal, must_hold_the_same, network_of, sal, trained, values_of

MOMENTUM = ns.SGD(lr=(0.1, 0.3), momentum=0.9, weight_decay=1e-3, schedule=Cosine(), decay_schedule=Steps(at=(2,)))
PROBES = [ns.probe("angle", every=3), ns.probe("weight", epochs=1), ns.probe("update", every=7)]
USAGE = [*PROBES, ns.probe("usage", log=2)]
CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("momentum and schedules", rules.kp(CHAIN), {"optimizer": MOMENTUM, "replicas": {"lr": [0.1, 0.3]}}),
    ("adam", rules.pfa(CHAIN, expansion=2), {"optimizer": ns.Adam(lr=0.01, schedule=WarmUp(steps=12))}),
    ("adamw, clipped", rules.fa(CHAIN), {"optimizer": ns.AdamW(lr=0.01, clip=0.5)}),
    ("k-means", sal(router="k_means"), {"optimizer": ns.SGD(lr=0.1, momentum=0.5), "record": USAGE}),
    ("online balanced", sal(route="population"), {"optimizer": ns.Adam(lr=0.01), "record": USAGE}),
    ("plain, float32", sal(router="attract"), {"optimizer": ns.SGD(lr=0.1, weight_decay=0.01), "dtype": "float32"}),
]


class Stop:
    """A progress callback that interrupts once after so many steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, _: int, __: str) -> None:
        if done == self.after:
            self.after = 0
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 9, 10, 18, 20])
@pytest.mark.parametrize(("circuit", "settings"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_an_interrupted_training_goes_on_to_the_same_bits(
    circuit: Any, settings: dict[str, Any], after: int, tmp_path: Path
) -> None:
    record = [probe for probe in PROBES if recordable(circuit).misfit(probe) is None]
    settings = {"epochs": 4, "checkpoint_every": 2, "evaluate_every": 3, "record": record, **settings}
    whole, expected = trained(circuit, tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        trained(circuit, tmp_path / "run", progress=Stop(after), **settings)
    assert ns.open_run(tmp_path / "run").status.state == "interrupted"
    network, run = trained(circuit, tmp_path / "run", resume=True, **settings)
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)
    assert (run.status.state, run.status.message) == ("done", "")


def test_many_interruptions_are_as_good_as_none(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 6, "checkpoint_every": 1, "record": PROBES, "optimizer": ns.Adam(lr=0.01)}
    whole, expected = trained(sal(), tmp_path / "whole", **settings)
    for after in (3, 7, 14, 21, 26, 29):
        with pytest.raises(KeyboardInterrupt):
            trained(sal(), tmp_path / "run", progress=Stop(after), resume=True, **settings)
    network, run = trained(sal(), tmp_path / "run", resume=True, **settings)
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)


def test_without_checkpoints_between_it_starts_from_the_beginning(tmp_path: Path) -> None:
    whole, expected = trained(rules.kp(CHAIN), tmp_path / "whole", checkpoint_every=None)
    with pytest.raises(KeyboardInterrupt):
        trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=None, progress=Stop(8))
    network, run = trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=None, resume=True)
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)


def test_the_network_of_the_interrupted_training_may_go_on_itself(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 5,
        "checkpoint_every": 1,
        "optimizer": ns.SGD(lr=0.1, momentum=0.9),
    }
    whole, other = network_of(sal()), network_of(sal())
    expected = ns.train(whole, data_of(), store=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        ns.train(other, data_of(), store=tmp_path / "run", progress=Stop(12), **settings)
    run = ns.train(other, data_of(), store=tmp_path / "run", resume=True, **settings)
    must_be_equal(whole, other)
    must_hold_the_same(run, expected)


def test_a_network_that_moved_cannot_begin_a_run_again_that_has_no_checkpoint(tmp_path: Path) -> None:
    network = network_of(rules.fa(CHAIN))
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 5, "store": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        ns.train(network, data_of(), progress=Stop(3), **settings)
    with pytest.raises(StoreError, match=r"a network at its start .* one after 3 steps.*Compile it again"):
        ns.train(network, data_of(), resume=True, **settings)
    fresh, whole = network_of(rules.fa(CHAIN)), network_of(rules.fa(CHAIN))
    ns.train(fresh, data_of(), resume=True, **settings)
    ns.train(whole, data_of(), epochs=2, batch_size=5, store=tmp_path / "whole")
    must_be_equal(fresh, whole)


def test_a_network_that_was_trained_before_starts_with_a_checkpoint(tmp_path: Path) -> None:
    trained_before, _ = trained(sal(router="k_means"), tmp_path / "before")
    trained_before.save(tmp_path / "network")
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 5,
        "checkpoint_every": None,
        "optimizer": ns.SGD(lr=0.1, momentum=0.5),
    }
    whole, other = ns.load(tmp_path / "network"), ns.load(tmp_path / "network")
    expected = ns.train(whole, data_of(), store=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        ns.train(other, data_of(), store=tmp_path / "run", progress=Stop(7), **settings)
    # Resumed by a network that knows nothing of the one before: the checkpoint does.
    fresh = network_of(sal(router="k_means"))
    run = ns.train(fresh, data_of(), store=tmp_path / "run", resume=True, **settings)
    must_be_equal(fresh, whole)
    must_hold_the_same(run, expected)


def test_resuming_nothing_starts(tmp_path: Path) -> None:
    network, run = trained(rules.kp(CHAIN), tmp_path / "run", resume=True)
    other, expected = trained(rules.kp(CHAIN), tmp_path / "other")
    must_be_equal(network, other)
    must_hold_the_same(run, expected)


def test_resuming_a_finished_run_only_opens_it(tmp_path: Path) -> None:
    _, run = trained(rules.kp(CHAIN), tmp_path / "run")
    before = values_of(run)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != ".lock"}
    network, again = trained(rules.kp(CHAIN), tmp_path / "run", resume=True)
    assert again.status.state == "done"
    assert network.steps == 0
    for path, array in values_of(again).items():
        np.testing.assert_array_equal(array, before[path])
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != ".lock"}


OTHERS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("seeds", rules.kp(CHAIN), {"seeds": (0, 2)}, r"settings.yaml: replicas\.seed: expected \[0, 1\], found \[0, 2\]"),
    ("fewer seeds", rules.kp(CHAIN), {"seeds": (0,)}, r"replicas\.seed: expected \[0, 1\], found \[0\]"),
    ("rate", rules.kp(CHAIN), {"optimizer": ns.SGD(lr=0.2)}, r"training\.optimizer\.lr: expected 0\.1, found 0\.2"),
    ("epochs", rules.kp(CHAIN), {"epochs": 5}, r"training\.epochs"),
    ("probes", rules.kp(CHAIN), {"record": [ns.probe("angle")]}, r"training\.record"),
    ("varied", rules.kp(CHAIN), {"replicas": {"lr": [0.1, 0.2]}}, r"replicas\.lr"),
    ("data", rules.kp(CHAIN), {"data": data_of(seed=1)}, r"data\.sha256"),
    ("rule", rules.fa(CHAIN), {}, r"circuit.yaml: projections\.output_to_hidden2"),
    ("type", rules.kp(CHAIN), {"dtype": "float32"}, r"training\.dtype: expected 'float64', found 'float32'"),
]


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("circuit", "settings", "message"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS]
)
def test_resuming_another_run_is_refused_and_leaves_it_as_it_is(
    circuit: Any, settings: dict[str, Any], message: str, finished: bool, tmp_path: Path
) -> None:
    stop = {} if finished else {"progress": Stop(8)}
    try:
        trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=1, **stop)
    except KeyboardInterrupt:
        assert not finished
    before = values_of(ns.open_run(tmp_path / "run"))
    with pytest.raises(StoreError, match=message) as refused:
        trained(circuit, tmp_path / "run", resume=True, **{"checkpoint_every": 1, **settings})
    assert "choose another --store" in str(refused.value)
    after = ns.open_run(tmp_path / "run")
    assert after.status.state == ("done" if finished else "interrupted")
    assert values_of(after).keys() == before.keys()
    for path, array in values_of(after).items():
        np.testing.assert_array_equal(array, before[path])
    trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=1, resume=True)


def test_an_error_in_the_middle_says_so_in_the_status_and_can_be_resumed(tmp_path: Path) -> None:
    def fail(done: int, _: int, __: str) -> None:
        if done == 6:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=1, progress=fail)
    status = ns.open_run(tmp_path / "run").status
    assert (status.state, status.message) == ("failed", "ValueError: no more")
    network, _ = trained(rules.kp(CHAIN), tmp_path / "run", checkpoint_every=1, resume=True)
    must_be_equal(network, trained(rules.kp(CHAIN), tmp_path / "whole")[0])


def test_torch_has_its_threads_back_after_an_interruption(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(KeyboardInterrupt):
            trained(rules.kp(CHAIN), tmp_path / "run", progress=Stop(2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
