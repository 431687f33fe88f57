"""Small data, networks and runs for the tests of training, and a training loop written out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Population, Projection, Rate, Source
from neurosal.lower.streams import stream
from neurosal.runner.training import Trainer
from neurosal.settings import Training
from tests.rules.table import chain_of

SAMPLES, FEATURES, CLASSES = 23, 4, 3
CHAIN = chain_of(FEATURES, 6, 5, CLASSES)
SGD = ns.SGD(lr=0.1)


def data_of(
    *, validation: int = 6, test: int = 5, targets: str = "labels", inputs: tuple[str, ...] = ("input",), seed: int = 0
) -> Any:
    """23 samples to train on, and as many more to judge by as are asked for."""
    random = np.random.default_rng(seed)
    count = SAMPLES + validation + test
    x = {name: random.normal(size=(count, FEATURES)).astype("float32") for name in inputs}
    y = {
        "labels": random.integers(CLASSES, size=count),
        "numbers": random.normal(size=(count, CLASSES)),
        "shares": random.uniform(size=(count, CLASSES)),
    }[targets]
    rows = np.arange(count)
    parts = {"validation": rows[SAMPLES : SAMPLES + validation], "test": rows[SAMPLES + validation :]}
    given = {name: part for name, part in parts.items() if len(part)}
    options = {"classes": CLASSES} if targets == "labels" else {}
    return ns.data.from_arrays(x if len(inputs) > 1 else x[inputs[0]], y, **given, **options)


def network_of(circuit: Circuit, seeds: Any = (0, 1), dtype: str = "float64", step: str = "eager") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype, step=step)


def trained(
    circuit: Circuit, folder: Path, *, data: Any = None, seeds: Any = (0, 1), **settings: Any
) -> tuple[Any, Any]:
    """A new network after its training, and the run; float64 unless told."""
    dtype = settings.setdefault("dtype", "float64")
    network = network_of(circuit, seeds, dtype, settings.get("step", "eager"))
    replicas = settings.pop("replicas", None)
    resume = settings.pop("resume", False)
    progress = settings.pop("progress", None)
    training = Training(**{"epochs": 2, "batch_size": 5, "optimizer": SGD, **settings})
    run = ns.train(
        network, data_of() if data is None else data, training,
        store=folder, resume=resume, progress=progress, replicas=replicas,
    )  # fmt: skip
    return network, run


def by_hand(network: Any, data: Any, training: Training) -> Iterator[tuple[int, Any, Any]]:
    """Train step by step: (steps done, x, y of that step), first before any step with the first batch.

    Batches come from the promise alone: the order of an epoch is a permutation from the stream of (seed, epoch).
    """
    x = {name: torch.tensor(array).to(network.dtype) for name, array in data.train.inputs.items()}
    y = torch.tensor(data.train.y)
    y = y if not y.is_floating_point() else y.to(network.dtype)
    steps = -(-len(y) // training.batch_size)
    for epoch in range(training.epochs):
        orders = [torch.randperm(len(y), generator=stream(seed, "batches", epoch)) for seed in network.seeds]
        for index in range(steps):
            rows = torch.stack([order[index * training.batch_size :][: training.batch_size] for order in orders])
            batch = {name: array[rows] for name, array in x.items()}
            inputs = batch if len(batch) > 1 else next(iter(batch.values()))
            if network.steps == 0:
                yield 0, inputs, y[rows]
            share = epoch + index / steps
            network.step(inputs, y[rows], training.loss, training.optimizer, epoch=share, epochs=training.epochs)
            yield network.steps, inputs, y[rows]


def tensors_of(network: Any) -> dict[str, Any]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def must_be_equal(first: Any, second: Any, replicas: slice | list[int] = slice(None)) -> None:
    """Bit for bit, names too."""
    one, two = tensors_of(first), tensors_of(second)
    if replicas == slice(None):
        assert one.keys() == two.keys()
    for name in one.keys() & two.keys() - {"alive"}:
        a, b = (tensor[replicas] if tensor.dim() else tensor for tensor in (one[name], two[name]))
        assert torch.equal(a, b), name


def values_of(run: Any) -> dict[str, np.ndarray]:
    """Every array of a run's records, by path."""
    return {
        f"{node.path}/{name}": variable.values for node in run.tree.subtree for name, variable in node.variables.items()
    }


def must_hold_the_same(first: Any, second: Any) -> None:
    one, two = values_of(first), values_of(second)
    assert one.keys() == two.keys()
    for path, array in one.items():
        np.testing.assert_array_equal(array, two[path], err_msg=path)


def two_inputs() -> Circuit:
    """A circuit with two inputs, a skip and parallel edges."""
    return Circuit(
        name="two_inputs",
        populations={
            "eye": Population(size=FEATURES, model=Source()),
            "ear": Population(size=FEATURES, model=Source()),
            "hidden": Population(size=5, model=Rate(activation="tanh")),
            "output": Population(size=CLASSES, model=Rate(activation="linear")),
        },
        projections={
            "eye_to_hidden": Projection(source="eye", target="hidden"),
            "ear_to_hidden": Projection(source="ear", target="hidden"),
            "hidden_to_output": Projection(source="hidden", target="output"),
            "hidden_to_output_2": Projection(source="hidden", target="output"),
            "ear_to_output": Projection(source="ear", target="output"),
        },
    )


def sal(**options: Any) -> Circuit:
    return rules.sal(CHAIN, areas=3, rank=4, **options)


def trainer_of(circuit: Circuit, **settings: Any) -> Trainer:
    return Trainer(
        network_of(circuit), data_of(), Training(**{"batch_size": 5, "dtype": "float64", **settings}), {}, None
    )
