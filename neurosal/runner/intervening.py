"""What is done to the network when a phase begins."""

from __future__ import annotations

from neurosal.engine import interventions as engine
from neurosal.engine.network import Network
from neurosal.settings.phases import Lesion, Phase
from neurosal.settings.selecting import matching


def intervene(network: Network, phase: Phase, *, visit: int, lesions: bool) -> None:
    """Restore, reset, rewire and lesion, in this order.

    Args:
        visit: how often a phase of this name has begun before; new values differ from one to the next.
        lesions: whether lesions are carried out; they are the same at each visit, so that once is enough where nothing
            restores them.
    """
    if network._state.all_frozen:
        return  # what no longer learns stays as it is
    for pattern in phase.restore:
        for name in matching(pattern, engine.lesioned(network)):
            network.restore(name)
    for entry in phase.reset:
        key = f"reset/{phase.name}/{visit}"
        if entry.projection is not None:
            engine.reset(network, entry.projection, key)
            continue
        population = entry.population or ""
        for name in network.circuit.select(pathway="feedforward", target=population):
            if network.plan.owners[name] == name:
                engine.reset(network, name, key)
        engine.reset_bias(network, population)
    for number, rewire in enumerate(phase.rewire):
        engine.REWIRINGS[rewire.how](network, rewire.projection, rewire.share, f"rewire/{phase.name}/{visit}/{number}")
    for number, lesion in enumerate(phase.lesion if lesions else ()):
        _lesion(network, lesion, f"lesion/{phase.name}/{number}")
    network._state.hold()  # replicas that stopped stay as they are


def _lesion(network: Network, lesion: Lesion, key: str) -> None:
    if lesion.population is not None:
        engine.lesion_units(network, lesion.population, lesion.share, lesion.indices or (), key)
    else:
        engine.lesion_synapses(network, lesion.projection or "", lesion.share, lesion.edges or (), key)
