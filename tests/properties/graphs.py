"""Random circuits for property tests: skips, several inputs, parallel edges, fixed edges, ties, constant skips, all
activations.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from neurosal.graph import (
    Circuit,
    Constant,
    Dense,
    FixedInDegree,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Relay,
    RMSNorm,
    Source,
    Sparse,
    Transpose,
)
from neurosal.plasticity import Delta, Fixed

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "gelu", "elu", "softplus")
REDUCTIONS = ("batch", "area", "sum")


@st.composite
def forward_circuits(
    draw: st.DrawFn, *, reductions: tuple[str, ...] = ("batch",), ties: bool = True, rates: bool = False
) -> Circuit:
    """A feedforward circuit without feedback: one or two inputs, one to four hidden populations, one output."""
    names = [
        *(f"input{i}" for i in range(draw(st.integers(1, 2)))),
        *(f"hidden{i}" for i in range(draw(st.integers(1, 4)))),
        "output",
    ]
    populations: dict[str, Population] = {}
    for name in names:
        model: Any = (
            Source()
            if name.startswith("input")
            else Rate(
                activation=draw(st.sampled_from(ACTIVATIONS)),
                bias=draw(st.booleans()),
                norm=draw(st.sampled_from([None, None, RMSNorm(eps=0.01)])),
                gain=draw(st.sampled_from([1.0, 1.0, 0.3])),
            )
        )
        if name == "output":
            model = Rate(activation="linear", bias=draw(st.booleans()))
        populations[name] = Population(size=draw(st.integers(2, 3)), model=model)
    projections: dict[str, Projection] = {}

    def connect(source: str, target: str) -> None:
        label = Circuit(populations=populations, projections=projections).free_name(f"{source}_to_{target}")
        plasticity = Delta(
            reduction=draw(st.sampled_from(reductions)), rate=draw(st.sampled_from([1.0, 0.5])) if rates else 1.0
        )
        projections[label] = draw(edges(source, target, populations, projections, plasticity, ties))

    for index, name in enumerate(names):
        if not name.startswith("input"):
            for _ in range(draw(st.integers(1, 3))):
                connect(draw(st.sampled_from(names[:index])), name)
    for name in names[:-1]:  # nothing may end before the output, and no input may be without use
        if all(edge.source != name for edge in projections.values()):
            connect(name, "output")
    return Circuit(name="random", populations=populations, projections=projections)


@st.composite
def edges(
    draw: st.DrawFn,
    source: str,
    target: str,
    populations: dict[str, Population],
    projections: dict[str, Projection],
    plasticity: Delta,
    ties: bool,
) -> Projection:
    """One feedforward projection of any kind that fits between these two."""
    pre, post = populations[source].units, populations[target].units
    kinds = ["dense", "dense", "dense_fixed", "sparse"] + (["one_to_one", "skip"] if pre == post else [])
    kind = draw(st.sampled_from(kinds))
    if kind == "skip":
        weights = Own(init=Constant(value=draw(st.sampled_from([1.0, -0.5]))))
        return Projection(source=source, target=target, wiring=OneToOne(), weights=weights, plasticity=Fixed())
    if kind == "dense_fixed":
        return Projection(source=source, target=target, plasticity=Fixed())
    wirings: dict[str, Any] = {
        "one_to_one": {"wiring": OneToOne()},
        "sparse": {"wiring": draw(st.sampled_from([Sparse(density=0.6), FixedInDegree(inputs=2)]))},
    }
    wiring = wirings.get(kind, {})
    fitting = [
        name
        for name, other in projections.items()
        if other.wiring == wiring.get("wiring", Dense()).reversed()
        and other.plasticity == plasticity
        and not isinstance(other.weights, Transpose)
        and (populations[other.source].units, populations[other.target].units) == (post, pre)
    ]
    if ties and fitting and draw(st.booleans()):
        return Projection(
            source=source,
            target=target,
            weights=Transpose(of=draw(st.sampled_from(fitting))),
            plasticity=plasticity,
            **wiring,
        )
    return Projection(source=source, target=target, plasticity=plasticity, **wiring)


@st.composite
def tied_back(draw: st.DrawFn, circuit: Circuit) -> Circuit:
    """The circuit with backpropagation as a graph written by hand: tied feedback, some of it over relays that repeat
    the error unit by unit.
    """
    for name, edge in circuit.select(pathway="feedforward").items():
        if edge.source in circuit.inputs:
            continue
        back = {
            "target": edge.source,
            "pathway": "feedback",
            "wiring": edge.wiring.reversed(),
            "weights": Transpose(of=name),
            "plasticity": Fixed(),
        }
        label = circuit.free_name(f"back_{name}")
        if draw(st.booleans()):
            circuit = circuit.with_projections(**{label: Projection(source=edge.target, **back)})
            continue
        relay = f"relay_{name}"
        circuit = circuit.with_populations(
            **{relay: Population(size=circuit.populations[edge.target].units, model=Relay())}
        )
        circuit = circuit.with_projections(
            **{
                f"first_{name}": Projection(
                    source=edge.target,
                    target=relay,
                    pathway="feedback",
                    wiring=OneToOne(),
                    weights=Own(init=Constant(value=1.0)),
                    plasticity=Fixed(),
                ),
                label: Projection(source=relay, **back),
            }
        )
    return circuit
