"""Weight mirror: feedback synapses come to the direction of the forward weights' transpose while noise drives the
population that they reach."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.errors import Problem
from neurosal.graph import Circuit, Initialiser
from neurosal.plasticity import WeightMirror
from neurosal.rules.base import XAVIER, add_feedback, chain, flag, initialiser, own, refuse, rule


@rule
def wm(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    centred: bool = True,
    decay: float = 0.0,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Weight mirror: ``e_source = Σ B δ_target``, and ``ΔB = (1/m) Σ_n ξ_source y_targetᵀ - λ B`` in a phase of noise.

    While the circuit learns its task, B stays as it is. In a mirror phase noise ξ drives one population after another
    (`Circuit.driven_at`, as a `twin` of the network that takes steps with the loss "none"), and B turns towards Wᵀ. No
    synapse reads another.

    Args:
        circuit: populations and feedforward projections.
        init: how feedback weights are drawn.
        centred: subtract the mean response of each batch of noise.
        decay: λ, of feedback weights in the mirror phase.

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}`` for each forward one that does not start at an
        input, plastic or not: also weights that never change can be mirrored.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> import torch
        >>> import neurosal as ns
        >>> from neurosal import circuits, rules
        >>> network = ns.compile(rules.wm(circuits.mlp(8, 6, 4)), device="cpu")
        >>> mirror = network.twin(network.circuit.driven_at("hidden1"))  # shares weights with the network
        >>> noise = torch.randn(1000, 6, generator=torch.Generator().manual_seed(0))
        >>> for _ in range(100):
        ...     _ = mirror.step(noise, loss="none", optimizer=ns.SGD(lr=0.1))
        >>> w, b = network.weights["hidden1_to_output"], network.weights["output_to_hidden1"].mT
        >>> bool(ns.stats.base.angle(w.flatten(), b.flatten(), axis=0) < 8)
        True

    Reference:
        Akrout et al. (2019), "Deep learning without weight transport", arXiv 1904.05391.
    """
    place = "rules.wm"
    wrong = [*initialiser(f"{place}.init", init), *flag(f"{place}.centred", centred)]
    if isinstance(decay, bool) or not isinstance(decay, (int, float)) or not 0 <= decay < float("inf"):
        wrong.append(Problem(place=f"{place}.decay", expected="a number that is not negative", found=repr(decay)))
    refuse(wrong)

    def mirrored(circuit: Circuit, forward: str) -> Circuit:
        plasticity = WeightMirror(
            centred=centred,
            decay=decay,
            reduction=getattr(circuit.projections[forward].plasticity, "reduction", "batch"),
        )
        return add_feedback(circuit, forward, own(circuit, forward, init), plasticity)

    return chain(
        circuit,
        mirrored,
        mirrored,
        place=place,
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
