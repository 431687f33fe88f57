"""Products in bfloat16: rounded as little as can be derived, and nothing else is."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine import precision
from neurosal.engine.routing import Groups
from neurosal.errors import ExperimentError
from neurosal.graph import Circuit
from neurosal.runner.experiment import circuit_of

UNIT = 2.0**-8  # rounding to 8 significant bits
SUM = 2.0**-24  # a float32 operation
CHAIN = circuits.mlp(12, 20, 16, 4, activation="tanh")
SIZES = {"narrowed at once": (40, 36), "one at a time": (520, 530)}
OTHERS = sorted(set(rules.__all__) - {"sal"})


def made(rule: str, circuit: Circuit = CHAIN, **options: Any) -> Circuit:
    made: Circuit = getattr(rules, rule)(circuit, **options)
    return made


def network_of(circuit: Circuit, *seeds: int, compute: str | None = "bfloat16") -> Any:
    return ns.compile(circuit, seeds=seeds or (0,), device="cpu", compute=compute)


def batch_of(samples: int = 48, units: int = 12, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, units, generator=generator)
    return x, torch.randint(classes, (samples,), generator=generator)


def rounded(tensor: Tensor) -> Tensor:
    """To the nearest number of 8 significant bits, ties to even, by arithmetic in float64."""
    value = tensor.double()
    scale = torch.exp2(torch.floor(torch.log2(value.abs().clamp(min=1e-300))) - 7)
    return torch.where(value == 0, value, torch.round(value / scale) * scale)


def must_be_narrow(found: Tensor, exact: Tensor, narrow: Tensor, size: Tensor, terms: int, written: float) -> None:
    """Within the bound against the exact product, and that of narrow factors but for what is written and float32."""
    sums = terms * SUM * size
    assert bool(((found - exact).abs() <= (2 * UNIT + UNIT**2) * size + written * exact.abs() + sums + 1e-12).all())
    assert bool(((found - narrow).abs() <= written * narrow.abs() + 2 * sums + 1e-12).all())
    assert float((found - exact).norm() / exact.norm()) > 2.0**-12  # or nothing was rounded


# Products -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["single", "batched", "grouped"])
def test_products_are_rounded_in_their_factors_and_once_when_written(form: str, size: str) -> None:
    post, pre = SIZES[size]
    areas, seeds = (3, (0, 1)) if form == "grouped" else (1, (0,) if form == "single" else (0, 1))
    circuit = made("fa", circuits.mlp(pre, post, pre, 3))
    if areas > 1:
        circuit = rules.sal(circuits.mlp(pre, post, pre, 3), areas=areas, feedback="fa")
    network = network_of(circuit, *seeds)
    kernel, weight = network.weights.kernel("input_to_hidden1"), network.weights.internal("input_to_hidden1")
    random = torch.Generator().manual_seed(1)
    replicas, samples = len(seeds), 33
    h, d = (torch.randn(replicas, samples, units, generator=random) for units in (pre, post))
    chosen = torch.randint(areas, (replicas, samples), generator=random).sort(-1).values
    groups = Groups(chosen, areas) if areas > 1 else None
    bias = torch.randn(*weight.shape[:-2], post, generator=random)
    given = bias if form != "batched" else bias[:, None]

    def seen(rows: Tensor) -> Tensor:
        return rows[0] if form == "single" else rows

    found = {
        "apply": kernel.apply(weight, seen(h), groups),
        "affine": kernel.affine(given, weight, seen(h), groups),
        "pull": kernel.pull(weight, seen(d), groups),
        "correlate": kernel.correlate(seen(d), seen(h), groups),
    }
    full, biases = weight.double().view(replicas, areas, post, pre), bias.double().view(replicas, areas, post)
    per_sample = full[torch.arange(replicas)[:, None], chosen]
    shift = biases[torch.arange(replicas)[:, None], chosen]
    one = torch.nn.functional.one_hot(chosen, areas).double()

    def products(w: Tensor, h: Tensor, d: Tensor, b: Tensor) -> dict[str, Tensor]:
        h, d = h.double(), d.double()
        forward = torch.einsum("rnoi,rni->rno", w, h)
        changes = torch.einsum("rnk,rno,rni->rkoi", one, d, h)
        return {
            "apply": forward, "affine": forward + b, "pull": torch.einsum("rnoi,rno->rni", w, d), "correlate": changes
        }  # fmt: skip

    exact = products(per_sample, h, d, shift)
    narrow = products(rounded(per_sample), rounded(h), rounded(d), rounded(shift))
    sizes = products(per_sample.abs(), h.abs(), d.abs(), shift.abs())
    for name, tensor in found.items():
        expected = torch.float32 if name == "correlate" else torch.bfloat16
        assert tensor.dtype is expected, name
        terms = {"pull": post, "correlate": samples}.get(name, pre)
        must_be_narrow(tensor.double().view(exact[name].shape), exact[name], narrow[name], sizes[name], terms, UNIT)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_change_goes_into_float32_weights_as_it_was_written(replicas: int, size: str) -> None:
    post, pre = SIZES[size]
    network = network_of(made("fa", circuits.mlp(pre, post, pre, 3)), *range(replicas))
    kernel, weight = network.weights.kernel("input_to_hidden1"), network.weights.internal("input_to_hidden1")
    random = torch.Generator().manual_seed(1)
    lead = (17,) if replicas == 1 else (2, 17)
    h, d = torch.randn(*lead, pre, generator=random), torch.randn(*lead, post, generator=random)
    before, change = weight.clone().double(), kernel.correlate(d, h, None).double()
    rates = torch.tensor([0.01, 0.02][:replicas])
    kernel.accumulate_([(weight, -rates, 0.9)], d, h, None)
    expected = 0.9 * before - rates.double().view(-1, *([1] * (weight.dim() - 1)))[: replicas or None] * change
    torch.testing.assert_close(weight.double(), expected.view(weight.shape), rtol=1e-6, atol=1e-7)
    assert not torch.equal(weight, weight.bfloat16().float())


def test_the_outputs_own_product_is_float32_up_to_so_many_units() -> None:
    for units, exact in ((precision.EXACT, True), (precision.EXACT + 1, False)):
        network = network_of(made("bp", circuits.mlp(64, units)))
        x = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
        expected = x.double() @ network.weights["input_to_output"][0, 0].double().T
        close = torch.allclose(network.predict(x)[0].double(), expected, rtol=1e-5, atol=1e-6)
        assert close is exact
        assert network.predict(x).dtype is torch.float32


# What stays float32 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("rule", [*OTHERS, "sal"])
def test_every_rule_steps_and_shows_float32_alone(rule: str, replicas: int) -> None:
    options: dict[str, Any] = {"areas": 3} if rule == "sal" else {}
    network = network_of(made(rule, **options), *range(replicas))
    x, y = batch_of()
    for optimizer in (ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.5, weight_decay=0.01), ns.Adam(lr=0.01)):
        first = float(network.step(x, y, optimizer=optimizer).mean())
        for _ in range(7):
            last = float(network.step(x, y, optimizer=optimizer).mean())
        assert last < first
    shown = {
        **network.state_dict(), **network.updates(x, y), "predicted": network.predict(x),
        **{f"{name}.{kind}": t for name, kinds in network.signals(x, y).items() for kind, t in kinds.items()},
    }  # fmt: skip
    types = {name: tensor.dtype for name, tensor in shown.items() if tensor.dtype.is_floating_point}
    assert {name for name, dtype in types.items() if dtype not in (torch.float32, torch.float64)} == set()
    assert all(tensor.grad_fn is None for tensor in shown.values())
    assert {name for name, dtype in types.items() if dtype is torch.float64} == {
        name for name in types if name.endswith("count")
    }


@pytest.mark.parametrize("rule", [*OTHERS, "sal"])
def test_changes_point_where_those_of_float32_do(rule: str) -> None:
    circuit = made(rule, circuits.mlp(64, 96, 80, 10, activation="tanh"), **({"areas": 3} if rule == "sal" else {}))
    x, y = batch_of(256, 64, 10)
    narrow, full = (network_of(circuit, compute=compute).updates(x, y) for compute in ("bfloat16", None))
    assert narrow.keys() == full.keys()
    for name, change in full.items():
        if change.norm() > 0:
            cosine = torch.nn.functional.cosine_similarity(change.flatten(), narrow[name].flatten(), 0)
            assert float(cosine) > 0.999, name
            assert not torch.equal(change, narrow[name]), name


@pytest.mark.parametrize("router", ["online_balanced", "frozen", "attract", "k_means"])
def test_routers_see_float32_and_choose_as_in_float32(router: Any) -> None:
    circuit = rules.sal(CHAIN, areas=4, router=router)
    x, _ = batch_of()
    networks = [network_of(circuit, 0, 1, compute=compute) for compute in ("bfloat16", None)]
    for network in networks:
        network.fit_routers(x)
        for step in range(5):
            network.step(*batch_of(seed=step), optimizer=ns.SGD(lr=0.3))
    narrow, full = networks
    for name, tensors in full.routers.items():
        assert all(torch.equal(tensor, narrow.routers[name][key]) for key, tensor in tensors.items())
    areas = [network.signals(x)["hidden1"]["area"] for network in networks]
    assert torch.equal(*areas)
    assert areas[0].unique().numel() > 1


def test_a_router_of_a_hidden_population_reads_its_rows_in_float32() -> None:
    network = network_of(rules.sal(CHAIN, areas=3, route="population"))
    network.step(*batch_of(), optimizer=ns.SGD(lr=0.1))
    assert {tensor.dtype for tensors in network.routers.values() for tensor in tensors.values()} == {
        torch.float32, torch.float64
    }  # fmt: skip


def test_a_residual_stream_adds_up_in_float32() -> None:
    circuit = rules.bp(circuits.residual_mlp())
    network, full = network_of(circuit), network_of(circuit, compute=None)
    units = circuit.populations["input"].units
    x, _ = batch_of(16, units, 2)
    wide = network.weights.precision.wide
    for edge in circuit.projections.values():
        if edge.wiring.kind == "one_to_one":
            assert {edge.source, edge.target} <= wide
    for some in (network, full):
        for name in some.weights.full:
            if circuit.projections[name].wiring.kind == "dense":
                some.weights.full[name].zero_()
                if circuit.projections[name].source == "input":
                    some.weights.full[name].copy_(torch.eye(*some.weights.full[name].shape[-2:]))
    seen, expected = network.signals(x), full.signals(x)
    stream = [edge.source for edge in circuit.projections.values() if edge.wiring.kind == "one_to_one"]
    assert stream
    for name in stream:
        assert seen[name]["activity"].dtype is torch.float32
        difference = seen[name]["activity"] - expected[name]["activity"]
        assert float(difference.norm()) <= 1.5 * UNIT * float(expected[name]["activity"].norm())


@pytest.mark.parametrize("reduction", ["batch", "area", "sum"])
@pytest.mark.parametrize("areas", [1, 3])
def test_biases_take_the_sums_of_errors_in_float32(areas: int, reduction: Any) -> None:
    network = network_of(rules.sal(CHAIN, areas=areas, reduction=reduction), 0, 1)
    x, y = batch_of(600)
    signals, updates = network.signals(x, y)["hidden1"], network.updates(x, y)
    one = torch.nn.functional.one_hot(signals.get("area", torch.zeros(2, 600, dtype=torch.long)), areas).double()
    divisor = {"batch": 600, "sum": 1}.get(reduction, one.sum(1).clamp(min=1)[..., None] if areas > 1 else 600)
    expected = torch.einsum("rnk,rnu->rku", one, signals["error"].double()) / divisor
    torch.testing.assert_close(
        updates["hidden1.bias"].double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
    )


def test_lateral_settling_is_that_of_float32() -> None:
    experiment = ns.load_experiment("lateral_decorrelation")
    circuits_of = [circuit_of(arm, name) for name, arm in experiment.arms.items()]
    circuit = next(circuit for circuit in circuits_of if circuit.select(pathway="lateral"))
    networks = [network_of(circuit, compute=compute) for compute in ("bfloat16", None)]
    lateral = [edge.source for edge in circuit.projections.values() if edge.pathway == "lateral"]
    assert set(lateral) <= networks[0].weights.precision.wide
    for name in circuit.select(pathway="lateral"):
        assert networks[0].weights.kernel(name).compute is None, name
    units = circuit.populations[circuit.inputs[0]].units
    narrow, full = (network.signals(batch_of(8, units)[0]) for network in networks)
    for population in lateral:
        torch.testing.assert_close(narrow[population]["activity"], full[population]["activity"], rtol=0.05, atol=0.05)


# Exact facts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1, weight_decay=0.5), ns.SGD(lr=(0.1, 0.05), weight_decay=0.5)])
@pytest.mark.parametrize("areas", [1, 3])
@pytest.mark.parametrize("width", [24, 520])
def test_forward_less_feedback_weights_decay_as_in_float32(width: int, areas: int, optimizer: Any) -> None:
    sizes = circuits.mlp(12, width, width, 4)
    circuit = rules.kp(sizes) if areas == 1 else rules.sal(sizes, areas=areas, feedback="kp")
    network = network_of(circuit, 0, 1)
    rates = optimizer.lr if isinstance(optimizer.lr, tuple) else (optimizer.lr,) * 2

    def gap() -> Tensor:
        weights = network.weights
        return weights["hidden1_to_hidden2"].double() - weights["hidden2_to_hidden1"].double().mT

    before, steps = gap(), torch.zeros(2, areas)
    for step in range(6):
        x, y = batch_of(24, seed=step)
        if areas > 1:
            area = network.signals(x)["hidden2"]["area"]
            steps += torch.nn.functional.one_hot(area, areas).sum(1).clamp(max=1)
        else:
            steps += 1
        network.step(x, y, optimizer=optimizer)
    shrink = (1 - torch.tensor(rates).double()[:, None] * 0.5) ** steps.double()
    expected = before * shrink[:, :, None, None]
    largest = float(network.weights["hidden1_to_hidden2"].abs().max())
    assert float((gap() - expected).abs().max()) <= 40 * SUM * max(1.0, largest)


@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1, weight_decay=0.1), ns.Adam(lr=0.01)])
@pytest.mark.parametrize("width", [24, 520])
def test_areas_that_no_sample_selects_keep_every_bit(width: int, optimizer: Any) -> None:
    circuit = rules.sal(circuits.mlp(12, width, width, 4), areas=6, router="frozen")
    network = network_of(circuit, 0, 1)
    x, y = batch_of(3)
    network.step(*batch_of(), optimizer=optimizer)
    idle = torch.ones(2, 6, dtype=torch.bool).scatter_(1, network.signals(x)["hidden1"]["area"], False)
    assert bool(idle.any())
    with_areas = {
        name: tensor for name, tensor in network.state_dict().items()
        if tensor.shape[:2] == (2, 6) and not name.startswith("routers")
    }  # fmt: skip
    before = {name: tensor.clone() for name, tensor in with_areas.items()}
    network.step(x, y, optimizer=optimizer)
    for name, tensor in with_areas.items():
        assert torch.equal(tensor[idle], before[name][idle]), name
        assert not torch.equal(tensor[~idle], before[name][~idle]), name


@pytest.mark.parametrize("rates", [0.1, (0.1, 0.3, 0.2)], ids=["one rate", "rates"])
@pytest.mark.parametrize("rule", ["kp", "dfa", "pfa", "sal"])
def test_a_replica_of_a_batch_is_that_seed_alone(rule: str, rates: Any) -> None:
    options: dict[str, Any] = {"areas": 3} if rule == "sal" else {}
    circuit = made(rule, circuits.mlp(12, 520, 520, 4), **options)
    together = network_of(circuit, 0, 1, 2)
    alone = network_of(circuit, 1)
    x, y = batch_of(32)
    for _ in range(3):
        together.step(x, y, optimizer=ns.SGD(lr=rates))
        alone.step(x, y, optimizer=ns.SGD(lr=rates if isinstance(rates, float) else rates[1]))
    for name, tensor in alone.weights.full.items():
        torch.testing.assert_close(together.weights.full[name][1:2], tensor, rtol=1e-5, atol=1e-6)


def test_masks_and_silenced_units_hold() -> None:
    network = network_of(rules.kp(CHAIN))
    keep = torch.rand(16, 20, generator=torch.Generator().manual_seed(0)) < 0.5
    network.mask("hidden1_to_hidden2", keep)
    network.silence("hidden1", torch.arange(20) > 3)
    before = network.weights["input_to_hidden1"].clone()
    x, y = batch_of()
    for optimizer in (ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.9)):
        for _ in range(3):
            network.step(x, y, optimizer=optimizer)
    assert bool((network.weights["hidden1_to_hidden2"][0, 0][~keep] == 0).all())
    after = network.weights["input_to_hidden1"]
    assert torch.equal(after[..., :4, :], before[..., :4, :])
    assert not torch.equal(after[..., 4:, :], before[..., 4:, :])
    assert bool((network.signals(x)["hidden1"]["activity"][..., :4] == 0).all())


class Allocated(TorchDispatchMode):
    """The largest new tensor of each type."""

    def __init__(self) -> None:
        super().__init__()
        self.largest: dict[torch.dtype, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage().data_ptr() for t in (*args, *(kwargs or {}).values()) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                count = tensor.untyped_storage().nbytes() // tensor.element_size()
                self.largest[tensor.dtype] = max(self.largest.get(tensor.dtype, 0), count)
        return result


def test_a_step_makes_no_copy_of_weights_but_of_one_area_at_a_time() -> None:
    width, areas = 640, 5
    network = network_of(rules.sal(circuits.mlp(12, width, width, 4), areas=areas))
    x, y = batch_of(10)
    with Allocated() as seen:
        network.step(x, y, optimizer=ns.SGD(lr=0.1, weight_decay=0.1))
    assert seen.largest[torch.bfloat16] <= width * width
    assert seen.largest[torch.float32] <= width * width


# Settings, files, runs ------------------------------------------------------------------------------------------------


def test_what_has_no_such_products_is_refused_with_near_names() -> None:
    circuit = made("bp")
    with pytest.raises(ExperimentError, match="Products of float64 weights are float64"):
        ns.compile(circuit, device="cpu", dtype="float64", compute="bfloat16")
    with pytest.raises(ExperimentError, match="Did you mean 'bfloat16'"):
        ns.compile(circuit, device="cpu", compute="bfloat61")
    with pytest.raises(ExperimentError, match=r"training\.compute|Training\.compute"):
        ns.Training(dtype="float64", compute="bfloat16")
    with pytest.raises(ExperimentError, match=r"compute: expected .*'bfloat16', found 'bfloat8'"):
        ns.Training.from_dict({"compute": "bfloat8"})


def test_the_type_of_the_weights_is_the_same_as_none() -> None:
    assert ns.Training(compute="float32") == ns.Training()
    assert "compute" not in ns.Training().to_dict()
    assert ns.Training.from_dict(ns.Training(compute="bfloat16").to_dict()).compute == "bfloat16"
    network, plain = network_of(made("bp"), compute="float32"), network_of(made("bp"), compute=None)
    assert repr(network) == repr(plain)
    assert "compute='bfloat16'" in repr(network_of(made("bp")))
    assert network.weights.kernel("input_to_hidden1") is plain.weights.kernel("input_to_hidden1")


def test_copies_twins_and_files_compute_alike(tmp_path: Path) -> None:
    network = network_of(made("kp"))
    x, y = batch_of()
    network.step(x, y, optimizer=ns.SGD(lr=0.1))
    network.save(tmp_path / "network.safetensors")
    network.save_weights(tmp_path / "weights.safetensors")
    loaded = [ns.load(tmp_path / f"{name}.safetensors", device="cpu") for name in ("network", "weights")]
    for other in (copy.deepcopy(network), network.twin(network.circuit), *loaded):
        assert other.compute == "bfloat16"
        assert torch.equal(other.predict(x), network.predict(x))


class Stop:
    """A progress callback that interrupts once after so many steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, _: int, __: str) -> None:
        if done == self.after:
            raise KeyboardInterrupt


def test_a_run_resumes_to_the_same_bits_and_not_with_other_products(tmp_path: Path) -> None:
    x, y = batch_of(60)
    data = ns.data.from_arrays(x.numpy(), y.numpy(), test=np.arange(40, 60))
    circuit = rules.sal(CHAIN, areas=3)
    settings = {"epochs": 3, "batch_size": 8, "optimizer": ns.SGD(lr=0.1, weight_decay=0.1), "checkpoint_every": 1}
    whole = network_of(circuit, 0, 1)
    ns.train(whole, data, store=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        ns.train(network_of(circuit, 0, 1), data, store=tmp_path / "run", progress=Stop(9), **settings)
    with pytest.raises(ns.errors.StoreError, match=r"compute: expected 'bfloat16', found None"):
        ns.train(network_of(circuit, 0, 1, compute=None), data, store=tmp_path / "run", resume=True, **settings)
    resumed = network_of(circuit, 0, 1)
    run = ns.train(resumed, data, store=tmp_path / "run", resume=True, **settings)
    assert run.settings["training"]["compute"] == "bfloat16"
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    with pytest.raises(ExperimentError, match="the type of products of the network, bfloat16"):
        ns.train(resumed, data, ns.Training(compute="float32", epochs=1), store=tmp_path / "other")


@pytest.mark.parametrize("rule", ["bp", "kp"])
def test_curves_on_digits_are_those_of_float32_within_seed_noise(rule: str, tmp_path: Path) -> None:
    circuit = made(rule, circuits.mlp(64, 128, 10))
    data = ns.data.load("digits")
    accuracy, loss = {}, {}
    for compute in ("float32", "bfloat16"):
        network = network_of(circuit, *range(5), compute=compute)
        run = ns.train(
            network, data, store=tmp_path / compute, epochs=6, batch_size=32, optimizer=ns.SGD(lr=0.1), log_every=10
        )
        accuracy[compute] = run.tree["metrics/eval"]["test_accuracy"].values[:, -1]
        loss[compute] = run.tree["metrics/train"]["loss"].values
    spread = np.abs(loss["float32"] - loss["float32"].mean(0)).mean()
    assert np.abs(loss["float32"] - loss["bfloat16"]).mean() < 0.2 * spread
    change = 100 * (accuracy["bfloat16"] - accuracy["float32"])
    half = 2.78 * change.std(ddof=1) / np.sqrt(5)
    assert abs(change.mean()) <= max(half, 0.3), (change.mean(), half)
    assert abs(change.mean()) < 1


def test_rows_of_an_area_are_divided_by_its_samples_before_they_are_rounded() -> None:
    network = network_of(rules.sal(CHAIN, areas=3, reduction="area", router="frozen"))
    x, y = batch_of(70)
    signals, change = network.signals(x, y), network.updates(x, y)["hidden1_to_hidden2"][0].double()
    area = signals["hidden2"]["area"][0]
    one = torch.nn.functional.one_hot(area, 3).double()
    h, d = signals["hidden1"]["activity"][0].double(), signals["hidden2"]["error"][0].double()
    each = one / one.sum(0).clamp(min=1)
    exact = torch.einsum("nk,no,ni->koi", each, d, h)
    size = torch.einsum("nk,no,ni->koi", each, d.abs(), h.abs())
    assert bool(((change - exact).abs() <= (UNIT + 70 * SUM) * size + UNIT * exact.abs() + 1e-12).all())
    # Rounding of a factor that all rows of an area share would not average out.
    assert float((change - exact).sum().abs() / size.sum()) < UNIT / 20
