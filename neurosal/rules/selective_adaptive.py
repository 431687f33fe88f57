"""Selective adaptive learning: populations with areas, of which each sample selects one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import (
    Circuit,
    Initialiser,
    Own,
    Plasticity,
    Projection,
    Relay,
    Router,
    RouterPlasticity,
    SameRoute,
    Source,
)
from neurosal.graph.value import shown
from neurosal.plasticity import Attract, Fixed, KMeans, OnlineBalanced
from neurosal.rules.backpropagation import bp
from neurosal.rules.base import (
    initialiser,
    learning_inputs,
    no_feedback,
    one_of,
    refuse,
    replace_fields,
    rule,
    share,
    whole,
)
from neurosal.rules.direct_feedback_alignment import dfa
from neurosal.rules.direct_kolen_pollack import dkp
from neurosal.rules.direct_random_target_projection import drtp
from neurosal.rules.feedback_alignment import fa
from neurosal.rules.kolen_pollack import kp, kp_tied
from neurosal.rules.product_feedback_alignment import pfa, pfa_o
from neurosal.rules.shallow import shallow
from neurosal.rules.sign_symmetric import usf
from neurosal.rules.sign_symmetric_fixed import frsf
from neurosal.rules.sign_symmetric_redrawn import brsf

Rule = Callable[[Circuit], Circuit]
Feedback = Literal["kp", "kp_tied", "fa", "dfa", "pfa", "pfa_o", "bp", "shallow", "usf", "frsf", "brsf", "dkp", "drtp"]
FEEDBACK: dict[str, Rule] = {
    "kp": kp,
    "kp_tied": kp_tied,
    "fa": fa,
    "dfa": dfa,
    "pfa": pfa,
    "pfa_o": pfa_o,
    "bp": bp,
    "shallow": shallow,
    "usf": usf,
    "frsf": frsf,
    "brsf": brsf,
    "dkp": dkp,
    "drtp": drtp,
}
ROUTERS: dict[str, type[Plasticity]] = {
    "online_balanced": OnlineBalanced,
    "frozen": Fixed,
    "attract": Attract,
    "k_means": KMeans,
}
NO_SYNAPSES = ("bp", "shallow")  # of their own, that is
NOT_DRAWN = (*NO_SYNAPSES, "usf")
PLACE = "rules.sal"


@rule
def sal(
    circuit: Circuit,
    *,
    areas: int = 16,
    feedback: Feedback | Rule = "kp",
    route: Literal["shared", "population"] = "shared",
    router: Literal["online_balanced", "frozen", "attract", "k_means"] | RouterPlasticity = "online_balanced",
    reduction: Literal["batch", "area", "sum"] = "batch",
    readout: Literal["areas", "shared"] = "areas",
    init: Literal["same", "independent"] = "same",
    rank: int = 16,
    route_from: str | None = None,
    density: float = 1.0,
    feedback_init: Initialiser | None = None,
) -> Circuit:
    """Selective adaptive learning: each sample selects one area, ``k = argmax C q``, and only that area takes part.

    This is our reconstruction (SAL-R, inferred): the paper's text leaves the router and the feedback open. A population
    with K areas has K full sets of incoming weights and biases, and K sets of the feedback that leaves it. A router
    reads an activity h: ``u = h - running mean``, ``q = P u / |P u|``. Forward ``a = W^k h + b^k``, error ``e = B^k
    δ`` through the area that was selected where the error comes from, and only selected areas change. No task signal
    passes the router.

    Args:
        circuit: populations and feedforward projections, without areas and without feedback.
        areas: K; 1 adds no router.
        feedback: the rule by which error returns, area by area, or any function circuit -> circuit. "bp" and
            "kp_tied" are the routed net under backpropagation (weight transport, always or at birth); name them so in
            tables.
        route: "shared" (one choice for all populations) or "population" (each reads the population below).
        router: how routes change: "online_balanced", "frozen", "attract", "k_means" (fitted to training inputs once),
            or a router plasticity.
        reduction: what a change is divided by: "batch" (samples in the batch), "area" (samples of the area) or "sum"
            (nothing: a larger step, to be compared with the rate times the batch size).
        readout: "areas" (the output has K areas too) or "shared".
        init: whether all areas of a projection start from the "same" draw or "independent" ones.
        rank: dimension of the routing space.
        route_from: population that the shared router reads; None takes the first input.
        feedback_init: how feedback weights are drawn; None leaves it to the rule.

    Returns:
        The circuit with areas, modulatory projections ``route_{population}``, and the feedback of the rule chosen.

    Raises:
        CircuitError: for a circuit with areas, routers or feedback, and for unknown or wrong options; lists them all.

    Example:
        >>> from neurosal import circuits, rules
        >>> list(rules.sal(circuits.mlp(3, 4, 2), areas=4).select(pathway="modulatory"))
        ['route_hidden1', 'route_output']

    Reference:
        "Selective Adaptive Learning", arXiv 2601.21561.
    """
    plasticity = ROUTERS[router]() if isinstance(router, str) and router in ROUTERS else router
    refuse(
        [
            *whole(f"{PLACE}.areas", areas),
            *whole(f"{PLACE}.rank", rank),
            *one_of(f"{PLACE}.route", route, ("shared", "population")),
            *one_of(f"{PLACE}.reduction", reduction, ("batch", "area", "sum")),
            *one_of(f"{PLACE}.readout", readout, ("areas", "shared")),
            *one_of(f"{PLACE}.init", init, ("same", "independent")),
            *([] if callable(feedback) else one_of(f"{PLACE}.feedback", feedback, FEEDBACK)),
            *([] if isinstance(plasticity, (RouterPlasticity, Fixed)) else one_of(f"{PLACE}.router", router, ROUTERS)),
            *_clean(circuit),
            *no_feedback(PLACE, circuit),
            *_route_source(circuit, route_from, route),
            *_unless_given("density", density, 1, share(f"{PLACE}.density", density), feedback, NO_SYNAPSES),
            *_unless_given("feedback_init", feedback_init, None, _drawn(feedback_init), feedback, NOT_DRAWN),
        ]
    )
    assert isinstance(plasticity, Plasticity)
    routed = _learning_populations(circuit, with_output=readout == "areas")
    if not routed:
        where = "" if readout == "areas" else " below the output"
        raise CircuitError(
            Problem(
                place="projections",
                expected=f"a plastic feedforward projection{where}, whose target gets areas",
                found="none",
            )
        )
    if areas > 1:
        circuit = circuit.with_populations(**{name: circuit.populations[name].replace(areas=areas) for name in routed})
        circuit = _with_starts(circuit, routed, init)
        wiring = Router(rank=rank)
        circuit = (_shared if route == "shared" else _per_population)(circuit, routed, wiring, plasticity, route_from)
    circuit = _with_reduction(circuit, reduction)
    back: Callable[..., Circuit] = FEEDBACK[feedback] if isinstance(feedback, str) else feedback
    given = {} if density == 1 else {"density": density}
    circuit = back(circuit, **given, **({} if feedback_init is None else {"init": feedback_init}))
    return _with_reduction(circuit, reduction)  # feedback of a rule that is not ours knows nothing of the reduction


def _drawn(feedback_init: object) -> list[Problem]:
    return [] if feedback_init is None else initialiser(f"{PLACE}.feedback_init", feedback_init)


def _unless_given(
    option: str, value: object, usual: object, problems: list[Problem], feedback: object, without: tuple[str, ...]
) -> list[Problem]:
    """Problems with an option of the feedback: those of its value, or that this feedback does not have it."""
    if problems or value == usual or (isinstance(feedback, str) and feedback not in without):
        return problems
    remedy = "Give it to that rule." if callable(feedback) else ""
    place = f"{PLACE}.{option}"
    return [Problem(place=place, expected=f"{usual} with feedback={feedback!r}", found=shown(value), remedy=remedy)]


def _clean(circuit: Circuit) -> list[Problem]:
    """Problems for areas and routers that are there already: two sets of routes have no meaning."""
    split = [name for name, entry in circuit.populations.items() if entry.areas > 1]
    present = [*split, *circuit.select(pathway="modulatory")]
    if not present:
        return []
    return [
        Problem(
            place=PLACE,
            expected="a circuit without areas and routers",
            found=", ".join(present),
            remedy="Start from the circuit that had none.",
        )
    ]


def _route_source(circuit: Circuit, route_from: object, route: object) -> list[Problem]:
    """Problems with the population that the shared router reads."""
    place = f"{PLACE}.route_from"
    if route_from is None:
        return [] if circuit.inputs else [Problem(place="populations", expected="an input to route by", found="none")]
    if route == "population":
        return [
            Problem(
                place=place,
                expected="nothing with route='population'",
                found=repr(route_from),
                remedy="Leave it out, or share the route.",
            )
        ]
    known = [name for name, entry in circuit.populations.items() if not isinstance(entry.model, Relay)]
    if route_from not in known:
        return [
            Problem(
                place=place,
                expected="a population with activity",
                found=repr(route_from),
                remedy=near(route_from, known),
            )
        ]
    routed = _learning_populations(circuit, with_output=False) or _learning_populations(circuit, with_output=True)
    late = circuit.layers()
    if routed and late.index(str(route_from)) >= late.index(routed[0]):
        return [
            Problem(
                place=place,
                expected=f"a population whose activity is known before {routed[0]!r}, the first with areas, needs it",
                found=repr(route_from),
                remedy=f"There are: {', '.join(late[: late.index(routed[0])])}.",
            )
        ]
    return []


def _learning_populations(circuit: Circuit, *, with_output: bool) -> list[str]:
    """Populations that get areas: all with a plastic input, in forward order."""
    ends = circuit.outputs
    return [
        name
        for name in circuit.layers()
        if learning_inputs(circuit, name)
        and (with_output or name not in ends)
        and not isinstance(circuit.populations[name].model, (Source, Relay))
    ]


def _with_starts(circuit: Circuit, routed: list[str], init: str) -> Circuit:
    """The circuit whose projections into populations with areas start the same in each area, or independently."""
    return circuit.with_projections(
        **{
            name: entry.replace(weights=entry.weights.replace(across_areas=init))
            for name, entry in circuit.select(pathway="feedforward").items()
            if entry.target in routed and isinstance(entry.weights, Own) and circuit.areas_of(name) > 1
        }
    )


def _shared(
    circuit: Circuit, routed: list[str], wiring: Router, plasticity: Plasticity, route_from: str | None
) -> Circuit:
    """One router into the first population with areas; the others take its choice."""
    source, leader = route_from or circuit.inputs[0], ""
    for name in routed:
        changes: dict[str, Any] = (
            {"wiring": SameRoute(of=leader), "plasticity": Fixed()}
            if leader
            else {"wiring": wiring, "plasticity": plasticity}
        )
        label = circuit.free_name(f"route_{name}")
        circuit = circuit.with_projections(
            **{label: Projection(source=source, target=name, pathway="modulatory", **changes)}
        )
        leader = leader or label
    return circuit


def _per_population(
    circuit: Circuit, routed: list[str], wiring: Router, plasticity: Plasticity, _: str | None
) -> Circuit:
    """A router into each population with areas, from where its first plastic input comes."""
    for name in routed:
        source = circuit.projections[learning_inputs(circuit, name)[0]].source
        circuit = circuit.with_projections(
            **{
                circuit.free_name(f"route_{name}"): Projection(
                    source=source, target=name, pathway="modulatory", wiring=wiring, plasticity=plasticity
                )
            }
        )
    return circuit


def _with_reduction(circuit: Circuit, reduction: str) -> Circuit:
    """The circuit whose plastic projections all divide their change by the same count."""
    return circuit.with_projections(
        **{
            name: entry.replace(plasticity=replace_fields(entry.plasticity, reduction=reduction))
            for name, entry in circuit.projections.items()
            if entry.pathway != "modulatory" and "reduction" in type(entry.plasticity).model_fields
        }
    )
