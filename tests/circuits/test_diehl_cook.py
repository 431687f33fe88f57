"""Diehl & Cook's network has the published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal import check
from neurosal.circuits import diehl_cook
from neurosal.errors import CircuitError
from neurosal.graph import Circuit
from neurosal.lower.spiking import realise


def small(**fields: float) -> Circuit:
    return diehl_cook(6, data="digits", inputs=64, **fields)  # type: ignore[arg-type]


def test_its_constants_are_the_published_ones() -> None:
    circuit = check(diehl_cook())
    excitatory, inhibitory = (circuit.populations[name].model.dynamics() for name in ("excitatory", "inhibitory"))
    names = ("tau_m_ms", "e_leak_mv", "v_reset_mv")
    assert [excitatory.constants[name] for name in names] == [100, -65, -65]
    assert [inhibitory.constants[name] for name in names] == [10, -60, -45]
    assert excitatory.constants["v_threshold_mv"] + excitatory.start["adaptation_mv"] == -52  # θ starts at 20
    assert inhibitory.constants["v_threshold_mv"] == -40
    assert (excitatory.refractory_ms, inhibitory.refractory_ms) == (5, 2)
    assert excitatory.constants["threshold_step_mv"] == 0.05
    assert excitatory.constants["tau_threshold_ms"] == 1e7
    for dynamics in (excitatory, inhibitory):  # conductances in units of a leak of 1 nS
        assert dynamics.constants["capacitance_pf"] / dynamics.constants["tau_m_ms"] == 1
    reversal = {name: edge.synapse.reversal_mv for name, edge in circuit.projections.items()}
    assert reversal == {"input_to_excitatory": 0, "excitatory_to_inhibitory": 0, "inhibitory_to_excitatory": -100}
    tau = {name: edge.synapse.tau_ms for name, edge in circuit.projections.items()}
    assert tau == {"input_to_excitatory": 1, "excitatory_to_inhibitory": 1, "inhibitory_to_excitatory": 2}
    source = circuit.populations["input"].model
    assert source.max_rate_hz == 255 / 8 * 2  # grey values over 8, at an intensity of 2
    assert (source.duration_ms, source.pause_ms) == (350, 150)


def test_its_weights_delays_and_competition_are_drawn_as_published() -> None:
    edges = realise(small(), 0, 0.5).edges
    first = edges["input_to_excitatory"]
    assert len(first) == 64 * 6
    assert 0.003 <= first.weight.min() < 0.01
    assert 0.29 < first.weight.max() <= 0.303
    assert set(np.unique(first.delay)) <= set(range(21))
    assert first.delay.max() > 17
    assert np.array_equal(edges["excitatory_to_inhibitory"].pre, edges["excitatory_to_inhibitory"].post)
    others = edges["inhibitory_to_excitatory"]
    pairs = set(zip(others.pre.tolist(), others.post.tolist(), strict=True))
    assert pairs == {(pre, post) for pre in range(6) for post in range(6) if pre != post}
    assert len(others) == 30
    assert set(others.weight) == {17.0}


def test_its_rule_is_the_published_one() -> None:
    program = small().projections["input_to_excitatory"].plasticity.program()
    assert program is not None
    w, r1, o1, o2 = 0.4, 0.7, 0.5, 0.6
    functions = {"maximum": max, "minimum": min, "clip": lambda x, low, high: min(max(x, low), high)}
    names = {**program.constants, **functions, "r2": 0.0}

    def after(statements: tuple[str, ...]) -> dict[str, float]:
        known = {**names, "w": w, "r1": r1, "o1": o1, "o2": o2}
        for text in statements:
            exec(text, {}, known)
        return known  # type: ignore[return-value]

    arrival, spike = after(program.on_pre), after(program.on_post)
    assert arrival["w"] == pytest.approx(w - 1e-4 * o1, rel=1e-12)
    assert arrival["r1"] == 1
    assert spike["w"] == pytest.approx(w + 1e-2 * r1 * o2, rel=1e-12)
    assert (spike["o1"], spike["o2"]) == (1, 1)
    assert [program.constants[program.decays[name].tau] for name in ("r1", "o1", "o2")] == [20, 20, 40]
    assert program.every_ms == 500
    assert program.constants["total"] == 78.4


def test_it_travels_through_files_and_refuses_what_it_cannot_be() -> None:
    assert Circuit.from_yaml(small().to_yaml()) == small()
    with pytest.raises(CircuitError, match="neurons"):
        diehl_cook(0)
