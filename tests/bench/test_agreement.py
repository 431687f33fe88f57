"""Whether a contender computes what it is timed for: right ones pass, wrong ones are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from neurosal.bench import torch_areas
from neurosal.bench.agreement import Net, Refused, by_hand
from neurosal.bench.contenders import AREA_RULES, FORMS, RULES, dense, ours, torch_model
from neurosal.bench.works import Work
from neurosal.engine.grouped import accumulate_groups
from neurosal.engine.learning import Learner
from tests.bench.making import AREAS, SEEDS, TINY


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("work", [TINY, SEEDS], ids=str)
def test_every_rule_takes_the_step_by_hand(work: Work, rule: str) -> None:
    assert ours(work, rule).check() < 1e-4


@pytest.mark.parametrize("rule", AREA_RULES)
@pytest.mark.parametrize("usage", ["even", "skewed"])
def test_areas_take_the_step_by_hand(usage: Any, rule: str) -> None:
    entry = ours(Work(AREAS.sizes, AREAS.batch, areas=4, usage=usage), rule)
    assert entry.check() < 1e-4
    assert entry.extra()["usage_max_over_mean"] == pytest.approx(max(COUNTS[usage]) / 15)


COUNTS = {"even": [15, 15, 15, 15], "skewed": [29, 14, 10, 7]}  # in proportion to 1, 1/2, 1/3, 1/4


def test_the_step_by_hand_is_that_of_autograd() -> None:
    x, y = TINY.data()
    model = torch_model(TINY)
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    net = Net([layer.weight.detach()[None].clone() for layer in linear], [torch.zeros(1, n) for n in TINY.sizes[1:]])
    for layer in linear:
        layer.bias.data.zero_()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    length = by_hand(net, x, y, torch.zeros_like(y), 0.5)
    for index, layer in enumerate(linear):
        assert layer.weight.grad is not None
        assert torch.allclose(net.weights[index][0], layer.weight - 0.5 * layer.weight.grad, atol=1e-6)
        assert torch.allclose(net.biases[index][0], -0.5 * layer.bias.grad, atol=1e-6)
        assert float(length[f"weight {index + 1}"]) == pytest.approx(0.5 * float(layer.weight.grad.norm()), rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("work", [TINY, SEEDS], ids=str)
def test_torch_takes_the_step_by_hand_with_every_model(work: Work, form: str) -> None:
    entry = dense(work, form)
    assert entry.check() < 1e-4
    assert entry.rival


@pytest.mark.parametrize("way", torch_areas.WAYS, ids=lambda way: way.way)
@pytest.mark.parametrize("usage", ["even", "skewed"])
def test_every_way_to_write_areas_in_plain_torch_takes_the_step_by_hand(usage: Any, way: Any) -> None:
    work = Work(AREAS.sizes, AREAS.batch, areas=4, usage=usage)
    net = torch_areas.area_net(way, work)
    assert torch_areas.contender(net, work, "fused").check() < 1e-4
    assert torch.bincount(net.choose(work.data()[0])).tolist() == COUNTS[usage]


# Wrong ones ----------------------------------------------------------------------------------------------------------


def test_an_engine_that_changes_too_little_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn

    def half(self: Any, change: Any, *rest: Any) -> None:
        if "hidden1_to_hidden2" not in change.projections:
            learn(self, change, *rest)

    monkeypatch.setattr(Learner, "learn", half)
    with pytest.raises(Refused, match=r"step of kp differs from the step by hand by 1 in (weight|bias) 2; not timed"):
        ours(TINY, "kp").check()


def test_feedback_that_does_not_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn

    def forward_only(self: Any, change: Any, *rest: Any) -> None:
        before = {name: self.parameters.full[name].clone() for name in change.projections}
        learn(self, change, *rest)
        for name in change.projections:
            if name == "hidden2_to_hidden1":
                self.parameters.full[name].copy_(before[name])

    monkeypatch.setattr(Learner, "learn", forward_only)
    with pytest.raises(Refused, match=r"feedback 1"):
        ours(TINY, "kp").check()


def test_an_area_that_does_not_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_but_one(steps: Any, post: Any, pre: Any, groups: Any) -> None:
        kept = [weight[2].clone() for weight, _, _ in steps]
        accumulate_groups(steps, post, pre, groups)
        for (weight, _, _), old in zip(steps, kept, strict=True):
            weight[2].copy_(old)

    monkeypatch.setattr("neurosal.engine.wiring.accumulate_groups", all_but_one)
    with pytest.raises(Refused, match="sal chain"):
        ours(AREAS, "sal chain (kp)").check()


def test_a_sample_in_another_area_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = torch_areas.Routed.choose

    def moved(self: Any, x: Any) -> Any:
        area = choose(self, x).clone()
        area[0] = (area[0] + 1) % self.areas
        return area

    net = torch_areas.area_net(torch_areas.Grouped, AREAS)
    entry = torch_areas.contender(net, AREAS, "fused")
    right = net.choose(AREAS.data()[0])
    monkeypatch.setattr(torch_areas.Routed, "choose", moved)
    monkeypatch.setattr(entry, "check", entry.check)
    with pytest.raises(Refused, match="grouped_mm"):
        torch_areas.refuse_wrong_net("grouped_mm", net.net, lambda _: entry.step(), *AREAS.data(), right)


def test_a_router_that_chooses_worse_areas_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ours(AREAS, "sal chain (kp)")
    argmax = torch.Tensor.argmax
    monkeypatch.setattr(torch.Tensor, "argmax", lambda self, *args, **kwargs: argmax(-self, *args, **kwargs))
    with pytest.raises(Refused, match="leaves a better area"):
        entry.check()
