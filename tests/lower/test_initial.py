"""First values: distributions against their formulas, and streams that know only seed and name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import (
    Constant,
    Copy,
    Initialiser,
    KaimingNormal,
    KaimingUniform,
    Normal,
    OneToOne,
    Orthogonal,
    Own,
    Projection,
    SignOf,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.initial import draw, draw_areas
from neurosal.lower.streams import stream
from neurosal.plasticity import Fixed, KolenPollack
from tests.rules.table import chain_of

PRE, POST = 400, 250  # 100 000 weights: a standard deviation is known to .3 %, a mean to .3 % of it
CHAIN = chain_of(7, 5, 4, 3)


def drawn(init: Initialiser, post: int = POST, pre: int = PRE) -> Any:
    return draw(init, (post, pre), pre, post, stream(0, "weights")).double()


def network_of(circuit: Any, seeds: Any = (0,), dtype: str = "float32") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


NORMAL: list[tuple[Initialiser, float]] = [
    (Normal(std=0.3), 0.3),
    (XavierNormal(), math.sqrt(2 / (PRE + POST))),
    (XavierNormal(gain=3), 3 * math.sqrt(2 / (PRE + POST))),
    (KaimingNormal(), math.sqrt(2 / PRE)),
    (KaimingNormal(gain=1), math.sqrt(1 / PRE)),
]
UNIFORM: list[tuple[Initialiser, float]] = [
    (XavierUniform(), math.sqrt(6 / (PRE + POST))),
    (XavierUniform(gain=0.1), 0.1 * math.sqrt(6 / (PRE + POST))),
    (KaimingUniform(), math.sqrt(6 / PRE)),
    (KaimingUniform(gain=1), math.sqrt(3 / PRE)),
    (Uniform(low=-0.5, high=0.5), 0.5),
]


@pytest.mark.parametrize(("init", "deviation"), NORMAL, ids=lambda value: repr(value))
def test_normal_initialisers_have_the_moments_of_their_formula(init: Initialiser, deviation: float) -> None:
    weight = drawn(init)
    assert weight.mean().item() == pytest.approx(0, abs=0.02 * deviation)
    assert weight.std().item() == pytest.approx(deviation, rel=0.012)
    assert ((weight / deviation) ** 4).mean().item() == pytest.approx(3, rel=0.05)  # a normal one, not another
    assert init.deviation(PRE, POST) == pytest.approx(deviation)


@pytest.mark.parametrize(("init", "limit"), UNIFORM, ids=lambda value: repr(value))
def test_uniform_initialisers_fill_the_range_of_their_formula(init: Initialiser, limit: float) -> None:
    weight = drawn(init)
    assert weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
    assert weight.abs().max().item() <= limit * (1 + 1e-6)
    assert weight.mean().item() == pytest.approx(0, abs=0.02 * limit)
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert init.deviation(PRE, POST) == pytest.approx(limit / math.sqrt(3))


def test_means_and_bounds_may_lie_anywhere() -> None:
    assert drawn(Normal(mean=2.0, std=0.1)).mean().item() == pytest.approx(2, abs=0.002)
    weight = drawn(Uniform(low=1.0, high=3.0))
    assert (weight.min().item(), weight.max().item()) == pytest.approx((1, 3), abs=1e-3)
    assert torch.equal(drawn(Constant(value=0.25)), torch.full((POST, PRE), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(("post", "pre"), [(30, 50), (50, 30), (40, 40)])
def test_orthogonal_rows_or_columns_have_the_length_of_the_gain(post: int, pre: int) -> None:
    weight = drawn(Orthogonal(gain=2.0), post, pre)
    small = weight @ weight.T if post <= pre else weight.T @ weight
    assert (small - 4 * torch.eye(min(post, pre), dtype=torch.float64)).abs().max() < 1e-5
    assert weight.std().item() == pytest.approx(Orthogonal(gain=2.0).deviation(pre, post), rel=0.05)


def test_fans_are_those_of_the_projections_own_direction() -> None:
    init = Own(init=KaimingNormal(gain=1))
    circuit = rules.fa(chain_of(4, 400, 100), init=KaimingNormal(gain=1)).with_projections(
        hidden1_to_output=Projection(source="hidden1", target="output", weights=init)
    )
    network = network_of(circuit)
    assert network.weights["hidden1_to_output"].std().item() == pytest.approx(400**-0.5, rel=0.02)
    assert network.weights["output_to_hidden1"].std().item() == pytest.approx(100**-0.5, rel=0.02)


def test_one_to_one_weights_have_one_fan_each_way() -> None:
    scale = Projection(source="hidden1", target="hidden2", wiring=OneToOne(), weights=Own(init=KaimingNormal(gain=1)))
    circuit = rules.shallow(chain_of(4, 5000, 5000, 3).without("hidden1_to_hidden2").with_projections(scale=scale))
    weight = network_of(circuit).weights["scale"]
    assert weight.shape == (1, 1, 5000)
    assert weight.std().item() == pytest.approx(1, rel=0.05)


def test_biases_start_at_zero() -> None:
    assert not any(bias.any() for bias in network_of(rules.sal(CHAIN, areas=3), (0, 1)).biases.values())


# Streams -------------------------------------------------------------------------------------------------------------


def test_streams_differ_by_seed_and_name_and_by_nothing_else() -> None:
    keys: list[tuple[Any, ...]] = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 0), (0, "a", 1), (10, "a"), (2**63 - 1, "a")]
    draws = [torch.rand(4, generator=stream(*key)) for key in keys]
    for index, first in enumerate(draws):
        assert torch.equal(first, torch.rand(4, generator=stream(*keys[index])))
        assert not any(torch.equal(first, other) for other in draws[index + 1 :])
    assert stream(0, "a").device.type == "cpu"


def test_no_global_state_is_read_or_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = network_of(rules.sal(CHAIN, areas=3, router="k_means")).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    two = network_of(rules.sal(CHAIN, areas=3, router="k_means")).state_dict()
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


MAKERS: dict[str, Callable[..., Any]] = {
    "kp": rules.kp,
    "pfa": lambda circuit: rules.pfa(circuit, expansion=2),
    "sal": lambda circuit: rules.sal(circuit, areas=3, rank=4, init="independent"),
}


@pytest.mark.parametrize("rule", MAKERS)
def test_a_replica_starts_the_same_whatever_runs_beside_it(rule: str) -> None:
    circuit = MAKERS[rule](CHAIN)
    many, alone = network_of(circuit, (5, 0, 9, 5)), network_of(circuit, (9,))
    for name, tensor in alone.state_dict().items():
        if tensor.dim():
            assert torch.equal(many.state_dict()[name][2], tensor[0]), name
            assert torch.equal(many.state_dict()[name][0], many.state_dict()[name][3]), name
    assert not torch.equal(many.weights["input_to_hidden1"][0], many.weights["input_to_hidden1"][1])


def test_all_rules_and_types_start_from_the_same_forward_weights() -> None:
    first = network_of(rules.bp(CHAIN), (0, 1))
    for circuit in (rules.fa(CHAIN), rules.dfa(CHAIN), rules.pfa(CHAIN), rules.sal(CHAIN, areas=4)):
        for dtype in ("float32", "float64"):
            other = network_of(circuit, (0, 1), dtype)
            for name in CHAIN.projections:
                assert torch.equal(other.weights[name][:, 0].float(), first.weights[name][:, 0]), name


@pytest.mark.parametrize("across", ["same", "independent"])
def test_the_first_area_is_the_draw_of_one_area(across: Any) -> None:
    weights = Own(init=XavierUniform(), across_areas=across)
    one = draw_areas(weights, "w", 3, 1, (6, 4), 4, 6)
    four = draw_areas(weights, "w", 3, 4, (6, 4), 4, 6)
    assert one.shape == (1, 6, 4)
    assert four.shape == (4, 6, 4)
    assert torch.equal(four[0], one[0])
    for area in range(1, 4):
        assert torch.equal(four[area], four[0]) == (across == "same")
    if across == "independent":
        assert not torch.equal(four[1], four[2])


def test_areas_that_start_the_same_are_tensors_of_their_own() -> None:
    network = network_of(rules.sal(CHAIN, areas=3, init="same"))
    weight = network.weights["input_to_hidden1"]
    weight[0, 0] += 1
    assert not torch.equal(weight[0, 0], weight[0, 1])


# Origins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("areas", [1, 3])
def test_a_copy_starts_as_the_transpose_and_is_its_own(areas: int) -> None:
    circuit = rules.sal(CHAIN, areas=areas, feedback="kp_tied", init="independent")
    network = network_of(circuit, (0, 1))
    copies = [name for name, edge in circuit.projections.items() if isinstance(edge.weights, Copy)]
    assert len(copies) == 2
    for name in copies:
        of = circuit.projections[name].weights.of
        assert torch.equal(network.weights[name], network.weights[of].mT)
        network.weights[name].zero_()
        assert network.weights[of].any()


def test_a_copy_among_forward_projections_starts_as_the_transpose_too() -> None:
    turned = Projection(source="hidden2", target="output", weights=Copy(of="hidden1_to_hidden2"))
    circuit = rules.shallow(chain_of(4, 3, 5, 3).with_projections(hidden2_to_output=turned))
    network = network_of(circuit)
    assert torch.equal(network.weights["hidden2_to_output"], network.weights["hidden1_to_hidden2"].mT)


@pytest.mark.parametrize("magnitude", [None, 0.5])
def test_a_sign_symmetric_weight_is_the_magnitude_with_the_sign_of_the_transpose(magnitude: float | None) -> None:
    back = Projection(
        source="output", target="hidden2", pathway="feedback",
        weights=SignOf(of="hidden2_to_output", magnitude=magnitude), plasticity=Fixed(),
    )  # fmt: skip
    network = network_of(CHAIN.with_projections(back=back), (0, 1))
    forward = network.weights["hidden2_to_output"]
    expected = 0.5 if magnitude else math.sqrt(2 / (4 + 3))
    assert torch.allclose(network.weights["back"], expected * forward.sign().mT)
    forward.neg_()
    assert torch.allclose(network.weights["back"], expected * forward.sign().mT)


# Members of others ---------------------------------------------------------------------------------------------------


class Alternating(Initialiser):
    kind: ClassVar[str] = "alternating_of_a_test"

    def deviation(self, fan_in: int, fan_out: int) -> float:
        return 1.0

    def draw(self, shape: tuple[int, ...], fan_in: int, fan_out: int, generator: Any) -> Any:
        return torch.ones(shape) * torch.tensor([1.0, -1.0]).repeat(shape[-1])[: shape[-1]]


class Mute(Initialiser):
    kind: ClassVar[str] = "kaiming_norm_of_a_test"


def test_an_initialiser_of_others_draws_itself() -> None:
    own = Projection(source="input", target="hidden1", weights=Own(init=Alternating()))
    network = network_of(rules.shallow(CHAIN.with_projections(input_to_hidden1=own)))
    assert network.weights["input_to_hidden1"][0, 0, 0].tolist() == [1, -1, 1, -1, 1, -1, 1]


def test_an_initialiser_that_cannot_be_drawn_is_named() -> None:
    with pytest.raises(CircuitError, match=r"initialiser kaiming_norm_of_a_test.*a method draw.*Mute"):
        draw(Mute(), (2, 3), 3, 2, stream(0, "w"))


def test_plastic_feedback_with_one_to_one_wiring_is_drawn_in_its_own_direction() -> None:
    there = Projection(source="hidden1", target="hidden2", wiring=OneToOne(), weights=Own(init=Normal()))
    here = Projection(
        source="hidden2", target="hidden1", pathway="feedback", wiring=OneToOne(), weights=Copy(of="scale"),
        plasticity=KolenPollack(),
    )  # fmt: skip
    network = network_of(rules.fa(chain_of(4, 5, 5, 3)).with_projections(scale=there, back=here))
    assert torch.equal(network.weights["back"], network.weights["scale"])
