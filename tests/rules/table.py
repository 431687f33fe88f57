"""The table of all rules, each with every choice that it offers, and the circuits on which the tests run them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neurosal import rules
from neurosal.graph import Circuit, Own, Population, Projection, Rate, Source, XavierUniform
from neurosal.graph.models import Activation
from neurosal.plasticity import Attract, OnlineBalanced


@dataclass(frozen=True)
class Case:
    """One row: a rule with its options, and what it promises.

    Args:
        learns_below: whether hidden weights change.
        transports: whether feedback reads forward weights while it runs.
        transports_at_birth: whether it starts from them.
    """

    name: str
    make: Callable[[Circuit], Circuit]
    learns_below: bool = True
    transports: bool = False
    transports_at_birth: bool = False
    areas: int = 1


TRANSPORTS = ("bp", "usf", "frsf", "brsf")


def _sal(name: str, **options: Any) -> Case:
    feedback = options.get("feedback", "kp")
    return Case(
        name=f"sal_{name}",
        make=functools.partial(rules.sal, **{"areas": 3, "rank": 4, **options}),
        areas=3,
        learns_below=feedback != "shallow",
        transports=feedback in TRANSPORTS,
        transports_at_birth=feedback in (*TRANSPORTS, "kp_tied"),
    )


PLAIN = (
    Case("bp", rules.bp, transports=True, transports_at_birth=True),
    Case("shallow", rules.shallow, learns_below=False),
    Case("bptt", rules.bptt, transports=True, transports_at_birth=True),
    Case("eprop", rules.eprop, transports=True, transports_at_birth=True),
    Case("eprop_random", functools.partial(rules.eprop, feedback="random")),
    Case("eprop_adaptive", functools.partial(rules.eprop, feedback="adaptive")),
    Case("fa", rules.fa),
    Case("dfa", rules.dfa),
    Case("kp", rules.kp),
    Case("kp_tied", rules.kp_tied, transports_at_birth=True),
    Case("pfa", functools.partial(rules.pfa, expansion=3)),
    Case("pfa_o", rules.pfa_o),
    Case("wm", rules.wm),
    Case("dkp", rules.dkp),
    Case("drtp", rules.drtp),
    Case("fa_half", functools.partial(rules.fa, density=0.5)),
    Case("dkp_half", functools.partial(rules.dkp, density=0.5)),
    Case("kp_half", functools.partial(rules.kp, density=0.5)),
    Case("kp_tied_half", functools.partial(rules.kp_tied, density=0.5), transports_at_birth=True),
    Case("pfa_half", functools.partial(rules.pfa, expansion=3, density=0.5)),
    Case("pfa_o_half", functools.partial(rules.pfa_o, density=0.6)),
    Case("usf_half", functools.partial(rules.usf, density=0.5), transports=True, transports_at_birth=True),
    Case("brsf_half", functools.partial(rules.brsf, density=0.5), transports=True, transports_at_birth=True),
    Case("usf", rules.usf, transports=True, transports_at_birth=True),
    Case("frsf", rules.frsf, transports=True, transports_at_birth=True),
    Case("brsf", rules.brsf, transports=True, transports_at_birth=True),
)
SELECTIVE = (
    *(
        _sal(feedback, feedback=feedback)
        for feedback in (
            "kp",
            "kp_tied",
            "fa",
            "dfa",
            "pfa",
            "pfa_o",
            "bp",
            "shallow",
            "usf",
            "frsf",
            "brsf",
            "dkp",
            "drtp",
        )
    ),
    *(
        _sal(f"{reduction}_{feedback}", reduction=reduction, feedback=feedback)
        for reduction in ("area", "sum")
        for feedback in ("kp", "pfa")
    ),
    _sal("per_population", route="population", router="frozen"),
    _sal("per_population_pfa", route="population", feedback="pfa"),
    _sal("half_pfa", feedback="pfa", density=0.5),
    _sal("half_frsf", feedback="frsf", density=0.5),
    _sal("small_pfa", feedback="pfa", feedback_init=XavierUniform(gain=0.1)),
    _sal("frozen", router="frozen"),
    _sal("attract", router="attract"),
    _sal("attract_fast", router=Attract(rate=1.0, balance=0.5, usage_rate=0.2)),
    _sal("balanced_fast", router=OnlineBalanced(step=0.3, balance=0.3, usage_rate=0.2)),
    _sal("k_means", router="k_means"),
    _sal("shared_readout", readout="shared"),
    _sal("shared_readout_pfa", readout="shared", feedback="pfa"),
    _sal("independent", init="independent"),
)
TABLE = (*PLAIN, *SELECTIVE)


def named(name: str) -> Case:
    """The row of that name."""
    return next(case for case in TABLE if case.name == name)


def chain_of(*sizes: int, activation: Activation = "relu", init: Any = None) -> Circuit:
    """Populations input, hidden1, ..., output, each projecting to the next; the output is linear."""
    labels = ["input", *(f"hidden{i}" for i in range(1, len(sizes) - 1)), "output"]
    models = [Source(), *[Rate(activation=activation)] * (len(sizes) - 2), Rate(activation="linear")]
    weights = Own(init=init or XavierUniform())
    return Circuit(
        name="chain",
        populations={
            label: Population(size=size, model=model) for label, size, model in zip(labels, sizes, models, strict=True)
        },
        projections={
            f"{a}_to_{b}": Projection(source=a, target=b, weights=weights) for a, b in itertools.pairwise(labels)
        },
    )
