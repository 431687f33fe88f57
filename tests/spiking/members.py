"""Small circuits with every member of a family, so that both engines can be compared on each. A new member is there
without an edit; one that the usual circuit does not suit has an entry of its own below."""

from __future__ import annotations

from typing import Any

from neurosal import plasticity
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    Continuous,
    Dynamical,
    Emitter,
    ExponentialCurrent,
    ExponentialDrive,
    Jump,
    Model,
    Modulation,
    Own,
    Plasticity,
    PoissonSource,
    Population,
    Projection,
    ShortTerm,
    Sparse,
    Synapse,
    Uniform,
)
from neurosal.graph.dynamics import names_in
from neurosal.graph.value import Kinded

assert plasticity  # its members register themselves


def members(family: type[Kinded], base: type[Any]) -> dict[str, type[Any]]:
    """Members of a family that come with the package and are of a base."""
    return {
        kind: member
        for kind, member in sorted(family.members.items())
        if issubclass(member, base) and member.__module__.startswith("neurosal.")
    }


MODELS = members(Model, Dynamical)
SOURCES = members(Model, Emitter)
SYNAPSES = members(Synapse, Synapse)
SHORT_TERM = members(ShortTerm, ShortTerm)
PROGRAMS = {
    kind: member
    for kind, member in members(Plasticity, Plasticity).items()
    if member.program is not Plasticity.program and kind != "fixed"
}

# How a member is made where its defaults do not do.
MADE: dict[str, dict[str, Any]] = {
    "leaky_rate": {"activation": "tanh", "start": Uniform(low=-0.5, high=0.5), "bias": Uniform(low=0.0, high=0.3)},
    "adaptive_lif": {"threshold_step_mv": 2.0, "coupling_ns": 2.0, "current_step_pa": 20.0},
    "combined": {"parts": (plasticity.STDP(a_plus=0.05, a_minus=0.04), plasticity.Normalised(total=4.0, every_ms=7.0))},
    "gated": {"of": plasticity.STDP(a_plus=0.05, a_minus=0.04), "signal": "attention"},
    "homeostatic": {"of": LIF(v_threshold_mv=-55.0), "target_hz": 20.0},
    "normalised": {"total": 5.0, "every_ms": 9.0},
    "synaptic_scaling": {"every_ms": 4.0},
    "reward_stdp": {"nu": 0.05},
    "voltage_stdp": {"spike_mv": 20.0},
    "inhibitory_stdp": {"eta": 0.02, "w_max": 1.2},
    "spike_alignment": {"a": 0.02},
    "stdp": {"a_plus": 0.05, "a_minus": 0.04, "w_max": 1.0, "mu_plus": 0.5, "mu_minus": 0.5},
    "triplet_stdp": {"a2_plus": 0.01, "a3_plus": 0.02, "a2_minus": 0.01, "a3_minus": 0.02},
}
STRENGTH = {"izhikevich": 0.1}  # of what drives a model, where the usual one is too much


def made(kind: str, member: type[Any]) -> Any:
    """A member with fields that make it do something within some tens of milliseconds."""
    return member(**MADE.get(kind, {}))


NOISE = Population(size=12, model=PoissonSource(rate_hz=150.0))
STEPWISE = LIF(method="exponential_euler")


def driving(name: str, model: Any, source: str = "noise", strength: float = 1.0) -> dict[str, Projection]:
    """Projections that make a model spike, by the ports that it has."""
    ports = model.dynamics().ports
    found: dict[str, Projection] = {}
    if "drive_mv" in ports:
        weights = Own(init=Uniform(low=5.0 * strength, high=12.0 * strength))
        found["drive"] = Projection(source=source, target=name, wiring=Sparse(density=0.6), weights=weights,
                                    delay_ms=0.4, synapse=ExponentialDrive())  # fmt: skip
    if "current_pa" in ports:
        weights = Own(init=Uniform(low=50.0 * strength, high=150.0 * strength))
        found["current"] = Projection(source=source, target=name, wiring=Sparse(density=0.6), weights=weights,
                                      delay_ms=Uniform(low=0.0, high=2.0), synapse=ExponentialCurrent())  # fmt: skip
    return {f"{source}_to_{name}_{port}": edge for port, edge in found.items()}


def of_models() -> Circuit:
    """A population of each model, driven by the same noise; rates hear each other all the time."""
    populations: dict[str, Population] = {"noise": NOISE}
    projections: dict[str, Projection] = {}
    for kind, member in MODELS.items():
        model = made(kind, member)
        populations[kind] = Population(size=8, model=model)
        projections |= driving(kind, model, strength=STRENGTH.get(kind, 1.0))
        dynamics = model.dynamics()
        for port in dynamics.ports:
            if port not in ("drive_mv", "current_pa"):
                variable = next(iter(dynamics.equations))
                synapse = Continuous(variable=variable, port=port)
                weights = Own(init=Uniform(low=-1.0, high=1.5))
                projections[f"{kind}_to_itself"] = Projection(
                    source=kind, target=kind, weights=weights, synapse=synapse
                )
    return Circuit(name="models", populations=populations, projections=projections)


def of_synapses() -> Circuit:
    """A population for each synapse, which its own and noisy spikes reach through it."""
    populations: dict[str, Population] = {"noise": NOISE}
    projections: dict[str, Projection] = {}
    for kind, member in SYNAPSES.items():
        synapse = made(kind, member)
        continuous = synapse.joined("x").continuous
        if continuous:
            synapse = Continuous(variable="v_mv", port="drive_mv")
        size = {"mv": 3.0, "pa": 120.0, "ns": 2.0}.get(synapse.unit, 0.05)
        weights = Own(init=Uniform(low=size / 2, high=size))
        populations[kind] = Population(
            size=8, model=STEPWISE.replace(bias_mv=10.0, start_mv=Uniform(low=-70, high=-52))
        )
        projections |= driving(kind, STEPWISE)
        if not continuous:
            projections[f"noise_through_{kind}"] = Projection(
                source="noise", target=kind, weights=weights, synapse=synapse, delay_ms=0.2
            )
        projections[f"{kind}_to_itself"] = Projection(
            source=kind, target=kind, wiring=Sparse(density=0.5), weights=weights, synapse=synapse,
            delay_ms=0.0 if continuous else Uniform(low=0.0, high=1.5),
        )  # fmt: skip
    return Circuit(name="synapses", populations=populations, projections=projections)


def of_short_term() -> Circuit:
    """A population for each kind of short-term plasticity."""
    populations: dict[str, Population] = {"noise": NOISE}
    projections: dict[str, Projection] = {}
    for kind, member in SHORT_TERM.items():
        populations[kind] = Population(size=30, model=LIF(bias_mv=18.0, start_mv=Uniform(low=-70, high=-52)))
        projections[f"noise_to_{kind}"] = Projection(
            source="noise", target=kind, weights=Own(init=Uniform(low=2.0, high=6.0)), synapse=Jump(),
            short_term=made(kind, member), delay_ms=Uniform(low=0.0, high=2.0),
        )  # fmt: skip
    return Circuit(name="short_term", populations=populations, projections=projections)


def of_plasticity(kinds: tuple[str, ...]) -> Circuit:
    """A population for each plasticity, which learns at what comes from the noise; with a signal, and rates for those
    that read rates."""
    populations: dict[str, Population] = {"noise": NOISE}
    projections: dict[str, Projection] = {}
    for kind in kinds:
        learning = made(kind, PROGRAMS[kind])
        texts = [text for slot in ("before", "on_pre", "on_post", "each_step", "at_intervals")
                 for text in getattr(learning.program(), slot)]  # fmt: skip
        read = {name for text in texts for name in names_in(text) if name.startswith("post.")}
        if "post.r" in read:
            projections |= _among_rates(kind, learning, populations)
            continue
        model = STEPWISE.replace(bias_mv=12.0, start_mv=Uniform(low=-70, high=-52))
        populations[kind] = Population(size=6, model=model)
        projections |= driving(kind, LIF())
        projections[f"noise_learns_{kind}"] = Projection(
            source="noise", target=kind, wiring=Sparse(density=0.7), weights=Own(init=Uniform(low=0.3, high=1.0)),
            synapse=ExponentialDrive(tau_ms=3.0), plasticity=learning, delay_ms=Uniform(low=0.0, high=2.0),
        )  # fmt: skip
        for name in sorted(read - {"post.v_mv"}):
            projections[f"{name.removeprefix('post.')}_of_{kind}"] = Projection(
                source="noise", target=kind, pathway="modulatory", weights=Own(init=Constant(value=0.2)),
                synapse=Modulation(variable=name.removeprefix("post.")),
            )  # fmt: skip
    return Circuit(name="plasticity", populations=populations, projections=projections)


def _among_rates(kind: str, learning: Any, populations: dict[str, Population]) -> dict[str, Projection]:
    model = MODELS["leaky_rate"](**MADE.get("leaky_rate", {}))
    port, variable = model.dynamics().ports[0], next(iter(model.dynamics().equations))
    synapse = Continuous(variable=variable, port=port)
    populations[f"{kind}_from"] = populations[kind] = Population(size=6, model=model)
    weights = Own(init=Uniform(low=0.1, high=0.6))
    return {
        f"{kind}_within": Projection(source=f"{kind}_from", target=f"{kind}_from", weights=weights, synapse=synapse),
        f"{kind}_learns": Projection(
            source=f"{kind}_from", target=kind, weights=weights, synapse=synapse, plasticity=learning
        ),
    }
