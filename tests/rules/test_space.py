"""Which feedback, relays and wiring each rule adds to a circuit with space."""

from __future__ import annotations

import pytest

import neurosal as ns
from neurosal import rules
from neurosal.graph import (
    AvgPool2d,
    Broadcast,
    Circuit,
    Constant,
    Conv1d,
    Conv2d,
    Dense,
    Flatten,
    GlobalAvgPool,
    OneToOne,
    Orthogonal,
    Own,
    Population,
    Projection,
    Relay,
    Reversed,
    Shortcut,
    Sparse,
    Transpose,
    Unpool,
    XavierUniform,
)
from neurosal.lower.plan import plan
from neurosal.plasticity import Fixed, KolenPollack
from neurosal.rules.space import transposed_onto
from tests.rules.convolutional import PLASTIC, RESIDUAL, SPATIAL, made, plain, to
from tests.rules.table import Case

CHAIN = ["bp", "fa", "usf", "frsf", "brsf", "kp", "kp_tied", "wm"]


def back(circuit: Circuit) -> dict[str, Projection]:
    return circuit.select(pathway="feedback")


@pytest.mark.parametrize("case", SPATIAL, ids=lambda case: case.name)
def test_every_rule_makes_a_circuit_with_space_that_fits_together_and_round_trips(case: Case) -> None:
    circuit = made(case)
    ns.check(circuit)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    for name, edge in RESIDUAL.projections.items():
        kept = circuit.projections[name]
        assert (kept.source, kept.target, kept.wiring) == (edge.source, edge.target, edge.wiring)


@pytest.mark.parametrize("name", [*CHAIN, "pfa", "pfa_o"])
def test_what_has_no_weights_goes_back_the_way_it_came_whatever_the_rule(name: str) -> None:
    added = back(getattr(rules, name)(RESIDUAL))
    assert {label: added[label].wiring for label in ("pooled1_to_sum1", "sum2_to_pooled1", "mean_to_sum2")} == {
        "pooled1_to_sum1": Unpool(of="sum1_to_pooled1"),
        "sum2_to_pooled1": Reversed(wiring=Shortcut(stride=2)),
        "mean_to_sum2": Reversed(wiring=GlobalAvgPool()),
    }
    identity = (OneToOne(), Own(init=Constant()))
    for label in ("sum1_to_stem", "sum1_to_branch1", "sum2_to_branch2"):
        assert (added[label].wiring, added[label].weights) == identity
    assert all(edge.plasticity == Fixed() for edge in added.values() if edge.wiring.weightless)


@pytest.mark.parametrize("name", CHAIN)
def test_feedback_along_a_convolution_is_that_convolution_reversed(name: str) -> None:
    added = back(getattr(rules, name)(RESIDUAL))
    for label, forward in (("hidden1_to_stem", "stem_to_hidden1"), ("hidden2_to_pooled1", "pooled1_to_hidden2")):
        assert added[label].wiring == Reversed(wiring=RESIDUAL.projections[forward].wiring)
    assert len(added) == len(RESIDUAL.projections) - 1  # nothing returns to the input


def test_bp_ties_convolutions_and_kp_changes_them() -> None:
    bp, kp = (back(rule(RESIDUAL))["hidden1_to_stem"] for rule in (rules.bp, rules.kp))
    assert (bp.weights, bp.plasticity) == (Transpose(of="stem_to_hidden1"), Fixed())
    assert (kp.weights, kp.plasticity) == (Own(), KolenPollack())


@pytest.mark.parametrize("expansion", [1, 2.5, 10])
def test_a_relay_of_pfa_has_so_many_times_the_channels_of_the_target_at_its_places(expansion: float) -> None:
    grown = rules.pfa(RESIDUAL, expansion=expansion)
    relay = grown.populations["relay_pooled1_to_hidden2"]
    assert (relay.shape, relay.model) == ((round(expansion * 6), 3, 3), Relay())
    assert grown.populations["relay_mean_to_output"].size == round(expansion * 3)
    first = grown.projections["hidden2_to_relay_pooled1_to_hidden2"]
    second = grown.projections["relay_pooled1_to_hidden2_to_pooled1"]
    assert (first.wiring, first.plasticity) == (Reversed(wiring=Conv2d(kernel=1)), Fixed())
    assert second.wiring == Reversed(wiring=Conv2d(kernel=3, padding=1, stride=2))
    assert (second.weights, second.plasticity) == (Own(), KolenPollack())


def test_relays_keep_to_groups_and_have_the_same_number_of_channels_in_each() -> None:
    grown = rules.pfa(RESIDUAL, expansion=2.4)
    assert grown.populations["relay_hidden1_to_branch1"].shape == (10, 6, 6)  # 2.4 times 2 channels, rounded, twice
    assert grown.projections["branch1_to_relay_hidden1_to_branch1"].wiring == Reversed(
        wiring=Conv2d(kernel=1, groups=2)
    )
    assert grown.projections["relay_hidden1_to_branch1_to_hidden1"].wiring == Reversed(
        wiring=Conv2d(kernel=3, padding=1, groups=2)
    )


@pytest.mark.parametrize(("groups", "density"), [(1, 1.0), (1, 0.25), (2, 1.0), (2, 0.25)])
@pytest.mark.parametrize("expansion", [1, 3, 10])
def test_the_first_hop_is_scaled_so_that_its_second_moment_is_the_identity(
    groups: int, density: float, expansion: float
) -> None:
    circuit = Circuit(
        populations={"input": plain(4, 5, 5), "hidden": plain(4, 5, 5), "output": plain(8, 3, 3)},
        projections={
            **to("input", "hidden", Conv2d(kernel=1)),
            **to("hidden", "output", Conv2d(kernel=3, groups=groups)),
        },
    )
    grown = rules.pfa(circuit, expansion=expansion, density=density)
    edge = grown.projections["output_to_relay_hidden_to_output"]
    relay, target = grown.populations[edge.target].extent, grown.populations["output"].extent
    assert isinstance(edge.weights, Own)
    variance = edge.weights.init.deviation(*edge.wiring.fans(relay, target)) ** 2
    assert variance * density * relay[0] / groups == pytest.approx(1)  # E[BᵀB] = I, group by group


def test_pfa_o_has_an_orthogonal_first_hop_of_as_many_channels() -> None:
    grown = rules.pfa_o(RESIDUAL)
    assert grown.populations["relay_pooled1_to_hidden2"].shape == (6, 3, 3)
    assert grown.projections["hidden2_to_relay_pooled1_to_hidden2"].weights == Own(init=Orthogonal())


def test_convolutions_of_one_dimension_and_onto_single_units_have_relays_too() -> None:
    circuit = Circuit(
        populations={"input": plain(2, 9), "hidden": plain(4, 9), "top": plain(5, 3), "output": plain(3)},
        projections={
            **to("input", "hidden", Conv1d(kernel=3, padding="same")),
            **to("hidden", "top", Conv1d(kernel=3, stride=3)),
            **to("top", "output", Conv1d(kernel=3)),
        },
    )
    grown = rules.pfa(circuit, expansion=2)
    assert grown.populations["relay_hidden_to_top"].shape == (10, 3)
    assert grown.populations["relay_top_to_output"].size == 6
    assert grown.projections["top_to_relay_hidden_to_top"].wiring == Reversed(wiring=Conv1d(kernel=1))
    ns.check(grown.with_populations(input=Population(shape=(2, 9), model={"kind": "source"})))


def test_density_thins_what_has_weights_and_nothing_else() -> None:
    added = back(rules.pfa(RESIDUAL, expansion=2, density=0.5))
    assert added["mean_to_sum2"].wiring == Reversed(wiring=GlobalAvgPool())
    assert added["sum1_to_stem"].wiring == OneToOne()
    assert added["output_to_relay_mean_to_output"].wiring == Sparse(density=0.5)
    assert added["relay_stem_to_hidden1_to_stem"].wiring == Reversed(wiring=Conv2d(kernel=3, padding=1, density=0.5))
    assert added["hidden1_to_relay_stem_to_hidden1"].wiring == Reversed(wiring=Conv2d(kernel=1, density=0.5))


def test_a_relay_along_a_sparse_convolution_has_all_its_synapses() -> None:
    thin = RESIDUAL.with_projections(**to("stem", "hidden1", Conv2d(kernel=3, padding=1, density=0.3)))
    added = back(rules.pfa(thin, expansion=2))
    assert added["relay_stem_to_hidden1_to_stem"].wiring == Reversed(wiring=Conv2d(kernel=3, padding=1))


# Direct feedback ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dfa", "dkp", "drtp"])
def test_direct_feedback_reaches_what_learns_and_nothing_in_between(name: str) -> None:
    for space, wiring in (("units", Dense()), ("broadcast", Broadcast())):
        added = back(getattr(rules, name)(RESIDUAL, space=space))
        assert list(added) == [f"output_to_{end}" for end in ("stem", "hidden1", "branch1", "hidden2", "branch2")]
        assert {edge.wiring for edge in added.values()} == {wiring}


def test_populations_without_space_get_dense_feedback_whatever_the_choice() -> None:
    circuit = RESIDUAL.without("mean_to_output").with_populations(hidden3=plain(5, activation="relu"))
    circuit = circuit.with_projections(**to("mean", "hidden3", Dense()), **to("hidden3", "output", Dense()))
    for space in ("units", "broadcast", "transposed"):
        assert back(rules.dfa(circuit, space=space))["output_to_hidden3"].wiring == Dense()  # type: ignore[arg-type]


def test_transposed_direct_feedback_starts_at_a_grid_of_places_with_a_channel_for_every_unit_of_the_output() -> None:
    grown = rules.dkp(RESIDUAL, space="transposed", kernel=2)
    assert grown.populations["relay_stem"].shape == (3, 3, 3)
    assert grown.populations["relay_hidden2"].shape == (3, 2, 2)
    first, second = grown.projections["output_to_relay_stem"], grown.projections["relay_stem_to_stem"]
    assert (first.wiring, first.weights, first.plasticity) == (Broadcast(), Own(init=Orthogonal()), Fixed())
    assert (second.wiring, second.plasticity) == (Reversed(wiring=Conv2d(kernel=2, stride=2)), KolenPollack())
    carried = rules.drtp(RESIDUAL, space="transposed").projections
    assert (carried["output_to_relay_stem"].carries, carried["relay_stem_to_stem"].carries) == ("target", "error")


@pytest.mark.parametrize("extent", [(3, 1, 1), (3, 2, 7), (3, 8, 8), (3, 9, 10), (3, 31, 33), (3, 5), (3, 32)], ids=str)
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_kernels_of_transposed_feedback_lie_side_by_side_on_any_extent(extent: tuple[int, ...], kernel: int) -> None:
    grid, wiring = transposed_onto(extent, kernel)
    assert wiring.mismatch(extent, (10, *grid)) is None
    assert grid == tuple(-(-size // kernel) for size in extent[1:])


def test_wrong_choices_of_space_are_refused_by_name() -> None:
    with pytest.raises(ns.CircuitError, match=r"(?s)rules\.dfa\.space.*broadcast.*rules\.dfa\.kernel"):
        rules.dfa(RESIDUAL, space="broadcasted", kernel=0)  # type: ignore[arg-type]


def test_broadcast_feedback_has_the_density_that_is_asked_for() -> None:
    assert back(rules.dfa(RESIDUAL, space="broadcast", density=0.5))["output_to_stem"].wiring == Broadcast(density=0.5)


# Areas ----------------------------------------------------------------------------------------------------------------


def test_areas_go_to_what_learns_and_their_relays_and_not_to_sums_and_pools() -> None:
    grown = rules.sal(RESIDUAL, areas=3, feedback="pfa")
    areas = {name: population.areas for name, population in grown.populations.items()}
    ends = {RESIDUAL.projections[name].target for name in PLASTIC}
    relays = {f"relay_{name}" for name in PLASTIC if name != "input_to_stem"}
    assert {name for name, count in areas.items() if count == 3} == ends | relays
    assert {grown.areas_of(name) for name, edge in grown.projections.items() if edge.wiring.weightless} == {1}


def test_averages_and_flattening_go_back_as_they_are() -> None:
    circuit = Circuit(
        populations={"a": plain(2, 4, 4), "b": plain(2, 4, 4), "c": plain(2, 2, 2), "d": plain(8), "e": plain(3)},
        projections={
            **to("a", "b", Conv2d(kernel=1)),
            **to("b", "c", AvgPool2d(kernel=2)),
            **to("c", "d", Flatten()),
            **to("d", "e", Dense()),
        },
    )
    added = back(rules.kp(circuit, to_input=True))
    assert [edge.wiring for edge in added.values()] == [
        Reversed(wiring=Conv2d(kernel=1)),
        Reversed(wiring=AvgPool2d(kernel=2)),
        Reversed(wiring=Flatten()),
        Dense(),
    ]
    assert added["e_to_d"].weights == Own(init=XavierUniform())


# Products -------------------------------------------------------------------------------------------------------------


def shared(circuit: Circuit) -> set[frozenset[str]]:
    """Projections that change by one product."""
    return {frozenset(change.projections) for change in plan(circuit).changes}


@pytest.mark.parametrize("density", [1.0, 0.5])
def test_a_kernel_and_its_feedback_share_one_product_whatever_synapses_are_left_out(density: float) -> None:
    found = shared(rules.kp(RESIDUAL, density=density))
    for pair in (("stem_to_hidden1", "hidden1_to_stem"), ("pooled1_to_hidden2", "hidden2_to_pooled1")):
        assert frozenset(pair) in found


def test_parallel_convolutions_that_differ_in_their_kernel_do_not_share_a_product() -> None:
    wide = RESIDUAL.with_projections(
        wide=Projection(source="stem", target="hidden1", wiring=Conv2d(kernel=5, padding=2)),
        again=Projection(source="stem", target="hidden1", wiring=Conv2d(kernel=3, padding=1)),
    )
    found = shared(rules.kp(wide))
    assert frozenset(("wide", "hidden1_to_stem_2")) in found
    assert frozenset(("stem_to_hidden1", "again", "hidden1_to_stem", "hidden1_to_stem_3")) in found
