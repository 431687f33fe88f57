"""Földiák's network: feedforward synapses that find components, lateral inhibition that keeps them apart."""

from __future__ import annotations

from neurosal.graph import Circuit, Constant, Initialiser, Own, Population, Projection, Rate, Source, XavierUniform
from neurosal.plasticity import AntiHebbian, Oja


def foldiak(
    inputs: int = 64,
    outputs: int = 8,
    *,
    lateral: bool = True,
    inhibition: float = 1.0,
    init: Initialiser | None = None,
    name: str = "foldiak",
) -> Circuit:
    """One linear layer that learns without an error: ``y = W x + L y``, W by Oja's rule, L by anti-Hebbian inhibition.

    The outputs become uncorrelated and W comes to span the first principal components of the input, whose mean should
    be zero. Without L every unit comes to the first component by itself. Train it with ``loss="none"``.

    Args:
        inputs, outputs: units.
        lateral: whether there is L; it starts at zero and joins no unit to itself.
        inhibition: rate of L, as a factor on the optimiser's; it should follow W faster than W moves.
        init: distribution of W, Xavier uniform if None.
        name: of the circuit.

    Example:
        >>> list(foldiak(5, 2).projections)
        ['input_to_output', 'output_to_output']

    Reference:
        Földiák (1989), "Adaptive network for optimal linear feature extraction"; Oja (1982), "A simplified neuron model
        as a principal component analyzer".
    """
    circuit = Circuit(
        name=name,
        populations={
            "input": Population(size=inputs, model=Source()),
            "output": Population(size=outputs, model=Rate(activation="linear", bias=False)),
        },
        projections={
            "input_to_output": Projection(
                source="input",
                target="output",
                weights=Own(init=XavierUniform() if init is None else init),
                plasticity=Oja(),
            )
        },
    )
    if not lateral:
        return circuit
    return circuit.with_projections(
        output_to_output=Projection(
            source="output",
            target="output",
            pathway="lateral",
            weights=Own(init=Constant(value=0.0)),
            plasticity=AntiHebbian(rate=inhibition),
        )
    )
