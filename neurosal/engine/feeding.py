"""Data on the device, and the order in which each replica sees it.

The order of an epoch is drawn from a stream of its own, keyed by (seed, epoch): replicas of one seed see one order, and
a resumed run needs no state to go on with the same batches. Letters: R replica, N sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurosal.checks.memory import EVALUATED_BYTES, EVALUATED_ROWS
from neurosal.engine.images import Augmenter, Changed, Images
from neurosal.engine.losses import NO_LOSS
from neurosal.errors import DataError, Problem
from neurosal.graph import targets_of, timing_of
from neurosal.lower.streams import stream
from neurosal.settings.augmentation import Augmentation

if TYPE_CHECKING:
    from neurosal.engine.network import Network

Samples = Tensor | dict[str, Tensor]


class Part:
    """One part of a data set on the device: inputs by population, and targets.

    Args:
        augment: what is done to its images when they are trained on.

    Attributes:
        inputs: rows [N, I] by population, or `Images`.
        labels: classes as given, [N] on the host; None where targets are numbers.
    """

    def __init__(
        self, part: Any, network: Network, loss: str, *, place: str, augment: Sequence[Augmentation] = ()
    ) -> None:
        names = network.circuit.inputs
        self.inputs = _resident(part, network, augment)
        problems = (
            [Problem(place=f"data.{place}", expected=f"inputs for {', '.join(names)}", found=", ".join(self.inputs))]
            if set(self.inputs) != set(names)
            else []
        )
        problems += [
            Problem(
                place=f"data.{place}",
                expected=f"{network.circuit.populations[name].features} features for population {name!r}",
                found=str(_features(rows)),
                remedy="Change the population's size or the data's shape.",
            )
            for name, rows in self.inputs.items()
            if name in names and _features(rows) != network.circuit.populations[name].features
        ]
        given = torch.tensor(part.y)
        self.labels = None if given.is_floating_point() else given
        target, wrong = _targets(given, loss, targets_of(network.circuit))
        problems += [Problem(place=f"data.{place}", **fields) for fields in wrong]
        if problems:
            raise DataError(problems)
        self.target = target.to(network.device, network.dtype if target.is_floating_point() else None)
        images = {name: rows for name, rows in self.inputs.items() if isinstance(rows, Images)}
        self.augmenter = Augmenter(augment, images, len(self), network) if augment else None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index_RN: Tensor, changed: Changed | None = None) -> tuple[Samples, Tensor]:
        """Samples by number: [R, N, I] ([N, I] for one replica) and their targets.

        Args:
            changed: what is done to images, all replicas after each other.
        """
        flat = index_RN.flatten()
        lead = index_RN.shape if index_RN.shape[0] > 1 else index_RN.shape[1:]
        inputs = {
            name: rows.take(flat, changed).unflatten(0, lead)
            if isinstance(rows, Images)
            else rows.index_select(0, flat).view(*lead, rows.shape[1])
            for name, rows in self.inputs.items()
        }
        target = self.target.index_select(0, flat)
        return _plainly(inputs), target.view(*lead, *self.target.shape[1:])

    def first(self, count: int) -> Samples:
        """The first `count` samples, the same for all replicas."""
        return self.rows(0, count)

    def rows(self, start: int, end: int) -> Samples:
        """Samples from `start` to before `end`, the same for all replicas; images as they are."""
        return _plainly(self.named(start, end))

    def named(self, start: int, end: int) -> dict[str, Tensor]:
        """The same by population."""
        return {
            name: rows.rows(start, end) if isinstance(rows, Images) else rows[start:end]
            for name, rows in self.inputs.items()
        }


def _resident(part: Any, network: Network, augment: Sequence[Augmentation]) -> dict[str, Tensor | Images]:
    """The inputs of a part on the device, by population: images where these have a place there or are changed."""
    names, populations = network.circuit.inputs, network.circuit.populations
    pictures = getattr(part, "pictures", {})
    known = list(part.inputs) if not pictures and hasattr(part, "inputs") else getattr(part, "names", ["input"])
    alone = len(known) == 1 and len(names) == 1
    found: dict[str, Tensor | Images] = {}
    for given in known:
        name = names[0] if alone else given

        def rows(given: str = given) -> Any:
            return part.inputs[given] if hasattr(part, "inputs") else part.x

        spatial = name in names and given in pictures and populations[name].extent == pictures[given].extent
        if given in pictures and (spatial or augment):
            found[name] = Images(pictures[given], rows, spatial=spatial, dtype=network.dtype, device=network.device)
        else:
            found[name] = torch.tensor(rows(), dtype=network.dtype, device=network.device).flatten(1)
    return found


def _features(rows: Tensor | Images) -> int:
    return rows.features if isinstance(rows, Images) else rows.shape[1]


def _plainly(inputs: dict[str, Tensor]) -> Samples:
    """One input as its tensor alone: the form that a network takes without looking at it."""
    return inputs if len(inputs) > 1 else next(iter(inputs.values()))


def _targets(y: Tensor, loss: str, outputs: int) -> tuple[Tensor, list[dict[str, str]]]:
    """Targets as the loss wants them, labels as one-hot rows where it takes values; and what does not fit."""
    numbers = y.is_floating_point()
    if loss == NO_LOSS:
        return y, []
    if numbers and loss == "cross_entropy":
        remedy = "Use loss='mse'."
        return y, [{"expected": "class labels for cross_entropy", "found": "numbers", "remedy": remedy}]
    if not numbers:
        if int(y.max()) >= outputs:
            return y, [{"expected": f"labels below {outputs} (units of the output)", "found": str(int(y.max()))}]
        return (y if loss == "cross_entropy" else torch.nn.functional.one_hot(y.long(), outputs).double()), []
    y = y.reshape(len(y), -1)
    if y.shape[1] != outputs:
        return y, [{"expected": f"{outputs} targets a sample", "found": str(y.shape[1])}]
    if loss == "bce" and not bool(((y >= 0) & (y <= 1)).all()):
        found = f"{float(y.min()):g} to {float(y.max()):g}"
        return y, [{"expected": "targets from 0 to 1 for bce", "found": found, "remedy": "Use loss='mse'."}]
    return y, []


def epoch_order(seeds: tuple[int, ...], samples: int, epoch: int, device: torch.device) -> Tensor:
    """The order of one epoch for each replica, [R, N]."""
    drawn = {seed: torch.randperm(samples, generator=stream(seed, "batches", epoch)) for seed in set(seeds)}
    return torch.stack([drawn[seed] for seed in seeds]).to(device)


def batches(order_RN: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Numbers of the samples of each batch, [R, batch]; the last one may be smaller."""
    for first in range(0, order_RN.shape[1], batch_size):
        yield order_RN[:, first : first + batch_size]


def evaluate(network: Network, part: Part, loss: str) -> dict[str, Tensor]:
    """Mean loss, and where there are labels the share of samples whose largest output is the label; each [R], in
    float64. Nothing with the loss "none"."""
    if loss == NO_LOSS:
        return {}
    if network.together is not None:
        return network.together.evaluate(part, loss)
    return scores_of(network, part, loss, 0, len(part))


def scores_of(network: Network, part: Part, loss: str, start: int, end: int) -> dict[str, Tensor]:
    """What samples from `start` to before `end` add to the means over all of the part."""
    totals: dict[str, Tensor] = {}
    rows = rows_at_once(network)
    for first in range(start, end, rows):
        last = min(first + rows, end)
        target = part.target[first:last]
        batch = network.forward(part.named(first, last))
        labels = None if part.labels is None else part.labels[first:last]
        scores = network.score(batch, target, loss, labels)
        for name, value in scores.items():
            total = value.double() * (len(target) / len(part))
            totals[name] = total if name not in totals else totals[name] + total
    return totals


def rows_at_once(network: Network) -> int:
    """Samples that go through a network together where there is no error: what its signals take is bounded."""
    units = sum(population.units for population in network.circuit.populations.values())
    # Before and after the activation.
    timing = timing_of(network.circuit)
    each = 2 * units * network.dtype.itemsize * (1 if timing is None else timing.steps)
    return max(1, min(EVALUATED_ROWS, EVALUATED_BYTES // each) // len(network.seeds_in_run))


def parts_of(data: Any, network: Network, loss: str, augment: Sequence[Augmentation] = ()) -> Mapping[str, Part]:
    """Training, validation and test part as tensors; those that are empty are left out. Only images that are trained on
    are changed.

    Raises:
        DataError: when there is nothing to train on, or a part does not fit the circuit.
    """
    if not all(hasattr(data, name) for name in ("train", "validation", "test")):
        remedy = "ns.data.load(name) and ns.data.from_arrays(x, y) give one."
        found = type(data).__name__
        raise DataError(Problem(place="data", expected="a Dataset", found=found, remedy=remedy))
    parts = {name: getattr(data, name) for name in ("train", "validation", "test")}
    if len(parts["train"].y) == 0:
        raise DataError(Problem(place="data.train", expected="samples to train on", found="none"))
    return {
        name: Part(part, network, loss, place=name, augment=augment if name == "train" else ())
        for name, part in parts.items()
        if len(part.y)
    }
