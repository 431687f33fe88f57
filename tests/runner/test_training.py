"""Training: which batches, which steps, which values are recorded and when."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import DataError, ExperimentError, StoreError
from neurosal.settings import Training
from neurosal.settings.schedules import Cosine, WarmUp
from tests.runner.making import (
    CHAIN,
    CLASSES,
    FEATURES,
    SAMPLES,
    SGD,
    by_hand,
    data_of,
    must_be_equal,
    network_of,
    sal,
    tensors_of,
    trained,
    two_inputs,
)


def batches_seen(tmp_path: Path, seeds: tuple[int, ...], **settings: Any) -> list[np.ndarray]:
    """Rows of the training part in each batch, [R, N]."""
    numbers = np.repeat(np.arange(SAMPLES)[:, None], FEATURES, 1).astype("float32")
    data = ns.data.from_arrays(numbers, np.arange(SAMPLES) % CLASSES)
    network, seen = network_of(rules.fa(CHAIN), seeds), []
    step = network.step

    def spy(x: Any, y: Any, *rest: Any, **options: Any) -> Any:
        assert (x[..., 0].long() % CLASSES == y).all()  # labels stay with their samples
        seen.append(x[..., 0].numpy().astype(int).reshape(len(seeds), -1))
        return step(x, y, *rest, **options)

    network.step = spy
    ns.train(network, data, store=tmp_path / "run", optimizer=ns.SGD(lr=1e-6), **settings)
    return seen


def test_an_epoch_shows_every_sample_once_and_its_last_batch_is_smaller(tmp_path: Path) -> None:
    seen = batches_seen(tmp_path, (0, 1), epochs=3, batch_size=5)
    assert [batch.shape[1] for batch in seen] == [5, 5, 5, 5, 3] * 3
    for epoch in range(3):
        rows = np.concatenate(seen[5 * epoch : 5 * epoch + 5], axis=1)
        assert (np.sort(rows, axis=1) == np.arange(SAMPLES)).all()


def test_the_order_of_samples_is_keyed_by_seed_and_epoch_and_by_nothing_else(tmp_path: Path) -> None:
    orders = np.concatenate(batches_seen(tmp_path / "a", (7, 3, 7), epochs=2, batch_size=5), axis=1)
    alone = np.concatenate(batches_seen(tmp_path / "b", (7,), epochs=2, batch_size=23), axis=1)
    assert (orders[0] == orders[2]).all()
    assert (orders[0] == alone[0]).all()  # neither other replicas nor the batch size matter
    assert (orders[0] != orders[1]).any()
    assert (orders[0, :SAMPLES] != orders[0, SAMPLES:]).any()
    assert (orders[0, :SAMPLES] != np.arange(SAMPLES)).any()


def test_a_batch_larger_than_the_data_is_the_whole_data(tmp_path: Path) -> None:
    assert [batch.shape for batch in batches_seen(tmp_path, (0, 1), epochs=2, batch_size=100)] == [(2, SAMPLES)] * 2


@pytest.mark.parametrize(
    ("circuit", "settings"),
    [
        (rules.bp(CHAIN), {}),
        (rules.kp(CHAIN), {"optimizer": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01, schedule=Cosine())}),
        (rules.dfa(CHAIN), {"optimizer": ns.Adam(lr=0.01, clip=0.5, schedule=WarmUp(steps=4))}),
        (sal(), {"optimizer": ns.SGD(lr=(0.1, 0.2))}),
        (rules.fa(CHAIN), {"loss": "mse"}),
        (rules.fa(CHAIN), {"loss": "bce"}),
    ],
    ids=["plain", "momentum", "adam", "areas", "mse", "bce"],
)
def test_training_is_the_steps_of_the_network_one_after_another(
    circuit: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    targets = {"mse": "numbers", "bce": "shares"}.get(settings.get("loss", ""), "labels")
    data = data_of(targets=targets)
    network, run = trained(circuit, tmp_path / "run", data=data, log_every=1, **settings)
    other, first = network_of(circuit), network_of(circuit)
    training = Training(epochs=2, batch_size=5, **{"optimizer": SGD, **settings})
    (_, x, y), *steps = by_hand(other, data, training)
    must_be_equal(network, other)
    assert len(steps) == 10
    assert run.tree["metrics/train"].loss.sizes == {"replica": 2, "step": 10}
    assert run.tree["metrics/train"].loss[:, 0].values == pytest.approx(
        loss_by_hand(first, x, y, training.loss), rel=1e-12
    )


def loss_by_hand(network: Any, x: Any, y: Any, loss: str) -> list[float]:
    """Mean loss of each replica, written out."""
    found = []
    for logits, target in zip(network.predict(x).numpy(), y.numpy(), strict=True):
        if loss == "cross_entropy":
            shifted = logits - logits.max(1, keepdims=True)
            each = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(target)), target]
        elif loss == "mse":
            each = ((logits - target) ** 2).mean(1)
        else:
            each = (np.logaddexp(0, logits) - target * logits).mean(1)
        found.append(float(each.mean()))
    return found


def test_the_loss_of_every_nth_step_is_recorded_as_it_was_before_that_step(tmp_path: Path) -> None:
    _, run = trained(rules.fa(CHAIN), tmp_path / "run", epochs=3, log_every=4)
    record = run.tree["metrics/train"]
    assert record.step.values.tolist() == [0, 4, 8, 12]
    assert record.epoch.values.tolist() == [step / 5 for step in (0, 4, 8, 12)]
    other, data = network_of(rules.fa(CHAIN)), data_of()
    batches = list(by_hand(network_of(rules.fa(CHAIN)), data, Training(epochs=3, batch_size=5, optimizer=SGD)))[1:]
    for step, (_, x, y) in enumerate(batches):
        if step % 4 == 0:
            expected = loss_by_hand(other, x, y, "cross_entropy")
            assert record.loss.sel(step=step).values == pytest.approx(expected, rel=1e-12)
        other.step(x, y, optimizer=SGD)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce"])
def test_evaluation_is_that_of_the_whole_part_after_that_many_steps(
    loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurosal.engine.feeding.EVALUATED_ROWS", 8)  # in pieces, the last one smaller
    data = data_of(targets={"mse": "numbers", "bce": "shares"}.get(loss, "labels"))
    _, run = trained(rules.fa(CHAIN), tmp_path / "run", data=data, epochs=5, evaluate_every=2, loss=loss)
    record = run.tree["metrics/eval"]
    assert record.step.values.tolist() == [0, 10, 20, 25]
    assert ("test_accuracy" in record) == (loss == "cross_entropy")
    other = network_of(rules.fa(CHAIN))
    training = Training(epochs=5, batch_size=5, optimizer=SGD, loss=loss)
    for step, _, _ in by_hand(other, data, training):
        if step not in (0, 10, 20, 25):
            continue
        for name, part in (("validation", data.validation), ("test", data.test)):
            x, y = torch.tensor(part.x).double(), torch.tensor(part.y).expand(2, *part.y.shape)
            expected = loss_by_hand(other, x, y, loss)
            assert record[f"{name}_loss"].sel(step=step).values == pytest.approx(expected, rel=1e-6)
            if loss == "cross_entropy":
                hits = (other.predict(x).argmax(-1) == y).double().mean(1)
                assert record[f"{name}_accuracy"].sel(step=step).values == pytest.approx(hits.numpy(), abs=1e-12)


@pytest.mark.parametrize(("validation", "test"), [(6, 0), (0, 5), (0, 0)])
def test_parts_that_are_empty_are_not_evaluated(validation: int, test: int, tmp_path: Path) -> None:
    _, run = trained(rules.fa(CHAIN), tmp_path / "run", data=data_of(validation=validation, test=test))
    if not validation and not test:
        assert list(run.tree["metrics"].children) == ["train"]
    else:
        present = {name.split("_")[0] for name in run.tree["metrics/eval"].data_vars}
        assert present == {name for name, count in (("validation", validation), ("test", test)) if count}


def test_several_inputs_reach_their_own_populations(tmp_path: Path) -> None:
    circuit, data = rules.fa(two_inputs()), data_of(inputs=("eye", "ear"))
    network, _ = trained(circuit, tmp_path / "run", data=data)
    other = network_of(circuit)
    for _ in by_hand(other, data, Training(epochs=2, batch_size=5, optimizer=SGD)):
        pass
    must_be_equal(network, other)


def test_labels_train_mse_as_one_hot_targets(tmp_path: Path) -> None:
    labels = data_of()
    hot = np.eye(CLASSES, dtype="float32")
    count = len(labels)
    rows = {"validation": labels.validation.index, "test": labels.test.index}
    numbers = ns.data.from_arrays(labels.x, hot[labels.y], **rows)
    assert len(numbers) == count
    networks = [
        trained(rules.fa(CHAIN), tmp_path / str(i), data=d, loss="mse")[0] for i, d in enumerate((labels, numbers))
    ]
    must_be_equal(*networks)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_type_of_the_network_is_that_of_its_records(dtype: str, tmp_path: Path) -> None:
    network = network_of(rules.fa(CHAIN), dtype=dtype)
    run = ns.train(network, data_of(), epochs=1, batch_size=5, store=tmp_path / "run", record=[ns.probe("weight")])
    assert run.settings["training"]["dtype"] == dtype
    assert str(run.tree["projections/input_to_hidden1/epochs_1"].weight.dtype) == dtype


def test_a_second_training_begins_to_count_anew_and_keeps_the_weights(tmp_path: Path) -> None:
    momentum = ns.SGD(lr=0.1, momentum=0.9)
    network, _ = trained(rules.fa(CHAIN), tmp_path / "one", optimizer=momentum)
    fresh = network_of(rules.fa(CHAIN))
    for name, tensor in network.parameters().items():
        fresh.parameters()[name].copy_(tensor)
    settings: dict[str, Any] = {
        "epochs": 2,
        "batch_size": 5,
        "optimizer": momentum,
        "record": [ns.probe("angle", every=4)],
    }
    second = ns.train(network, data_of(), store=tmp_path / "two", **settings)
    ns.train(fresh, data_of(), store=tmp_path / "three", **settings)
    must_be_equal(network, fresh)
    assert network.steps == 10
    assert second.tree["stats/symmetry/every_4"].step.values.tolist() == [0, 4, 8]
    assert second.tree["metrics/eval"].step.values.tolist() == [0, 5, 10]


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    trained(rules.fa(CHAIN), tmp_path / "run", progress=lambda done, total, _: told.append((done, total)))
    assert told == [(step, 10) for step in range(1, 11)]


def test_a_run_without_a_store_is_numbered_where_the_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(3):
        run = ns.train(network_of(rules.fa(CHAIN)), data_of(), epochs=1, dtype="float64")
        folders.append(Path(run.folder))
    assert folders == [Path("runs") / name for name in ("chain", "chain_2", "chain_3")]
    again = ns.train(network_of(rules.fa(CHAIN)), data_of(), epochs=1, dtype="float64", resume=True)
    assert Path(again.folder) == folders[0]


def test_a_folder_with_a_run_is_kept(tmp_path: Path) -> None:
    _, run = trained(rules.fa(CHAIN), tmp_path / "run")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != ".lock"}
    with pytest.raises(StoreError, match="--resume"):
        trained(rules.fa(CHAIN), tmp_path / "run")
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != ".lock"}
    assert run.status.state == "done"


# Refused before anything is written ----------------------------------------------------------------------------------


EMPTY = SimpleNamespace(x=np.zeros((0, FEATURES)), y=np.zeros(0, int))


def wrong_labels() -> Any:
    return ns.data.from_arrays(np.zeros((9, FEATURES)), np.arange(9) % 4, classes=4)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (ns.data.from_arrays(np.zeros((9, 7)), np.arange(9) % 3), {}, r"data\.train: expected 4 features .* found 7"),
        (wrong_labels(), {}, r"labels below 3 .* found 3"),
        (wrong_labels(), {"loss": "mse"}, r"labels below 3 .* found 3"),
        (data_of(targets="numbers"), {}, "class labels for cross_entropy"),
        (data_of(targets="numbers"), {"loss": "bce"}, "targets from 0 to 1"),
        (
            ns.data.from_arrays(np.zeros((9, FEATURES)), np.zeros((9, 2))),
            {"loss": "mse"},
            "3 targets a sample, found 2",
        ),
        (data_of(inputs=("eye", "ear")), {}, "inputs for input, found"),
        (SimpleNamespace(train=EMPTY, validation=EMPTY, test=EMPTY), {}, "samples to train on"),
    ],
    ids=["features", "labels", "labels mse", "numbers", "bce", "targets", "inputs", "empty"],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_written(
    data: Any, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    network = network_of(rules.fa(CHAIN))
    before = tensors_of(network)
    with pytest.raises(DataError, match=message):
        ns.train(network, data, store=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epcohs": 3}, "Did you mean 'epochs'"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": ns.SGD(lr=(0.1, 0.2, 0.3))}, r"optimizer\.lr.*2 \(one a replica\).*3 numbers"),
        ({"replicas": {"lr": [0.1]}}, r"replicas\.lr: expected 2 values"),
        ({"dtype": "float32"}, "type of the network, float64"),
        ({"record": [ns.probe("weight", "input_to_hiden1")]}, "Did you mean 'input_to_hidden1'"),
        ({"record": [ns.probe("update", "output_to_hidden2")]}, r"record\.update"),
        ({"record": [ns.probe("usage", "hidden1")]}, r"record\.usage.*There are none"),
        ({"record": [ns.probe("angle", "input_to_hidden1"), ns.probe("error", "input")]}, "2 problems"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExperimentError, match=message):
        ns.train(network_of(rules.fa(CHAIN)), data_of(), store=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_settings_lie_over_a_training_and_are_kept_with_the_run(tmp_path: Path) -> None:
    training = Training(epochs=3, batch_size=7, dtype="float64")
    run = ns.train(network_of(rules.fa(CHAIN)), data_of(), training, epochs=1, store=tmp_path / "run")
    assert (run.settings["training"]["epochs"], run.settings["training"]["batch_size"]) == (1, 7)
    assert run.settings["replicas"] == {"seed": [0, 1]}
    assert run.settings["parameters"] == {
        "feedforward": 4 * 6 + 6 * 5 + 5 * 3 + 6 + 5 + 3, "feedback": 6 * 5 + 5 * 3, "modulatory": 0,
    }  # fmt: skip
    assert run.circuit == rules.fa(CHAIN)


def test_threads_are_put_back_and_small_steps_take_one() -> None:
    from neurosal.runner.threads import WORTH_TWO, fitting_threads, operations

    small, large = network_of(rules.fa(CHAIN)), network_of(rules.fa(CHAIN))
    assert operations(small, 5) == 6 * 5 * 2 * (4 * 6 + 6 * 5 + 5 * 3 + 6 * 5 + 5 * 3)
    enough = math.ceil(WORTH_TWO / operations(large, 1)) + 1
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with fitting_threads(small, 5):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with fitting_threads(large, enough):
            assert torch.get_num_threads() == 2
        with pytest.raises(KeyboardInterrupt), fitting_threads(small, 5):
            raise KeyboardInterrupt
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
