"""Direct feedback: from the output to every population that learns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal

from neurosal.graph import Broadcast, Circuit, Dense, Initialiser, Orthogonal, Own, Plasticity, Projection, Wiring
from neurosal.plasticity import Fixed
from neurosal.rules.base import (
    flag,
    follow_route,
    initialiser,
    learning_inputs,
    names,
    no_feedback,
    one_of,
    own,
    refuse,
    share,
    whole,
)
from neurosal.rules.space import relay_of, thinned, transposed_onto

Space = Literal["units", "broadcast", "transposed"]


def direct(
    circuit: Circuit,
    init: Initialiser,
    *,
    place: str,
    keep_feedback: bool,
    only: Collection[str] | None,
    plasticity: Callable[[Projection | None], Plasticity] = lambda _: Fixed(),
    carries: Literal["error", "target"] = "error",
    density: float = 1.0,
    space: Space = "units",
    kernel: int = 4,
) -> Circuit:
    """The circuit with feedback from the output to each other population that has a plastic input.

    Populations without space get dense feedback. With space, channels at places, there is a choice:

    - "units": dense, a synapse for every unit, e.g. 16·32·32 of them for each unit of the output;
    - "broadcast": a synapse for every channel, whose units all get the same (`Broadcast`);
    - "transposed": a transposed convolution whose kernels lie side by side, so that units of a channel get one of
      kernel² values by their place. It starts at a relay, ``relay_{population}``, with as many channels as the output
      has units and a place for each kernel; the output reaches that through a fixed orthogonal matrix.

    Args:
        plasticity: from the first plastic projection into the output (None without one) to that of the feedback.
        carries: what the feedback carries.
        density: share of its synapses.
        only: names of the populations to serve; None for all.  Others as in `chain`.
        space: one of the three.
        kernel: rows and columns of the transposed convolution.
    """
    refuse(
        [
            *initialiser(f"{place}.init", init),
            *flag(f"{place}.keep_feedback", keep_feedback),
            *names(f"{place}.only", only, circuit.populations),
            *share(f"{place}.density", density),
            *one_of(f"{place}.space", space, ("units", "broadcast", "transposed")),
            *whole(f"{place}.kernel", kernel),
            *no_feedback(place, circuit, keep_feedback is True),
        ]
    )
    output = circuit.output
    reached = {entry.target for entry in circuit.select(pathway="feedback").values()}
    into_output = next(iter(learning_inputs(circuit, output)), None)
    weights = own(circuit, into_output, init) if into_output else Own(init=init)
    change = plasticity(circuit.projections[into_output] if into_output else None)
    last = Projection(source=output, target="", pathway="feedback", weights=weights, plasticity=change, carries=carries)
    for name in circuit.populations:
        if (
            name == output
            or name in reached
            or not learning_inputs(circuit, name)
            or (only is not None and name not in only)
        ):
            continue
        spatial = len(circuit.populations[name].extent) > 1
        if spatial and space == "transposed":
            circuit = _over_grid(circuit, name, last, kernel, density)
        else:
            wiring = Broadcast() if spatial and space == "broadcast" else Dense()
            circuit = _added(circuit, last.replace(target=name, wiring=_with(wiring, density)))
    return circuit


def _with(wiring: Wiring, density: float) -> Wiring:
    return wiring if density == 1 else thinned(wiring, density)


def _added(circuit: Circuit, edge: Projection) -> Circuit:
    return circuit.with_projections(**{circuit.free_name(f"{edge.source}_to_{edge.target}"): edge})


def _over_grid(circuit: Circuit, name: str, last: Projection, kernel: int, density: float) -> Circuit:
    """The circuit with a relay on a grid of places below the output, and a transposed convolution from there."""
    output = circuit.populations[last.source]
    grid, wiring = transposed_onto(circuit.populations[name].extent, kernel)
    relay = circuit.free_name(f"relay_{name}")
    circuit = circuit.with_populations(**{relay: relay_of((output.units, *grid), output.areas)})
    first = last.replace(
        target=relay,
        wiring=Broadcast(),
        weights=last.weights.replace(init=Orthogonal()),
        plasticity=Fixed(),
    )
    second = last.replace(source=relay, target=name, wiring=_with(wiring, density), carries="error")
    return follow_route(_added(_added(circuit, first), second), relay, last.source)
