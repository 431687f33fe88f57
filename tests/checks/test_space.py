"""Circuits with space: what does not fit is named, with what would fit."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal import circuits
from neurosal.checks import check
from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    AvgPool2d,
    Broadcast,
    Circuit,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    MaxPool2d,
    OneToOne,
    Population,
    Projection,
    Rate,
    Reversed,
    Shortcut,
    Source,
    Transpose,
    Unpool,
    Wiring,
)
from neurosal.plasticity import Delta, Fixed

BACK: dict[str, Any] = {"pathway": "feedback", "plasticity": Fixed()}


def found(circuit: Circuit) -> list[Problem]:
    with pytest.raises(CircuitError) as caught:
        check(circuit)
    return list(caught.value.problems)


def two(wiring: Wiring, pre: tuple[int, ...], post: tuple[int, ...], **fields: Any) -> Circuit:
    """A circuit of an input and an output, and this wiring between them."""
    plasticity = Fixed() if wiring.weightless else Delta()
    return Circuit(
        populations={
            "input": Population(shape=pre, model=Source()),
            "output": Population(shape=post, model=Rate(activation="linear", bias=False)),
        },
        projections={
            "edge": Projection(
                **{"source": "input", "target": "output", "wiring": wiring, "plasticity": plasticity} | fields
            )
        },
    )


def pooled() -> Circuit:
    """A convolution, max pooling, a read-out, and the way back through them."""
    model = Rate(activation="linear", bias=False)
    return Circuit(
        populations={
            "input": Population(shape=(1, 6, 6), model=Source()),
            "conv": Population(shape=(2, 4, 4)),
            "pool": Population(shape=(2, 2, 2), model=model),
            "flat": Population(size=8, model=model),
            "output": Population(size=3),
        },
        projections={
            "input_to_conv": Projection(source="input", target="conv", wiring=Conv2d(kernel=3)),
            "conv_to_pool": Projection(source="conv", target="pool", wiring=MaxPool2d(kernel=2), plasticity=Fixed()),
            "pool_to_flat": Projection(source="pool", target="flat", wiring=Flatten(), plasticity=Fixed()),
            "flat_to_output": Projection(source="flat", target="output"),
            "output_to_flat": Projection(
                source="output", target="flat", weights=Transpose(of="flat_to_output"), **BACK
            ),
            "flat_to_pool": Projection(source="flat", target="pool", wiring=Flatten().reversed(), **BACK),
            "pool_to_conv": Projection(source="pool", target="conv", wiring=Unpool(of="conv_to_pool"), **BACK),
        },
    )


FITTING: list[tuple[Wiring, tuple[int, ...], tuple[int, ...]]] = [
    (Conv2d(kernel=3, padding=1), (3, 7, 5), (4, 7, 5)),
    (Conv2d(kernel=(2, 3), stride=(2, 1), padding=(0, 1)), (3, 7, 5), (4, 3, 5)),
    (Conv2d(kernel=3, dilation=2), (3, 7, 5), (4, 3, 1)),
    (Conv2d(kernel=3, padding="same", padding_mode="circular"), (3, 3, 3), (4, 3, 3)),
    (Conv2d(kernel=1, groups=2), (4, 2, 2), (6, 2, 2)),
    (Conv2d(kernel=3), (4, 3, 3), (10,)),
    (Conv1d(kernel=3, stride=2), (4, 9), (2, 4)),
    (AvgPool2d(kernel=2), (2, 5, 4), (2, 2, 2)),
    (GlobalAvgPool(), (5, 3, 3), (5,)),
    (Flatten(), (5, 3, 3), (45,)),
    (Shortcut(stride=2), (3, 5, 5), (6, 3, 3)),
    (Broadcast(), (5,), (3, 4, 4)),
]


@pytest.mark.parametrize(("wiring", "pre", "post"), FITTING, ids=str)
def test_what_fits_passes(wiring: Wiring, pre: tuple[int, ...], post: tuple[int, ...]) -> None:
    circuit = two(wiring, pre, post)
    assert check(circuit) is circuit
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit


MISFITS: list[tuple[Wiring, tuple[int, ...], tuple[int, ...], str, str, str]] = [
    (Conv2d(kernel=3), (3, 8, 8), (4, 8, 8), "a target of 4×6×6", "4×8×8", "Give 'output' shape: [4, 6, 6], or"),
    (Conv2d(kernel=9), (3, 8, 8), (4, 8, 8), "a source that the kernel 9×9 fits into", "3×8×8", "smaller kernel"),
    (
        Conv2d(kernel=9, padding=4, padding_mode="reflect"), (3, 4, 4), (4, 4, 4),
        "reflect padding of at most 3 for 4 places", "4", "padding_mode zeros",
    ),
    (
        Conv2d(kernel=9, padding=5, padding_mode="circular"), (3, 4, 4), (4, 6, 6),
        "circular padding of at most 4 for 4 places", "5", "padding_mode zeros",
    ),
    (Conv2d(kernel=1, groups=2), (3, 4, 4), (4, 4, 4), "channels at both ends that 2 groups divide", "3 and 4", ""),
    (Conv2d(kernel=1), (3, 4, 4, 4), (4, 4, 4, 4), "channels, rows and columns at both", "4×4×4×4", "with more"),
    (Conv1d(kernel=1), (3, 4, 4), (4, 4, 4), "channels and a length", "4×4×4", "with more axes"),
    (Conv1d(kernel=3), (3, 4), (4, 4), "a target of 4×2", "4×4", "shape: [4, 2]"),
    (AvgPool2d(kernel=2), (3, 8, 8), (3, 8, 8), "a target of 3×4×4", "3×8×8", "shape: [3, 4, 4]"),
    (AvgPool2d(kernel=2), (12,), (3,), "channels, rows and columns", "12", "Give 'input' a shape"),
    (MaxPool2d(kernel=9), (3, 8, 8), (3, 1, 1), "a source that the kernel 9×9 fits into", "3×8×8", "larger 'input'"),
    (GlobalAvgPool(), (3, 8, 8), (4,), "a target of 3 units", "4", "size: 3"),
    (Flatten(), (3, 8, 8), (10,), "a target of 192 units in a row", "10", "size: 192"),
    (Shortcut(stride=2), (3, 8, 8), (2, 4, 4), "no fewer channels than the 3 of the source", "2", ""),
    (Shortcut(stride=2), (3, 8, 8), (6, 8, 8), "a target of 6×4×4", "6×8×8", "shape: [6, 4, 4]"),
    (OneToOne(), (3, 8, 8), (4, 8, 8), "as many units", "192 and 256", "Make the sizes equal"),
    (OneToOne(), (3, 8, 8), (3, 4, 16), "the same extent", "3×8×8 and 3×4×16", "Make the sizes equal"),
    (Broadcast(), (5,), (10,), "a target of channels that have places", "10", ""),
]  # fmt: skip


@pytest.mark.parametrize(("wiring", "pre", "post", "expected", "said", "remedy"), MISFITS, ids=str)
def test_what_does_not_fit_is_said_with_what_would(
    wiring: Wiring, pre: tuple[int, ...], post: tuple[int, ...], expected: str, said: str, remedy: str
) -> None:
    (problem,) = found(two(wiring, pre, post))
    assert problem.place == "projections.edge.wiring"
    assert expected in problem.expected
    assert problem.found == f"{said} ('input', 'output')"
    assert remedy in problem.remedy


def test_of_a_wiring_that_runs_backwards_the_ends_are_named_as_they_are() -> None:
    sound = pooled()
    wrong = sound.with_projections(
        pool_to_conv=sound.projections["pool_to_conv"].replace(wiring=Reversed(wiring=Conv2d(kernel=2)))
    )
    (problem,) = found(wrong)
    assert problem.expected == "a source of 2×3×3"
    assert "Give 'pool' shape: [2, 3, 3]" in problem.remedy


def test_wiring_without_weights_is_never_plastic_and_takes_no_weights() -> None:
    sound = check(pooled())
    plastic = sound.with_projections(conv_to_pool=sound.projections["conv_to_pool"].replace(plasticity=Delta()))
    (problem,) = found(plastic)
    assert (problem.place, problem.found) == ("projections.conv_to_pool.plasticity", "delta")
    assert problem.expected == "fixed (the wiring max_pool2d has no weights)"
    tied = sound.with_projections(
        flat_to_pool=sound.projections["flat_to_pool"].replace(weights=Transpose(of="pool_to_flat"))
    )
    places = [problem.place for problem in found(tied)]
    assert places == ["projections.flat_to_pool.weights", "projections.flat_to_pool.weights.of"]


def test_unpool_follows_max_pooling_and_nothing_else() -> None:
    sound = pooled()
    back = sound.projections["pool_to_conv"]

    def wired(**fields: Any) -> list[Problem]:
        return found(sound.with_projections(pool_to_conv=back.replace(**fields)))

    (problem,) = wired(wiring=Unpool(of="conv_to_poll"))
    assert (problem.place, problem.found) == ("projections.pool_to_conv.wiring.of", "'conv_to_poll'")
    assert "Did you mean 'conv_to_pool'" in problem.remedy
    (problem,) = wired(wiring=Unpool(of="input_to_conv"))
    assert problem.found == "'input_to_conv', whose wiring is conv2d"
    (problem,) = wired(target="input", wiring=Unpool(of="conv_to_pool"))
    assert (problem.expected, problem.found) == (
        "the way back through 'conv_to_pool': 2×2×2 to 2×4×4",
        "2×2×2 to 1×6×6",
    )
    assert problem.remedy == "A projection from 'pool' to 'conv' fits."
    (problem,) = wired(wiring=MaxPool2d(kernel=2).reversed())
    assert problem.expected == "unpool, which knows the winners of max pooling"
    forward = sound.with_populations(wide=Population(shape=(2, 4, 4)), output=Population(size=3)).with_projections(
        pool_to_wide=Projection(source="pool", target="wide", wiring=Unpool(of="conv_to_pool"), plasticity=Fixed()),
        wide_to_output=Projection(source="wide", target="output"),
    )
    (problem,) = found(forward)
    assert problem.expected == "a wiring of activity (the pathway is feedforward)"


def test_norms_fit_their_populations() -> None:
    circuit = circuits.lenet5().with_populations(
        conv1=Population(shape=(6, 28, 28), model=Rate(norm=GroupNorm(groups=4)))
    )
    (problem,) = found(circuit)
    assert (problem.place, problem.found) == ("populations.conv1.model.norm", "6")
