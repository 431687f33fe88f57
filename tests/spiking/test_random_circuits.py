"""Random small circuits: torch step by step, torch compiled to C++, and Brian2 find the same spikes and the same
weights, to rounding; and nothing that a circuit in time may have is never drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from neurosal import graph, plasticity
from neurosal.checks.draws import OF_MATRICES
from neurosal.checks.spiking import KINDS
from neurosal.graph import Circuit, EdgeList, Emitter, Initialiser, Wiring
from neurosal.graph.value import Kinded, Value
from neurosal.lower.spiking import realise_all
from neurosal.runner.crosschecking import crosscheck, first_difference, gaps_between
from neurosal.runner.sides import OnTorch
from tests.spiking.drawn.circuits import Drawn, circuits, runs
from tests.spiking.drawn.learning import Place, plasticities
from tests.spiking.drawn.populations import populations, sources
from tests.spiking.members import MODELS, PROGRAMS, SHORT_TERM, SOURCES, SYNAPSES, members

pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses
EXAMPLES = int(os.environ.get("NEUROSAL_EXAMPLES", "3"))  # many are tried by hand
ALONE = bool({"NEUROSAL_EXAMPLES", "NEUROSAL_EXAMPLES_ALONE"} & set(os.environ))
STEPS, REPLICAS = 160, 2
ROUNDING = 1e-7  # of what is compared, relative to its largest value


@pytest.mark.skipif("NEUROSAL_EXAMPLES" in os.environ, reason="many are tried in this process")
def test_random_circuits_do_the_same_on_all_engines() -> None:
    """In a process of its own: Hypothesis draws numbers that it finds in modules, so that what a few examples are would
    depend on which tests came before."""
    test = f"{Path(__file__)}::test_engines_do_the_same"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--tb=short", test]
    alone = os.environ | {"NEUROSAL_EXAMPLES_ALONE": "1"}
    told = subprocess.run(command, cwd=Path(__file__).parents[2], env=alone, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout[-20_000:] + told.stderr[-2000:]
    assert "1 passed" in told.stdout


@pytest.mark.skipif(not ALONE, reason="run by the test above, or by hand")
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize="NEUROSAL_EXAMPLES" not in os.environ, database=None,
    suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # to make one smaller takes many minutes
)  # fmt: skip
@given(runs())
def test_engines_do_the_same(drawn: Drawn) -> None:
    said = f"{drawn}\n{drawn.circuit.to_yaml()}"
    if not eager_and_compiled(drawn, said):
        return  # numbers grew beyond all bounds, everywhere: nothing is left to compare
    found = crosscheck(
        drawn.circuit, duration_ms=STEPS * drawn.dt_ms, dt_ms=drawn.dt_ms, seed=drawn.seed, seeds=(1,),
        merge=drawn.merge, graph_seed=drawn.graph_seed,
    )  # fmt: skip
    assert all(gap.relative < ROUNDING for gap in found.gaps), f"{found}\n{said}"
    if found.divergence is not None:  # by rounding only
        assert found.divergence.margin is not None
        assert abs(found.divergence.margin) < ROUNDING, f"{found}\n{said}"


def eager_and_compiled(drawn: Drawn, said: str) -> bool:
    """Replicas as one program, in both ways, beside the first one alone; and whether all is finite at the end."""
    seeds = range(drawn.seed, drawn.seed + REPLICAS)
    realised = realise_all(drawn.circuit, seeds, drawn.dt_ms, drawn.graph_seed)
    alone, eager, compiled = OnTorch(realised[:1]), OnTorch(realised), OnTorch(realised, compiled=True)
    for side in (alone, eager, compiled):
        side.advance(STEPS)
    replicas = [(alone, 0), *((side, replica) for side in (eager, compiled) for replica in range(REPLICAS))]
    ended = [finite(side, replica) for side, replica in replicas]
    assert ended[0] == ended[1] == ended[3], said
    assert ended[2] == ended[4], said
    if not all(ended):
        return False
    assert first_difference(alone.spikes(), eager.spikes(0)) is None, said
    for replica in range(REPLICAS):
        assert first_difference(eager.spikes(replica), compiled.spikes(replica)) is None, said
    for one, other, tolerance in ((alone, eager, 0.0), (eager, compiled, ROUNDING)):
        for gap in gaps_between(one, Only(other, 0)):
            assert gap.relative <= tolerance, f"{gap}\n{said}"
    for gap in gaps_between(eager, Only(compiled, 1), 1):
        assert gap.relative <= ROUNDING, f"{gap}\n{said}"
    return True


def finite(side: OnTorch, replica: int) -> bool:
    """Whether all numbers of a replica are."""
    parts = (side.state(replica), side.synapses(replica))
    return all(np.isfinite(value).all() for part in parts for each in part.values() for value in each.values())


class Only:
    """One replica of a side, as if there were no other."""

    def __init__(self, side: OnTorch, replica: int) -> None:
        self._side, self._replica = side, replica

    def state(self, replica: int = 0) -> Any:
        return self._side.state(self._replica)

    def synapses(self, replica: int = 0) -> Any:
        return self._side.synapses(self._replica)


# What is drawn -------------------------------------------------------------------------------------------------------

OF_TIME: dict[str, type[Any]] = {
    **MODELS, **SOURCES, **SYNAPSES, **SHORT_TERM, **PROGRAMS, **members(graph.Waveform, graph.Waveform),
    "fixed": plasticity.Fixed, "own": graph.Own, "copy": graph.Copy, "transpose": graph.Transpose,
    **{kind: member for kind, member in members(Wiring, Wiring).items() if kind in KINDS},
    **{kind: member for kind, member in members(Initialiser, Initialiser).items() if member not in OF_MATRICES},
}  # fmt: skip
# What is exported beside them: of rates without time, of samples that take time, and what all of a family have.
OTHERS = {
    graph: {
        "AvgPool2d", "BatchNorm", "Block", "Broadcast", "Conv1d", "Conv2d", "Convolution", "Dynamical", "Emitter",
        "Flatten", "GlobalAvgPool", "GroupNorm", "Initialiser", "KaimingNormal", "KaimingUniform", "Kinded",
        "LayerNorm", "MaxPool2d", "Model", "Normalisation", "Orthogonal", "Plasticity", "RMSNorm", "Rate", "Relay",
        "Reversed", "Router", "RouterPlasticity", "SameRoute", "ShortTerm", "Shortcut", "SignOf", "Source", "Synapse",
        "TimedSource", "Unpool", "Waveform", "Weights", "Wiring",
    },
    plasticity: {"Attract", "Delta", "KMeans", "KolenPollack", "OnlineBalanced", "WeightMirror"},
}  # fmt: skip
NOT_IN_TIME = {"reduction", "centred", "across_areas"}  # fields
NEVER = {
    "fixed.rate",
    *(f"{kind}.allow_autapses" for kind in ("dense", "sparse", "fixed_in_degree", "fixed_out_degree", "edge_list")),
}  # "autapses" below is for all
FEATURES = {
    "several kinds of synapses between two populations", "equal synapses that share a state",
    "delays of single synapses", "delays of listed edges", "weights of listed edges", "edges and plasticity",
    "several plastic projections onto one", "short-term plasticity beside plasticity", "excitatory",
    "inhibitory", "plastic with a sign", "continuous and spikes", "modulated by rates", "modulated by spikes",
    "plastic modulation", "autapses", "populations of equal equations", "units with places",
    "many trains a unit", "to a population itself",
}  # fmt: skip


def values_in(value: Any) -> Iterator[Value]:
    """All values that a value holds, at any depth."""
    if isinstance(value, Mapping):
        for entry in value.values():
            yield from values_in(entry)
    elif isinstance(value, (tuple, list)):
        for entry in value:
            yield from values_in(entry)
    elif isinstance(value, Value):
        yield value
        for name in type(value).model_fields:
            yield from values_in(getattr(value, name))


def choices(kind: str, member: type[Any]) -> Iterator[str]:
    """What of a class must be drawn: itself, each choice of each field, and for other fields what is not usual."""
    yield kind
    fields = {} if kind == "timed_readout" else member.model_fields  # in time it is a leaky integrator
    for name, field in fields.items():
        if name in NOT_IN_TIME or f"{kind}.{name}" in NEVER:
            continue
        options = [arg for part in (field.annotation, *get_args(field.annotation)) if get_origin(part) is Literal
                   for arg in get_args(part)]  # fmt: skip
        yield from (f"{kind}.{name}={option}" for option in options)
        if type(None) in get_args(field.annotation):
            yield f"{kind}.{name}=None"
        if not options:
            yield f"{kind}.{name}"


def taken(value: Value) -> Iterator[str]:
    """Which of these a value is."""
    kind = getattr(value, "kind", "")
    yield kind
    for name, field in type(value).model_fields.items():
        chosen = getattr(value, name)
        if chosen is None or isinstance(chosen, str):
            yield f"{kind}.{name}={chosen}"
        if chosen != field.default:
            yield f"{kind}.{name}"


def features(circuit: Circuit) -> Iterator[str]:
    """What a circuit has beside members of families."""
    edges = circuit.projections
    models = [population.model for population in circuit.populations.values()]
    for population in circuit.populations.values():
        yield "units with places" if population.spatial else ""
        yield "many trains a unit" if getattr(population.model, "merged", 1) > 1 else ""
    if any(models.count(model) > 1 for model in models):
        yield "populations of equal equations"
    for name, edge in edges.items():
        program = edge.plasticity.program()
        moves = program is not None and program.plastic
        listed = isinstance(edge.wiring, EdgeList)
        continuous = edge.synapse is not None and bool(edge.synapse.joined("x").continuous)
        drawn = isinstance(edge.delay_ms, Initialiser)
        beside = [other for key, other in edges.items() if key != name and other.target == edge.target]
        pair = [other for other in beside if other.source == edge.source]
        spikes = isinstance(circuit.populations[edge.source].model, Emitter)
        found = {
            "several kinds of synapses between two populations": any(o.synapse != edge.synapse for o in pair),
            "equal synapses that share a state": any(o.synapse == edge.synapse for o in beside) and not continuous,
            "delays of single synapses": drawn,
            "delays of listed edges": listed and getattr(edge.delay_ms, "kind", "") == "given",
            "weights of listed edges": listed and getattr(getattr(edge.weights, "init", None), "kind", "") == "given",
            "edges and plasticity": listed and moves,
            "several plastic projections onto one": moves and any(o.plasticity.program().plastic for o in beside),  # type: ignore[union-attr]
            "short-term plasticity beside plasticity": edge.short_term is not None and moves,
            "excitatory": edge.sign == "excitatory",
            "inhibitory": edge.sign == "inhibitory",
            "plastic with a sign": edge.sign is not None and moves,
            "continuous and spikes": continuous and any(not o.synapse.joined("x").continuous for o in beside),  # type: ignore[union-attr]
            "modulated by rates": edge.synapse is not None and edge.synapse.kind == "continuous_modulation",
            "modulated by spikes": edge.synapse is not None and edge.synapse.kind == "modulation",
            "plastic modulation": edge.pathway == "modulatory" and moves,
            "autapses": getattr(edge.wiring, "allow_autapses", False),
            "to a population itself": edge.source == edge.target and not spikes,
        }
        yield from (feature for feature, there in found.items() if there)


def look(strategy: st.SearchStrategy[Any], count: int, number: int, seen: set[str]) -> None:
    """Note what so many values hold."""

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate])  # fmt: skip
    @given(strategy)
    def each(value: Value) -> None:
        seen.update(*(taken(part) for part in values_in(value)))
        seen.update(features(value) if isinstance(value, Circuit) else ())

    each()


def test_all_that_a_circuit_in_time_may_have_is_drawn() -> None:
    wanted = {choice for kind, member in OF_TIME.items() for choice in choices(kind, member)} | FEATURES
    place = Place(0.1, 1.0, 1.0, True, True, True, True, ["reward"])
    seen: set[str] = set()
    for number in range(20):  # the rarest may take a few rounds
        look(circuits(), 40, number, seen)
        for parts in (populations(), sources(), plasticities(place)):  # what they are made of, which is quicker
            look(parts, 80, number, seen)
        if wanted <= seen:
            break
    assert sorted(wanted - seen) == []


def test_all_that_is_exported_is_known_to_these_tests() -> None:
    for module, others in OTHERS.items():
        exported = {name for name in module.__all__ if isinstance(getattr(module, name), type)
                    and issubclass(getattr(module, name), Kinded)}  # fmt: skip
        assert {name for name in exported if getattr(module, name) not in OF_TIME.values()} == others
