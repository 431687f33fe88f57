"""Networks of spiking neurons: their constants, in-degrees, weights and delays are the published ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from neurosal.circuits.brunel import brunel, brunel_small
from neurosal.circuits.microcircuit import microcircuit
from neurosal.circuits.vogels_abbott import coba, cuba
from neurosal.errors import CircuitError
from neurosal.graph import Circuit
from neurosal.lower.spiking import realise
from neurosal.stats import diffusion_rates

MADE = {"cuba": cuba, "coba": coba, "brunel": brunel, "brunel_small": brunel_small, "microcircuit": microcircuit}

# Potjans & Diesmann 2014, table 5, as it is printed: rows are targets, columns sources, L2/3e, L2/3i, L4e, ..., L6i.
NAMES = ["l23e", "l23i", "l4e", "l4i", "l5e", "l5i", "l6e", "l6i"]
SIZES = [20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948]
TABLE = """
.1009 .1689 .0437 .0818 .0323 0     .0076 0
.1346 .1371 .0316 .0515 .0755 0     .0042 0
.0077 .0059 .0497 .135  .0067 .0003 .0453 0
.0691 .0029 .0794 .1597 .0033 0     .1057 0
.1004 .0622 .0505 .0057 .0831 .3726 .0204 0
.0548 .0269 .0257 .0022 .06   .3158 .0086 0
.0156 .0066 .0211 .0166 .0572 .0197 .0396 .2252
.0364 .001  .0034 .0005 .0277 .008  .0658 .1443
"""
OUTSIDE = [1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100]
RATES = [0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829]
PROBABILITIES = [[float(entry) for entry in row.split()] for row in TABLE.split("\n") if row]


@pytest.mark.parametrize("name", MADE)
def test_circuits_go_through_files_and_back(name: str) -> None:
    circuit = MADE[name]()
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit


@pytest.mark.parametrize(("make", "weights"), [(cuba, (1.62, -9.0)), (coba, (6.0, 67.0))])
def test_vogels_and_abbott_join_two_percent_of_all_pairs(make: Any, weights: tuple[float, float]) -> None:
    circuit = make()
    realised = realise(circuit, seed=0, dt_ms=0.1)
    sizes = {"excitatory": 3200, "inhibitory": 800}
    assert {name: circuit.populations[name].units for name in sizes} == sizes
    for name, edges in realised.edges.items():
        source, target = name.split("_to_")
        if source.startswith("kick"):
            continue
        pairs = sizes[source] * sizes[target]
        assert abs(len(edges) - 0.02 * pairs) < 4 * (0.02 * 0.98 * pairs) ** 0.5 + 0.02 * sizes[source]
        assert set(edges.weight) == {weights[source == "inhibitory"]}
        assert edges.delay == 1
    assert len(set(realised.populations["excitatory"].lands.values())) == 2


def test_coba_is_kicked_by_as_much_as_it_will_hear_and_then_left_alone() -> None:
    realised = realise(coba(), seed=0, dt_ms=0.1)
    step, unit = realised.all_spikes("kick_excitatory", 1500)
    assert step.max() < 1000  # 100 ms
    assert len(np.unique(unit)) == 3200
    early = (step < 100).sum() / 3200 / 0.01
    assert early == pytest.approx(1140, rel=0.02)  # 1200 Hz, 5 % less on average over a tenth of the way down
    assert realised.populations["excitatory"].lands["kick_excitatory_to_excitatory"] == "g_excitatory_ns"
    assert set(coba(kick_hz=0.0).populations) == {"excitatory", "inhibitory"}


@pytest.mark.parametrize(
    ("make", "sizes", "inputs", "weight"),
    [(brunel_small, (2000, 500), (200, 50), 0.1 * 5**0.5), (lambda: brunel(800, 200, inputs=80, weight_mv=0.3),
                                                             (800, 200), (80, 20), 0.3)],
    ids=["small", "other"],
)  # fmt: skip
def test_brunel_neurons_have_exactly_their_inputs(
    make: Any, sizes: tuple[int, int], inputs: tuple[int, int], weight: float
) -> None:
    circuit = make()
    realised = realise(circuit, seed=1, dt_ms=0.1)
    for source, count, mean in (("excitatory", inputs[0], weight), ("inhibitory", inputs[1], -5 * weight)):
        for target, size in zip(("excitatory", "inhibitory"), sizes, strict=True):
            edges = realised.edges[f"{source}_to_{target}"]
            assert (np.bincount(edges.post, minlength=size) == count).all()
            assert len(np.unique(edges.pre.astype(int) * size + edges.post)) == len(edges)
            np.testing.assert_allclose(edges.weight, mean)
            assert edges.delay == 15
    model = circuit.populations["background_inhibitory"].model
    assert model.merged == inputs[0]
    assert model.rate_hz * model.merged * weight * 20e-3 == pytest.approx(2 * 20)  # η thresholds


def test_brunels_own_network_has_the_published_sizes() -> None:
    circuit = brunel()
    assert [circuit.populations[name].units for name in ("excitatory", "inhibitory")] == [10_000, 2_500]
    wirings = [circuit.projections[f"{name}_to_inhibitory"].wiring for name in ("excitatory", "inhibitory")]
    assert [wiring.inputs for wiring in wirings] == [1000, 250]  # type: ignore[attr-defined]


def test_theory_of_the_small_brunel_network_reads_its_numbers_off_the_circuit() -> None:
    circuit = brunel_small()
    cell: Any = circuit.populations["excitatory"].model
    outside: Any = circuit.populations["background_excitatory"].model
    names = ("excitatory", "inhibitory")
    edges = [[circuit.projections[f"{source}_to_{target}"] for source in names] for target in names]
    rates = diffusion_rates(
        [[edge.wiring.inputs for edge in row] for row in edges],  # type: ignore[attr-defined]
        [[edge.weights.init.value for edge in row] for row in edges],  # type: ignore[attr-defined]
        tau_m_ms=cell.tau_m_ms, threshold_mv=cell.v_threshold_mv, reset_mv=cell.v_reset_mv,
        refractory_ms=cell.refractory_ms, external_rate_hz=outside.rate_hz * outside.merged,
        external_weight_mv=circuit.projections["background_excitatory_to_excitatory"].weights.init.value,  # type: ignore[attr-defined]
    )  # fmt: skip
    np.testing.assert_allclose(rates, 45.67, atol=0.01)


def in_degree(target: int, source: int) -> float:
    pairs = SIZES[target] * SIZES[source]
    return math.log(1 - PROBABILITIES[target][source]) / math.log1p(-1 / pairs) / SIZES[target]


def test_the_full_microcircuit_has_the_published_sizes_and_0_3_billion_synapses() -> None:
    circuit = microcircuit(scale=1)
    assert [circuit.populations[name].units for name in NAMES] == SIZES
    assert [circuit.populations[f"background_{name}"].model.merged for name in NAMES] == OUTSIDE  # type: ignore[attr-defined]
    total = 0
    for target, post in enumerate(NAMES):
        for source, pre in enumerate(NAMES):
            if not PROBABILITIES[target][source]:
                assert f"{pre}_to_{post}" not in circuit.projections
                continue
            synapses = circuit.projections[f"{pre}_to_{post}"].wiring.synapses  # type: ignore[attr-defined]
            assert synapses == pytest.approx(in_degree(target, source) * SIZES[target], abs=1)
            total += synapses
    assert total == pytest.approx(298.88e6, rel=1e-4)
    assert all(circuit.populations[name].model.bias_pa == 0 for name in NAMES)  # type: ignore[attr-defined]


def test_a_share_of_pairs_as_printed_is_joined_where_units_are_joined_at_random() -> None:
    """10 % of the neurons with 100 % of the synapses' probability: the formula for K holds at any size."""
    pre, post, share = 2068, 583, 0.1346
    synapses = round(math.log(1 - share) / math.log1p(-1 / (pre * post)))
    pairs = np.random.default_rng(0).integers(0, pre * post, synapses)
    assert len(np.unique(pairs)) / (pre * post) == pytest.approx(share, abs=0.001)


def test_a_tenth_of_the_microcircuit_keeps_degrees_weights_and_delays_as_the_paper_scales_them() -> None:
    circuit = microcircuit(scale=0.1)
    realised = realise(circuit, seed=0, dt_ms=0.1)
    one = 87.81 / math.sqrt(0.1)
    for target, post in enumerate(NAMES):
        for source, pre in enumerate(NAMES):
            if not PROBABILITIES[target][source]:
                continue
            edges = realised.edges[f"{pre}_to_{post}"]
            count, units = len(edges), round(SIZES[target] / 10)
            assert count / units == pytest.approx(0.1 * in_degree(target, source), abs=1 / units)
            if count < 2000:
                continue
            mean = one * (-4 if source % 2 else 2 if (pre, post) == ("l4e", "l23e") else 1)
            assert edges.weight.mean() == pytest.approx(mean, rel=0.01)
            assert edges.weight.std() == pytest.approx(abs(mean) / 10, rel=0.1)
            assert (np.sign(edges.weight) == np.sign(mean)).all()
            delay = np.asarray(edges.delay) * 0.1
            assert delay.min() >= 0.1
            middle = 0.75 if source % 2 else 1.5
            # The cut at 0.05 ms takes 3 % off the low end.
            assert np.median(delay) == pytest.approx(middle, rel=0.07)
            assert delay.std() == pytest.approx(middle / 2, rel=0.1)


def test_what_a_neuron_hears_keeps_mean_and_variance_when_synapses_are_left_out() -> None:
    def heard(circuit: Circuit, target: int) -> tuple[float, float]:
        """Mean of the current, and of the square of its jumps a millisecond."""
        post = NAMES[target]
        mean = circuit.populations[post].model.bias_pa / 0.5  # type: ignore[attr-defined]
        square = 0.0
        for name, edge in circuit.select(target=post).items():
            if name.startswith("background"):
                model: Any = circuit.populations[edge.source].model
                per_ms, weight = model.merged * model.rate_hz * 1e-3, edge.weights.init.value  # type: ignore[attr-defined]
            else:
                inputs = edge.wiring.synapses / circuit.populations[post].units  # type: ignore[attr-defined]
                per_ms = inputs * RATES[NAMES.index(edge.source)] * 1e-3
                weight = edge.weights.init.mean  # type: ignore[attr-defined]
            mean += per_ms * weight
            square += per_ms * weight**2
        return mean * 0.5, square

    full = microcircuit(scale=1)
    for circuit in (microcircuit(scale=0.1), microcircuit(scale=0.5), microcircuit(scale=0.2, synapse_scale=0.4)):
        for target in range(8):
            mean, square = heard(circuit, target)
            expected = heard(full, target)
            assert square == pytest.approx(expected[1], rel=0.005)
            assert mean == pytest.approx(expected[0], abs=1.5)  # rounded counts; 1.5 pA move the membrane by .06 mV
    bare = microcircuit(scale=0.1, compensate=False)
    assert heard(bare, 0)[1] == pytest.approx(heard(full, 0)[1] / 10, rel=0.01)


def test_full_in_degrees_need_no_compensation() -> None:
    circuit = microcircuit(scale=0.1, synapse_scale=1.0)
    assert circuit.populations["l5i"].model.bias_pa == 0  # type: ignore[attr-defined]
    edge = circuit.projections["l4i_to_l4e"]
    assert edge.wiring.synapses / circuit.populations["l4e"].units == pytest.approx(in_degree(2, 3), rel=1e-3)  # type: ignore[attr-defined]
    assert edge.weights.init.mean == pytest.approx(-4 * 87.81, abs=0.05)  # type: ignore[attr-defined]


def test_one_spike_moves_the_microcircuits_membrane_by_0_15_mv() -> None:
    time = np.linspace(0, 20, 20_001)
    course = 87.81 / 250 * (10 * 0.5) / (10 - 0.5) * (np.exp(-time / 10) - np.exp(-time / 0.5))
    assert course.max() == pytest.approx(0.15, abs=1e-4)


@pytest.mark.parametrize(("arguments", "places"), [({"scale": 0.0}, ["scale", "synapse_scale"]),
                                                    ({"synapse_scale": 1.5}, ["synapse_scale"])])  # fmt: skip
def test_scales_that_are_no_share_are_refused(arguments: dict[str, float], places: list[str]) -> None:
    with pytest.raises(CircuitError) as refused:
        microcircuit(**arguments)
    assert [problem.place for problem in refused.value.problems] == places


def test_sizes_that_are_none_are_refused() -> None:
    for make in (cuba, coba, brunel):
        with pytest.raises(CircuitError, match="a positive whole number"):
            make(0, 10)
