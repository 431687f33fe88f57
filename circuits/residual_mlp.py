"""The residual multi-layer perceptron: a stream of linear sums, to which blocks of normalised ReLU units add."""

from __future__ import annotations

from typing import Literal

from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    Circuit,
    Constant,
    Initialiser,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    RMSNorm,
    Source,
    XavierUniform,
)
from neurosal.graph.value import shown
from neurosal.plasticity import Delta, Fixed


def residual_mlp(
    inputs: int = 64,
    width: int = 64,
    classes: int = 10,
    *,
    blocks: int = 8,
    branch_scale: float = 0.3,
    norm: Literal["rms"] | None = "rms",
    init: Initialiser | None = None,
    branch_init: Initialiser | None = None,
    readout_init: Initialiser | None = None,
    bias: bool = True,
    name: str = "residual_mlp",
) -> Circuit:
    """A stream h that each block adds to, ``h ← h + b + W s relu(norm(h))``, and a read-out of the normalised stream.

    Every way is a projection, so a rule sees depth as it is. Populations are input, stream0, hidden1, stream1, hidden2,
    ..., final, output. Streams are linear sums: dense from the input into stream0; from then on the constant skip from
    the stream below, and dense from the block's hidden population. A hidden population gets the stream one-to-one
    (constant 1), normalises it and rectifies it, and its gain is the scale of the branch; ``final`` normalises the last
    stream for the read-out. Without a norm there is no ``final``: the read-out hears the last stream.

    Streams and output are what has plastic inputs: direct rules reach these, and with areas (`rules.sal`) these have
    areas and one shared route, so that samples stand in one order from stream0 on.

    Args:
        inputs, width, classes: units of the input, of each stream and hidden population, and of the output.
        blocks: L, dense layers between stream0 and the read-out.
        branch_scale: s.
        norm: "rms" (`RMSNorm`), or None.
        init: distribution of the weights into stream0, Xavier uniform if None.
        branch_init: of the weights of the blocks; None takes ``init``.
        readout_init: of the weights into the output; None takes ``init``.
        bias: whether streams and output have a bias. That of a stream is not scaled by s.
        name: of the circuit.

    Raises:
        CircuitError: for sizes that are no positive whole numbers, a scale that is not positive, or another norm.

    Example:
        >>> circuit = residual_mlp(16, 64, 26, blocks=2)
        >>> list(circuit.populations)
        ['input', 'stream0', 'hidden1', 'stream1', 'hidden2', 'stream2', 'final', 'output']
        >>> [name for name, edge in circuit.projections.items() if edge.plasticity.plastic]
        ['input_to_stream0', 'hidden1_to_stream1', 'hidden2_to_stream2', 'final_to_output']

        Error that returns along the skips only, with Kolen-Pollack feedback from the output to ``final``:

        >>> from neurosal import rules
        >>> past_blocks = [name for name in circuit.projections if "hidden" not in name]
        >>> list(rules.kp(circuit, only=past_blocks).select(pathway="feedback"))
        ['stream1_to_stream0', 'stream2_to_stream1', 'final_to_stream2', 'output_to_final']

    Reference:
        He et al. (2016), "Identity mappings in deep residual networks", arXiv 1603.05027.
    """
    _refuse({"inputs": inputs, "width": width, "classes": classes, "blocks": blocks}, branch_scale, norm)
    start = XavierUniform() if init is None else init
    rms = RMSNorm() if norm == "rms" else None
    stream = Population(size=width, model=Rate(activation="linear", bias=bias))
    hidden = Population(size=width, model=Rate(activation="relu", bias=False, norm=rms, gain=branch_scale))
    populations = {"input": Population(size=inputs, model=Source()), "stream0": stream}
    projections = {"input_to_stream0": _dense("input", "stream0", start)}
    for index in range(1, blocks + 1):
        below, block, above = f"stream{index - 1}", f"hidden{index}", f"stream{index}"
        populations |= {block: hidden, above: stream}
        projections |= {
            f"{below}_to_{block}": _skip(below, block),
            f"{block}_to_{above}": _dense(block, above, branch_init or start),
            f"{below}_to_{above}": _skip(below, above),
        }
    last = f"stream{blocks}"
    if rms is not None:
        populations["final"] = Population(size=width, model=Rate(activation="linear", bias=False, norm=rms))
        projections[f"{last}_to_final"] = _skip(last, "final")
        last = "final"
    populations["output"] = Population(size=classes, model=Rate(activation="linear", bias=bias))
    projections[f"{last}_to_output"] = _dense(last, "output", readout_init or start)
    return Circuit(name=name, populations=populations, projections=projections)


def _dense(source: str, target: str, init: Initialiser) -> Projection:
    return Projection(source=source, target=target, weights=Own(init=init), plasticity=Delta())


def _skip(source: str, target: str) -> Projection:
    return Projection(
        source=source, target=target, wiring=OneToOne(), weights=Own(init=Constant(value=1)), plasticity=Fixed()
    )


def _refuse(sizes: dict[str, object], scale: object, norm: object) -> None:
    problems = [
        Problem(place=place, expected="a positive whole number", found=shown(size))
        for place, size in sizes.items()
        if not isinstance(size, int) or isinstance(size, bool) or size < 1
    ]
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < float("inf"):
        problems.append(Problem(place="branch_scale", expected="a positive number", found=shown(scale)))
    if norm not in ("rms", None):
        problems.append(Problem(place="norm", expected="'rms', or none", found=shown(norm)))
    if problems:
        raise CircuitError(problems)
