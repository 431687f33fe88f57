"""Descriptions of wiring with space: what fits, what is said where it does not, and round trips."""

from __future__ import annotations

from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from neurosal.errors import CircuitError
from neurosal.graph import (
    AvgPool2d,
    Broadcast,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    MaxPool2d,
    Projection,
    Reversed,
    Shortcut,
    Unpool,
    Wiring,
)

MEMBERS: tuple[Wiring, ...] = (
    Conv2d(kernel=3, padding="same", padding_mode="reflect"),
    Conv2d(kernel=(1, 3), stride=(2, 1), groups=2, density=0.5),
    Conv1d(kernel=3, dilation=2),
    Conv2d(kernel=3).reversed(),
    AvgPool2d(kernel=2),
    MaxPool2d(kernel=(3, 2), stride=2, padding=1),
    Unpool(of="pool"),
    GlobalAvgPool(),
    Flatten(),
    Shortcut(stride=2),
    Broadcast(),
    Flatten().reversed(),
)


@pytest.mark.parametrize("wiring", MEMBERS, ids=repr)
def test_a_wiring_survives_its_dict_and_yaml(wiring: Wiring) -> None:
    edge = Projection(source="a", target="b", wiring=wiring)
    assert Projection.from_dict(edge.to_dict()) == edge
    assert Projection.from_yaml(edge.to_yaml()) == edge


@pytest.mark.parametrize("wiring", [w for w in MEMBERS if not isinstance(w, Unpool)], ids=repr)
def test_the_reverse_of_the_reverse_is_the_wiring(wiring: Wiring) -> None:
    assert wiring.reversed() != wiring
    assert wiring.reversed().reversed() == wiring
    assert wiring.weightless == wiring.reversed().weightless
    assert wiring.returning("x") == (Unpool(of="x") if isinstance(wiring, MaxPool2d) else wiring.reversed())


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    size=st.integers(1, 12),
)
def test_extents_are_those_of_torch(kernel: int, stride: int, padding: int, dilation: int, size: int) -> None:
    wiring = Conv2d(kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    pre = (2, size, size + 1)
    try:
        out = functional.conv2d(
            torch.zeros(1, *pre), torch.zeros(3, 2, kernel, kernel), None, stride, padding, dilation
        )
    except RuntimeError:  # the kernel does not fit
        assert wiring.mismatch((3, 1, 1), pre) is not None
        return
    assert wiring.output(pre, 3) == out.shape[1:]
    assert wiring.mismatch(tuple(out.shape[1:]), pre) is None
    assert wiring.reversed().mismatch(pre, tuple(out.shape[1:])) is None


def test_weights_and_fans_of_groups_are_those_of_one_group() -> None:
    wiring, post, pre = Conv2d(kernel=(3, 5), groups=4), (8, 6, 4), (12, 8, 8)
    assert wiring.weight_shape(post, pre) == (4, 2, 3, 3, 5)
    assert wiring.axes == (1, 2)
    assert wiring.fans(post, pre) == (3 * 15, 2 * 15)
    back = wiring.reversed()
    assert back.weight_shape(pre, post) == (4, 3, 2, 3, 5)
    assert back.axes == (1, 2)
    assert back.fans(pre, post) == (2 * 15, 3 * 15)
    assert prod(back.weight_shape(pre, post)) == 4 * 2 * 3 * 15


def test_products_are_shared_only_where_the_functions_are_the_same() -> None:
    assert Conv2d(kernel=3).functions == Conv2d(kernel=(3, 3), density=0.5).functions
    others = [
        Conv2d(kernel=3),
        Conv2d(kernel=3, padding=1),
        Conv2d(kernel=3, stride=2),
        Conv2d(kernel=3, dilation=2),
        Conv2d(kernel=3, groups=2),
        Conv2d(kernel=3, padding_mode="circular"),
        Conv2d(kernel=3).reversed(),
        Conv1d(kernel=3),
        MaxPool2d(kernel=2),
        MaxPool2d(kernel=2, stride=1),
        Shortcut(),
        Shortcut(stride=2),
    ]
    assert len({wiring.functions for wiring in others}) == len(others)


MISFITS: tuple[tuple[Wiring, tuple[int, ...], tuple[int, ...], str], ...] = (
    (Conv2d(kernel=3), (4, 6, 6), (3, 8), "channels, rows and columns at both ends, found 3×8"),
    (Conv1d(kernel=3), (4, 6), (3, 8, 8), "channels and a length at both ends, found 3×8×8"),
    (Conv2d(kernel=3), (4, 8, 8), (3, 8, 8), "a target of 4×6×6, found 4×8×8"),
    (Conv2d(kernel=3).reversed(), (3, 8, 8), (4, 8, 8), "a source of 4×6×6, found 4×8×8"),
    (Conv2d(kernel=5), (4, 1, 1), (3, 4, 8), "a source that the kernel 5×5 fits into, found 3×4×8"),
    (Conv2d(kernel=3, groups=2), (4, 6, 6), (3, 8, 8), "channels at both ends that 2 groups divide, found 3 and 4"),
    (
        Conv2d(kernel=7, padding=3, padding_mode="reflect"),
        (4, 3, 3),
        (3, 3, 3),
        "reflect padding of at most 2 for 3 places, found 3",
    ),
    (MaxPool2d(kernel=2), (3, 8, 8), (3, 8, 8), "a target of 3×4×4, found 3×8×8"),
    (AvgPool2d(kernel=2), (3,), (3,), "channels, rows and columns, found 3"),
    (GlobalAvgPool(), (4,), (3, 8, 8), "a target of 3 units, found 4"),
    (Flatten(), (191,), (3, 8, 8), "a target of 192 units in a row, found 191"),
    (Shortcut(stride=2), (8, 8, 8), (4, 8, 8), "a target of 8×4×4, found 8×8×8"),
    (Shortcut(), (2, 8, 8), (4, 8, 8), "no fewer channels than the 4 of the source, found 2"),
    (Broadcast(), (10,), (4,), "a target of channels that have places, found 10"),
)


@pytest.mark.parametrize(("wiring", "post", "pre", "words"), MISFITS, ids=[repr(misfit[0]) for misfit in MISFITS])
def test_what_does_not_fit_says_what_would(
    wiring: Wiring, post: tuple[int, ...], pre: tuple[int, ...], words: str
) -> None:
    assert wiring.mismatch(post, pre) == words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kernel": 0}, "a kernel of 1 or more"),
        ({"kernel": 3, "stride": (1, 0)}, "a stride of 1 or more"),
        ({"kernel": 3, "padding": -1}, "no negative padding"),
        ({"kernel": 3, "padding": "same", "stride": 2}, 'a stride of 1 with padding="same"'),
        ({"kernel": (3, 3, 3)}, "a whole number or at most 2 items"),
        ({"kernel": 3, "padding_mode": "mirror"}, "'reflect'"),
        ({"kernel": 3, "density": 0}, "greater than 0"),
        ({"kernel": 3, "groups": 0}, "greater than 0"),
    ],
)
def test_impossible_convolutions_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(CircuitError) as caught:
        Conv2d(**fields)
    assert words in str(caught.value)


def test_a_reversed_wiring_leaves_out_what_it_is_told() -> None:
    wiring = Conv2d(kernel=3).reversed()
    assert isinstance(wiring, Reversed)
    assert wiring.thinned(0.25) == Conv2d(kernel=3, density=0.25).reversed()
    assert wiring.thinned(0.25).density == 0.25  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="leave synapses out"):
        Flatten().thinned(0.5)
