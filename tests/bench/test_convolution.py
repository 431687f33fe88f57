"""ResNet-20 in the bench: the step by hand, what is refused, what must be done at least, and its rows of results."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from neurosal.bench import convolution, images
from neurosal.bench.agreement import Refused
from neurosal.bench.child import can_measure, measured
from neurosal.bench.images import RULES, ImageWork, cost, one_after_another, ours, theirs
from neurosal.bench.spatial import SpatialNet, by_hand, multiply_adds, net_of
from neurosal.bench.torch_resnet import TorchResNet, loss_of
from neurosal.engine.learning import Learner
from neurosal.engine.network import compile
from neurosal.rules import bp, pfa
from tests.bench.making import EFFORT, console, printed

SMALL = ImageWork(8, side=8, width=4)


def test_the_torch_net_is_the_circuit_number_by_number() -> None:
    assert sum(p.numel() for p in TorchResNet().parameters()) == 269_722
    weights, own = TorchResNet(width=4).numbers()
    ours_here = net_of(compile(bp(SMALL.circuit())))
    shapes = {name: value.shape for name, value in {**weights, **own}.items()}
    assert shapes == {name: value.shape for name, value in ours_here.learning().items()}


def test_the_step_by_hand_is_that_of_autograd() -> None:
    model, (x, y) = TorchResNet(width=4).double(), SMALL.data()
    net = SpatialNet(bp(SMALL.circuit()), *model.numbers()).copy()
    before = net.copy().learning()
    loss_of(model)(x.double(), y).backward()
    gradient = {parameter.data_ptr(): parameter.grad for parameter in model.parameters()}
    length = by_hand(net, x.double(), y, 0.5)
    weights, own = model.numbers()
    assert net.learning().keys() == {**weights, **own}.keys() == length.keys()
    for name, value in {**weights, **own}.items():
        expected = gradient[value.data_ptr()]
        assert expected is not None
        assert torch.allclose(before[name] - net.learning()[name], 0.5 * expected, rtol=0, atol=1e-9), name
        assert length[name] == pytest.approx(float(0.5 * expected.norm()), rel=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_takes_the_step_by_hand(rule: str) -> None:
    contender = ours(SMALL, rule)
    contender.step()  # whose velocity must not come into what is checked
    assert contender.check() < 1e-3


@pytest.mark.parametrize(("form", "channels_last"), [("fused", True), ("foreach", True), ("fused", False)])
def test_torch_takes_the_step_by_hand(form: str, channels_last: bool) -> None:
    contender = theirs(SMALL, form, channels_last=channels_last)
    contender.step()
    assert contender.check() < 1e-3


def test_seeds_at_once_and_one_after_another_take_it_on_images_of_their_own() -> None:
    work = ImageWork(8, replicas=2, side=8, width=4)
    assert ours(work, "kp").check() < 1e-3
    assert one_after_another(work, "kp").check() < 1e-3
    x, _ = work.data()
    assert not torch.equal(x[0], x[1])


def test_a_convolution_that_does_not_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn

    def half(self: Any, change: Any, *rest: Any) -> None:
        if "block2_hidden_to_block2_branch" not in change.projections:
            learn(self, change, *rest)

    monkeypatch.setattr(Learner, "learn", half)
    with pytest.raises(Refused, match=r"one step of dfa differs .* by 1 in block2_(hidden_to_block2_)?branch"):
        ours(SMALL, "dfa").check()


def test_a_rival_whose_shortcut_leads_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Without:
        """torch's functions, with a padding that loses what it pads."""

        def __getattr__(self, name: str) -> Any:
            return getattr(torch.nn.functional, name)

        def pad(self, x: torch.Tensor, *rest: Any) -> torch.Tensor:
            return torch.nn.functional.pad(x, *rest) * 0

    model = theirs(SMALL, "fused")
    monkeypatch.setattr("neurosal.bench.torch_resnet.functional", Without())
    with pytest.raises(Refused, match="torch backprop"):
        model.check()


def test_products_are_counted_by_hand() -> None:
    stem = 3 * 4 * 9 * 64
    first = 6 * 4 * 4 * 9 * 64
    second = (4 * 8 + 5 * 8 * 8) * 9 * 16
    third = (8 * 16 + 5 * 16 * 16) * 9 * 4
    forward = stem + first + second + third + 160
    circuit = SMALL.circuit()
    assert sum(multiply_adds(circuit, edge) for edge in circuit.projections.values()) == forward
    tied = cost(bp(circuit), SMALL)
    assert tied.operations == 2 * 8 * (3 * forward - stem)
    assert cost(RULES["dfa"](circuit), SMALL).operations < tied.operations


def test_the_floor_of_a_relay_is_that_of_the_contracted_one_where_samples_are_many() -> None:
    work = ImageWork(128)
    circuit = work.circuit()
    tied, relay = (cost(rule(circuit), work).operations for rule in (bp, pfa))
    assert tied < relay < 1.1 * tied
    few = ImageWork(1, side=8, width=4)  # with a place or two a kernel the product of weights is what costs
    stands = cost(pfa(few.circuit()), few).operations
    assert stands > 2 * cost(bp(few.circuit()), few).operations


def test_rows_stand_beside_torch_with_their_goals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "measured", lambda asked: {"above_bytes": 100 + len(asked["contender"])})
    monkeypatch.setattr(convolution, "can_measure", lambda _: True)
    where = console()
    found = convolution.compare(where, EFFORT)
    assert [row["work"].split(", ")[-1] for row in found] == ["batch 8", "bfloat16", "2 seeds", "memory"]
    steps, narrow, several, held = found
    assert list(steps["contenders"])[1:] == ["bp", "kp", convolution.PFA]
    limits = {goal["what"].split(" over")[0]: goal["goal"] for goal in steps["goals"]}
    assert limits == {"bp": "≤ 1.05", "kp": "≤ 1.05", "dfa": "≤ 0.8", convolution.PFA: "≤ 1.4"}
    assert [goal["met"] is None for goal in steps["goals"]] == [False, False, True, False]
    assert "bp, bfloat16" in narrow["contenders"]
    assert [goal["measured"] is not None for goal in several["goals"]] == [True, True]
    assert list(held["peaks"]) == ["torch backprop", "kp"]
    assert "torch backprop" in printed(where)


@pytest.mark.skipif(not can_measure(), reason="no /proc/self/clear_refs")
@pytest.mark.parametrize("name", ["kp", "torch backprop"])
def test_a_process_of_its_own_measures_what_a_step_holds(name: str) -> None:
    """At least one signal of each of 19 populations with a norm, batch 64 of 16 × 16 images."""
    work = (64, 1, 16, 8)
    asked = {"task": "images", "contender": name, "work": work, "device": "cpu", "threads": 1}
    found = measured(asked)
    signals = 64 * 4 * (7 * 8 * 256 + 6 * 16 * 64 + 6 * 32 * 16)
    assert signals <= found["above_bytes"] <= 12 * signals
    assert found["difference_of_one_step"] < images.DEEP
