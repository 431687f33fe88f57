"""Circuits that learn in continuous time, and real wiring as circuits: what they are, and what becomes of them."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosal.checks import check
from neurosal.circuits import connectome, rate_dynamics, song_stdp
from neurosal.circuits.rate_dynamics import directions
from neurosal.data.connectomes import load_connectome
from neurosal.engine.clock import Clock
from neurosal.errors import CircuitError, DataError
from neurosal.graph import Circuit
from neurosal.lower.spiking import realise

FLY = pytest.mark.skipif(
    not (Path(os.environ.get("NEUROSAL_DATA", "")) / "fly_medulla_fib25.npz").is_file(), reason="needs the fly's wiring"
)


def clock(circuit: Circuit, dt_ms: float, seeds: tuple[int, ...] = (0,)) -> Clock:
    return Clock([realise(check(circuit), seed, dt_ms) for seed in seeds])


def weights(run: Clock, name: str, shape: tuple[int, int], replica: int = 0) -> Any:
    """[post, pre] of a dense projection without autapses left out."""
    projection = run.realised[replica].edges[name]
    found = np.zeros(shape)
    found[projection.post, projection.pre] = run.projections[name].of_replica("w", replica).numpy()
    return found


# Song, Miller & Abbott -----------------------------------------------------------------------------------------------


def test_songs_neuron_hears_a_thousand_inputs_between_nothing_and_the_largest_weight() -> None:
    circuit = check(song_stdp())
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    realised = realise(circuit, seed=0, dt_ms=0.1)
    weight = realised.edges["input_to_neuron"].weight
    assert len(weight) == 1000
    assert 0 <= weight.min() < 0.001 < 0.199 < weight.max() <= 0.2  # .01 of the leak's 20 nS
    assert weight.mean() == pytest.approx(0.1, abs=0.01)
    steps, _ = realised.all_spikes("input", 5120)
    assert len(steps) / 0.512 / 1000 == pytest.approx(15, rel=0.05)


def slow_song(realised: Any, steps: int) -> tuple[list[int], Any]:
    """The neuron and its synapses step by step, from the same weights and input spikes; shares nothing with engines."""
    step_L, unit_L = realised.all_spikes("input", steps)
    w = realised.edges["input_to_neuron"].weight.copy()
    plus, minus, g, v, fired = np.zeros(len(w)), 0.0, 0.0, -60.0, []
    for now in range(steps):
        # One step of exponential Euler for v with g as it is at the step's start; g decays exactly.
        rate = (20 + g) / 200
        rest = (20 * -74) / (20 + g)
        v = rest + (v - rest) * np.exp(-0.1 * rate)
        g *= np.exp(-0.1 / 5)
        plus, minus = plus * np.exp(-0.1 / 20), minus * np.exp(-0.1 / 20)
        arrived = unit_L[step_L == now]
        g += w[arrived].sum()
        w[arrived] = np.clip(w[arrived] - 0.01 * 0.2 * 1.05 * minus, 0, 0.2)
        plus[arrived] += 1
        if v > -54:
            fired.append(now)
            w = np.clip(w + 0.01 * 0.2 * plus, 0, 0.2)
            minus += 1
            v = -60.0
    return fired, w


def test_songs_weights_are_those_of_a_slow_simulation() -> None:
    run = clock(song_stdp(), 0.1)
    spikes = run.run(3000)["neuron"][0].tolist()
    fired, w = slow_song(run.realised[0], 3000)
    assert spikes == fired
    assert len(fired) > 5
    np.testing.assert_allclose(run.projections["input_to_neuron"].of_replica("w", 0).numpy(), w, atol=1e-12)
    assert np.abs(w - run.realised[0].edges["input_to_neuron"].weight).max() > 0.001


# Rates ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["hebbian", "oja", "bcm"])
@pytest.mark.parametrize("lateral", ["anti_hebbian", "inhibition", "none"])
def test_rates_in_time_are_sound_with_every_rule(rule: Any, lateral: Any) -> None:
    circuit = check(rate_dynamics(rule, lateral=lateral, gate_ms=(10.0, 20.0), patterns=3))
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit


def test_fixed_lateral_inhibition_settles_where_linear_algebra_says() -> None:
    run = clock(rate_dynamics(lateral="inhibition", patterns=1, learning_rate=0.0), 0.5)
    run.run(400)
    w = weights(run, "input_to_output", (3, 8))
    lateral = np.full((3, 3), -0.5 / 3) * (1 - np.eye(3))
    x = run.state["input"]["r"][0].numpy()
    np.testing.assert_allclose(
        run.state["output"]["r"][0].numpy(), np.linalg.solve(np.eye(3) - lateral, w @ x), atol=1e-9
    )


def test_ojas_rule_in_time_finds_the_first_direction_at_length_one() -> None:
    run = clock(rate_dynamics("oja", lateral="none", patterns=300), 1.0)
    run.run(6000)
    w = weights(run, "input_to_output", (3, 8))
    along = np.abs(w @ directions(8)[0]) / np.linalg.norm(w, axis=1)
    assert along.min() > 0.95
    np.testing.assert_allclose(np.linalg.norm(w, axis=1), 1, atol=0.1)


def test_lateral_inhibition_that_learns_keeps_outputs_apart() -> None:
    """Without it all three outputs lie along one direction; with it they span three."""
    spread = {}
    for lateral in ("none", "anti_hebbian"):
        run = clock(rate_dynamics("oja", lateral=lateral, patterns=300), 1.0)  # type: ignore[arg-type]
        run.run(6000)
        w = weights(run, "input_to_output", (3, 8))
        spread[lateral] = np.linalg.svd(w / np.linalg.norm(w, axis=1, keepdims=True))[1][1]
    assert spread["none"] < 0.3
    assert spread["anti_hebbian"] > 0.7


def test_bcm_in_time_makes_units_selective() -> None:
    run = clock(rate_dynamics("bcm", lateral="none", patterns=400), 1.0)
    run.run(8000)
    answers = weights(run, "input_to_output", (3, 8)) @ np.kron(np.eye(2), np.ones((4, 1)))
    answers.sort(axis=1)
    assert (np.abs(answers[:, 0]) < 0.4).all()
    assert (answers[:, 1] > 1.6).all()


def test_weights_change_only_while_the_gate_is_open() -> None:
    run = clock(rate_dynamics("hebbian", lateral="none", gate_ms=(100.0, 200.0), patterns=40), 1.0)
    course = []
    for _ in range(8):
        course.append(run.projections["input_to_output"].of_replica("w", 0).clone())
        run.run(100)
    moved = [float((late - early).abs().max()) for early, late in pairwise(course)]
    assert moved[0] == 0
    assert moved[1] > 0.01
    assert moved[6] < 1e-3 * moved[1]  # 400 ms after it closed, 8 time constants
    assert float(run.state["output"]["gate"].max()) < 1e-4


def test_a_gate_that_is_open_stands_near_one() -> None:
    run = clock(rate_dynamics("oja", lateral="none", gate_ms=(0.0, 1000.0), patterns=5), 1.0)
    run.run(500)
    assert float(run.state["output"]["gate"].max()) == pytest.approx(1, abs=0.06)


# Worm and fly --------------------------------------------------------------------------------------------------------


def test_the_worms_circuit_has_every_connection_in_its_own_direction() -> None:
    circuit = check(connectome("white1986"))
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    wiring = load_connectome("white1986")
    edges = realise(circuit, seed=0, dt_ms=1.0).edges
    found = np.zeros_like(wiring.chemical)
    found[edges["chemical"].post, edges["chemical"].pre] = edges["chemical"].weight
    scale = found.max() / wiring.chemical.max()
    np.testing.assert_allclose(found, scale * wiring.chemical, rtol=1e-12)
    ash, aib = wiring.neurons.index("ASHL"), wiring.neurons.index("AIBL")
    assert found[aib, ash] > 0  # a sensory neuron onto an interneuron that it is known for


def test_rest_is_reached_at_the_speed_of_the_largest_eigenvalue() -> None:
    for gap_junctions in (True, False):
        run = clock(connectome("witvliet2020_1", gap_junctions=gap_junctions, radius=0.5, tau_ms=10.0), 0.25)
        matrix = np.zeros((187, 187))
        for edges in run.realised[0].edges.values():
            np.add.at(matrix, (edges.post, edges.pre), edges.weight)
        values = np.linalg.eigvals(matrix)
        assert np.abs(values).max() == pytest.approx(0.5)
        if gap_junctions:  # what flows through them changes no sum: rows cancel
            chemical = run.realised[0].edges["chemical"]
            rows = np.bincount(chemical.post, chemical.weight, minlength=187)
            np.testing.assert_allclose(matrix.sum(1), rows, atol=1e-12)
        run.run(2400)
        early = float(run.state["neurons"]["r"].norm())
        run.run(400)
        late = float(run.state["neurons"]["r"].norm())
        assert np.log(early / late) / 100 == pytest.approx((1 - values.real.max()) / 10, rel=0.02)


@FLY
def test_the_flys_circuit_has_both_signs() -> None:
    circuit = check(connectome("fly_medulla"))
    weight = realise(circuit, seed=0, dt_ms=1.0).edges["chemical"].weight
    assert len(weight) == 605
    assert (weight < 0).any()
    assert "gap" not in circuit.projections
    wiring = load_connectome("fly_medulla")
    assert wiring.chemical[wiring.neurons.index("L1"), wiring.neurons.index("R1")] == -40  # histamine inhibits


def test_wiring_that_is_not_there_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'white1986'"):
        connectome("white1987")
    with pytest.raises(DataError, match=r"Set NEUROSAL_DATA .* 10\.1073/pnas\.1509820112"):
        connectome("fly_medulla", folder=tmp_path)
    (tmp_path / "fly_medulla_fib25.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="a file of wiring"):
        connectome("fly_medulla", folder=tmp_path)
    with pytest.raises(CircuitError, match="above 0"):
        connectome(radius=0.0)
