"""Which relays are joined: the simple ones, from the batch size on at which that costs less."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from neurosal import circuits, rules
from neurosal.graph import Circuit, Conv2d, Dense, OneToOne, Population, Projection, Relay, Transpose
from neurosal.lower import contraction
from neurosal.lower.contraction import contracted, joined_at
from neurosal.lower.plan import Backward, Change, plan
from neurosal.lower.schedule import schedule
from neurosal.plasticity import Fixed, KolenPollack, Oja
from tests.rules.convolutional import RESIDUAL

CHAIN = circuits.mlp(6, 5, 4, 3)
RELAYS = rules.pfa(CHAIN, expansion=2)
SPACE = rules.pfa(RESIDUAL, expansion=2)
LAST, FIRST, SECOND = (
    "relay_hidden2_to_output",
    "output_to_relay_hidden2_to_output",
    "relay_hidden2_to_output_to_hidden2",
)


def changed(name: str, **fields: Any) -> Circuit:
    return RELAYS.with_projections(**{name: RELAYS.projections[name].replace(**fields)})


def feedback(source: str, target: str, plastic: Any = None) -> Projection:
    return Projection(source=source, target=target, pathway="feedback", plasticity=plastic or Fixed())


OTHERS = {
    "a first hop that learns": changed(FIRST, plasticity=Oja()),
    "two ways in": RELAYS.with_projections(more=feedback("output", LAST)),
    "two ways out": RELAYS.with_projections(more=feedback(LAST, "hidden1")),
    "one to one": RELAYS.with_populations(**{LAST: Population(size=3, model=Relay())})
    .with_projections(**{FIRST: feedback("output", LAST).replace(wiring=OneToOne())}),
    "the target": changed(FIRST, carries="target"),
    "a second hop with a rule of its own": changed(SECOND, plasticity=Oja()),
    "another reduction": changed(SECOND, plasticity=KolenPollack(reduction="sum")),
    "forward synapses that do not learn": changed("hidden2_to_output", plasticity=Fixed()),
    "a tie to the second hop": RELAYS.with_populations(aside=Population(size=6)).with_projections(
        tied=Projection(source="hidden2", target="aside", weights=Transpose(of=SECOND), plasticity=Fixed()),
        on=Projection(source="aside", target="output", plasticity=Fixed()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_simple_keeps_its_relay(name: str) -> None:
    assert LAST not in {each.relay for each in plan(OTHERS[name]).contractions}


KERNELS = {
    "a larger kernel": Conv2d(kernel=3, padding=1),
    "a border": Conv2d(kernel=1, padding=1),
    "a stride": Conv2d(kernel=1, stride=2),
    "other groups": Conv2d(kernel=1, groups=2),
    "units": Dense(),
}


@pytest.mark.parametrize("name", KERNELS)
def test_first_hops_that_are_not_of_single_places_keep_their_relay(name: str) -> None:
    relay, first = "relay_hidden2_to_branch2", "branch2_to_relay_hidden2_to_branch2"
    assert relay in {each.relay for each in plan(SPACE).contractions}
    edge = SPACE.projections[first].replace(wiring=KERNELS[name].reversed())
    assert relay not in {each.relay for each in plan(SPACE.with_projections(**{first: edge})).contractions}


def test_areas_keep_their_relays() -> None:
    assert not plan(rules.sal(CHAIN, areas=3, feedback="pfa")).contractions


def test_relays_in_a_row_stay() -> None:
    circuit = RELAYS.with_populations(further=Population(size=7, model=Relay())).with_projections(
        **{SECOND: feedback(LAST, "further")}, last=feedback("further", "hidden2")
    )
    assert {each.relay for each in plan(circuit).contractions} == {"relay_hidden1_to_hidden2"}


def test_simple_relays_are_joined_whichever_rule_made_them() -> None:
    circuit = CHAIN.with_populations(via=Population(size=9, model=Relay())).with_projections(
        there=feedback("output", "via"),
        back=feedback("via", "hidden2", KolenPollack()),
        past=feedback("output", "hidden1"),
    )
    assert [(each.first, each.second) for each in plan(circuit).contractions] == [("there", "back")]


def test_the_batch_from_which_joining_costs_less_is_where_the_costs_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contraction, "CALLS", 0)
    monkeypatch.setattr(contraction, "WORD", 0)
    for sizes, expansion in (((9, 40, 30, 7), 10), ((9, 8, 50, 60), 3)):
        circuit = rules.pfa(circuits.mlp(*sizes), expansion=expansion)
        for each in plan(circuit).contractions:
            t, r, s = (circuit.populations[name].units for name in (each.source, each.relay, each.target))
            cheaper = [n for n in range(1, 500) if 2 * t * r * s + n * t * s <= n * (t * r + 2 * r * s)]
            assert each.least == cheaper[0]


def test_a_relay_without_expansion_is_never_joined_where_it_costs_more() -> None:
    # Three units in the relay, and many at its source: the product of both hops is larger than either.
    made = rules.pfa(circuits.mlp(6, 4000, 3000), expansion=0.001)
    assert not plan(made).contractions


def test_every_weight_still_changes_once_and_after_its_last_reader() -> None:
    made = plan(RELAYS)
    joined = contracted(made, [replace(each, least=1) for each in made.contractions])
    changes = [phase for phase in joined.backward if isinstance(phase, Change)]
    names = [name for change in changes for name in (*change.projections, *(c.second for c in change.contracted))]
    assert sorted(names) == sorted(name for change in made.changes for name in change.projections)
    assert [name for change in changes for name in change.biases]
    assert len(names) == len(set(names))
    for index, phase in enumerate(joined.backward):
        if isinstance(phase, Backward):
            later = joined.backward[index:]
            for name in phase.projections:
                assert name not in [n for change in joined.backward[:index] if isinstance(change, Change)
                                    for n in (*change.projections, *(c.second for c in change.contracted))]  # fmt: skip
            assert all(each.source != phase.population or phase in later for each in phase.contracted)


def test_the_error_of_the_source_is_held_until_the_second_hop_has_changed() -> None:
    made = plan(RELAYS)
    joined = contracted(made, made.contractions)
    freed: set[tuple[str, str]] = set()
    for moment in schedule(joined).backward:
        phase = moment.phase
        if isinstance(phase, Change):
            assert not {term.post for term in phase.terms} & freed
        if isinstance(phase, Backward):
            assert not {(each.source, "error") for each in phase.contracted} & freed
        freed |= set(moment.frees)
    assert ("output", "error") in freed
    assert not [name for name, _ in freed if name.startswith("relay")]


def test_the_choice_is_printed_with_the_plan() -> None:
    made = plan(RELAYS)
    lines = str(made).splitlines()
    for each in made.contractions:
        assert f"join     {each.first} and {each.second} in batches of {each.least} or more" in lines
    joined = str(contracted(made, made.contractions))
    assert f"error    hidden2 from {SECOND} ({FIRST} joined)" in joined
    assert f"by error(output) x activity(hidden2), {SECOND} by that times {FIRST}" in joined


def test_small_batches_join_nothing() -> None:
    made = plan(RELAYS)
    least = min(each.least for each in made.contractions)
    assert not joined_at(made, least - 1)
    assert joined_at(made, least)
