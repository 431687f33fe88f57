"""Convolutions against autograd in float64: every option, one replica, many, and areas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import neurosal.engine.convolution
import neurosal.engine.turning
from neurosal.engine.routing import Groups
from neurosal.engine.wiring import Kernel, make_kernel
from neurosal.graph import Broadcast, Conv1d, Conv2d, Wiring
from neurosal.graph.convolution import Convolution

CASES: dict[str, tuple[Convolution, tuple[int, ...]]] = {
    "plain": (Conv2d(kernel=3), (3, 7, 6)),
    "padded": (Conv2d(kernel=3, padding=1), (2, 5, 5)),
    "stride": (Conv2d(kernel=3, stride=2, padding=1), (2, 8, 7)),
    "places that no field reaches": (Conv2d(kernel=2, stride=3), (2, 7, 8)),
    "by axis": (Conv2d(kernel=(1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2)), (3, 6, 7)),
    "same": (Conv2d(kernel=3, padding="same"), (2, 6, 5)),
    "same, even kernel": (Conv2d(kernel=(4, 2), padding="same", dilation=(1, 3)), (2, 7, 6)),
    "dilated": (Conv2d(kernel=3, dilation=2, padding=2), (2, 6, 7)),
    "groups": (Conv2d(kernel=3, padding=1, groups=2), (4, 5, 6)),
    "depthwise": (Conv2d(kernel=3, stride=2, groups=4), (4, 7, 7)),
    "reflect": (Conv2d(kernel=3, padding=(2, 1), padding_mode="reflect"), (2, 5, 6)),
    "replicate": (Conv2d(kernel=3, padding=2, padding_mode="replicate", stride=2), (2, 5, 6)),
    "circular": (Conv2d(kernel=3, padding=(1, 3), padding_mode="circular"), (2, 5, 6)),
    "circular, same, groups": (Conv2d(kernel=4, padding="same", padding_mode="circular", groups=2), (4, 6, 5)),
    "one place": (Conv2d(kernel=1, stride=2), (3, 5, 5)),
    "whole picture": (Conv2d(kernel=(5, 4)), (3, 5, 4)),
    "one channel": (Conv2d(kernel=3), (1, 4, 4)),
    "length": (Conv1d(kernel=3, stride=2, padding=1), (3, 9)),
    "length, groups": (Conv1d(kernel=2, dilation=2, groups=2), (4, 9)),
    "length, mirrored": (Conv1d(kernel=5, padding="same", padding_mode="reflect"), (2, 8)),
}
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
CHANNELS = 4
FORMS = ("single", "batched", "grouped")


def through(wiring: Convolution, weight: Tensor, x: Tensor) -> Tensor:
    """The convolution as torch's own functions have it: explicit padding, then a convolution without any."""
    one = wiring.space == 1
    stride, dilation, kernel = wiring.stride, wiring.dilation, weight.shape[-wiring.space :]
    if wiring.padding == "same":
        steps = dilation if isinstance(dilation, tuple) else (dilation,) * wiring.space
        total = [step * (size - 1) for step, size in zip(steps, kernel, strict=True)]
        sides = [(more // 2, more - more // 2) for more in total]
    else:
        more = wiring.padding if isinstance(wiring.padding, tuple) else (wiring.padding,) * wiring.space
        sides = [(each, each) for each in more]
    amounts = [edge for side in reversed(sides) for edge in side]
    x = functional.pad(x, amounts, mode=MODES[wiring.padding_mode])
    weight = weight.flatten(0, 1) if wiring.groups > 1 else weight
    function: Any = functional.conv1d if one else functional.conv2d
    return function(x, weight, None, stride, 0, dilation, wiring.groups)  # type: ignore[no-any-return]


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def grouped(replicas: int, samples: int, areas: int) -> Groups:
    """Samples of some areas; the last area has none."""
    return Groups(torch.arange(replicas * samples).view(replicas, samples) % (areas - 1), areas)


class Case:
    """A wiring in one form, its tensors, and what autograd makes of them."""

    def __init__(self, wiring: Convolution, pre: tuple[int, ...], form: str, samples: int = 3) -> None:
        torch.manual_seed(1)
        self.post, self.pre = wiring.output(pre, CHANNELS), pre
        self.kernel: Kernel = make_kernel(wiring, self.post, pre, form)
        shape, areas = wiring.weight_shape(self.post, pre), 3
        replicas = 1 if form == "single" else 2
        lead = (samples,) if form == "single" else (replicas, samples)
        self.groups = grouped(replicas, samples, areas) if form == "grouped" else None
        count = {"single": (), "batched": (replicas,), "grouped": (replicas * areas,)}[form]
        self.weight, self.x, self.g = random(*count, *shape), random(*lead, *pre), random(*lead, *self.post)
        if self.groups is not None:
            of_row = self.groups.group_of_row.tolist()
        else:
            of_row = [row // samples for row in range(replicas * samples)]
        weight, x = self.weight.clone().requires_grad_(), self.x.clone().requires_grad_()
        weights = weight if count else weight[None]
        rows = x.flatten(0, 1) if len(lead) == 2 else x
        each = [through(wiring, weights[of_row[row]], rows[row : row + 1]) for row in range(len(rows))]
        self.out = torch.cat(each).view(self.g.shape)
        self.out.backward(self.g)  # type: ignore[no-untyped-call]
        self.out, self.back, self.change = self.out.detach(), x.grad, weight.grad


def close(found: Tensor, wanted: Tensor | None) -> None:
    assert wanted is not None
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CASES)
def test_the_three_functions_are_those_of_autograd(name: str, form: str) -> None:
    case = Case(*CASES[name], form)
    close(case.kernel.apply(case.weight, case.x, case.groups), case.out)
    close(case.kernel.pull(case.weight, case.g, case.groups), case.back)
    close(case.kernel.correlate(case.g, case.x, case.groups), case.change)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["stride", "groups", "circular", "length, groups"])
def test_a_wiring_run_backwards_has_its_own_axis_first(name: str, form: str) -> None:
    wiring, pre = CASES[name]
    case = Case(wiring, pre, form)
    back = wiring.reversed()
    kernel = make_kernel(back, case.pre, case.post, form)
    lead = form != "single"
    first, second = (axis + lead for axis in wiring.axes)
    turned = case.weight.transpose(first, second).contiguous()
    assert turned.shape[lead:] == back.weight_shape(case.pre, case.post)
    close(kernel.apply(turned, case.g, case.groups), case.back)
    close(kernel.pull(turned, case.x, case.groups), case.out)
    close(kernel.correlate(case.x, case.g, case.groups).transpose(first, second), case.change)
    kernel.accumulate_([(turned, 0.5, 1.0)], case.x, case.g, case.groups)
    assert case.change is not None
    close(turned.transpose(first, second), case.weight + 0.5 * case.change)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["stride", "groups", "length"])
def test_a_bias_is_one_a_channel(name: str, form: str) -> None:
    case = Case(*CASES[name], form)
    space = [1] * (len(case.post) - 1)
    lead = {"single": (), "batched": (2, 1), "grouped": (6,)}[form]
    bias = random(*lead, CHANNELS, *space)
    rows = bias if case.groups is None else bias[case.groups.group_of_row].view(2, 3, CHANNELS, *space)
    close(case.kernel.affine(bias, case.weight, case.x, case.groups), case.out + rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["stride", "groups", "length"])
def test_changes_go_into_all_weights_that_share_a_product(name: str, form: str) -> None:
    case = Case(*CASES[name], form)
    first, second = case.weight.clone(), random(*case.weight.shape)
    before = second.clone()
    case.kernel.accumulate_([(first, -0.1, 0.9), (second, 2.0, 1.0)], case.g, case.x, case.groups)
    assert case.change is not None
    kept = torch.full((len(first),), 0.9, dtype=torch.float64).view(-1, *[1] * (first.dim() - 1))
    if case.groups is not None:
        kept = torch.where(case.groups.active_RK.view(kept.shape), kept, 1.0)
    close(first, kept * case.weight - 0.1 * case.change)
    close(second, before + 2 * case.change)


def test_an_area_without_samples_keeps_every_bit() -> None:
    case = Case(*CASES["padded"], "grouped")
    assert case.groups is not None
    idle = ~case.groups.active_RK.flatten()
    assert idle.any()
    weight = case.weight.clone()
    case.kernel.accumulate_([(weight, -0.1, 0.9)], case.g, case.x, case.groups)
    assert torch.equal(weight[idle], case.weight[idle])


def test_replicas_may_have_rates_of_their_own() -> None:
    case = Case(*CASES["padded"], "batched")
    weight, rates = case.weight.clone(), torch.tensor([0.5, -2.0], dtype=torch.float64)
    case.kernel.accumulate_([(weight, rates, 1.0)], case.g, case.x, None)  # type: ignore[list-item]
    assert case.change is not None
    close(weight, case.weight + rates.view(2, 1, 1, 1, 1) * case.change)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_one(form: str) -> None:
    case = Case(*CASES["stride"], form, samples=1)
    close(case.kernel.apply(case.weight, case.x, case.groups), case.out)
    close(case.kernel.pull(case.weight, case.g, case.groups), case.back)
    close(case.kernel.correlate(case.g, case.x, case.groups), case.change)


def test_channels_stay_last_in_memory() -> None:
    """Between layers nothing is turned over: what comes out lies as what went in."""
    for dtype in (torch.float32, torch.float64):
        case = Case(*CASES["stride"], "single")
        x, g = (rows.to(dtype).contiguous(memory_format=torch.channels_last) for rows in (case.x, case.g))
        out, back = case.kernel.apply(case.weight.to(dtype), x, None), case.kernel.pull(case.weight.to(dtype), g, None)
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert back.is_contiguous(memory_format=torch.channels_last)
    case = Case(*CASES["stride"], "batched")
    for rows in (
        case.kernel.apply(case.weight, case.x, None),
        case.kernel.pull(case.weight, case.g, None),
    ):
        assert rows.permute(0, 1, 3, 4, 2).is_contiguous()


def test_padding_mode_matters() -> None:
    torch.manual_seed(2)
    weight, x = random(2, 2, 3, 3), random(1, 2, 5, 5)
    found = [
        make_kernel(Conv2d(kernel=3, padding=1, padding_mode=mode), (2, 5, 5), (2, 5, 5), "single").apply(
            weight, x, None
        )
        for mode in MODES  # type: ignore[attr-defined]
    ]
    for index, one in enumerate(found):
        torch.testing.assert_close(one[..., 1:-1, 1:-1], found[0][..., 1:-1, 1:-1])
        assert all((one - other).abs().max() > 0.1 for other in found[:index])


@pytest.mark.parametrize("form", ["batched", "grouped"])
@pytest.mark.parametrize("name", CASES)
def test_one_grouped_convolution_equals_one_after_another(
    name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way that a GPU takes, run here."""
    monkeypatch.setattr(neurosal.engine.convolution, "at_once", lambda rows: True)
    case = Case(*CASES[name], form)
    close(case.kernel.apply(case.weight, case.x, case.groups), case.out)
    close(case.kernel.pull(case.weight, case.g, case.groups), case.back)
    close(case.kernel.correlate(case.g, case.x, case.groups), case.change)
    bias = random(6 if case.groups else 2, *[1] * (case.groups is None), CHANNELS, *[1] * (len(case.post) - 1))
    rows = bias if case.groups is None else bias[case.groups.group_of_row].view(2, 3, CHANNELS, *bias.shape[2:])
    close(case.kernel.affine(bias, case.weight, case.x, case.groups), case.out + rows)
    before, weight = case.weight.clone(), case.weight
    rates = torch.tensor([0.5, -2.0], dtype=torch.float64)
    case.kernel.accumulate_([(weight, rates, 0.5)], case.g, case.x, case.groups)  # type: ignore[list-item]
    of_group = rates.repeat_interleave(len(weight) // 2).view(-1, *[1] * (weight.dim() - 1))
    shrunk = torch.full_like(of_group, 0.5)
    if case.groups is not None:
        shrunk = torch.where(case.groups.active_RK.view(shrunk.shape), shrunk, 1.0)
    assert case.change is not None
    close(weight, before * shrunk + of_group * case.change)


def dense_everywhere(weight: Tensor, pre: Tensor, places: tuple[int, ...]) -> Tensor:
    return (pre @ weight.mT)[..., None, None].expand(*pre.shape[:-1], weight.shape[-2], *places)


@pytest.mark.parametrize("form", ["single", "batched"])
def test_a_broadcast_reaches_every_place_alike(form: str) -> None:
    torch.manual_seed(3)
    lead = (2,) if form == "batched" else ()
    weight, x, g = random(*lead, 3, 5), random(*lead, 4, 5), random(*lead, 4, 3, 2, 6)
    kernel = make_kernel(Broadcast(), (3, 2, 6), (5,), form)
    close(kernel.apply(weight, x, None), dense_everywhere(weight, x, (2, 6)))
    close(kernel.pull(weight, g, None), g.sum((-1, -2)) @ weight)
    close(kernel.correlate(g, x, None), torch.einsum("...nchw,...ni->...ci", g, x))
    wiring: Wiring = Broadcast().reversed()
    back = make_kernel(wiring, (5,), (3, 2, 6), form)
    close(back.apply(weight.mT, g, None), g.sum((-1, -2)) @ weight)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("form", FORMS)
def test_the_functions_on_a_gpu_are_those_on_the_cpu(form: str) -> None:
    for wiring, pre in CASES.values():
        case = Case(wiring, pre, form)
        x, g, weight = case.x.cuda(), case.g.cuda(), case.weight.cuda()
        groups = None if case.groups is None else Groups(case.groups.area_RN.cuda(), case.groups.areas)
        close(case.kernel.apply(weight, x, groups).cpu(), case.out)
        close(case.kernel.pull(weight, g, groups).cpu(), case.back)
        close(case.kernel.correlate(g, x, groups).cpu(), case.change)
