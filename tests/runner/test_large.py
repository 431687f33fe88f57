"""Networks whose state is too large for a second copy: what they fall back to, and how they resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.record import checkpoint, open_run, schema
from neurosal.runner import finite
from neurosal.runner.finite import PARTS, Finite
from neurosal.runner.training import DivergedWarning
from tests.runner.making import CHAIN, data_of, must_be_equal, network_of, sal, tensors_of, trained
from tests.runner.test_resuming import Stop

HUGE = 1e200


@pytest.fixture(autouse=True)
def _everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "KEPT_BYTES", 0)


class Break:
    """A progress callback that spoils a weight after so many steps."""

    def __init__(self, network: Any, step: int, replica: int = 0) -> None:
        self.network, self.step, self.replica = network, step, replica

    def __call__(self, done: int, _: int, __: str) -> None:
        if done == self.step:
            self.network.weights["hidden1_to_hidden2"][self.replica, 0, 0, 0] = torch.nan


def broken(
    circuit: Any, folder: Path, step: int, seeds: Any = (0,), replica: int = 0, **settings: Any
) -> tuple[Any, Any]:
    network = network_of(circuit, seeds)
    options: dict[str, Any] = {
        "epochs": 4, "batch_size": 5, "optimizer": ns.SGD(lr=0.1, momentum=0.5), "checkpoint_every": None, **settings,
    }  # fmt: skip
    with pytest.warns(DivergedWarning, match=f"replica {replica}"):
        run = ns.train(network, data_of(), store=folder, progress=Break(network, step, replica), **options)
    return network, run


def test_nothing_of_the_weights_is_kept_in_memory() -> None:
    network = network_of(sal())
    watch = Finite(network, {"seed": [0, 1]})
    watch.keep()
    assert watch.large
    assert watch.good is not None
    assert not [name for name in watch.good if name.startswith("weights/")]


@pytest.mark.parametrize("circuit", [rules.kp(CHAIN), rules.kp_tied(CHAIN), sal()], ids=["kp", "kp_tied", "sal"])
def test_without_a_checkpoint_it_falls_back_to_its_start(circuit: Any, tmp_path: Path) -> None:
    network, run = broken(circuit, tmp_path / "run", step=12)
    fresh = network_of(circuit, (0,))
    for name, tensor in fresh.state_dict().items():
        if name.startswith(("weights/", "biases/")):
            assert torch.equal(tensor, network.state_dict()[name]), name
    assert "that of the start" in run.status.message
    assert run.status.state == "diverged"


def test_with_checkpoints_it_falls_back_to_the_newest(tmp_path: Path) -> None:
    kept: dict[int, Any] = {}
    network = network_of(rules.kp(CHAIN), (0,))

    class Both(Break):
        def __call__(self, done: int, total: int, text: str) -> None:
            if done == 9:  # the checkpoint of step 9 is written after this
                kept[done] = tensors_of(self.network)
            super().__call__(done, total, text)

    with pytest.warns(DivergedWarning, match="that of the checkpoint at step 9,"):
        run = ns.train(
            network, data_of(), store=tmp_path / "run", epochs=4, batch_size=5, checkpoint_every=None,
            checkpoint_every_steps=3, optimizer=ns.SGD(lr=0.1, momentum=0.5), progress=Both(network, 10),
        )  # fmt: skip
    assert run.status.state == "diverged"
    assert any(name.startswith("optimizer/") for name in kept[9])
    for name, tensor in kept[9].items():
        if name not in ("steps", "alive"):
            assert torch.equal(tensor, network.state_dict()[name]), name


def test_one_replica_falls_back_alone_and_the_others_go_on_to_the_same_bits(tmp_path: Path) -> None:
    options: dict[str, Any] = {"seeds": (0, 1, 2), "checkpoint_every_steps": 6}
    network, _ = broken(rules.kp(CHAIN), tmp_path / "sick", 8, replica=1, **options)
    clean = network_of(rules.kp(CHAIN), (0, 1, 2))
    settings: dict[str, Any] = {"epochs": 4, "batch_size": 5, "optimizer": ns.SGD(lr=0.1, momentum=0.5)}
    ns.train(clean, data_of(), store=tmp_path / "clean", checkpoint_every=None, **settings)
    must_be_equal(clean, network, [0, 2])
    assert all(torch.isfinite(tensor.double()).all() for tensor in network.state_dict().values())


def test_a_start_that_seeds_do_not_tell_is_written_first(tmp_path: Path) -> None:
    network = network_of(rules.kp(CHAIN), (0,))
    network.weights["hidden1_to_hidden2"][0, 0] = 0.25
    first = tensors_of(network)
    with pytest.warns(DivergedWarning, match="that of the checkpoint at step 0,"):
        ns.train(
            network, data_of(), store=tmp_path / "run", epochs=4, batch_size=5, checkpoint_every=None,
            optimizer=ns.SGD(lr=0.1), progress=Break(network, 4),
        )  # fmt: skip
    for name, tensor in first.items():
        if name.startswith("weights/"):
            assert torch.equal(tensor, network.state_dict()[name]), name


def test_a_spoilt_weight_is_found_within_as_many_looks_as_there_are_parts() -> None:
    for place in (0, 7, -1):
        network = network_of(rules.kp(CHAIN), (0,))
        watch = Finite(network, {"seed": [0]})
        watch.keep()
        network.weights.full["hidden2_to_hidden1"].view(-1)[place] = torch.inf
        batch = (torch.zeros(2, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.int64))
        for look in range(PARTS):
            watch.check(look, None, batch, "cross_entropy")
        assert list(watch.failures) == [0]
        assert "hidden2_to_hidden1" in watch.failures[0]
        whole = Finite(network_of(rules.kp(CHAIN), (0,)), {"seed": [0]})
        whole.keep()
        whole.network.weights.full["hidden2_to_hidden1"].view(-1)[place] = torch.inf
        whole.check(1, None, batch, "cross_entropy", whole=True)
        assert list(whole.failures) == [0]


def test_no_checkpoint_holds_a_state_that_is_not_finite(tmp_path: Path) -> None:
    broken(rules.kp(CHAIN), tmp_path / "run", 8, checkpoint_every_steps=3)
    for path in checkpoint.numbered(tmp_path / "run" / schema.CHECKPOINTS).values():
        for name, array in checkpoint.load(path).tensors.items():
            assert np.isfinite(array.astype("float64")).all(), (path, name)


@pytest.mark.parametrize("after", [4, 11])
def test_a_stopped_run_resumes_to_the_same_bits(after: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_every": None, "checkpoint_every_steps": 3, "epochs": 4}
    whole, expected = trained(sal(), tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        trained(sal(), tmp_path / "run", progress=Stop(after), **options)
    resumed, run = trained(sal(), tmp_path / "run", resume=True, **options)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    np.testing.assert_array_equal(run.tree["metrics/train"].loss, expected.tree["metrics/train"].loss)


def test_without_one_at_the_end_no_checkpoint_is_written_and_the_run_is_done(tmp_path: Path) -> None:
    _, run = trained(sal(), tmp_path / "run", checkpoint_every=None, checkpoint_at_end=False)
    assert run.status.state == "done"
    assert not (tmp_path / "run" / schema.CHECKPOINTS).exists()
    again = ns.train(
        network_of(sal()), data_of(), store=tmp_path / "run", resume=True, epochs=2, batch_size=5,
        checkpoint_every=None, checkpoint_at_end=False, optimizer=ns.SGD(lr=0.1), dtype="float64",
    )  # fmt: skip
    assert again.status.updated == run.status.updated


def test_a_frozen_network_stays_as_it_is_without_a_copy(tmp_path: Path) -> None:
    network = network_of(rules.kp(CHAIN), (0, 1))
    network.freeze_replicas([0])
    network.freeze_replicas([1])
    assert network._state.frozen == {0: {}, 1: {}}
    before = tensors_of(network)
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.zeros(5, dtype=torch.int64)
    loss = network.step(x, y, optimizer=ns.SGD(lr=0.1))
    assert torch.isfinite(loss).all()
    for name, tensor in before.items():
        assert name == "steps" or torch.equal(tensor, network.state_dict()[name]), name


def test_evaluations_come_every_so_many_steps(tmp_path: Path) -> None:
    _, run = trained(rules.bp(CHAIN), tmp_path / "run", evaluate_every_steps=3, evaluate_every=2, epochs=2)
    assert run.tree["metrics/eval"].step.values.tolist() == [0, 3, 6, 9, 10]
    assert open_run(tmp_path / "run").status.samples_per_second > 0
