"""Schedules: every signal is there when it is read and gone after its last reader; what is computed again is computed
from the same weights."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import circuits, rules
from neurosal.graph import Circuit, Rate, Relay, SignOf, Transpose
from neurosal.lower.plan import Backward, Change, Forward, Output, Plan, Route, plan
from neurosal.lower.schedule import Schedule, schedule
from tests.properties.graphs import forward_circuits
from tests.rules.table import TABLE, chain_of

RESIDUAL = circuits.residual_mlp(4, 3, 2, blocks=9)
EVERY = pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])


# What a phase reads, makes and needs of weights, told anew from the equations -----------------------------------------


def owner_of(circuit: Circuit, name: str) -> str:
    weights = circuit.projections[name].weights
    return owner_of(circuit, weights.of) if isinstance(weights, (Transpose, SignOf)) else name


def has_gate(circuit: Circuit, population: str) -> bool:
    model = circuit.populations[population].model
    return isinstance(model, Rate) and (model.activation != "linear" or model.norm is not None)


def signals_read(circuit: Circuit, phase: Any) -> set[tuple[str, str]]:
    edges = circuit.projections
    if isinstance(phase, Route):
        found = {(phase.source, "activity")}
    elif isinstance(phase, Forward):
        found = {
            (edge.source, "activity")
            for edge in circuit.select(target=phase.population, pathway="feedforward").values()
        }
    elif isinstance(phase, Output):
        found = {(phase.population, "activity")}
        found |= {(phase.population, "kept")} if has_gate(circuit, phase.population) else set()
    elif isinstance(phase, Backward):
        found = {(edges[name].source, "error") for name in phase.projections if edges[name].carries == "error"}
        found |= {(phase.population, "kept")} if has_gate(circuit, phase.population) else set()
    else:
        found = {(name, "error") for name in phase.biases}
        for name, edge in edges.items():
            if (
                edge.pathway != "modulatory"
                and owner_of(circuit, name) in phase.projections
                and edge.plasticity.plastic
            ):
                ends = {"pre": edge.source, "post": edge.target}
                found |= {(ends[need.split("_")[0]], need.split("_")[1]) for need in edge.plasticity.needs}
    return {(name, kind) for name, kind in found if name not in circuit.inputs or kind != "activity"}


def signals_made(circuit: Circuit, phase: Any) -> set[tuple[str, str]]:
    if isinstance(phase, Forward):
        kept = {(phase.population, "kept")} if has_gate(circuit, phase.population) else set()
        return {(phase.population, "activity")} | kept
    return {(phase.population, "error")} if isinstance(phase, (Output, Backward)) else set()


def storage(circuit: Circuit, phase: Forward) -> set[str]:
    reads = {name for name, edge in circuit.projections.items() if edge.target == phase.population}
    reads = {name for name in reads if circuit.projections[name].pathway in ("feedforward", "lateral")}
    return {owner_of(circuit, name) for name in reads} | {f"{phase.population}.bias"}


def must_be_sound(made: Plan, found: Schedule) -> int:
    """Replays a schedule; the most units that were held at once after a phase."""
    circuit = made.circuit
    there: set[tuple[str, str]] = set()
    changed: set[str] = set()
    most = 0
    own_updates = any(isinstance(each.phase, Change) and not each.phase.terms for each in found.moments)
    needed: list[set[tuple[str, str]]] = [set()]  # after each moment, from the last
    for moment in found.moments[:0:-1]:
        needed.append((needed[-1] - signals_made(circuit, moment.phase)) | signals_read(circuit, moment.phase))
    for moment, later in zip(found.moments, reversed(needed), strict=True):
        phase = moment.phase
        reads = signals_read(circuit, phase)
        assert reads <= there, f"{phase} misses {reads - there}"
        if isinstance(phase, Forward):
            assert not storage(circuit, phase) & changed, f"{phase} after a change of what it reads"
        if isinstance(phase, Change):
            changed |= {owner_of(circuit, name) for name in phase.projections} | {
                f"{name}.bias" for name in phase.biases
            }
        there |= signals_made(circuit, phase)
        assert set(moment.frees) <= there
        assert len(set(moment.frees)) == len(moment.frees)
        there -= set(moment.frees)
        assert own_updates or there == later, f"after {phase}: held {there - later}"
        most = max(most, sum(circuit.populations[name].units for name, _ in there))
    assert not there
    assert [each.phase for each in found.backward if not each.again] == list(made.backward)
    assert [each.phase for each in found.forward] == list(made.forward)
    assert not any(each.again for each in found.forward)
    return most


@EVERY
@pytest.mark.parametrize("options", [{}, {"segments": 2}, {"segments": 3, "light": True}, {"segments": 99}])
def test_the_schedule_of_every_rule_is_sound(case: Any, options: dict[str, Any]) -> None:
    for circuit in (chain_of(4, 5, 6, 7, 3), RESIDUAL):
        made = plan(case.make(circuit))
        must_be_sound(made, schedule(made, **options))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_schedule_of_any_graph_is_sound(data: st.DataObject) -> None:
    circuit = data.draw(forward_circuits())
    case = data.draw(st.sampled_from([case for case in TABLE if case.name in ("bp", "kp", "dfa", "pfa", "sal", "dkp")]))
    made = plan(case.make(circuit))
    options = {"segments": data.draw(st.integers(1, 5)), "light": data.draw(st.booleans())}
    must_be_sound(made, schedule(made, **options))


def test_segments_hold_about_the_square_root_of_the_depth() -> None:
    made = plan(rules.kp(circuits.residual_mlp(4, 3, 2, blocks=36)))
    held = {segments: must_be_sound(made, schedule(made, segments=segments)) for segments in (1, 6)}
    assert held[1] >= 2 * 36 * 3  # of each block what its gate needs, which is the stream, and the hidden activity
    assert held[6] <= 3 * (6 + 3 * 6)
    again = sum(moment.again for moment in schedule(made, segments=6).backward)
    assert 54 <= again <= 60  # streams and hidden populations of five segments, but for the cuts


def test_only_streams_are_held_where_cuts_are_cheap() -> None:
    made = plan(rules.kp(RESIDUAL))
    found = schedule(made, segments=3)
    gone = {name for moment in found.forward for name, kind in moment.frees if kind == "activity"}
    assert gone >= {f"hidden{block}" for block in range(1, 7)}
    assert {f"stream{block}" for block in range(10)} - gone == {"stream3"}
    assert not {f"hidden{block}" for block in range(7, 10)} & gone  # of the last segment all is held


def test_direct_feedback_holds_no_stream() -> None:
    made = plan(rules.dfa(RESIDUAL))
    freed = {signal for moment in schedule(made).forward for signal in moment.frees}
    assert {(f"stream{block}", "activity") for block in range(9)} <= freed
    assert not {(f"hidden{block}", "activity") for block in range(1, 6)} & freed


def test_light_populations_cost_no_product_again() -> None:
    made = plan(rules.kp(RESIDUAL))
    again = {moment.phase for moment in schedule(made, light=True).backward if moment.again}
    assert {phase.population for phase in again if isinstance(phase, Forward)} == {  # type: ignore[union-attr]
        "final",
        *(f"hidden{block}" for block in range(1, 10)),
    }
    direct = plan(rules.dfa(RESIDUAL))
    assert not any(moment.again for moment in schedule(direct, light=True).backward)


def test_a_relay_has_no_activity_to_free() -> None:
    circuit = rules.pfa(chain_of(4, 5, 3), expansion=2)
    relay = next(name for name, entry in circuit.populations.items() if isinstance(entry.model, Relay))
    freed = [signal for moment in schedule(plan(circuit)).moments for signal in moment.frees]
    assert {kind for name, kind in freed if name == relay} == {"error"}


def test_a_segment_is_computed_again_before_a_weight_of_it_changes_though_nobody_asks_for_its_signals_yet() -> None:
    # Error goes to stream0 first; a stream has no gate, so its weights could change before it is there again.
    made = plan(rules.dfa(RESIDUAL.replace(populations=dict(reversed(RESIDUAL.populations.items())))))
    assert next(phase.population for phase in made.backward if isinstance(phase, Backward)) == "stream0"
    for segments in (2, 3, 4):
        must_be_sound(made, schedule(made, segments=segments))
