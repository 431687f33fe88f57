"""Rates in continuous time that learn: feedforward synapses, lateral ones, and a signal that opens plasticity."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from neurosal.circuits.building import one_of, refuse, whole
from neurosal.graph import (
    Circuit,
    Constant,
    Continuous,
    Dense,
    LeakyRate,
    Modulation,
    Normal,
    Own,
    Plasticity,
    Population,
    Projection,
    Samples,
    SpikeTrain,
    Uniform,
)
from neurosal.plasticity import BCM, AntiHebbian, Fixed, Gated, Hebbian, Oja

Rule = Literal["hebbian", "oja", "bcm"]
Lateral = Literal["anti_hebbian", "inhibition", "none"]
SPIKE_EVERY_MS, GATE_TAU_MS = 5.0, 50.0


def rate_dynamics(
    rule: Rule = "oja",
    *,
    inputs: int = 8,
    outputs: int = 3,
    lateral: Lateral = "anti_hebbian",
    gate_ms: tuple[float, float] | None = None,
    patterns: int = 500,
    hold_ms: float = 20.0,
    learning_rate: float = 5e-4,
    name: str = "rate_dynamics",
) -> Circuit:
    """Linear rates ``τ dr/dt = -r + W x + L r`` that hear one pattern after the other and learn all the time.

    Patterns are normal, with variances 4, 2, 1, ½, ... along fixed orthogonal directions (for BCM instead one of two
    patterns that share no unit, at random). W learns by ``dw/dt = η (y x - λ w)``, ``η y (x - y w)`` or ``η y (y - θ)
    x``; with Oja's rule each output comes to the first direction, unless lateral synapses L, by ``dl/dt = -4 η y y'``,
    keep the outputs apart: then they come to lie within as many directions as there are outputs, though not at
    right angles.

    With a gate every change of W is multiplied by a signal at the outputs, ``50 ms dm/dt = -m``, that a modulatory
    neuron brings up to about 1 by a spike every 5 ms between two times: learning only happens then.

    Args:
        rule: of W: "hebbian" (with decay λ = 2, between the first two variances), "oja" or "bcm".
        inputs, outputs: units.
        lateral: L: "anti_hebbian" starts at 0 and learns, "inhibition" is fixed at -½ / outputs, "none" is absent.
            Neither joins a unit to itself.
        gate_ms: when the gate opens and closes; None for plasticity that is always on.
        patterns: how many, before the last stays.
        hold_ms: for how long each.
        learning_rate: η, per ms.
        name: of the circuit.

    Raises:
        CircuitError: for sizes, rules and times that are none.

    Example:
        >>> list(rate_dynamics("bcm", gate_ms=(1000.0, 2000.0), lateral="none").projections)
        ['input_to_output', 'modulator_to_output']

    Reference:
        Oja (1982), "A simplified neuron model as a principal component analyzer"; Földiák (1989), "Adaptive network for
        optimal linear feature extraction"; Bienenstock, Cooper & Munro (1982), "Theory for the development of neuron
        selectivity".
    """
    refuse(
        [
            *whole(inputs=inputs, outputs=outputs, patterns=patterns),
            *one_of("rule", rule, ("hebbian", "oja", "bcm")),
            *one_of("lateral", lateral, ("anti_hebbian", "inhibition", "none")),
        ]
    )
    shown = _patterns(rule, inputs, patterns)
    output = LeakyRate(tau_ms=5.0)
    populations = {
        "input": Population(size=inputs, model=LeakyRate(tau_ms=2.0, injected=Samples(values=shown, every_ms=hold_ms))),
        "output": Population(size=outputs, model=output),
    }
    learned = _rule(rule, learning_rate)
    projections = {
        "input_to_output": Projection(
            source="input",
            target="output",
            weights=Own(init=Uniform(low=0.1, high=0.5) if rule == "bcm" else Normal(std=0.3)),
            synapse=Continuous(),
            plasticity=learned if gate_ms is None else Gated(of=learned, signal="gate"),
        )
    }
    if lateral != "none":
        learning = lateral == "anti_hebbian"
        projections["output_to_output"] = Projection(
            source="output",
            target="output",
            pathway="lateral",
            wiring=Dense(),
            weights=Own(init=Constant(value=0.0 if learning else -0.5 / outputs)),
            synapse=Continuous(),
            plasticity=AntiHebbian(rate=4 * learning_rate) if learning else Fixed(),
        )
    if gate_ms is not None:
        times = np.arange(gate_ms[0], gate_ms[1], SPIKE_EVERY_MS)
        train = SpikeTrain(times_ms=tuple(times.tolist()), units=(0,) * len(times))
        populations["modulator"] = Population(size=1, model=train)
        projections["modulator_to_output"] = Projection(
            source="modulator",
            target="output",
            pathway="modulatory",
            weights=Own(init=Constant(value=SPIKE_EVERY_MS / GATE_TAU_MS)),
            synapse=Modulation(variable="gate", tau_ms=GATE_TAU_MS),
        )
    return Circuit(name=name, populations=populations, projections=projections)


def directions(inputs: int) -> np.ndarray[Any, Any]:
    """The orthogonal directions along which patterns vary, the strongest first, as rows."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(inputs, inputs)))[0].T


def _patterns(rule: Rule, inputs: int, count: int) -> np.ndarray[Any, Any]:
    """[pattern, input], the same for every seed."""
    random = np.random.default_rng(1)
    if rule == "bcm":
        first = np.arange(inputs) < inputs / 2
        return np.where(random.random((count, 1)) < 0.5, first, ~first).astype(float)
    deviation = (4 * 0.5 ** np.arange(inputs)) ** 0.5
    return (random.normal(size=(count, inputs)) * deviation) @ directions(inputs)


def _rule(rule: Rule, rate: float) -> Plasticity:
    if rule == "oja":
        return Oja(rate=rate)
    return Hebbian(rate=rate, decay=2.0) if rule == "hebbian" else BCM(rate=rate, time_constant=300.0)
