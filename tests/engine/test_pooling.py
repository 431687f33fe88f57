"""Wiring without weights against autograd in float64, for one replica and many, in either memory order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import neurosal.engine.pooling
import neurosal.engine.turning  # noqa: F401
from neurosal.engine.wiring import make_kernel
from neurosal.graph import AvgPool2d, Flatten, GlobalAvgPool, MaxPool2d, Shortcut, Wiring


def option_a(stride: int, channels: int) -> Callable[[Tensor], Tensor]:
    def shortcut(x: Tensor) -> Tensor:
        more = channels - x.shape[1]
        return functional.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, more // 2, more - more // 2))

    return shortcut


CASES: dict[str, tuple[Wiring, tuple[int, ...], tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "average": (AvgPool2d(kernel=2), (3, 6, 4), (3, 3, 2), lambda x: functional.avg_pool2d(x, 2)),
    "average, left over": (AvgPool2d(kernel=2), (3, 7, 5), (3, 3, 2), lambda x: functional.avg_pool2d(x, 2)),
    "average, overlapping": (
        AvgPool2d(kernel=(3, 2), stride=(2, 1), padding=1),
        (2, 7, 5),
        (2, 4, 6),
        lambda x: functional.avg_pool2d(x, (3, 2), (2, 1), 1),
    ),
    "largest": (MaxPool2d(kernel=2), (3, 6, 4), (3, 3, 2), lambda x: functional.max_pool2d(x, 2)),
    "largest, overlapping": (
        MaxPool2d(kernel=3, stride=2, padding=1),
        (2, 7, 5),
        (2, 4, 3),
        lambda x: functional.max_pool2d(x, 3, 2, 1),
    ),
    "over all places": (GlobalAvgPool(), (3, 4, 5), (3,), lambda x: x.mean((2, 3))),
    "over all places of a length": (GlobalAvgPool(), (3, 7), (3,), lambda x: x.mean(2)),
    "flat": (Flatten(), (3, 4, 5), (60,), lambda x: x.flatten(1)),
    "flat from a length": (Flatten(), (3, 7), (21,), lambda x: x.flatten(1)),
    "flat from one place": (Flatten(), (3, 1, 1), (3,), lambda x: x.flatten(1)),
    "shortcut": (Shortcut(stride=2), (2, 6, 5), (5, 3, 3), option_a(2, 5)),
    "shortcut, as it is": (Shortcut(), (2, 3, 3), (2, 3, 3), option_a(1, 2)),
}


def channels_last(rows: Tensor) -> Tensor:
    """[R, N, C, ...] as the CPU keeps them."""
    return rows.movedim(2, -1).contiguous().movedim(-1, 2)


def beside_channels(rows: Tensor) -> Tensor:
    """[R, N, C, ...] as a GPU keeps them."""
    return rows.movedim(2, -1).movedim(0, -2).contiguous().movedim(-2, 0).movedim(-1, 2)


LAYOUTS = {"single": None, "channels last": channels_last, "replicas beside the channels": beside_channels}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_both_ways_are_those_of_autograd(name: str, layout: str) -> None:
    wiring, pre, post, function = CASES[name]
    assert wiring.weightless
    assert wiring.mismatch(post, pre) is None
    torch.manual_seed(1)
    lay, lead = LAYOUTS[layout], (4,) if layout == "single" else (2, 4)
    x, g = (torch.randn(*lead, *extent, dtype=torch.float64) for extent in (pre, post))
    rows = x.reshape(-1, *pre).requires_grad_()
    wanted = function(rows)
    wanted.backward(g.reshape(wanted.shape))  # type: ignore[no-untyped-call]
    if lay is not None:
        x, g = lay(x), lay(g)
    kernel = make_kernel(wiring, post, pre, "single" if lay is None else "batched")
    if kernel.keeps:
        out, kept = kernel.apply_keeping(x)
        back = kernel.pull_kept(g, kept)
        # Errors may come to lie in another order than what was kept: sums of several ways do.
        torch.testing.assert_close(kernel.pull_kept(g.contiguous(), kept), back)
        torch.testing.assert_close(kernel.apply(None, x, None), out)  # type: ignore[arg-type]
    else:
        out, back = kernel.apply(None, x, None), kernel.pull(None, g, None)  # type: ignore[arg-type]
        turned = make_kernel(wiring.reversed(), pre, post, "single")
        torch.testing.assert_close(turned.apply(None, g, None), back)  # type: ignore[arg-type]
    assert rows.grad is not None
    torch.testing.assert_close(out.reshape(wanted.shape), wanted.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(back.reshape(rows.shape), rows.grad, rtol=1e-9, atol=1e-9)
    assert out.shape == (*lead, *post)
    if len(post) == 3 and layout == "channels last":
        assert out.movedim(2, -1).is_contiguous()
    if len(pre) == 3 and layout == "channels last":
        assert back.movedim(2, -1).is_contiguous()


def test_nobody_writes_into_the_source() -> None:
    """Populations add further inputs in place to what arrives first."""
    for wiring, pre, post, _ in CASES.values():
        x = torch.randn(2, *pre)
        kernel = make_kernel(wiring, post, pre, "single")
        out = kernel.apply(None, x, None)  # type: ignore[arg-type]
        before = x.clone()
        out.add_(1)
        assert torch.equal(x, before)
