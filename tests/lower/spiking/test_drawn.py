"""What is drawn for single synapses and units: numbers that are given, cut distributions, and totals of synapses."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.checks import check
from neurosal.checks.synapses import synapse_count
from neurosal.errors import CircuitError
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    EdgeList,
    ExponentialConductance,
    FixedTotal,
    Given,
    Initialiser,
    Jump,
    Normal,
    Own,
    Population,
    Projection,
    Sparse,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.lower.spiking import realise
from neurosal.lower.spiking.edges import drawn, edges_of
from neurosal.plasticity import STDP


def joined(pre: int, post: int, **fields: object) -> Circuit:
    return Circuit(
        populations={"a": Population(size=pre, model=LIF()), "b": Population(size=post, model=LIF())},
        projections={"a_to_b": Projection(source="a", target="b", synapse=Jump(), **fields)},  # type: ignore[arg-type]
    )


def test_given_weights_and_delays_belong_to_the_edges_beside_which_they_stand() -> None:
    listed = ((2, 1), (0, 3), (2, 0), (0, 1))
    circuit = joined(
        3, 4, wiring=EdgeList(edges=listed), weights=Own(init=Given(values=(1.0, 2.0, 3.0, 4.0))),
        delay_ms=Given(values=(0.1, 0.2, 0.3, 0.4)),
    )  # fmt: skip
    edges = edges_of(circuit, "a_to_b", seed=0, dt_ms=0.1)
    found = {(int(i), int(j)): (float(w), int(d))
             for i, j, w, d in zip(edges.pre, edges.post, edges.weight, edges.delay, strict=True)}  # type: ignore[arg-type]  # fmt: skip
    assert found == {(2, 1): (1.0, 1), (0, 3): (2.0, 2), (2, 0): (3.0, 3), (0, 1): (4.0, 4)}
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit


def test_given_numbers_must_be_as_many_as_what_they_are_for() -> None:
    circuit = joined(3, 4, wiring=EdgeList(edges=((0, 0), (1, 1))), weights=Own(init=Given(values=(1.0,))))
    with pytest.raises(CircuitError, match="expected 2 values, found 1"):
        edges_of(circuit, "a_to_b", seed=0, dt_ms=0.1)


def test_each_unit_starts_at_the_number_given_for_it() -> None:
    model = LIF(start_mv=Given(values=(-60.0, -55.0)))
    state = realise(Circuit(populations={"a": Population(size=2, model=model)}), seed=0, dt_ms=0.1).state
    assert state["a"]["v_mv"].tolist() == [-60.0, -55.0]


def test_a_cut_distribution_is_drawn_anew_beyond_its_bounds_and_piles_up_nowhere() -> None:
    init = TruncatedNormal(mean=1.0, std=2.0, low=0.0, high=3.0)
    values = drawn(init, 200_000, np.random.default_rng(0), 1, 1)
    assert 0 < values.min() < 0.001
    assert 2.999 < values.max() < 3
    # Density of the cut normal distribution, integrated over ten bins by a plain sum.
    grid = np.linspace(0, 3, 30_001)
    weight = np.exp(-((grid - 1) ** 2) / 8)
    expected = np.histogram(grid, 10, (0, 3), weights=weight)[0] / weight.sum()
    np.testing.assert_allclose(np.histogram(values, 10, (0, 3))[0] / len(values), expected, rtol=0.03)


@pytest.mark.parametrize("bounds", [{"low": 1.0, "high": 1.0}, {"low": 9.0}, {"high": -9.0}])
def test_bounds_that_leave_nothing_to_draw_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(CircuitError):
        TruncatedNormal(mean=0.0, std=1.0, **bounds)


def test_a_total_of_synapses_is_exact_and_each_joins_any_pair_alike() -> None:
    edges = edges_of(joined(20, 50, wiring=FixedTotal(synapses=100_000)), "a_to_b", seed=3, dt_ms=0.1)
    assert len(edges) == 100_000
    counts = np.bincount(edges.pre.astype(int) * 50 + edges.post, minlength=1000)
    # Pairs are binomial with mean 100: χ² with 999 degrees of freedom has deviation √1998 = 45.
    assert abs(((counts - 100) ** 2 / 100).sum() - 999) < 4 * 45
    order = edges.pre.astype(int) * 50 + edges.post
    assert (np.diff(order) >= 0).all()


def test_conductances_start_where_their_synapse_says() -> None:
    circuit = joined(2, 3, weights=Own(init=Constant(value=1.0)))
    projection = circuit.projections["a_to_b"].replace(synapse=ExponentialConductance(receptor="e", start_ns=4.5))
    realised = realise(circuit.replace(projections={"a_to_b": projection}), seed=0, dt_ms=0.1)
    assert realised.state["b"]["g_e_ns"].tolist() == [4.5] * 3


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"weights": Own(init=Given(values=(1.0, 2.0)))}, "edges that are listed"),
        ({"wiring": EdgeList(edges=((0, 0),)), "weights": Own(init=Given(values=(1.0, 2.0)))}, "1 values, one for"),
        ({"wiring": EdgeList(edges=((0, 0),)), "delay_ms": Given(values=(-1.0,))}, "delays of 0 ms or more"),
        ({"wiring": EdgeList(edges=((0, 0),)), "sign": "inhibitory", "weights": Own(init=Given(values=(1.0,)))},
         "weights of the sign inhibitory"),
    ],
)  # fmt: skip
def test_numbers_that_fit_no_synapse_are_refused_before_anything_is_drawn(
    fields: dict[str, object], expected: str
) -> None:
    with pytest.raises(CircuitError, match=expected):
        check(joined(3, 4, **fields))


def test_a_total_of_synapses_is_sound_and_counted() -> None:
    circuit = check(joined(20, 50, wiring=FixedTotal(synapses=123)))
    assert synapse_count(circuit, "a_to_b") == 123


def test_draws_beyond_the_bounds_of_plasticity_start_at_the_bound() -> None:
    free = edges_of(joined(40, 50, weights=Own(init=Normal(mean=1.0, std=1.0))), "a_to_b", seed=3, dt_ms=0.1).weight
    rule = STDP(w_min=-0.5, w_max=2.0)
    circuit = joined(40, 50, weights=Own(init=Normal(mean=1.0, std=1.0)), plasticity=rule)
    bounded = edges_of(circuit, "a_to_b", seed=3, dt_ms=0.1).weight
    assert (free.min() < -0.5) & (free.max() > 2)
    np.testing.assert_array_equal(bounded, np.clip(free, -0.5, 2.0))
    signed = joined(40, 50, weights=Own(init=Normal(mean=1.0, std=1.0)), plasticity=rule, sign="excitatory")
    np.testing.assert_array_equal(edges_of(signed, "a_to_b", seed=3, dt_ms=0.1).weight, np.clip(free, 0.0, 2.0))


@pytest.mark.parametrize("init", [XavierNormal(), XavierUniform(), Normal(), Constant()])
def test_a_projection_of_which_no_synapse_was_drawn_has_no_weights(init: Initialiser) -> None:
    circuit = joined(2, 2, wiring=Sparse(density=1e-9), weights=Own(init=init), delay_ms=Uniform(low=0.0, high=1.0))
    edges = edges_of(circuit, "a_to_b", seed=0, dt_ms=0.1)
    assert len(edges) == len(edges.weight) == np.size(edges.delay) == 0
