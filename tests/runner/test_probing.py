"""Probes: due at the right steps, and what they hold against the network and against autograd."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine.feeding import Part, epoch_order
from neurosal.graph import Circuit, Constant, OneToOne, Own, Projection, Transpose
from neurosal.plasticity import Fixed
from neurosal.runner.probing import Prober
from neurosal.runner.recordable import recordable
from neurosal.settings import Training
from tests.reference.autograd import gradients
from tests.rules.table import chain_of
from tests.runner.making import CHAIN, CLASSES, FEATURES, SGD, by_hand, data_of, network_of, sal, trained, two_inputs


def run_of(circuit: Circuit, folder: Path, *probes: Any, **settings: Any) -> Any:
    return trained(circuit, folder, record=probes, **{"epochs": 3, **settings})[1]


def steps_by_hand(circuit: Circuit, **settings: Any) -> Any:
    """(steps, the step's batch, the network after it) of the training that `run_of` records."""
    network, data = network_of(circuit), settings.pop("data", None) or data_of()
    training = Training(**{"epochs": 3, "batch_size": 5, "optimizer": SGD, **settings})
    network.fit_routers(torch.tensor(data.train.x).double() if len(circuit.inputs) == 1 else dict(data.train.inputs))
    for step, x, y in by_hand(network, data, training):
        yield step, x, y, network


def angle_between(a: Any, b: Any) -> float:
    a, b = (np.asarray(array, float).ravel() for array in (a, b))
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


# When ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({"every": 4}, [0, 4, 8, 12]),
        ({"every": 5}, [0, 5, 10, 15]),
        ({"every": 1}, list(range(16))),
        ({"every": 100}, [0]),
        ({"epochs": 1}, [0, 5, 10, 15]),
        ({"epochs": 2}, [0, 10]),
        ({"log": 1}, [0, 1, 10]),
        ({"log": 3}, [0, 1, 2, 5, 10]),
        ({}, [0, 5, 10, 15]),
    ],
)
def test_probes_are_due_before_the_first_step_and_as_their_schedule_says(
    schedule: dict[str, int], steps: list[int], tmp_path: Path
) -> None:
    kinds = ("angle", "weight", "activity", "update_angle")
    run = run_of(rules.fa(CHAIN), tmp_path / "run", *(ns.probe(kind, **schedule) for kind in kinds))
    name = "_".join(map(str, *schedule.items())) if schedule else "epochs_1"
    for group in ("stats/symmetry", "projections/input_to_hidden1", "probes/hidden1", "stats/credit"):
        record = run.tree[f"{group}/{name}"]
        assert record.step.values.tolist() == steps
        assert record.epoch.values.tolist() == [step / 5 for step in steps]


def test_one_kind_on_two_schedules_has_a_group_for_each(tmp_path: Path) -> None:
    probes = [ns.probe("weight", "input_to_hidden1", every=4), ns.probe("weight", every=6), ns.probe("angle", log=2)]
    run = run_of(rules.fa(CHAIN), tmp_path / "run", *probes)
    assert list(run.tree["projections/input_to_hidden1"].children) == ["every_4", "every_6"]
    assert list(run.tree["projections/output_to_hidden2"].children) == ["every_6"]


# Which ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("circuit", "what", "targets"),
    [
        (rules.fa(CHAIN), "weight", [*CHAIN.projections, "hidden2_to_hidden1", "output_to_hidden2"]),
        (rules.fa(CHAIN), "update", list(CHAIN.projections)),
        (rules.kp(CHAIN), "update", [*CHAIN.projections, "hidden2_to_hidden1", "output_to_hidden2"]),
        (rules.shallow(CHAIN), "update", ["hidden2_to_output"]),
        (rules.shallow(CHAIN), "update_angle", ["hidden2_to_output"]),
        (rules.shallow(CHAIN), "angle", []),
        (rules.fa(CHAIN), "angle", ["hidden1_to_hidden2", "hidden2_to_output"]),
        (rules.dfa(CHAIN), "norm_ratio", ["hidden1_to_output", "hidden2_to_output"]),
        (rules.pfa(CHAIN, expansion=2), "error", ["hidden1", "hidden2", "output", "relay"]),
        (rules.pfa(CHAIN, expansion=2), "activity", ["hidden1", "hidden2", "output"]),
        (rules.fa(CHAIN), "usage", []),
        (sal(), "usage", ["hidden1", "hidden2", "output"]),
        (sal(readout="shared"), "area", ["hidden1", "hidden2"]),
    ],
)  # fmt: skip
def test_a_probe_without_target_takes_all_that_there_is(circuit: Circuit, what: Any, targets: list[str]) -> None:
    found = recordable(circuit).usual(what)
    assert sorted({"relay" if name.startswith("relay") else name for name in found}) == sorted(targets)


def test_the_activity_of_inputs_is_recorded_on_request_only() -> None:
    known = recordable(rules.fa(CHAIN))
    assert known.targets([ns.probe("activity")]) == ["hidden1", "hidden2", "output"]
    assert known.targets([ns.probe("activity"), ns.probe("activity", "input")])[0] == "input"
    assert known.misfit(ns.probe("activity", "inpt")).remedy == "Did you mean 'input'?"  # type: ignore[union-attr]


def test_areas_that_are_chosen_apart_are_not_compared() -> None:
    apart = recordable(sal(route="population", feedback="dfa"))
    assert [pair.name for pair in apart.pairs] == ["hidden2_to_output"]
    assert len(recordable(sal(feedback="dfa")).pairs) == 2
    assert len(recordable(sal(route="population")).pairs) == 2


# What ----------------------------------------------------------------------------------------------------------------

CASES = {
    "kp": rules.kp(CHAIN),
    "sal": sal(router="k_means"),
    "relays": rules.pfa(CHAIN, expansion=2),
    "two inputs": rules.kp(two_inputs()),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_and_updates_are_those_of_that_moment(name: str, tmp_path: Path) -> None:
    circuit = CASES[name]
    data = data_of(inputs=("eye", "ear")) if name == "two inputs" else data_of()
    run = run_of(circuit, tmp_path / "run", ns.probe("weight", every=4), ns.probe("update", every=4), data=data)
    for step, x, y, network in steps_by_hand(circuit, data=data):
        if step % 4:
            continue
        updates = network.updates(x, y)
        for projection, weight in network.weights.items():
            group = run.tree[f"projections/{projection}/every_4"]
            place = group.step.values.tolist().index(step)
            np.testing.assert_array_equal(group.weight.values[:, place], weight.numpy())
            if projection in updates:
                np.testing.assert_array_equal(group["update"].values[:, place], updates[projection].numpy())
            else:
                assert "update" not in group


@pytest.mark.parametrize("name", CASES)
def test_signals_are_those_of_the_steps_batch_in_the_order_of_its_samples(name: str, tmp_path: Path) -> None:
    circuit = CASES[name]
    data = data_of(inputs=("eye", "ear")) if name == "two inputs" else data_of()
    probes = [
        ns.probe("activity", every=1, samples=4),
        ns.probe("error", every=1),
        ns.probe("activity", circuit.inputs[0], every=1),
    ]
    probes += [ns.probe("area", every=1)] if name == "sal" else []
    run = run_of(circuit, tmp_path / "run", *probes, data=data)
    with_area = 0
    for step, x, y, network in steps_by_hand(circuit, data=data):
        signals = network.signals(x, y)
        count = y.shape[1]
        assert count == (3 if step and step % 5 == 0 else 5)
        for population, found in signals.items():
            if population not in run.tree["probes"].children:
                assert population in circuit.inputs[1:]
                continue
            group = run.tree[f"probes/{population}/every_1"]
            for kind, tensor in found.items():
                if kind not in group:
                    continue
                values = group[kind].values[:, step]
                kept = min(count, values.shape[1])
                np.testing.assert_array_equal(values[:, :kept], tensor[:, :kept].numpy())
                padding = values[:, kept:]
                assert (padding == -1).all() if kind == "area" else np.isnan(padding).all()
                with_area += kind == "area"
    assert run.tree[f"probes/{circuit.inputs[0]}/every_1"].activity.shape[2] == 5
    assert run.tree["probes/output/every_1"].error.sizes["trial"] == 5
    assert with_area == (16 * 3 if name == "sal" else 0)


def test_fewer_samples_are_kept_where_fewer_are_asked_for(tmp_path: Path) -> None:
    run = run_of(
        rules.fa(CHAIN), tmp_path / "run", ns.probe("activity", "hidden1", samples=2), ns.probe("error", samples=9)
    )
    assert run.tree["probes/hidden1/epochs_1"].activity.shape == (2, 4, 5, 6)  # one group has one count of trials
    assert run.tree["probes/hidden2/epochs_1"].error.sizes["trial"] == 5
    alone = run_of(rules.fa(CHAIN), tmp_path / "alone", ns.probe("activity", "hidden1", samples=2))
    assert alone.tree["probes/hidden1/epochs_1"].activity.shape == (2, 4, 2, 6)


# Symmetry ------------------------------------------------------------------------------------------------------------


def dense(weight: Any) -> Any:
    """[K, O, I] of one replica; one-to-one weights as diagonal matrices."""
    array = weight.double().numpy()
    return np.stack([np.diag(row) for row in array]) if array.ndim == 2 else array


def product(network: Any, replica: int, *route: str) -> Any:
    """Effective matrices [K, O, I] of a route, in travel order."""
    found = dense(network.weights[route[0]][replica])
    for name in route[1:]:
        found = dense(network.weights[name][replica]) @ found
    return found


def with_skip() -> Circuit:
    """A chain of three hidden populations with a dense skip around the middle one, and a constant one beside it."""
    circuit = chain_of(4, 5, 5, 5, 3, activation="tanh")
    skip = Own(init=Constant(value=1.0))
    return circuit.with_projections(
        hidden1_to_hidden3=Projection(source="hidden1", target="hidden3"),
        skip=Projection(source="hidden2", target="hidden3", wiring=OneToOne(), weights=skip, plasticity=Fixed()),
    )


PARALLEL = CHAIN.with_projections(hidden2_to_output_2=Projection(source="hidden2", target="output"))
ROUTES: list[tuple[str, Circuit, dict[str, tuple[list[list[str]], list[list[str]]]]]] = [
    (
        "chain", rules.fa(CHAIN),
        {"hidden1_to_hidden2": ([["hidden1_to_hidden2"]], [["hidden2_to_hidden1"]]),
         "hidden2_to_output": ([["hidden2_to_output"]], [["output_to_hidden2"]])},
    ),
    (
        "direct", rules.dfa(CHAIN),
        {"hidden1_to_output": ([["hidden1_to_hidden2", "hidden2_to_output"]], [["output_to_hidden1"]]),
         "hidden2_to_output": ([["hidden2_to_output"]], [["output_to_hidden2"]])},
    ),
    (
        "relays", rules.pfa(CHAIN, expansion=2),
        {"hidden2_to_output": ([["hidden2_to_output"]],
                               [["output_to_relay_hidden2_to_output", "relay_hidden2_to_output_to_hidden2"]])},
    ),
    (
        "areas", sal(),
        {"hidden1_to_hidden2": ([["hidden1_to_hidden2"]], [["hidden2_to_hidden1"]])},
    ),
    (
        "areas, direct", sal(feedback="dfa"),
        {"hidden1_to_output": ([["hidden1_to_hidden2", "hidden2_to_output"]], [["output_to_hidden1"]])},
    ),
    (
        "skip in a chain", rules.fa(with_skip()),
        {"hidden1_to_hidden3": ([["hidden1_to_hidden3"]], [["hidden3_to_hidden1"]]),
         "hidden1_to_hidden2": ([["hidden1_to_hidden2"]], [["hidden2_to_hidden1"]]),
         "hidden2_to_hidden3": ([["hidden2_to_hidden3"]], [["hidden3_to_hidden2"]])},
    ),
    (
        "skip, direct", rules.dfa(with_skip()),
        {"hidden1_to_output": ([["hidden1_to_hidden3", "hidden3_to_output"],
                                ["hidden1_to_hidden2", "hidden2_to_hidden3", "hidden3_to_output"],
                                ["hidden1_to_hidden2", "skip", "hidden3_to_output"]], [["output_to_hidden1"]])},
    ),
    (
        "parallel edges", rules.fa(PARALLEL),
        {"hidden2_to_output": ([["hidden2_to_output"]], [["output_to_hidden2"]]),
         "hidden2_to_output_2": ([["hidden2_to_output_2"]], [["output_to_hidden2_2"]])},
    ),
    (
        "parallel edges, one way back", rules.dfa(PARALLEL),
        {"hidden2_to_output": ([["hidden2_to_output"], ["hidden2_to_output_2"]], [["output_to_hidden2"]])},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("circuit", "expected"), [row[1:] for row in ROUTES], ids=[row[0] for row in ROUTES])
def test_symmetry_is_measured_along_the_effective_path(circuit: Circuit, expected: Any, tmp_path: Path) -> None:
    run = run_of(circuit, tmp_path / "run", ns.probe("angle", every=5), optimizer=ns.SGD(lr=0.3))
    record = run.tree["stats/symmetry/every_5"]
    for step, _, _, network in steps_by_hand(circuit, optimizer=ns.SGD(lr=0.3)):
        if step % 5:
            continue
        for name, (forward, back) in expected.items():
            place = record.pair.values.tolist().index(name)
            for replica in range(2):
                w = sum(product(network, replica, *route) for route in forward)
                b = sum(product(network, replica, *route) for route in back).swapaxes(1, 2)
                w, b = np.broadcast_arrays(w, b)
                assert record.angle.values[replica, step // 5, place] == pytest.approx(angle_between(w, b), abs=1e-5)
                ratio = np.linalg.norm(b) / np.linalg.norm(w)
                assert record.norm_ratio.values[replica, step // 5, place] == pytest.approx(ratio, rel=1e-9)
                assert int(record.pair_weights[place]) == w.size
    assert (record.angle.values[:, 0] > 1).all()


@pytest.mark.parametrize("circuit", [rules.bp(CHAIN), rules.bp(with_skip()), rules.bp(PARALLEL), sal(feedback="bp")])
def test_tied_feedback_is_symmetric_to_the_last_digit(circuit: Circuit, tmp_path: Path) -> None:
    record = run_of(circuit, tmp_path / "run", ns.probe("norm_ratio", every=5)).tree["stats/symmetry/every_5"]
    dense_ways = [name for name, edge in circuit.select(pathway="feedback").items() if edge.wiring.kind == "dense"]
    assert len(record.pair) == len(dense_ways)
    assert record.angle.values == pytest.approx(0, abs=1e-6)
    assert record.norm_ratio.values == pytest.approx(1, abs=1e-12)


# Credit --------------------------------------------------------------------------------------------------------------


def gradients_of(network: Any, circuit: Circuit, x: Any, y: Any, loss: str) -> dict[str, Any]:
    forward = circuit.without([n for n, e in circuit.projections.items() if e.pathway == "feedback"])
    weights = {n: network.weights[n].detach().clone() for n in forward.select(pathway="feedforward")}
    biases = {name.removesuffix(".bias"): value.detach().clone() for name, value in network.biases.items()}
    areas = {n: s["area"] for n, s in network.signals(x).items() if "area" in s}
    inputs = x if isinstance(x, dict) else {circuit.inputs[0]: x}
    return gradients(forward.to_dict(), weights, biases, inputs, y, loss, areas)[1]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", ["fa", "dfa", "kp", "skip", "sal_fa", "sal_per_population", "two inputs", "pfa"])
def test_update_angle_is_the_angle_to_autograd(name: str, loss: str, tmp_path: Path) -> None:
    circuit = {
        "fa": rules.fa(CHAIN), "dfa": rules.dfa(CHAIN), "kp": rules.kp(CHAIN), "skip": rules.fa(with_skip()),
        "sal_fa": sal(feedback="fa"), "sal_per_population": sal(feedback="fa", route="population"),
        "two inputs": rules.fa(two_inputs()), "pfa": rules.pfa_o(CHAIN),
    }[name]  # fmt: skip
    data = data_of(targets="labels" if loss == "cross_entropy" else "numbers", inputs=circuit.inputs)
    run = run_of(circuit, tmp_path / "run", ns.probe("update_angle", every=5), loss=loss, data=data)
    record = run.tree["stats/credit/every_5"]
    plastic = [n for n, e in circuit.select(pathway="feedforward").items() if e.plasticity.plastic]
    assert record.projection.values.tolist() == plastic
    below = [n for n in plastic if circuit.projections[n].target != "output"]
    for step, x, y, network in steps_by_hand(circuit, loss=loss, data=data):
        if step % 5:
            continue
        mine, true = network.updates(x, y, loss=loss), gradients_of(network, circuit, x, y, loss)
        for place, projection in enumerate(plastic):
            for replica in range(2):
                expected = angle_between(mine[projection][replica], true[projection][replica])
                assert record.update_angle.values[replica, step // 5, place] == pytest.approx(expected, abs=2e-5)
    hidden = record.update_angle.values[..., [plastic.index(n) for n in below]]
    assert (hidden > 1).all(), hidden
    into_output = record.update_angle.values[..., [plastic.index(n) for n in plastic if n not in below]]
    assert into_output == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "circuit",
    [rules.bp(CHAIN), rules.bp(with_skip()), sal(feedback="bp"), sal(feedback="kp_tied"), rules.bp(two_inputs())],
    ids=["bp", "skip", "sal_bp", "sal_kp_tied", "two inputs"],
)
def test_update_angle_of_backpropagation_is_zero(circuit: Circuit, tmp_path: Path) -> None:
    data = data_of(inputs=circuit.inputs)
    record = run_of(circuit, tmp_path / "run", ns.probe("update_angle", every=5), data=data).tree[
        "stats/credit/every_5"
    ]
    assert record.update_angle.values == pytest.approx(0, abs=1e-5)


def test_the_reference_of_the_update_angle_leaves_the_network_alone(tmp_path: Path) -> None:
    probes = [ns.probe("update_angle", every=1), ns.probe("update", every=1), ns.probe("error", every=1)]
    for circuit, more in ((rules.kp(CHAIN), []), (sal(feedback="kp"), [ns.probe("usage", every=1)])):
        folder = tmp_path / circuit.name / str(len(circuit.projections))
        watched, _ = trained(circuit, folder / "a", record=[*probes, *more], optimizer=ns.Adam(lr=0.01))
        alone, _ = trained(circuit, folder / "b", optimizer=ns.Adam(lr=0.01))
        for name, tensor in alone.state_dict().items():
            assert torch.equal(tensor, watched.state_dict()[name]), name


# Usage ---------------------------------------------------------------------------------------------------------------


def test_usage_is_the_share_of_training_samples_and_sums_to_one(tmp_path: Path) -> None:
    circuit = sal(route="population", readout="shared", feedback="fa")
    hidden = circuit.populations["hidden2"]
    assert hidden.areas == 3
    run = run_of(circuit, tmp_path / "run", ns.probe("usage", every=5))
    record = run.tree["stats/routing/every_5"].usage
    assert record.sizes == {"replica": 2, "sample": 4, "population": 2, "area": 3}
    assert record.sum("area").values == pytest.approx(1, abs=1e-12)
    x = torch.tensor(data_of().train.x).double()
    for step, _, _, network in steps_by_hand(circuit):
        if step % 5:
            continue
        signals = network.signals(x)
        for name in ("hidden1", "hidden2"):
            for replica in range(2):
                counts = np.bincount(signals[name]["area"][replica], minlength=3) / len(x)
                np.testing.assert_array_equal(record.sel(population=name).values[replica, step // 5], counts)


def test_usage_of_populations_with_fewer_areas_ends_in_nan(tmp_path: Path) -> None:
    circuit = sal(route="population", feedback="fa")
    fewer = {
        "output": circuit.populations["output"].replace(areas=2),
    }
    circuit = circuit.with_populations(**fewer)
    usage = run_of(circuit, tmp_path / "run", ns.probe("usage")).tree["stats/routing/epochs_1"].usage
    assert np.isnan(usage.sel(population="output").values[..., 2]).all()
    assert np.nansum(usage.values, -1) == pytest.approx(1)


def test_a_moment_is_swept_once_whatever_is_recorded_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(rules.kp(CHAIN))
    counts = {"updates": 0, "signals": 0}
    for name in counts:
        monkeypatch.setattr(network, name, functools.partial(_counted, counts, name, getattr(network, name)))
    probes = [ns.probe(what, every=100) for what in ("update", "activity", "error", "update_angle")]
    ns.train(network, data_of(), epochs=1, batch_size=23, record=probes, store=tmp_path / "run")
    assert counts == {"updates": 1, "signals": 1}


def _counted(counts: dict[str, int], name: str, function: Any, *args: Any, **options: Any) -> Any:
    counts[name] += 1
    return function(*args, **options)


def test_tied_weights_that_go_forward_are_recorded_as_their_own_projection(tmp_path: Path) -> None:
    circuit = chain_of(4, 5, 4, 3)
    tied = circuit.projections["hidden1_to_hidden2"].replace(weights=Transpose(of="input_to_hidden1"))
    circuit = rules.fa(circuit.with_projections(hidden1_to_hidden2=tied))
    run = run_of(circuit, tmp_path / "run", ns.probe("weight", every=5))
    one, two = (run.tree[f"projections/{n}/every_5"].weight.values for n in ("input_to_hidden1", "hidden1_to_hidden2"))
    np.testing.assert_array_equal(one.swapaxes(-1, -2), two)


def test_a_prober_announces_as_many_entries_as_it_will_write() -> None:
    network, data = network_of(rules.fa(CHAIN)), data_of()
    from neurosal.engine.feeding import parts_of

    training = Training(
        epochs=3,
        batch_size=5,
        record=(ns.probe("angle", log=3), ns.probe("weight", every=4), ns.probe("error", epochs=2)),
    )

    class Expected:
        found: ClassVar[dict[str, int | None]] = {}

        def declare(self, group: Any, *, expected: int | None = None) -> None:
            self.found[group.path] = expected

    Prober(network, training, parts_of(data, network, "cross_entropy"), 15).declare(Expected())  # type: ignore[arg-type]
    assert Expected.found["stats/symmetry/log_3"] == 5
    assert Expected.found["projections/input_to_hidden1/every_4"] == 4
    assert Expected.found["probes/hidden1/epochs_2"] == 2


@pytest.mark.parametrize("rule", ["fa", "kp", "dfa", "pfa"])
def test_error_angle_is_the_mean_over_samples_of_that_to_the_backpropagated_error(rule: str, tmp_path: Path) -> None:
    data = ns.data.load("digits", subset={"train": 32, "test": 8})
    circuit = getattr(rules, rule)(circuits.mlp(64, 6, 5, 10))
    network = ns.compile(circuit, seeds=(3, 4), dtype="float64")
    run = ns.train(
        network, data, store=tmp_path / "run", epochs=1, batch_size=8, record=ns.probe("error_angle", every=1)
    )
    record = run.tree["stats/credit/every_1"]
    assert record.population.values.tolist() == ["hidden1", "hidden2"]
    again = ns.compile(circuit, seeds=(3, 4), dtype="float64")
    part = Part(data.train, again, "cross_entropy", place="train")
    x, y = part.take(epoch_order((3, 4), 32, 0, again.device)[:, :8])
    delta = {name: entry["error"].numpy() for name, entry in again.signals(x, y).items() if "error" in entry}
    below, w2, w3 = (
        delta["output"],
        *(again.weights[n][:, 0].numpy() for n in ("hidden1_to_hidden2", "hidden2_to_output")),
    )
    active = {name: again.signals(x, y)[name]["activity"].numpy() > 0 for name in ("hidden1", "hidden2")}
    second = np.einsum("rno,roi->rni", below, w3) * active["hidden2"]
    first = np.einsum("rno,roi->rni", second, w2) * active["hidden1"]
    for place, (name, true) in enumerate({"hidden1": first, "hidden2": second}.items()):
        size = np.linalg.norm(delta[name], axis=-1) * np.linalg.norm(true, axis=-1)
        cosine = (delta[name] * true).sum(-1) / np.where(size > 0, size, np.nan)  # a silent sample has no direction
        expected = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        assert record.error_angle.values[:, 0, place] == pytest.approx(np.nanmean(expected, axis=1), abs=1e-4)


def test_error_angle_of_backpropagation_is_zero(tmp_path: Path) -> None:
    network = ns.compile(rules.bp(circuits.mlp(64, 6, 10)), dtype="float64")
    data = ns.data.load("digits", subset={"train": 32, "test": 8})
    run = ns.train(
        network, data, store=tmp_path / "run", epochs=1, batch_size=8, record=ns.probe("error_angle", every=1)
    )
    assert run.tree["stats/credit/every_1"].error_angle.values == pytest.approx(0, abs=1e-5)


def test_a_change_is_compared_where_only_backpropagation_has_ways_back_along_skips(tmp_path: Path) -> None:
    circuit = rules.dfa(circuits.residual_mlp(FEATURES, 4, CLASSES, blocks=2))
    run = run_of(circuit, tmp_path / "run", ns.probe("update_angle", epochs=3))
    found = run.tree["stats/credit/epochs_3"].update_angle
    assert found.sel(projection="final_to_output").values == pytest.approx(0, abs=1e-4)
    assert (found.sel(projection="hidden1_to_stream1").values > 1).all()
