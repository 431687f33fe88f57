"""Any statistic as a probe: computed while training it is what the same function makes of the recorded arrays."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.analysis import measured as offline
from neurosal.analysis.sources import ArmRecord, arms_of
from neurosal.errors import ExperimentError
from neurosal.runner.recordable import recordable
from neurosal.stats.catalogue import find, measure, probes
from tests.runner.making import CHAIN, by_hand, data_of, network_of, sal, trained

CIRCUITS = {"relays": rules.pfa(CHAIN, expansion=2), "areas": sal(feedback="kp"), "direct": rules.dkp(CHAIN)}
EVERY = 4  # of 10 steps; one of them is the last of an epoch, whose batch is smaller
RECORDED = ("weight", "update", "activity", "usage")
ONLINE = sorted(probes())
BY_STEPS = {
    "credit", "step", "sample_changes", "area_changes", "kernels", "kernel_labels", "activity_labels", "activities",
    "routes", "routes_labels",
}  # fmt: skip


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ArmRecord]:
    """Runs of float32 networks that recorded every statistic and what they are computed from."""
    found = {}
    for name, circuit in CIRCUITS.items():
        able = recordable(circuit)
        asked = [ns.probe(what, every=EVERY) for what in (*RECORDED, *ONLINE) if able.usual(what)]
        folder = tmp_path_factory.mktemp("runs") / name
        _, run = trained(circuit, folder, record=asked, dtype="float32", epochs=2)
        (found[name],) = arms_of(run)
    return found


@pytest.mark.parametrize("circuit", CIRCUITS)
@pytest.mark.parametrize("name", ONLINE)
def test_computed_while_training_is_computed_from_what_was_recorded(
    arms: dict[str, ArmRecord], name: str, circuit: str
) -> None:
    entry, arm = find(name), arms[circuit]
    targets = recordable(CIRCUITS[circuit]).usual(name)
    topic, dim = offline.TOPICS[entry.of]
    compared = 0
    for target in targets:
        online = arm.finest(f"stats/units/{target}" if entry.per else topic, name)
        assert online is not None
        later = offline.computed(arm, entry, target, dim)
        if later is None:
            assert entry.of in BY_STEPS
            later = by_steps(circuit, entry, target)
        one = online.values if entry.per else online.sel({dim: target}).values
        other = later if isinstance(later, np.ndarray) else later.values if entry.per else later.values[..., 0]
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        compared += int(np.isfinite(one).sum())
        if not isinstance(later, np.ndarray):
            assert later.step.values.tolist() == online.step.values.tolist() == [0, 4, 8]
            assert (online.dtype, online.attrs["units"]) == (np.float64, entry.units)
            assert later.attrs["units"] == entry.units
    assert compared or not targets


def by_steps(circuit: str, entry: Any, target: str) -> np.ndarray[Any, Any]:
    """What needs labels, backpropagation or the same samples again, which are not recorded: step by step on a network
    beside."""
    network = network_of(CIRCUITS[circuit], dtype="float32")
    data, training = data_of(), ns.Training(epochs=2, batch_size=5, optimizer=ns.SGD(lr=0.1))
    first, label = torch.tensor(data.train.x).float(), torch.tensor(data.train.y)
    network.fit_routers(first)
    twin = network.twin(recordable(CIRCUITS[circuit]).reference)
    start: torch.Tensor | None = None
    found = []
    for step, x, y in by_hand(network, data, training):
        if step % EVERY == 0:
            arrays: tuple[Any, ...]
            match entry.of:
                case "credit":
                    arrays = network.updates(x, y)[target], twin.updates(x, y)[target]
                case "step":
                    arrays = tried(network, x, y, target, twin.updates(x, y)[target])
                case "sample_changes" | "area_changes":
                    edge = network.circuit.projections[target]
                    there, here = (network.signals(x, y)[name] for name in (edge.target, edge.source))
                    arrays = there["error"], here["activity"], y, there.get("area", 0 * y)
                case "activity_labels":
                    arrays = network.signals(x, y)[target]["activity"], y
                case "kernels" | "kernel_labels":
                    now = tangent(network, twin, target, first)
                    start = now if start is None else start
                    arrays = (now, start) if entry.of == "kernels" else (now, label.expand(now.shape[:2]))
                case _:
                    kind = "activity" if entry.of == "activities" else "area"
                    now = network.signals(first)[target][kind].clone()
                    start = now if start is None else start
                    others = {"activities": (now, start), "routes": (start, now)}
                    arrays = others.get(entry.of, (now, label.expand(now.shape[:2])))
            found.append(measure([entry.name], *(array.numpy() for array in arrays))[entry.name])
    return np.stack(found, 1)


def tried(network: ns.Network, x: Any, y: Any, projection: str, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """A step on a copy of the network."""
    other = copy.deepcopy(network)
    step = -0.1 * network.updates(x, y)[projection]
    other.weights[projection].add_(step)
    losses = [
        torch.stack([
            torch.nn.functional.cross_entropy(logits, labels)
            for logits, labels in zip(one.predict(x).double(), y.expand(logits_of(one, x)), strict=True)
        ])
        for one in (network, other)
    ]  # fmt: skip
    return gradient, step, *losses


def tangent(network: ns.Network, twin: ns.Network, projection: str, x: torch.Tensor) -> torch.Tensor:
    """The kernel sample by sample, from the error that each output alone sends back."""
    edge, output = network.circuit.projections[projection], network.predict(x)
    signals = network.signals(x)
    activity, area = signals[edge.source]["activity"].double(), signals[edge.target].get("area")
    kernel = torch.zeros(len(output), len(x), len(x), dtype=torch.float64)
    for unit in range(output.shape[-1]):
        target = output - output.shape[-1] / 2 * torch.eye(output.shape[-1])[unit]
        error = twin.signals(x, target, loss="mse")[edge.target]["error"].double()
        made = torch.einsum("rno,rni->rnoi", error, activity).flatten(2)
        kernel += made @ made.mT
    return kernel if area is None else kernel * (area[:, :, None] == area[:, None])


def logits_of(network: ns.Network, x: Any) -> tuple[int, int]:
    """Replicas and samples."""
    replicas, samples, _ = network.predict(x).shape
    return replicas, samples


def test_every_statistic_that_can_be_a_probe_is_recorded_by_some_circuit() -> None:
    able = [recordable(circuit) for circuit in CIRCUITS.values()]
    assert [name for name in ONLINE if not any(one.usual(name) for one in able)] == []


def test_measured_prefers_what_was_recorded_and_falls_back_on_weights(arms: dict[str, ArmRecord]) -> None:
    arm = arms["relays"]
    recorded = offline.measured(arm, "stable_rank")
    np.testing.assert_array_equal(recorded, arm.finest("stats/plasticity", "stable_rank"))
    changed = offline.measured(arm, "update_size")
    assert changed is not None
    changing = recordable(CIRCUITS["relays"]).usual("update")
    assert sorted(changed.projection.values) == sorted(changing)  # the others have no update
    bare = ArmRecord(name="bare", place="bare", tree=arm.tree.copy(), circuit=arm.circuit)
    bare.tree["stats"] = type(arm.tree)()
    for name in ("stable_rank", "angle", "drift", "update_size", "participation_ratio"):
        found, known = offline.measured(bare, name), offline.measured(arm, name)
        assert found is not None
        assert known is not None
        assert found.dims == known.dims
        dim = known.dims[-1]
        np.testing.assert_allclose(found.sel({dim: known[dim].values}), known, rtol=1e-9, atol=1e-9)
        assert found.epoch.values.tolist() == known.epoch.values.tolist()
    one = offline.measured(bare, "unit_angle", "hidden1_to_hidden2")
    assert one is not None
    assert one.dims == ("replica", "step", "hidden2")
    bare.tree["projections"] = type(arm.tree)()
    assert offline.measured(bare, "stable_rank") is None
    with pytest.raises(ExperimentError, match="a target, for it has a number for each unit"):
        offline.measured(arm, "unit_angle")
    with pytest.raises(ExperimentError, match="of tasks"):
        offline.measured(arm, "forgetting")
    with pytest.raises(ExperimentError, match="Did you mean 'stable_rank'"):
        offline.measured(arm, "stabel_rank")


def test_statistics_of_one_schedule_share_a_group_and_what_was_not_asked_for_is_nan(tmp_path: Path) -> None:
    asked = [
        ns.probe("stable_rank", "hidden1_to_hidden2", every=5), ns.probe("drift", "input_to_hidden1", every=5),
        ns.probe("slope", every=5), ns.probe("participation_ratio", "hidden1", every=5, samples=3),
        ns.probe("hoyer", epochs=1),
    ]  # fmt: skip
    _, run = trained(rules.fa(CHAIN), tmp_path / "run", record=asked)
    weights = run.tree["stats/plasticity/every_5"]
    assert weights.projection.values.tolist() == ["input_to_hidden1", "hidden1_to_hidden2"]
    assert np.isnan(weights.stable_rank.sel(projection="input_to_hidden1")).all()
    assert np.isfinite(weights.drift.sel(projection="input_to_hidden1")).all()
    assert weights.drift.dims == ("replica", "sample", "projection")
    assert list(run.tree["stats/symmetry/every_5"].data_vars) == ["slope"]
    assert run.tree["stats/population/every_5"].participation_ratio.max() <= 2  # of three samples
    assert list(run.tree["stats/plasticity/epochs_1"].data_vars) == ["hoyer"]


def test_unknown_statistics_and_those_of_no_network_are_refused_with_near_names() -> None:
    with pytest.raises(ExperimentError, match="Did you mean 'stable_rank'"):
        ns.probe("stable_rnak")
    with pytest.raises(ExperimentError, match="a statistic that can be taken while training"):
        ns.probe("interquartile_mean")
    able = recordable(rules.fa(CHAIN))
    problem = able.misfit(ns.probe("stable_rank", "hidden1"))
    assert problem is not None
    assert "hidden1" in problem.remedy
    assert able.misfit(ns.probe("usage_entropy")) is not None  # no areas


def test_drift_after_a_resume_is_measured_from_the_first_weights(tmp_path: Path) -> None:
    asked = [ns.probe("drift", every=1), ns.probe("weight", every=1)]
    settings: dict[str, Any] = {"record": asked, "checkpoint_every": 1, "epochs": 3}
    whole = trained(rules.kp(CHAIN), tmp_path / "whole", **settings)[1]

    class Stopped(Exception):
        """In place of a kill."""

    def stop(step: int, *_: Any) -> None:
        if step == 8:
            raise Stopped

    with pytest.raises(Stopped):
        trained(rules.kp(CHAIN), tmp_path / "stopped", progress=stop, **settings)
    # Another network, whose weights a resume replaces: they are not where the run began.
    network = network_of(rules.kp(CHAIN))
    for weight in network.weights.full.values():
        weight.mul_(3)
    training = ns.Training(batch_size=5, optimizer=ns.SGD(lr=0.1), dtype="float64", **settings)
    resumed = ns.train(network, data_of(), training, store=tmp_path / "stopped", resume=True)
    group = "stats/plasticity/every_1"
    np.testing.assert_array_equal(whole.tree[group].drift, resumed.tree[group].drift)
    assert float(whole.tree[group].drift.max()) > 0.01
