"""Effective kernels of routes: against what a unit far from the border really hears and sends, by torch's own
convolutions."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import torch
import xarray
from torch.nn import functional

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base
from neurosal.stats.base import Hop
from neurosal.stats.catalogue import measure

Weights = dict[str, torch.Tensor]
Hops = dict[str, Hop]
PLACES = 41  # enough that nothing meets a border


def drawn(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def hop(stride: Any = 1, dilation: Any = 1, padding: Any = 0, groups: int = 1, *, backwards: bool = False) -> Hop:
    stride, dilation, padding = ((entry, entry) if isinstance(entry, int) else entry for entry in
                                 (stride, dilation, padding))  # fmt: skip
    return Hop(stride=stride, dilation=dilation, padding=padding, groups=groups, backwards=backwards)


def run(x: torch.Tensor, weight: torch.Tensor, how: Hop) -> torch.Tensor:
    """One projection, from its source to its target; weights [post, pre, rows, columns] of itself, groups first."""
    if how.backwards:
        weight = weight.transpose(-3, -4)
        flat = weight.flatten(0, 1) if how.groups > 1 else weight
        options = {"stride": how.stride, "dilation": how.dilation, "padding": how.padding, "groups": how.groups}
        return functional.conv_transpose2d(x, flat, **options)
    flat = weight.flatten(0, 1) if how.groups > 1 else weight
    return functional.conv2d(x, flat, None, how.stride, how.padding, how.dilation, how.groups)


def seen(forward: Any, feedback: Any, weights: Weights, hops: Hops, channels: int) -> tuple[Any, Any]:
    """What each channel of the target hears from a picture at a place in the middle, and what it sends back there: both
    [channel, numbers]."""
    x = torch.zeros(1, channels, PLACES, PLACES, dtype=torch.float64, requires_grad=True)

    def through(route: Any, signal: torch.Tensor) -> torch.Tensor:
        for name in route:
            signal = run(signal, weights[name], hops[name])
        return signal

    y = sum(through(route, x) for route in forward)
    row, column = (size // 2 for size in y.shape[-2:])
    heard, sent = [], []
    for channel in range(y.shape[1]):
        (one,) = torch.autograd.grad(y[0, channel, row, column], x, retain_graph=True)
        error = torch.zeros_like(y).detach()
        error[0, channel, row, column] = 1
        back = sum(_padded(through(route, error), x) for route in feedback)
        heard.append(one.flatten())
        sent.append(back.flatten())
    return torch.stack(heard), torch.stack(sent)


def _padded(back: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Rows and columns that no stride reaches get nothing; beyond the picture nothing may lie."""
    rows, columns = (size - own for size, own in zip(x.shape[-2:], back.shape[-2:], strict=True))
    found = functional.pad(back, (0, columns, 0, rows))
    assert int(found.count_nonzero()) == int(back.count_nonzero())
    return found


def must_agree(forward: Any, feedback: Any, weights: Weights, hops: Hops, channels: int) -> None:
    """Norms and products of what is heard and sent, channel by channel, are those of the effective kernels."""
    heard, sent = seen(forward, feedback, weights, hops, channels)
    stored = {name: weight[None, None] for name, weight in weights.items()}
    assert base.same_places(forward, feedback, hops)
    for given in (stored, {name: weight.numpy() for name, weight in stored.items()}):
        w, b = (torch.as_tensor(array) for array in base.kernels_both_ways(forward, feedback, given, hops))
        assert w.shape == b.shape
        assert w.shape[:3] == (1, 1, len(heard))
        for one, other, first, second in ((w, w, heard, heard), (b, b, sent, sent), (w, b, heard, sent)):
            torch.testing.assert_close(
                (one[0, 0] * other[0, 0]).sum(-1), (first * second).sum(-1), rtol=1e-10, atol=1e-10
            )
    cosine = (heard * sent).sum() / heard.norm() / sent.norm()
    found = measure(["angle", "unit_angle", "norm_ratio"], *base.both_ways(forward, feedback, stored, hops))
    assert float(found["angle"]) == pytest.approx(math.degrees(math.acos(float(cosine))), abs=1e-6)
    assert float(found["norm_ratio"]) == pytest.approx(float(sent.norm() / heard.norm()), rel=1e-9)
    assert found["unit_angle"].shape == (1, len(heard))


GEOMETRIES = (
    hop(), hop(padding=1), hop(stride=2, padding=1), hop(stride=(1, 3), dilation=(2, 1), padding=(0, 2)),
    hop(groups=2), hop(stride=2, groups=4),
)  # fmt: skip


@pytest.mark.parametrize("how", GEOMETRIES)
def test_one_convolution_and_one_way_back(how: Hop) -> None:
    shape = (how.groups, 8 // how.groups, 4 // how.groups, 3, 2) if how.groups > 1 else (8, 4, 3, 2)
    turned = (*shape[:-4], shape[-3], shape[-4], *shape[-2:])
    weights = {"w": drawn(shape), "b": drawn(turned, 1)}
    hops = {"w": how, "b": hop(how.stride, how.dilation, how.padding, how.groups, backwards=True)}
    must_agree((("w",),), (("b",),), weights, hops, 4)


@pytest.mark.parametrize("how", [GEOMETRIES[1], GEOMETRIES[2], GEOMETRIES[3]])
@pytest.mark.parametrize("first", [hop(), hop(groups=2), hop(backwards=True)])
def test_a_relay_is_summed_over(how: Hop, first: Hop) -> None:
    """B 1×1 to a relay with more channels, then R with the kernel of W."""
    b = drawn((2, 6, 3, 1, 1), 2) if first.groups > 1 else drawn((12, 6, 1, 1), 2)
    weights = {"w": drawn((6, 4, 3, 3)), "r": drawn((4, 12, 3, 3), 1), "b": b}
    hops = {"w": how, "b": first, "r": hop(how.stride, how.dilation, how.padding, backwards=True)}
    must_agree((("w",),), (("b", "r"),), weights, hops, 4)


def test_kernels_along_a_route_are_composed_with_their_strides_and_dilations() -> None:
    weights = {
        "v": drawn((5, 4, 3, 2)), "w": drawn((6, 5, 2, 3), 1),
        "b": drawn((5, 6, 3, 3), 2), "c": drawn((4, 5, 1, 2), 3),
    }  # fmt: skip
    hops = {
        "v": hop((2, 1), (1, 2), (1, 0)), "w": hop((1, 2), (2, 1), (1, 1)),
        "b": hop((2, 1), 1, (1, 0), backwards=True), "c": hop((1, 2), (1, 3), (2, 4), backwards=True),
    }  # fmt: skip
    must_agree((("v", "w"),), (("b", "c"),), weights, hops, 4)


def test_several_routes_add_up_wherever_their_taps_lie() -> None:
    weights = {
        "w": drawn((6, 4, 3, 3)), "skip": drawn((6, 4, 1, 1), 1), "far": drawn((6, 4, 2, 2), 2),
        "b": drawn((4, 6, 5, 5), 3),
    }  # fmt: skip
    hops = {
        "w": hop(2, 1, 1), "skip": hop(2), "far": hop(2, 4, 0), "b": hop(2, 1, 2, backwards=True)
    }  # fmt: skip
    x = (("w",), ("skip",))
    must_agree(x, (("b",),), weights, hops, 4)
    # The third route makes other pictures where it is not padded: as kernels it may still be added.
    stored = {name: weight[None, None] for name, weight in weights.items()}
    one, _ = base.kernels_both_ways((*x, ("far",)), (("b",),), stored, hops)
    two, _ = base.kernels_both_ways(x, (("b",),), stored, hops)
    gained = one.square().sum() - two.square().sum()
    # The tap of "far" at (0, 0) meets those of the others; its taps at 4 lie beyond them.
    here = weights["far"][..., 0, 0]
    expected = weights["far"].square().sum() + 2 * (here * (weights["w"][..., 1, 1] + weights["skip"][..., 0, 0])).sum()
    torch.testing.assert_close(gained, expected)


def test_feedback_without_a_stride_may_be_a_convolution_of_its_own() -> None:
    weights = {"w": drawn((6, 4, 3, 3)), "b": drawn((4, 6, 3, 3), 1)}
    hops = {"w": hop(padding=1), "b": hop(padding=1)}
    must_agree((("w",),), (("b",),), weights, hops, 4)
    # The mirrored kernel is the transpose: it is what backpropagation sends.
    weights["b"] = weights["w"].transpose(0, 1).flip(-1, -2)
    stored = {name: weight[None, None] for name, weight in weights.items()}
    assert float(measure(["angle"], *base.both_ways((("w",),), (("b",),), stored, hops))["angle"]) < 1e-12


def test_a_transposed_convolution_that_is_returned_by_a_convolution_is_seen_from_its_target() -> None:
    w, b = drawn((6, 4, 3, 3)), drawn((4, 6, 3, 3), 1)
    hops = {"w": hop(2, 1, 1, backwards=True), "b": hop(2, 1, 1)}
    there, back = base.kernels_both_ways((("w",),), (("b",),), {"w": w[None, None], "b": b[None, None]}, hops)
    assert there.shape == (1, 1, 6, 36)
    torch.testing.assert_close(there[0, 0], w.flatten(1))
    torch.testing.assert_close(back[0, 0], b.transpose(0, 1).flatten(1))


def test_ways_that_land_on_other_places_are_no_kernels_of_one_another() -> None:
    hops = {"w": hop(2), "plain": hop(2), "other": hop(3, backwards=True), "up": hop(2, backwards=True), "b": hop()}
    assert base.same_places((("w",),), (("up",),), hops)
    assert not base.same_places((("w",),), (("other",),), hops)
    assert not base.same_places((("w",),), (("plain",),), hops)
    assert not base.same_places((("w",), ("b",)), (("up",),), hops)
    with pytest.raises(ValueError, match="laid on each other"):
        base.kernels_both_ways((("w",),), (("other",),), {}, hops)


def test_replicas_and_areas_are_kept_and_what_has_one_area_is_shared() -> None:
    w, b, r = drawn((2, 3, 6, 4, 3, 3)), drawn((2, 1, 9, 6, 1, 1), 1), drawn((2, 3, 4, 9, 3, 3), 2)
    hops = {"w": hop(padding=1), "b": hop(), "r": hop(padding=1, backwards=True)}
    there, back = base.both_ways((("w",),), (("b", "r"),), {"w": w, "b": b, "r": r}, hops)
    assert there.shape == back.shape == (2, 3, 6, 36)
    for replica in range(2):
        for area in range(3):
            expected = torch.einsum("imyx,mo->oiyx", r[replica, area], b[replica, 0, :, :, 0, 0])
            torch.testing.assert_close(back[replica, area], expected.flatten(1))


def test_one_convolution_is_read_where_it_lies() -> None:
    w = drawn((2, 1, 6, 4, 3, 3)).float()
    stored = drawn((2, 1, 6, 4, 3, 3), 1).float()
    weights = {"w": w, "b": stored.transpose(2, 3)}  # feedback is stored as the forward weights are
    hops = {"w": hop(padding=1), "b": hop(padding=1, backwards=True)}
    there, back = base.both_ways((("w",),), (("b",),), weights, hops)
    assert there.dtype == back.dtype == torch.float32
    assert there.data_ptr() == w.data_ptr()
    assert back.data_ptr() == stored.data_ptr()


def test_one_axis_of_space() -> None:
    w, b = drawn((6, 4, 5)), drawn((4, 6, 5), 1)
    how = {"stride": (2,), "dilation": (1,), "padding": (2,)}
    hops = {"w": Hop(**how), "b": Hop(**how, backwards=True)}
    there, back = base.both_ways((("w",),), (("b",),), {"w": w[None, None], "b": b[None, None]}, hops)
    torch.testing.assert_close(there[0, 0], w.flatten(1))
    torch.testing.assert_close(back[0, 0], b.transpose(0, 1).flatten(1))


def test_norm_ratios_of_channels() -> None:
    w = numpy.random.default_rng(0).normal(size=(2, 3, 5, 7))
    scale = numpy.arange(1.0, 6)[:, None]
    found = measure(["unit_norm_ratio", "norm_ratio"], w, scale * w)
    numpy.testing.assert_allclose(found["unit_norm_ratio"], numpy.tile(scale[:, 0], (2, 1)), rtol=1e-12)
    assert found["norm_ratio"].shape == (2,)
    silent = w * (numpy.arange(5) != 2)[:, None]
    assert numpy.isnan(measure(["unit_norm_ratio"], silent, w)["unit_norm_ratio"]).tolist() == [
        [False, False, True, False, False]
    ] * 2  # fmt: skip


TAPS = ("kernel_row", "kernel_column")


def labelled(array: torch.Tensor, post: str, pre: str) -> xarray.DataArray:
    return xarray.DataArray(array.numpy(), dims=("replica", post, pre, *TAPS))


def test_labelled_kernels_over_a_relay_are_one_path_that_aligns_with_the_forward_kernel() -> None:
    b, r = drawn((2, 12, 6, 1, 1)), drawn((2, 4, 12, 3, 3), 1)
    found = stats.path(labelled(b, "relay", "second"), labelled(r, "first", "relay"), taps=TAPS)
    assert found.dims == ("replica", "first", "second", *TAPS)
    numpy.testing.assert_allclose(found, torch.einsum("nimyx,nmo->nioyx", r, b[..., 0, 0]))
    w = labelled(drawn((2, 6, 4, 3, 3), 2), "second", "first")
    assert stats.angle(w, found, dim=("second", "first", *TAPS)).dims == ("replica",)
    single = stats.path(labelled(b, "relay", "second"), labelled(r[..., :1, :1], "first", "relay"), taps=TAPS)
    assert dict(single.sizes) == {"replica": 2, "first": 4, "second": 6, "kernel_row": 1, "kernel_column": 1}
    with pytest.raises(NeurosalError, match="at most one kernel with more than one tap"):
        stats.path(labelled(drawn((2, 12, 6, 3, 3)), "relay", "second"), labelled(r, "first", "relay"), taps=TAPS)
    with pytest.raises(NeurosalError, match="starts at"):
        stats.path(labelled(r, "first", "relay"), labelled(b, "relay", "second"), taps=TAPS)
