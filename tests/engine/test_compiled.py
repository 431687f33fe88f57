"""Steps as one graph: the numbers of eager steps, one graph for each batch size, and what cannot be one is refused."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine import compiled
from neurosal.errors import DataError, ExperimentError
from neurosal.graph import Plasticity
from neurosal.plasticity import BCM, Hebbian, Oja
from neurosal.settings.schedules import WarmUp
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3)
SELECTIVE = rules.sal(CHAIN, areas=3, rank=4)
MAIN = {
    "dfa": rules.dfa(CHAIN),
    "kp": rules.kp(CHAIN),
    "pfa": rules.pfa(CHAIN, expansion=2),
    "sal": SELECTIVE,
}
OTHERS = {
    "bp": rules.bp(CHAIN),
    "fa": rules.fa(CHAIN),
    "usf": rules.usf(CHAIN),
    "brsf": rules.brsf(CHAIN, density=0.6),
    "kp_tied": rules.kp_tied(CHAIN),
    "shallow": rules.shallow(CHAIN),
    "drtp": rules.drtp(CHAIN),
    "sal_attract": rules.sal(CHAIN, areas=3, rank=4, router="attract", route="population", feedback="dfa"),
    "residual": rules.kp(circuits.residual_mlp(4, 5, 3, blocks=2)),
}
MOMENTUM = ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)
# An ε far above rounding: where changes are as small as it, Adam would show their last bits.
OPTIMIZERS = {
    "sgd": ns.SGD(lr=0.1, weight_decay=0.01, schedule=WarmUp(steps=5)),
    "momentum": MOMENTUM,
    "adam": ns.Adam(lr=0.01, eps=1e-4),
}
CLOSE = {torch.float64: 1e-12, torch.float32: 2e-5}


@pytest.fixture(autouse=True)
def _without_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dynamo takes the whole step, and what it took runs as it is: fast enough for many."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    yield
    torch._dynamo.reset()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Operations in each graph that torch was given to compile."""
    sizes: list[int] = []

    def count(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        sizes.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", count)
    return sizes


def pair(circuit: Any, replicas: int = 1, dtype: str = "float64") -> tuple[Any, Any]:
    return tuple(
        ns.compile(circuit, seeds=range(replicas), device="cpu", dtype=dtype, step=step)
        for step in ("eager", "compiled")
    )  # type: ignore[return-value]


def learning(**plasticity: Any) -> Any:
    edges = {name: CHAIN.projections[name].replace(plasticity=entry) for name, entry in plasticity.items()}
    return CHAIN.with_projections(**edges)


def batch_of(samples: int, network: Any, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(network.replicas, samples, 4, generator=generator).to(network.dtype)
    return x, torch.randint(3, (network.replicas, samples), generator=generator)


def go(eager: Any, other: Any, sizes: Any, optimizer: Any, loss: str = "cross_entropy") -> None:
    """The same steps of both; losses and all of the state must agree."""
    for number, samples in enumerate(sizes):
        x, y = batch_of(samples, eager, seed=number)
        means = [network.step(x, y, loss=loss, optimizer=optimizer) for network in (eager, other)]
        torch.testing.assert_close(*means, rtol=CLOSE[eager.dtype], atol=CLOSE[eager.dtype], equal_nan=True)
    agree(eager, other)


def agree(eager: Any, other: Any) -> None:
    mine, others = eager.state_dict(), other.state_dict()
    assert mine.keys() == others.keys()
    for name, tensor in mine.items():
        assert tensor.shape == others[name].shape
        scale = float(tensor.double().abs().max()) or 1.0
        torch.testing.assert_close(
            others[name], tensor, rtol=0, atol=CLOSE[eager.dtype] * scale, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(("optimizer", "replicas"), [("sgd", 1), ("sgd", 2), ("momentum", 1), ("adam", 2)])
@pytest.mark.parametrize("rule", MAIN)
def test_the_numbers_are_those_of_eager_steps(rule: str, optimizer: str, replicas: int) -> None:
    go(*pair(MAIN[rule], replicas), [6, 6, 6], OPTIMIZERS[optimizer])


@pytest.mark.parametrize("rule", OTHERS)
def test_other_rules_come_for_free(rule: str) -> None:
    go(*pair(OTHERS[rule], 2), [6, 6], OPTIMIZERS["sgd"])


@pytest.mark.parametrize("circuit", ["kp", "sal"])
def test_rates_that_differ_between_replicas_are_arguments_too(circuit: str, made: list[int]) -> None:
    eager, other = pair(MAIN[circuit], 2)
    go(eager, other, [6, 6], ns.SGD(lr=(0.1, 0.3), weight_decay=(0.1, 0.0)))
    go(eager, other, [6, 6], ns.SGD(lr=(0.2, 0.2), weight_decay=(0.1, 0.1)))
    go(eager, other, [6, 6], ns.SGD(lr=0.3, weight_decay=0.2))
    assert len(made) == 1


def test_schedules_and_batches_that_come_again_make_no_other_graph(made: list[int]) -> None:
    """Two graphs: the batch, and the last one of an epoch."""
    go(*pair(MAIN["kp"], 2), [6, 6, 3, 6, 6, 3], OPTIMIZERS["sgd"])
    assert len(made) == 2


def test_areas_without_samples_keep_their_bits() -> None:
    """Momentum and decay would move them."""
    network = pair(SELECTIVE)[1]
    x, y = batch_of(6, network)
    network.step(x, y, optimizer=MOMENTUM)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.step(x[:, :1], y[:, :1], optimizer=MOMENTUM)
    area = int(network.signals(x[:, :1], y[:, :1])["hidden2"]["area"])
    idle = [other for other in range(3) if other != area]
    for name in ("weights/hidden1_to_hidden2", "biases/hidden2.bias", "optimizer/hidden1_to_hidden2/momentum"):
        after = network.state_dict()[name]
        assert torch.equal(after[:, idle], before[name][:, idle]), name
        assert not torch.equal(after[:, area], before[name][:, area]), name


@pytest.mark.parametrize(
    "optimizer", [ns.SGD(lr=0.1, momentum=0.9, nesterov=True), ns.SGD(lr=0.1, clip=0.1), ns.AdamW(lr=0.01, eps=1e-4)],
    ids=["nesterov", "clip", "adamw"],
)  # fmt: skip
def test_every_optimiser_is_traced(optimizer: Any) -> None:
    go(*pair(SELECTIVE, 2), [6, 6], optimizer)


@pytest.mark.parametrize("loss", ["mse", "none"])
def test_other_losses_and_plasticity_of_its_own_are_traced(loss: str) -> None:
    """Thresholds that plasticity keeps change in place."""
    circuit = learning(input_to_hidden1=BCM(), hidden1_to_hidden2=Oja(), hidden2_to_output=Hebbian())
    eager, other = pair(circuit, 2)
    for number in range(3):
        x, y = batch_of(6, eager, seed=number)
        values = torch.nn.functional.one_hot(y, 3).to(eager.dtype)
        for network in (eager, other):
            network.step(x, values, loss=loss, optimizer=ns.SGD(lr=0.01))
    agree(eager, other)


def test_single_precision_differs_by_rounding_only() -> None:
    go(*pair(SELECTIVE, 2, "float32"), [6, 6], MOMENTUM)


def test_the_state_goes_from_one_way_to_the_other() -> None:
    eager, other = pair(MAIN["kp"], 2)
    go(eager, other, [6, 6], MOMENTUM)
    fresh = ns.compile(MAIN["kp"], seeds=range(2), device="cpu", dtype="float64", step="compiled")
    x, y = batch_of(6, fresh)
    fresh.step(x, y, optimizer=MOMENTUM)
    fresh.load_state_dict(eager.state_dict())
    go(eager, fresh, [6, 6], MOMENTUM)
    go(copy.deepcopy(eager), copy.deepcopy(fresh), [6], MOMENTUM)
    assert copy.deepcopy(fresh).way == "compiled"


def test_lesions_are_taken_over_and_lifted() -> None:
    eager, other = pair(MAIN["kp"], 2)
    for change in (
        lambda network: network.mask("hidden1_to_hidden2", torch.arange(6) % 2 == 0),
        lambda network: network.silence("hidden2", torch.arange(5) > 1),
        lambda network: network.restore("hidden2"),
    ):
        go(eager, other, [6, 6], MOMENTUM)
        change(eager)
        change(other)
    go(eager, other, [6, 6], MOMENTUM)


def test_a_constant_skip_that_is_written_into_is_seen() -> None:
    eager, other = pair(OTHERS["residual"])
    skip = next(name for name in eager.weights if eager.weights[name].dim() == 3)
    for _ in range(2):
        go(eager, other, [6], MOMENTUM)
        for network in (eager, other):
            network.weights[skip][:] *= 0.5


def test_a_replica_that_is_frozen_stays_and_the_others_go_on() -> None:
    eager, other = pair(SELECTIVE, 3)
    go(eager, other, [6], MOMENTUM)
    before = other.weights["hidden1_to_hidden2"].clone()
    for network in (eager, other):
        network.freeze_replicas([1])
    go(eager, other, [6, 6], MOMENTUM)
    assert torch.equal(other.weights["hidden1_to_hidden2"][1], before[1])
    assert not torch.equal(other.weights["hidden1_to_hidden2"][2], before[2])


def test_reading_goes_its_own_way_and_weights_stay_where_they_are() -> None:
    eager, other = pair(MAIN["kp"], 2)
    places = {name: tensor.data_ptr() for name, tensor in other.parameters().items()}
    x, y = batch_of(6, eager)
    go(eager, other, [6, 6], MOMENTUM)
    torch.testing.assert_close(other.predict(x), eager.predict(x), rtol=1e-12, atol=1e-12)
    mine, others = eager.updates(x, y), other.updates(x, y)
    assert all(torch.allclose(mine[name], others[name], rtol=1e-12, atol=1e-14) for name in mine)
    assert places == {name: tensor.data_ptr() for name, tensor in other.parameters().items()}


class Impatient(Plasticity):
    """Looks at a number on the host."""

    kind: ClassVar[str] = "impatient"
    needs: ClassVar[frozenset[str]] = frozenset({"pre_activity", "post_activity"})

    def update(self, local: Any, state: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return local.weight * float(local.post_activity.mean()), state


def test_what_looks_at_numbers_is_refused_and_nothing_changes() -> None:
    network = pair(learning(input_to_hidden1=Impatient()))[1]
    before = {name: tensor.clone() for name, tensor in network.parameters().items()}
    x, y = batch_of(6, network)
    with pytest.raises(ExperimentError, match=r'(?s)same work whatever the numbers.*step="eager"'):
        network.step(x, y, optimizer=MOMENTUM)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.parameters().items())


def test_what_the_compiler_cannot_do_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, _: Any) -> Any:
        raise ValueError("no such instruction")

    monkeypatch.setattr(compiled, "BACKEND", broken)
    network = pair(MAIN["kp"])[1]
    with pytest.raises(ExperimentError, match=r"(?s)no such instruction|BackendCompilerFailed"):
        network.step(*batch_of(6, network), optimizer=MOMENTUM)


def test_ways_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExperimentError, match="Did you mean 'compiled'"):
        ns.compile(CHAIN, step="compild")
    with pytest.raises(ExperimentError, match="products in bfloat16"):
        ns.compile(CHAIN, step="compiled", compute="bfloat16", device="cpu")
    with pytest.raises(ExperimentError, match=r"training.*step|step.*bfloat16"):
        ns.Training(step="compiled", compute="bfloat16")
    with pytest.raises(ExperimentError, match=r"(?s)a GPU for 'cuda_graph'.*device 'cpu'"):
        ns.compile(CHAIN, step="cuda_graph", device="cpu")
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExperimentError, match=r"(?s)no-such-compiler.*set CXX"):
        ns.compile(CHAIN, step="compiled", device="cpu")


class Recorded(compiled.Replayed):
    """Replays on a CPU what a GPU would have captured: the same buffers, each time."""

    captures = 0

    def _capture(self) -> tuple[Callable[[], None], Tensor]:
        type(self).captures += 1
        mean = torch.zeros(2, dtype=torch.float64)
        return lambda: mean.copy_(self._graph(*self._buffers, *self._state)), mean

    def _beside(self, given: Any, state: Any) -> Tensor:
        return self._graph(*given, *state)


def test_what_is_captured_reads_new_batches_and_rates_from_its_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "Replayed", Recorded)
    monkeypatch.setattr(Recorded, "captures", 0)
    eager, other = pair(SELECTIVE, 2)
    other._traced.way = "cuda_graph"
    go(eager, other, [6] * 6 + [3] * 5, ns.SGD(lr=0.1, momentum=0.9, schedule=WarmUp(steps=9)))
    assert Recorded.captures == 2
    other.load_state_dict(other.state_dict())  # the optimiser's memory is elsewhere now
    eager.load_state_dict(eager.state_dict())
    go(eager, other, [6] * 2, MOMENTUM.replace(weight_decay=0.0))
    assert Recorded.captures == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs are of GPUs")
@pytest.mark.parametrize("step", ["compiled", "cuda_graph"])
@pytest.mark.parametrize("rule", MAIN)
def test_a_gpu_gives_the_numbers_of_its_eager_steps(rule: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    eager, other = (
        ns.compile(MAIN[rule], seeds=range(2), device="cuda", dtype="float64", step=way) for way in ("eager", step)
    )
    for number in range(8):
        x, y = batch_of(6, eager, seed=number)
        for network in (eager, other):
            network.step(x.cuda(), y.cuda(), optimizer=OPTIMIZERS["momentum"])
    agree(eager, other)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_compiles_areas_and_says_what_is_wrong_with_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one test that runs the compiler itself: what it makes of a step, and of a label that no unit stands for."""
    monkeypatch.setattr(compiled, "BACKEND", "inductor")
    eager, other = pair(SELECTIVE, 2)
    go(eager, other, [6, 6], MOMENTUM)
    x, y = batch_of(6, eager)
    with pytest.raises(DataError, match="labels from 0 to 2"):
        other.step(x, y + 1, optimizer=MOMENTUM)
    # Products so large that another library takes them.
    eager, other = pair(rules.fa(circuits.mlp(4, 256, 256, 3)), 1, "float32")
    go(eager, other, [64, 64], ns.SGD(lr=0.1))
