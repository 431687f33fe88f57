"""Probes of circuits with places: symmetry of the feedback that is used, by layer and channel; recorded kernels and
activity of populations with places; and runs with them that are packed, checked and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import neurosal as ns
from neurosal import analysis, rules
from neurosal.analysis import measured as offline
from neurosal.analysis.sources import arms_of
from neurosal.errors import ExperimentError
from neurosal.graph import (
    BatchNorm,
    Broadcast,
    Circuit,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool2d,
    Population,
    Projection,
    Rate,
    Shortcut,
    Source,
    Wiring,
)
from neurosal.lower.paths import pairs, way_of
from neurosal.plasticity import Fixed
from neurosal.record.doctor import examine
from neurosal.record.pack import pack
from neurosal.runner.measuring import both_ways
from neurosal.runner.recordable import recordable
from tests.runner.making import must_be_equal, must_hold_the_same, network_of

LINEAR = Rate(activation="linear")
STRIDED = Conv2d(kernel=3, stride=2, padding=1)


def edge(source: str, target: str, wiring: Wiring, **fields: Any) -> Projection:
    if wiring.weightless:
        fields["plasticity"] = Fixed()
    return Projection(source=source, target=target, wiring=wiring, **fields)


def pictures(*, groups: int = 1, model: Rate = LINEAR, pool: Wiring | None = None) -> Circuit:
    """3×6×6 → 4×6×6 → 6×3×3 → 6 → 5, linear unless told."""
    pool = pool or GlobalAvgPool()
    middle = Population(size=6, model=LINEAR) if isinstance(pool, GlobalAvgPool) else Population(
        shape=pool.output((6, 3, 3)), model=LINEAR  # type: ignore[attr-defined]
    )  # fmt: skip
    flat = {} if isinstance(pool, GlobalAvgPool) else {"flat": Population(size=middle.units, model=LINEAR)}
    return Circuit(
        name="pictures",
        populations={
            "input": Population(shape=(3, 6, 6), model=Source()),
            "first": Population(shape=(4, 6, 6), model=model),
            "second": Population(shape=(6, 3, 3), model=model),
            "pool": middle, **flat,
            "output": Population(size=5, model=LINEAR),
        },
        projections={
            "in": edge("input", "first", Conv2d(kernel=3, padding=1)),
            "conv": edge("first", "second", STRIDED.replace(groups=groups)),
            "pooling": edge("second", "pool", pool),
            **({"flatten": edge("pool", "flat", Flatten())} if flat else {}),
            "dense": edge(next(iter(flat), "pool"), "output", Dense()),
        },
    )  # fmt: skip


def batch(samples: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(samples, 108, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(samples) % 5


def data() -> Any:
    x = np.random.default_rng(0).normal(size=(20, 108)).astype("float32")
    return ns.data.from_arrays(x, np.arange(20) % 5, validation=np.arange(15, 20))


def trained(circuit: Circuit, folder: Path, record: Any, *, seeds: Any = (0, 1), **settings: Any) -> tuple[Any, Any]:
    training = ns.Training(
        **{"epochs": 2, "batch_size": 5, "optimizer": ns.SGD(lr=0.05), "record": record, "dtype": "float64", **settings}
    )
    network = network_of(circuit, seeds)
    return network, ns.train(network, data(), training, store=folder)


def pair_of(circuit: Circuit, name: str) -> Any:
    (found,) = [pair for pair in pairs(circuit) if pair.name == name]
    return found


# The feedback that is used --------------------------------------------------------------------------------------------

CHAINS = {
    name: getattr(rules, name) for name in ("bp", "fa", "usf", "frsf", "brsf", "kp", "pfa", "pfa_o")
}  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", CHAINS)
def test_what_is_compared_carries_the_error_of_the_very_next_step(name: str, groups: int) -> None:
    circuit = CHAINS[name](pictures(groups=groups))
    network = network_of(circuit)
    x, y = batch()
    for _ in range(2):  # signs and magnitudes move on
        network.step(x, y, optimizer=ns.SGD(lr=0.05))
    there, back = both_ways(network, pair_of(circuit, "conv"))
    signals = network.signals(x, y)
    for replica in range(2):
        kernel = back[replica, 0].unflatten(1, (-1, 3, 3))
        options: dict[str, Any] = {"stride": 2, "padding": 1}
        if kernel.shape[1] < 4:
            options["groups"] = groups
        error = functional.conv_transpose2d(signals["second"]["error"][replica], kernel, output_padding=1, **options)
        torch.testing.assert_close(error, signals["first"]["error"][replica], rtol=1e-10, atol=1e-13)
        kernel = there[replica, 0].unflatten(1, (-1, 3, 3))
        heard = functional.conv2d(signals["first"]["activity"][replica], kernel, **options)
        bias = network.biases["second.bias"][replica, 0, :, None, None]
        torch.testing.assert_close(heard + bias, signals["second"]["activity"][replica], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["frsf", "brsf"])
def test_magnitudes_that_are_probed_are_those_that_the_step_learns_with(name: str, tmp_path: Path) -> None:
    """A step of the first layer's weights is the correlation of its input with the error that the probed feedback
    gives."""
    circuit = getattr(rules, name)(pictures())
    network = network_of(circuit)
    x, y = batch()
    seen = []
    for _ in range(3):
        _, back = both_ways(network, pair_of(circuit, "conv"))
        seen.append(back.clone())
        error = network.signals(x, y)["second"]["error"]
        before = network.weights["in"].clone()
        network.step(x, y, optimizer=ns.SGD(lr=1.0))
        for replica in range(2):
            kernel = back[replica, 0].unflatten(1, (4, 3, 3))
            delta = functional.conv_transpose2d(error[replica], kernel, stride=2, padding=1, output_padding=1)
            expected = torch.nn.grad.conv2d_weight(x.unflatten(1, (3, 6, 6)), (4, 3, 3, 3), delta, padding=1) / len(x)
            moved = before[replica, 0] - network.weights["in"][replica, 0]
            torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)
    assert (seen[0].abs() != seen[1].abs()).any() == (name == "brsf")


def test_masked_feedback_is_compared_as_it_is_with_its_absent_synapses() -> None:
    circuit = rules.pfa(pictures(), expansion=3, density=0.4)
    network = network_of(circuit, seeds=(0,))
    _, back = both_ways(network, pair_of(circuit, "conv"))
    first, second = pair_of(circuit, "conv").feedback[0]
    b, r = (network.weights[name][0, 0] for name in (first, second))
    assert 0.2 < float((b != 0).double().mean()) < 0.6
    assert 0.3 < float((r != 0).double().mean()) < 0.5
    expected = torch.einsum("imyx,mo->oiyx", r, b[:, :, 0, 0])
    torch.testing.assert_close(back[0, 0], expected.flatten(1))


def test_each_area_of_kernels_is_compared_with_its_own_feedback() -> None:
    circuit = rules.sal(pictures(), areas=3, rank=4)
    network = network_of(circuit)
    pair = pair_of(circuit, "conv")
    there, back = both_ways(network, pair)
    assert there.shape == back.shape == (2, 3, 6, 36)
    ((name,),) = pair.feedback
    torch.testing.assert_close(there, network.weights["conv"].flatten(3))
    torch.testing.assert_close(back, network.weights[name].transpose(2, 3).flatten(3))


def direct(broadcast: bool = False) -> Circuit:
    wiring: Wiring = Broadcast() if broadcast else Dense()
    circuit = pictures(model=Rate(activation="relu"))
    circuit = circuit.with_projections(skip=edge("first", "second", Shortcut(stride=2)))
    return circuit.with_projections(**{
        f"to_{name}": Projection(
            source="output", target=name, pathway="feedback", wiring=Dense() if name == "pool" else wiring,
            plasticity=Fixed(),
        )
        for name in ("first", "second", "pool")
    })  # fmt: skip


@pytest.mark.parametrize("seeds", [(3,), (0, 1)])
@pytest.mark.parametrize("broadcast", [False, True])
def test_direct_feedback_is_compared_with_the_product_of_the_way_forward(broadcast: bool, seeds: Any) -> None:
    circuit = direct(broadcast)
    network = network_of(circuit, seeds)
    pair = pair_of(circuit, "first_to_output")
    assert way_of(circuit, pair) == "responses"
    there, back = both_ways(network, pair)
    assert there.shape == back.shape == (len(seeds), 1, 5, 144)
    eye = torch.eye(144, dtype=torch.float64).unflatten(1, (4, 6, 6))
    for replica in range(len(seeds)):
        weights = {name: network.weights[name][replica, 0] for name in network.weights}
        skipped = functional.pad(eye[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))
        out = functional.conv2d(eye, weights["conv"], stride=2, padding=1) + skipped
        out = out.mean((-1, -2)) @ weights["dense"].T
        torch.testing.assert_close(there[replica, 0], out.T)
        sent = weights["to_first"].T
        sent = sent.repeat_interleave(36, 1) if broadcast else sent
        torch.testing.assert_close(back[replica, 0], sent)


def test_what_a_target_with_places_sends_back_is_counted_by_its_channels() -> None:
    """Dense feedback between populations of channels: no kernel, so each channel sums over its places."""
    circuit = pictures().with_projections(
        back=Projection(source="second", target="first", pathway="feedback", wiring=Dense(), plasticity=Fixed()),
        far=Projection(source="output", target="second", pathway="feedback", wiring=Dense(), plasticity=Fixed()),
    )
    network = network_of(circuit, seeds=(0,))
    there, back = both_ways(network, pair_of(circuit, "conv"))
    assert there.shape == back.shape == (1, 1, 6, 9 * 144)
    w, b = network.weights["conv"][0, 0], network.weights["back"][0, 0]
    torch.testing.assert_close(back[0, 0], b.T.reshape(6, -1))
    eye = torch.eye(144, dtype=torch.float64).unflatten(1, (4, 6, 6))
    out = functional.conv2d(eye, w, stride=2, padding=1)
    torch.testing.assert_close(there[0, 0], out.permute(1, 2, 3, 0).reshape(6, -1))


def test_what_cannot_be_compared_is_said_with_the_reason(tmp_path: Path) -> None:
    circuit = rules.dfa(pictures(pool=MaxPool2d(kernel=3)))
    able = recordable(circuit)
    # All that has feedback of its own lies before the pool.
    assert set(able.left_out) == {"first_to_output", "second_to_output"}
    assert "max pooling" in able.left_out["first_to_output"]
    problem = able.misfit(ns.probe("angle", "first_to_output"))
    assert problem is not None
    assert "max pooling" in problem.found
    # Where something can be compared, the record says what was left out.
    circuit = circuit.with_projections(
        output_to_flat=Projection(source="output", target="flat", pathway="feedback", plasticity=Fixed())
    )
    with pytest.raises(ExperimentError, match="max pooling"):
        trained(circuit, tmp_path / "no", [ns.probe("angle", "second_to_output")])
    _, run = trained(circuit, tmp_path / "run", [ns.probe("angle", epochs=1)])
    pair = run.tree["stats/symmetry/epochs_1"].pair
    assert pair.values.tolist() == ["dense"]
    assert "first_to_output: what passes the max pooling" in pair.attrs["left_out"]
    for member in (analysis.symmetry, analysis.layers):
        assert any("max pooling" in remark for remark in member(run).attrs["remarks"])


# Recordings -----------------------------------------------------------------------------------------------------------

EVERYTHING = [
    ns.probe(what, every=2)
    for what in (
        "weight", "update", "angle", "norm_ratio", "unit_angle", "unit_norm_ratio", "activity", "error",
        "update_angle", "error_angle", "stable_rank", "drift", "update_size", "decrease_ratio",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    model = Rate(activation="relu", norm=BatchNorm(), bias=False)
    circuit = rules.pfa(pictures(model=model, groups=2), expansion=2)
    return trained(circuit, tmp_path_factory.mktemp("runs") / "pfa", EVERYTHING)[1]


def test_kernels_are_recorded_with_names_by_which_both_ways_align(tmp_path: Path) -> None:
    rates = ns.SGD(lr=(0.05, 0.04))  # one a replica
    network, run = trained(rules.kp(pictures()), tmp_path / "kp", EVERYTHING, optimizer=rates)
    w, b = (run.tree[f"projections/{name}/every_2"].weight for name in ("conv", "second_to_first"))
    assert w.dims == (
        "replica", "snapshot", "area", "second_channel", "first_channel", "kernel_row", "kernel_column"
    )  # fmt: skip
    assert b.dims[3:] == ("first_channel", "second_channel", "kernel_row", "kernel_column")
    torch.testing.assert_close(torch.tensor(w.values[:, -1]), network.weights["conv"])
    torch.testing.assert_close(torch.tensor(b.values[:, -1]), network.weights["second_to_first"])
    found = ns.stats.angle(w, b, dim=("area", "second_channel", "first_channel", "kernel_row", "kernel_column"))
    recorded = run.tree["stats/symmetry/every_2"].angle.sel(pair="conv")
    np.testing.assert_allclose(found, recorded, rtol=1e-9)
    channels = ns.stats.unit_angle(w, b, dim=("area", "first_channel", "kernel_row", "kernel_column"))
    units = run.tree["stats/units/conv/every_2"]
    assert units.unit_angle.dims == ("replica", "sample", "second_channel")
    np.testing.assert_allclose(channels.transpose("replica", "snapshot", "second_channel"), units.unit_angle, rtol=1e-9)
    ratio = ns.stats.unit_norm_ratio(w, b, dim=("area", "first_channel", "kernel_row", "kernel_column"))
    np.testing.assert_allclose(ratio.transpose("replica", "snapshot", "second_channel"), units.unit_norm_ratio)


def test_groups_have_a_dimension_of_their_own(run: Any) -> None:
    weight = run.tree["projections/conv/every_2"].weight
    assert weight.dims[2:] == (
        "area", "group", "second_channel_in_group", "first_channel_in_group", "kernel_row", "kernel_column"
    )  # fmt: skip
    assert weight.shape[3:] == (2, 3, 2, 3, 3)


@pytest.mark.parametrize("name", ["angle", "norm_ratio", "stable_rank", "drift", "update_size"])
def test_the_same_follows_from_recorded_kernels(run: Any, name: str) -> None:
    (arm,) = arms_of(run)
    recorded = offline.measured(arm, name)
    bare = type(arm)(name="bare", place="bare", tree=arm.tree.copy(), circuit=arm.circuit)
    bare.tree["stats"] = type(arm.tree)()
    found = offline.measured(bare, name)
    assert recorded is not None
    assert found is not None
    dim = recorded.dims[-1]
    assert "conv" in recorded[dim].values
    np.testing.assert_allclose(found.sel({dim: recorded[dim].values}), recorded, rtol=1e-8, atol=1e-9)


def test_angles_of_channels_follow_from_recorded_kernels(run: Any) -> None:
    (arm,) = arms_of(run)
    recorded = offline.measured(arm, "unit_angle", "conv")
    bare = type(arm)(name="bare", place="bare", tree=arm.tree.copy(), circuit=arm.circuit)
    bare.tree["stats"] = type(arm.tree)()
    found = offline.measured(bare, "unit_angle", "conv")
    assert recorded is not None
    assert found is not None
    assert found.dims == recorded.dims == ("replica", "step", "second_channel")
    np.testing.assert_allclose(found, recorded, rtol=1e-8)


def test_units_with_places_say_which_channel_row_and_column_they_are(tmp_path: Path) -> None:
    _, run = trained(rules.fa(pictures()), tmp_path / "fa", [ns.probe("activity", every=100, samples=3)])
    network = network_of(rules.fa(pictures()))
    x, _ = batch()
    activity = run.tree["probes/second/every_100"].to_dataset().activity
    assert activity.dims == ("replica", "sample", "trial", "second")
    spread = activity.set_index(second=["second_channel", "second_row", "second_column"]).unstack("second")
    assert spread.dims[-3:] == ("second_channel", "second_row", "second_column")
    assert spread.shape[-3:] == (6, 3, 3)
    here = network.signals(x)["second"]["activity"]
    assert here.shape[-3:] == (6, 3, 3)
    np.testing.assert_array_equal(
        activity.second_channel * 9 + activity.second_row * 3 + activity.second_column, np.arange(54)
    )


def test_activity_with_places_is_stored_in_the_order_of_its_coordinates() -> None:
    from neurosal.runner.moment import Moment

    network, (x, y) = network_of(rules.fa(pictures())), batch()
    moment = Moment(network, "cross_entropy", x, y)
    whole = network.signals(x, y)["second"]
    for kind in ("activity", "error"):
        assert moment.signals["second"][kind].shape == (2, 6, 54)
        for unit, (channel, row, column) in enumerate(np.ndindex(6, 3, 3)):
            expected = whole[kind][:, :, channel, row, column]
            assert torch.equal(moment.signals["second"][kind][:, :, unit], expected)


def test_a_run_with_kernels_is_whole_and_packs_without_loss(tmp_path: Path) -> None:
    _, run = trained(rules.kp(pictures()), tmp_path / "run", EVERYTHING)
    before = {node.path: node.to_dataset().load() for node in run.tree.subtree}
    assert examine(tmp_path / "run").healthy
    pack(tmp_path / "run")
    assert examine(tmp_path / "run").healthy
    for path, dataset in before.items():
        assert ns.open_run(tmp_path / "run").tree[path].to_dataset().identical(dataset), path


def test_a_run_with_kernels_resumes_to_the_same_bits(tmp_path: Path) -> None:
    model = Rate(activation="relu", norm=BatchNorm(), bias=False)
    circuit = rules.brsf(pictures(model=model))
    settings: dict[str, Any] = {"checkpoint_every": 1, "epochs": 3}
    whole = trained(circuit, tmp_path / "whole", EVERYTHING, **settings)

    class Stopped(Exception):
        """In place of a kill."""

    def stop(step: int, *_: Any) -> None:
        if step == 5:
            raise Stopped

    training = ns.Training(
        batch_size=5, optimizer=ns.SGD(lr=0.05), dtype="float64", record=EVERYTHING, **settings
    )  # fmt: skip
    with pytest.raises(Stopped):
        ns.train(network_of(circuit), data(), training, store=tmp_path / "stopped", progress=stop)
    network = network_of(circuit)
    resumed = ns.train(network, data(), training, store=tmp_path / "stopped", resume=True)
    must_be_equal(whole[0], network)
    must_hold_the_same(whole[1], resumed)


# Figures --------------------------------------------------------------------------------------------------------------


def test_layers_are_shown_with_their_channels(run: Any) -> None:
    dataset = analysis.layers(run)
    assert dataset.pair.values.tolist() == ["conv", "dense"]
    units = run.tree["stats/units/conv/every_2"].unit_angle.isel(sample=-1).values
    spread = dataset.unit_angle.sel(pair="conv").isel(arm=0)
    np.testing.assert_allclose(spread, np.quantile(units, dataset["quantile"].values))
    angle = run.tree["stats/symmetry/every_2"].angle.sel(pair="conv").isel(sample=-1)
    np.testing.assert_allclose(dataset.angle_mean.sel(pair="conv").isel(arm=0, step=-1), angle.mean())
    rows = analysis.layers.table(dataset).rows
    assert [row[1] for row in rows] == ["conv", "dense"]
    assert f"{float(angle.mean()):.1f}" in rows[0][3]
    assert len(analysis.layers.figure(dataset).axes) >= 3
