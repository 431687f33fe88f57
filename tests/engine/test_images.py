"""Images on the device and what is done to them: against loops over samples, alone and in a batch, resumed, refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.checks import check_experiment
from neurosal.engine.feeding import Part, parts_of
from neurosal.errors import DataError, ExperimentError
from neurosal.lower.streams import stream
from neurosal.runner.stages import Feed
from neurosal.settings import Training
from tests.runner.making import must_be_equal, must_hold_the_same

FLIP, CROP = ns.RandomFlip(), ns.PadCrop(pixels=2)
SAMPLES, SHAPE, CLASSES = 23, (3, 7, 5), 3
CIRCUIT = rules.kp(circuits.mlp(105, 6, CLASSES))


def data_of(*, scaling: str = "channels", shape: tuple[int, ...] = SHAPE, bytes_: bool = True, **given: Any) -> Any:
    random = np.random.default_rng(1)
    x = random.integers(0, 256, size=(SAMPLES + 11, *shape))
    x = x.astype(np.uint8) if bytes_ else (x / 100).astype(np.float32)
    y = random.integers(CLASSES, size=len(x))
    options = {"value_range": (0, 255), **given} if bytes_ else given
    rows = np.arange(len(x))
    data = ns.data.from_arrays(x, y, classes=CLASSES, validation=rows[23:29], test=rows[29:], **options)
    return data.scaled(scaling)


def network_of(seeds: Any = (0,), circuit: Any = CIRCUIT, dtype: str = "float64") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def feed_of(data: Any, network: Any, *augment: Any, batch: int = 5) -> Feed:
    return Feed(parts_of(data, network, "cross_entropy", augment)["train"], batch, network)


def by_hand(image: np.ndarray, black: np.ndarray, flipped: bool, corner: tuple[int, int], border: int) -> np.ndarray:
    """One image [C, H, W], pixel by pixel: mirrored, then seen through a window that is shifted."""
    _, rows, columns = image.shape
    found = np.empty_like(image)
    for row in range(rows):
        for column in range(columns):
            y, x = row + corner[0] - border, column + corner[1] - border
            inside = 0 <= y < rows and 0 <= x < columns
            found[:, row, column] = image[:, y, columns - 1 - x if flipped else x] if inside else black
    return found


def expected_batches(data: Any, seed: int, epochs: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `FLIP` and `CROP` make of the batches of a seed, from the promise alone: one draw for each place of an
    epoch, from streams of (seed, place in the list, kind, epoch)."""
    images = data.natural().train.x
    images = images[:, None] if images.ndim == 3 else images
    zero = data.natural().scaled("none").inputs["input"][:1] * 0
    black = (data.natural()._scaled("input", zero, np.zeros(1, int)).reshape(images.shape[1:])[:, 0, 0]
             if data.spec.scaling != "none" else np.zeros(images.shape[1], np.float32))  # fmt: skip
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=stream(seed, "batches", epoch)).numpy()
        flips = torch.rand(len(images), generator=stream(seed, "augment", 0, "random_flip", epoch)).numpy() < 0.5
        corners = torch.randint(5, (len(images), 2), generator=stream(seed, "augment", 1, "pad_crop", epoch)).numpy()
        changed = np.stack(
            [by_hand(images[s], black, flips[p], tuple(corners[p]), 2) for p, s in enumerate(order)]
        ).reshape(len(images), -1)
        for first in range(0, len(images), batch):
            yield changed[first : first + batch], data.train.y[order[first : first + batch]]


@pytest.mark.parametrize(
    ("options", "features"),
    [
        ({}, 105),
        ({"scaling": "symmetric"}, 105),
        ({"scaling": "none", "bytes_": False}, 105),
        ({"scaling": "channels", "bytes_": False}, 105),
        ({"shape": (7, 5)}, 35),
    ],
    ids=["bytes by channel", "bytes", "numbers", "numbers by channel", "one channel"],
)
def test_flipped_and_cropped_images_are_those_of_a_loop_over_samples(options: Any, features: int) -> None:
    data = data_of(**options)
    network = network_of((4, 2), rules.kp(circuits.mlp(features, 6, CLASSES)), "float32")
    feed = feed_of(data, network, FLIP, CROP)
    expected = [list(expected_batches(data, seed, 2, 5)) for seed in (4, 2)]
    for number in range(2 * feed.per_epoch):
        x, y = feed.next()
        for replica in range(2):
            np.testing.assert_array_equal(x[replica].numpy(), expected[replica][number][0])
            np.testing.assert_array_equal(y[replica].numpy(), expected[replica][number][1])


def test_images_without_changes_are_the_data_set_to_the_bit() -> None:
    for options in ({}, {"scaling": "unit"}, {"scaling": "standardise"}, {"bytes_": False, "scaling": "standardise"}):
        data = data_of(**options)
        network = network_of(dtype="float32")
        part = Part(data.train, network, "cross_entropy", place="train", augment=(ns.RandomFlip(probability=0),))
        assert torch.equal(part.rows(3, 20), torch.tensor(data.train.x[3:20].reshape(17, -1)))
        index = torch.tensor([[5, 0, 22]])
        assert torch.equal(part.take(index)[0], torch.tensor(data.train.x[[5, 0, 22]].reshape(3, -1)))
    bytes_ = Part(data_of().train, network, "cross_entropy", place="train", augment=(CROP,)).inputs["input"]
    assert bytes_.values_SHWC.dtype == torch.uint8
    assert bytes_.values_SHWC.shape == (SAMPLES, 7, 5, 3)


def test_a_population_with_space_gets_images_with_channels_last_in_memory() -> None:
    data = data_of()
    images = Part(data.train, network_of(), "cross_entropy", place="train", augment=(FLIP,)).inputs["input"]
    images.spatial = True
    batch = images.take(torch.arange(6))
    assert batch.shape == (6, *SHAPE)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.flatten(1), torch.tensor(data.train.x[:6].reshape(6, -1)).double())


def test_a_replica_sees_in_a_batch_what_it_sees_alone() -> None:
    data = data_of()
    together = feed_of(data, network_of((3, 1, 3)), FLIP, CROP)
    alone = {seed: feed_of(data, network_of((seed,)), FLIP, CROP) for seed in (3, 1)}
    for _ in range(7):
        x, y = together.next()
        for seed, rows in ((3, (0, 2)), (1, (1,))):
            own_x, own_y = alone[seed].next()
            for row in rows:
                assert torch.equal(x[row], own_x)
                assert torch.equal(y[row], own_y)
        assert not torch.equal(x[0], x[1])


def test_evaluation_and_fixed_samples_see_images_as_they_are() -> None:
    data, network = data_of(), network_of()
    parts = parts_of(data, network, "cross_entropy", (FLIP, CROP))
    for name, part in parts.items():
        raw = torch.tensor(getattr(data, name).x.reshape(len(part), -1)).double()
        assert torch.equal(part.first(len(part)), raw)
    assert [name for name, part in parts.items() if part.augmenter is not None] == ["train"]
    x, _ = Feed(parts["train"], 23, network).next()
    order = torch.randperm(23, generator=stream(0, "batches", 0))
    assert not torch.equal(x, parts["train"].first(23)[order])


def test_samples_change_anew_in_every_epoch_as_often_and_as_far_as_asked() -> None:
    x = np.zeros((400, 9, 9), np.uint8)
    x[:, 4, 3] = 255
    data = ns.data.from_arrays(x, np.arange(400) % 2, test=[0, 1], value_range=(0, 255))
    network = network_of((0,), rules.kp(circuits.mlp(81, 4, 2)))
    feed = feed_of(data, network, ns.RandomFlip(probability=0.25), ns.PadCrop(pixels=3), batch=398)
    places = []
    for _ in range(8):
        batch, _ = feed.next()
        place = batch.view(398, 9, 9).flatten(1).argmax(1)
        places.append(torch.stack([place // 9, place % 9], 1))
    assert not torch.equal(places[0], places[1])
    rows, columns = torch.cat(places).unbind(1)
    counts = torch.bincount(rows, minlength=9)
    assert counts[[0, 8]].tolist() == [0, 0]
    assert counts[1:8].min() > 0.85 * counts[1:8].max()  # each of seven shifts, about 455 times
    # Columns 0 and 8 are reached by images that were not mirrored, and by mirrored ones.
    shares = torch.bincount(columns, minlength=9) / len(columns)
    assert abs(float(shares[0]) - 0.75 / 7) < 0.02
    assert abs(float(shares[8]) - 0.25 / 7) < 0.015


def test_rows_can_be_mirrored_too() -> None:
    data = data_of()
    x, _ = feed_of(data, network_of(), ns.RandomFlip(probability=1, axis="rows"), batch=23).next()
    order = torch.randperm(23, generator=stream(0, "batches", 0)).numpy()
    expected = data.natural().train.x[order][:, :, ::-1].reshape(23, -1)
    np.testing.assert_array_equal(x.numpy(), expected)


class Stop:
    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, _: int, __: str) -> None:
        if done == self.after:
            self.after = 0
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [7, 11])
def test_an_interrupted_training_goes_on_with_the_same_images(after: int, tmp_path: Path) -> None:
    settings = {"epochs": 3, "batch_size": 5, "augment": (FLIP, CROP), "checkpoint_every_steps": 3, "log_every": 1}
    training = Training(**settings, optimizer=ns.SGD(lr=0.1, momentum=0.9), dtype="float64")
    whole = network_of((0, 1))
    expected = ns.train(whole, data_of(), training, store=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        ns.train(network_of((0, 1)), data_of(), training, store=tmp_path / "run", progress=Stop(after))
    network = network_of((0, 1))
    run = ns.train(network, data_of(), training, store=tmp_path / "run", resume=True)
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)
    plain = network_of((0, 1))
    ns.train(plain, data_of(), training.replace(augment=()), store=tmp_path / "plain")
    assert not torch.equal(plain.weights["input_to_hidden1"], whole.weights["input_to_hidden1"])


def test_a_run_records_its_constants_and_how_images_were_changed(tmp_path: Path) -> None:
    data = data_of()
    run = ns.train(network_of(), data, epochs=1, augment=(FLIP, CROP), store=tmp_path / "run")
    written = run.settings["data"]["constants"]["input"]
    raw = data.natural().scaled("none").train.x.astype(float) / 255
    np.testing.assert_allclose(written["mean"], raw.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(written["std"], raw.std(axis=(0, 2, 3)))
    kinds = [entry["kind"] for entry in run.settings["training"]["augment"]]
    assert kinds == ["random_flip", "pad_crop"]


def test_phases_with_some_classes_change_their_images_too(tmp_path: Path) -> None:
    data, network = data_of(), network_of()
    phases = [ns.Phase(name=f"only{label}", epochs=2, classes=(label,)) for label in (0, 1)]
    run = ns.train(network, data, phases=phases, augment=(FLIP, CROP), batch_size=4, store=tmp_path / "run")
    assert run.status.state == "done"
    chosen = data.train.where(data.train.y == 1)
    assert chosen.pictures["input"].pixels.shape == ((data.train.y == 1).sum(), *SHAPE)
    np.testing.assert_array_equal(chosen.x, data.train.x[data.train.y == 1])


@pytest.mark.parametrize(
    ("data", "augment", "words"),
    [
        (lambda: data_of(scaling="standardise"), CROP, ["augment.0", "one black for all places", "channels"]),
        (lambda: data_of(), ns.PadCrop(pixels=5), ["augment.0.pixels", "narrower than the images", "5 pixels"]),
        (lambda: data_of(shape=(105,), scaling="unit"), FLIP, ["augment", "images", "no input of that kind"]),
    ],
    ids=["no black", "wide border", "no images"],
)
def test_images_that_cannot_be_changed_so_are_refused_in_words(data: Any, augment: Any, words: list[str]) -> None:
    with pytest.raises(DataError) as refused:
        parts_of(data(), network_of(), "cross_entropy", (augment,))
    for word in words:
        assert word in str(refused.value)


def test_an_experiment_is_checked_for_it_before_it_runs() -> None:
    recipe = {"circuit": "mlp", "arguments": {"sizes": [64, 8, 10]}, "rule": "kp"}
    experiment = ns.Experiment(
        name="study",
        data={"name": "digits", "scaling": "standardise"},
        arms={"kp": {"recipe": recipe}},
        training={"augment": [{"kind": "pad_crop", "pixels": 9}, {"kind": "random_flip"}]},
    )
    with pytest.raises(ExperimentError) as refused:
        check_experiment(experiment)
    assert "arms.kp.training.augment.0" in str(refused.value)
    assert "pixels" in str(refused.value)
    good = experiment.replace(data={"name": "digits"}, training={"augment": [{"kind": "pad_crop", "pixels": 1}]})
    assert check_experiment(good) == good


def test_augmentation_is_a_value_that_files_and_assignments_hold() -> None:
    training = Training(augment=(FLIP, CROP))
    assert Training.from_yaml(training.to_yaml()) == training
    assert "augment" not in Training().to_dict()  # as files of older runs
    assert training.to_dict()["augment"][1] == {"kind": "pad_crop", "pixels": 2}
    for wrong in ({"kind": "pad_crop", "pixels": 0}, {"kind": "random_flip", "probability": 2}, {"kind": "pad_crap"}):
        with pytest.raises(ExperimentError, match=r"augment\.0"):
            Training.from_dict({"augment": [wrong]})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_the_same_images() -> None:
    data = data_of()
    here = feed_of(data, network_of((0, 1), dtype="float32"), FLIP, CROP)
    there = feed_of(data, ns.compile(CIRCUIT, seeds=(0, 1), device="cuda"), FLIP, CROP)
    for _ in range(6):
        assert torch.equal(here.next()[0], there.next()[0].cpu())
