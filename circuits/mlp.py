"""The multi-layer perceptron: dense feedforward projections from one population to the next."""

from __future__ import annotations

from itertools import pairwise

from neurosal.errors import CircuitError, Problem
from neurosal.graph import Circuit, Dense, Initialiser, Own, Population, Projection, Rate, Source, Wiring, XavierUniform
from neurosal.graph.models import Activation
from neurosal.graph.value import shown
from neurosal.plasticity import Delta


def mlp(
    *sizes: int,
    activation: Activation = "relu",
    init: Initialiser | None = None,
    wiring: Wiring | None = None,
    bias: bool = True,
    name: str = "mlp",
) -> Circuit:
    """A chain ``h = f(W h_below + b)`` of dense layers with a linear read-out. It has no feedback: a rule adds that.

    Populations are called input, hidden1, hidden2, ..., output; projections input_to_hidden1, ..., hiddenN_to_output.

    Args:
        sizes: units of each population from input to output; without any, 64, 256, 10 (the digits baseline). In files
            a list under this name.
        activation: f of the hidden populations.
        init: distribution of the weights, Xavier uniform if None.
        wiring: of every projection, dense if None; `Sparse(density=0.1)` leaves synapses out.
        bias: whether hidden and output populations have a bias.
        name: of the circuit.

    Raises:
        CircuitError: for fewer than two sizes, or sizes that are no positive whole numbers.

    Example:
        >>> mlp(784, 1000, 10).populations["hidden1"].size
        1000
    """
    sizes = sizes or (64, 256, 10)
    problems = [
        Problem(place=f"sizes.{index}", expected="a positive whole number", found=shown(size))
        for index, size in enumerate(sizes)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1
    ]
    if len(sizes) < 2:
        problems.append(Problem(place="sizes", expected="at least two, input and output", found=shown(sizes)))
    if problems:
        raise CircuitError(problems)
    names = ["input", *(f"hidden{index}" for index in range(1, len(sizes) - 1)), "output"]
    hidden, readout = Rate(activation=activation, bias=bias), Rate(activation="linear", bias=bias)
    models = [Source(), *([hidden] * (len(sizes) - 2)), readout]
    weights = Own(init=XavierUniform() if init is None else init)
    return Circuit(
        name=name,
        populations={
            each: Population(size=size, model=model) for each, size, model in zip(names, sizes, models, strict=True)
        },
        projections={
            f"{source}_to_{target}": Projection(
                source=source, target=target, weights=weights, wiring=wiring or Dense(), plasticity=Delta()
            )
            for source, target in pairwise(names)
        },
    )
