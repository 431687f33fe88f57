"""A circuit's dict, run sample by sample by recursion over its graph: activity asks its sources, error asks those
that send it.

Shares nothing with the engine: no plan, no order of phases, no batching, no storage that two projections share but
for ties, which are followed to their owner each time that they are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.reference.numerics import Array, loss, transferred, transferred_back
from tests.reference.optimizers import move
from tests.reference.routing import Router

WITHOUT_ERROR = ("hebbian", "oja", "bcm", "anti_hebbian", "weight_mirror")
PRODUCTS = {"delta": ("post_error", "pre_activity"), "kolen_pollack": ("post_activity", "pre_error")}


@dataclass
class Sample:
    """Signals of one sample in one replica, filled in as they are asked for."""

    inputs: dict[str, Array]
    output_error: Array | None = None
    target: Array | None = None
    a: dict[str, Array] = field(default_factory=dict)
    h: dict[str, Array] = field(default_factory=dict)
    area: dict[str, int] = field(default_factory=dict)
    error: dict[str, Array | None] = field(default_factory=dict)


@dataclass
class Seen:
    """What a plasticity that the interpreter does not know is shown of one replica: lists over samples, and areas."""

    pre_activity: list[Any]
    post_activity: list[Any]
    pre_error: list[Any]
    post_error: list[Any]
    weight: Array
    areas: list[int]
    fields: dict[str, Any]


Custom = Callable[[Seen, dict[str, Any]], Array]


class Interpreter:
    """Weights, routers and optimiser state of a circuit, R replicas.

    Args:
        circuit: `Circuit.to_dict()`.
        weights: own and copied weights by projection, [R, K, ...].  biases: by population, [R, K, O].
        routers: per modulatory projection with a router, arrays `weight`, `prototypes`, `mean`, `usage`, `count` with
            R first.
        optimizer: `Optimizer.to_dict()`.
        custom: change of plasticity kinds that are not built in, [K, ...] for one replica.
        magnitudes: of sign-symmetric projections that draw theirs, [R, K, ...]; those drawn anew for every step are
            replaced from outside.
        masks: where projections have synapses, [R, K, ...]; all have all if left out.
    """

    def __init__(
        self,
        circuit: dict[str, Any],
        weights: dict[str, Array],
        biases: dict[str, Array],
        routers: dict[str, dict[str, Array]],
        loss: str = "cross_entropy",
        optimizer: dict[str, Any] | None = None,
        custom: Mapping[str, Custom] | None = None,
        magnitudes: dict[str, Array] | None = None,
        masks: dict[str, Array] | None = None,
    ) -> None:
        self.populations, self.projections = circuit["populations"], circuit["projections"]
        self.weights = {name: np.array(value, dtype=float) for name, value in weights.items()}
        self.biases = {name: np.array(value, dtype=float) for name, value in biases.items()}
        self.replicas = len(next(iter(self.weights.values())))
        self.routers = {
            name: [
                Router(self.projections[name], **{key: value[r] for key, value in state.items()})
                for r in range(self.replicas)
            ]
            for name, state in routers.items()
        }
        self.magnitudes, self.masks = magnitudes or {}, masks or {}
        self.loss, self.optimizer, self.custom = loss, optimizer, custom or {}
        self.state: dict[tuple[str, int, int], dict[str, Any]] = {}
        self.own_state: dict[tuple[str, int], dict[str, Any]] = {}
        leaving = {p["source"] for p in self.projections.values() if p["pathway"] == "feedforward"}
        self.output = next(
            name
            for name, p in self.populations.items()
            if name not in leaving and p["model"]["kind"] not in ("source", "relay")
        )

    # The graph
    # ---------------------------------------------------------------------------------------------------------------

    def incoming(self, population: str, pathway: str) -> list[str]:
        return [name for name, p in self.projections.items() if p["target"] == population and p["pathway"] == pathway]

    def driven(self, population: str) -> bool:
        return bool(self.populations[population]["model"].get("driven", False))

    def units(self, population: str) -> int:
        fields = self.populations[population]
        return int(fields["size"]) if "size" in fields else math.prod(fields["shape"])

    def areas(self, projection: str) -> int:
        owner, _ = self.owner(projection)
        return self.weights[owner].shape[1]

    def owner(self, projection: str) -> tuple[str, bool]:
        """The projection whose synapses these are, and whether they are read as its transpose."""
        weights = self.projections[projection]["weights"]
        if weights["kind"] != "transpose":
            return projection, False
        name, turned = self.owner(weights["of"])
        return name, not turned

    def matrix(self, r: int, projection: str, sample: Sample) -> Array:
        """Weights [post, pre] (or [unit]) that this sample meets on this projection."""
        fields = self.projections[projection]
        where = fields["source"] if fields["pathway"] == "feedback" else fields["target"]
        if fields["weights"]["kind"] == "sign_of":
            of = fields["weights"]["of"]
            magnitude = fields["weights"].get("magnitude")
            owner, turned = self.owner(of)
            area = self.pick(owner, where, r, sample)
            if fields["weights"].get("magnitudes", "uniform") != "uniform":
                magnitude = self.magnitudes[projection][r][area]
            elif magnitude is None:
                fans = (
                    (1, 1)
                    if fields["wiring"]["kind"] == "one_to_one"
                    else (self.units(fields["source"]), self.units(fields["target"]))
                )
                magnitude = math.sqrt(2 / sum(fans))  # the standard deviation of Xavier initialisation
            magnitude = magnitude * self.masks[projection][r][area] if projection in self.masks else magnitude
            stored = self.weights[owner][r][area]
            return np.asarray(magnitude * np.sign(stored if turned else stored.T))
        owner, turned = self.owner(projection)
        stored = self.weights[owner][r][self.pick(owner, where, r, sample)]
        return np.asarray(stored.T if turned else stored)

    def pick(self, owner: str, where: str, r: int, sample: Sample) -> int:
        return 0 if self.weights[owner].shape[1] == 1 else self.area(r, where, sample)

    # Signals
    # -----------------------------------------------------------------------------------------------------------------

    def area(self, r: int, population: str, sample: Sample) -> int:
        if population not in sample.area:
            sample.area[population] = 0
            if self.populations[population].get("areas", 1) > 1:
                name = self.incoming(population, "modulatory")[0]
                while self.projections[name]["wiring"]["kind"] == "same_route":
                    name = self.projections[name]["wiring"]["of"]
                sample.area[population] = self.routers[name][r].area(
                    self.activity(r, self.projections[name]["source"], sample)
                )
        return sample.area[population]

    def activity(self, r: int, population: str, sample: Sample) -> Array:
        if population not in sample.h:
            model = self.populations[population]["model"]
            if model["kind"] == "source":
                sample.a[population] = sample.h[population] = sample.inputs[population]
            else:
                a = np.zeros(self.units(population))
                if model["bias"]:
                    a = a + self.biases[population][r][self.area(r, population, sample)]
                for name in self.incoming(population, "feedforward"):
                    a = a + send(
                        self.matrix(r, name, sample), self.activity(r, self.projections[name]["source"], sample)
                    )
                sample.a[population], sample.h[population] = a, transferred(model, a)
                lateral = self.incoming(population, "lateral")
                for _ in range(model.get("settle_steps", 20) if lateral else 0):
                    h = sample.h[population]
                    heard = a + sum(send(self.matrix(r, name, sample), h) for name in lateral)
                    sample.h[population] = h + model.get("settle_rate", 0.5) * (transferred(model, heard) - h)
                for name in lateral:
                    sample.a[population] = sample.a[population] + send(
                        self.matrix(r, name, sample), sample.h[population]
                    )
        return sample.h[population]

    def error(self, r: int, population: str, sample: Sample) -> Array | None:
        """δ of a population, or None where no error comes."""
        if population not in sample.error:
            model = self.populations[population]["model"]
            if population == self.output:
                e = sample.output_error
            else:
                e = None
                for name in self.incoming(population, "feedback"):
                    carries = self.projections[name].get("carries", "error")
                    sent = (
                        sample.target
                        if carries == "target"
                        else self.error(r, self.projections[name]["source"], sample)
                    )
                    if sent is not None:
                        arrived = send(self.matrix(r, name, sample), sent)
                        e = arrived if e is None else e + arrived
            if e is not None and model["kind"] == "rate":
                self.activity(r, population, sample)
                e = transferred_back(model, sample.a[population], e)
            sample.error[population] = e
        return sample.error[population]

    # Learning
    # ----------------------------------------------------------------------------------------------------------------

    def run(self, x: dict[str, Array], y: Array) -> tuple[Array, list[list[Sample]]]:
        """Losses [R] and the signals of every sample. `x`: per input population [R, N, I]; `y`: [R, N, ...]."""
        losses, runs = [], []
        for r in range(self.replicas):
            samples, total = [], 0.0
            count = next(iter(x.values())).shape[1]
            for n in range(count):
                sample = Sample(inputs={name: value[r, n] for name, value in x.items()})
                if self.loss != "none":
                    value, sample.output_error = loss(self.loss, self.activity(r, self.output, sample), y[r, n])
                    total += value
                    one_hot = self.loss == "cross_entropy"
                    sample.target = np.eye(self.units(self.output))[y[r, n]] if one_hot else y[r, n]
                for name, fields in self.populations.items():
                    if fields["model"]["kind"] != "relay":
                        self.activity(r, name, sample)
                    self.area(r, name, sample)
                    self.error(r, name, sample)
                samples.append(sample)
            losses.append(total / count)
            runs.append(samples)
        return np.array(losses), runs

    def predict(self, x: dict[str, Array]) -> Array:
        count = next(iter(x.values())).shape[1]
        return np.array(
            [
                [
                    self.activity(r, self.output, Sample(inputs={name: value[r, n] for name, value in x.items()}))
                    for n in range(count)
                ]
                for r in range(self.replicas)
            ]
        )

    def changes(self, runs: list[list[Sample]]) -> tuple[dict[str, Array], dict[str, list[set[int]]]]:
        """Proposed change by owner of the synapses (and ``population.bias``), and which areas had samples in each
        replica.
        """
        changes: dict[str, Array] = {}
        touched: dict[str, list[set[int]]] = {}
        for name, fields in self.projections.items():
            if fields["pathway"] == "modulatory" or fields["plasticity"]["kind"] == "fixed":
                continue
            if fields["plasticity"]["kind"] == "weight_mirror" and not self.driven(fields["target"]):
                continue
            owner, turned = self.owner(name)
            for r, samples in enumerate(runs):
                change = self._change(r, name, samples)
                if change is None:
                    break
                changes.setdefault(owner, np.zeros_like(self.weights[owner]))
                changes[owner][r] += change.swapaxes(-1, -2) if turned and change.ndim == 3 else change
                where = fields["source"] if fields["pathway"] == "feedback" else fields["target"]
                touched.setdefault(owner, [set() for _ in runs])[r] |= {
                    self.pick(owner, where, r, sample) for sample in samples
                }
        for population, bias in self.biases.items():
            plastic = [
                self.projections[name]["plasticity"]
                for name in self.incoming(population, "feedforward")
                if self.projections[name]["plasticity"]["kind"] not in ("fixed", *WITHOUT_ERROR)
            ]
            if not plastic or runs[0][0].error[population] is None:
                continue
            key = f"{population}.bias"
            changes[key] = np.zeros_like(bias)
            touched[key] = [{sample.area[population] for sample in samples} for samples in runs]
            for r, samples in enumerate(runs):
                for k in range(bias.shape[1]):
                    mine = [sample.error[population] for sample in samples if sample.area[population] == k]
                    for delta in mine:
                        assert delta is not None
                        changes[key][r, k] += delta / divisor(
                            plastic[0].get("reduction", "batch"), len(samples), len(mine)
                        )
        for name in changes.keys() & self.masks.keys():
            changes[name] *= self.masks[name]
        return changes, touched

    def _change(self, r: int, name: str, samples: list[Sample]) -> Array | None:
        fields = self.projections[name]
        source, target = fields["source"], fields["target"]
        owner, turned = self.owner(name)
        where = source if fields["pathway"] == "feedback" else target
        areas = [self.pick(owner, where, r, sample) for sample in samples]
        ends = {"pre": source, "post": target}
        kind = fields["plasticity"]["kind"]

        def signal(which: str, sample: Sample) -> Any:
            end, what = which.split("_")
            return (sample.h.get if what == "activity" else sample.error.get)(ends[end])

        if kind in self.custom:
            lists = {
                which: [signal(which, sample) for sample in samples]
                for which in ("pre_activity", "post_activity", "pre_error", "post_error")
            }
            stored = self.weights[owner][r]
            weight = stored.swapaxes(-1, -2) if turned and stored.ndim == 3 else stored
            change = self.custom[kind](
                Seen(**lists, weight=weight, areas=areas, fields=fields["plasticity"]),
                self.own_state.setdefault((name, r), {}),
            )
            seen = np.array([k in areas for k in range(len(change))], dtype=float)
            return present(fields, change * seen.reshape(-1, *[1] * (change.ndim - 1)))
        post, pre = PRODUCTS[kind]
        stored = self.weights[owner][r]
        change = np.zeros_like(stored.swapaxes(-1, -2) if turned and stored.ndim == 3 else stored)
        for sample, k in zip(samples, areas, strict=True):
            left, right = signal(post, sample), signal(pre, sample)
            if left is None or right is None:
                return None
            part = left * right if change.ndim == 2 else np.outer(left, right)
            change[k] += part / divisor(fields["plasticity"]["reduction"], len(samples), areas.count(k))
        return present(fields, change)

    def step(self, x: dict[str, Array], y: Array) -> Array:
        """One training step; the losses before it."""
        assert self.optimizer is not None
        losses, runs = self.run(x, y)
        changes, touched = self.changes(runs)
        rates = {
            name: self.projections[name]["plasticity"].get("rate", 1.0) if name in self.projections else 1.0
            for name in changes
        }
        clip = self.optimizer.get("clip")
        for r in range(self.replicas):
            scale = 1.0
            if clip is not None:
                norm = math.sqrt(
                    sum(float((change[r] ** 2).sum()) for change in changes.values())
                )  # as torch counts it
                scale = min(1.0, clip / (norm + 1e-6))
            for name, change in changes.items():
                held = self.weights[name] if name in self.weights else self.biases[name.removesuffix(".bias")]
                for k in sorted(touched[name][r]):
                    held[r, k] = move(
                        held[r, k],
                        scale * change[r, k],
                        self.state.setdefault((name, r, k), {}),
                        self.optimizer,
                        r,
                        rates[name],
                    )
        for name, routers in self.routers.items():
            for r, router in enumerate(routers):
                lr = self.optimizer["lr"]
                router.learn(
                    np.array([sample.h[self.projections[name]["source"]] for sample in runs[r]]),
                    lr[r] if isinstance(lr, (list, tuple)) else lr,
                )
        return losses


def send(weight: Array, signal: Array) -> Array:
    """What arrives: W s for a matrix, w ⊙ s for one-to-one weights."""
    return np.asarray(weight * signal if weight.ndim == 1 else weight @ signal)


def present(fields: dict[str, Any], change: Array) -> Array:
    """The change of the synapses that there are: dense lateral ones join no unit to itself."""
    return change * (1 - np.eye(change.shape[-1])) if fields["pathway"] == "lateral" and change.ndim == 3 else change


def divisor(reduction: str, batch: int, in_area: int) -> int:
    return {"batch": batch, "area": max(in_area, 1), "sum": 1}[reduction]
