"""Random small circuits in continuous time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from neurosal.checks import check
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Population
from tests.spiking.drawn.numbers import between
from tests.spiking.drawn.populations import noise, populations, sources
from tests.spiking.drawn.projections import Growing, again, modulation, projection, turned


@dataclass(frozen=True)
class Drawn:
    """A circuit, and how it is simulated.

    Attributes:
        graph_seed: of the graph that replicas share; None for one each.
        merge: whether populations of the same equations share a group in Brian2.
    """

    circuit: Circuit
    dt_ms: float
    seed: int
    graph_seed: int | None
    merge: bool


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    """Noise, another source, one to three populations, and synapses between any of them; most populations hear the
    noise."""
    names = ["first", "second", "third"][: draw(st.sampled_from([1, 2, 2, 3]))]
    made: dict[str, Population] = {"noise": noise(draw(between(100, 400)))}
    if draw(st.booleans()):
        made["source"] = draw(sources())
    given = list(made)
    for name in names:
        like = [made[other] for other in names if other in made]
        made[name] = draw(st.sampled_from(like)) if like and draw(st.integers(0, 2)) == 0 else draw(populations())
    growing = Growing(made)
    for name in names:
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            modulation(draw, growing, draw(st.sampled_from([*given, *names])), name)
        projection(draw, growing, draw(st.sampled_from(given)), name)
    for _ in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["free", "free", "again", "turned", "turned"])):
            case "again" if growing.projections:
                again(draw, growing, draw(st.sampled_from([*growing.projections])))
            case "turned" if growing.projections:
                turned(draw, growing, draw(st.sampled_from([*growing.projections])))
            case _:
                projection(draw, growing, draw(st.sampled_from([*given, *names])), draw(st.sampled_from(names)))
    return solved(Circuit(name="random", populations=made, projections=growing.projections))


def solved(circuit: Circuit) -> Circuit:
    """The same, where equations that are not linear, or differ between units in their time constants, are made to take
    a method that can."""
    try:
        check(circuit)
    except CircuitError as error:
        names = {problem.place.split(".")[1] for problem in error.problems if problem.place.endswith("model.method")}
        if not names:
            raise
        changed = {}
        for name in names:
            model = circuit.populations[name].model
            inner = getattr(model, "of", None)
            way = {"method": "exponential_euler"}
            model = model.replace(of=inner.replace(**way)) if inner is not None else model.replace(**way)
            changed[name] = circuit.populations[name].replace(model=model)
        circuit = circuit.with_populations(**changed)
        check(circuit)
    return circuit


@st.composite
def runs(draw: st.DrawFn) -> Drawn:
    """A circuit and ways to simulate it."""
    return Drawn(
        draw(circuits()), draw(st.sampled_from([0.1, 0.1, 0.1, 0.05, 0.25, 0.5])), draw(st.integers(0, 50)),
        draw(st.sampled_from([None, None, 7])), draw(st.booleans()),
    )  # fmt: skip
