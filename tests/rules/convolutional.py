"""A small residual convolutional circuit with batch norm, and every rule with what it offers over space."""

from __future__ import annotations

import functools
from typing import Any

from neurosal import rules
from neurosal.graph import (
    BatchNorm,
    Circuit,
    Constant,
    Conv2d,
    GlobalAvgPool,
    GroupNorm,
    MaxPool2d,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Shortcut,
    Source,
    Wiring,
)
from neurosal.graph.models import Activation
from neurosal.plasticity import Fixed
from tests.rules.table import Case

KERNEL = {"kernel": 3, "padding": 1}


def normed(*shape: int, activation: Activation = "relu") -> Population:
    """Channels at places, normalised over samples and places."""
    return Population(shape=shape, model=Rate(activation=activation, norm=BatchNorm(), bias=False))


def plain(*shape: int, activation: Activation = "linear", bias: bool = False) -> Population:
    """Units or channels without a norm."""
    model = Rate(activation=activation, bias=bias)
    return Population(shape=shape, model=model) if len(shape) > 1 else Population(size=shape[0], model=model)


def to(source: str, target: str, wiring: Wiring) -> dict[str, Projection]:
    """A projection named after its ends; fixed where it has no weights."""
    change = {"plasticity": Fixed()} if wiring.weightless else {}
    return {f"{source}_to_{target}": Projection(source=source, target=target, wiring=wiring, **change)}


def skip(source: str, target: str) -> dict[str, Projection]:
    """The identity."""
    edge = Projection(source=source, target=target, wiring=OneToOne(), weights=Own(init=Constant()), plasticity=Fixed())
    return {f"{source}_to_{target}": edge}


def residual() -> Circuit:
    """Two blocks, the second with half the places and more channels, whose skip is an option A shortcut; between them
    a max pooling that does not move, and on top the mean over places."""
    return Circuit(
        name="residual",
        populations={
            "input": Population(shape=(2, 6, 6), model=Source()),
            "stem": normed(4, 6, 6),
            "hidden1": normed(4, 6, 6),
            "branch1": normed(4, 6, 6, activation="linear"),
            "sum1": plain(4, 6, 6, activation="relu"),
            "pooled1": plain(4, 5, 5),
            "hidden2": normed(6, 3, 3),
            "branch2": normed(6, 3, 3, activation="linear"),
            "sum2": plain(6, 3, 3, activation="relu"),
            "mean": plain(6),
            "output": plain(3, bias=True),
        },
        projections={
            **to("input", "stem", Conv2d(**KERNEL)),
            **to("stem", "hidden1", Conv2d(**KERNEL)),
            **to("hidden1", "branch1", Conv2d(**KERNEL, groups=2)),
            **skip("branch1", "sum1"),
            **skip("stem", "sum1"),
            **to("sum1", "pooled1", MaxPool2d(kernel=2, stride=1)),
            **to("pooled1", "hidden2", Conv2d(**KERNEL, stride=2)),
            **to("hidden2", "branch2", Conv2d(**KERNEL, padding_mode="circular")),
            **skip("branch2", "sum2"),
            **to("pooled1", "sum2", Shortcut(stride=2)),
            **to("sum2", "mean", GlobalAvgPool()),
            "mean_to_output": Projection(source="mean", target="output"),
        },
    )


RESIDUAL = residual()
# Areas part a batch, so that its statistics are none: with areas samples are normalised one by one.
BY_SAMPLE = RESIDUAL.with_populations(
    **{
        name: entry.replace(model=entry.model.replace(norm=GroupNorm(groups=2, affine=False), bias=True))
        for name, entry in RESIDUAL.populations.items()
        if isinstance(entry.model, Rate) and entry.model.norm is not None
    }
)
PLASTIC = tuple(name for name, edge in RESIDUAL.projections.items() if edge.plasticity.plastic)


def _case(name: str, rule: Any, transports: bool = False, **options: Any) -> Case:
    return Case(
        name=name,
        make=functools.partial(rule, **options),
        learns_below=name != "shallow",
        transports=transports,
        transports_at_birth=transports,
        areas=options.get("areas", 1),
    )


SPATIAL = (
    _case("bp", rules.bp, transports=True),
    _case("shallow", rules.shallow),
    _case("fa", rules.fa),
    _case("usf", rules.usf, transports=True),
    _case("frsf", rules.frsf, transports=True),
    _case("brsf", rules.brsf, transports=True),
    _case("kp", rules.kp),
    _case("kp_tied", rules.kp_tied),
    _case("wm", rules.wm),
    _case("pfa", rules.pfa, expansion=3),
    _case("pfa_o", rules.pfa_o),
    *(
        _case(f"{name}_{space}", getattr(rules, name), space=space, **({"kernel": 2} if space == "transposed" else {}))
        for name in ("dfa", "dkp", "drtp")
        for space in ("units", "broadcast", "transposed")
    ),
    *(_case(f"{name}_half", getattr(rules, name), density=0.5) for name in ("fa", "kp", "kp_tied", "pfa_o", "dfa")),
    _case("pfa_half", rules.pfa, expansion=3, density=0.5),
    _case("usf_half", rules.usf, transports=True, density=0.5),
    _case("brsf_half", rules.brsf, transports=True, density=0.5),
    _case("dfa_broadcast_half", rules.dfa, space="broadcast", density=0.5),
    *(
        _case(f"sal_{feedback}", rules.sal, feedback in ("bp", "usf"), feedback=feedback, areas=3, rank=4)
        for feedback in ("kp", "pfa", "pfa_o", "fa", "dfa", "bp", "usf")
    ),
)


def made(case: Case) -> Circuit:
    """The circuit of a case."""
    return case.make(RESIDUAL if case.areas == 1 else BY_SAMPLE)
