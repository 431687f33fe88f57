"""Short-term plasticity against its recursion, spike by spike and in its steady state."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.graph import TsodyksMarkram
from neurosal.plasticity import STDP, Fixed
from tests.plasticity.protocols import ENGINES, Protocol

ENGINE = pytest.mark.parametrize("engine", ENGINES)
MODELS = {
    "facilitating": TsodyksMarkram.between("excitatory", "inhibitory"),
    "depressing": TsodyksMarkram.between("excitatory", "excitatory"),
    "without_facilitation": TsodyksMarkram.depressing(),
    "F2": TsodyksMarkram.inhibitory("F2"),
}


def released(model: TsodyksMarkram, times_ms: list[float]) -> list[float]:
    """What each spike transmits for a weight of 1, by the recursion from spike to spike."""
    found, used, there, last = [], 0.0, 1.0, None
    for now in times_ms:
        if last is not None:
            used = used * np.exp(-(now - last) / model.tau_facilitation_ms) if model.tau_facilitation_ms else 0.0
            there = 1 - (1 - there) * np.exp(-(now - last) / model.tau_depression_ms)
        used = used + model.utilisation * (1 - used)
        found.append(used * there)
        there, last = there * (1 - used), now
    return found


@ENGINE
@pytest.mark.parametrize("name", MODELS)
def test_each_spike_transmits_what_the_recursion_says(engine: str, name: str) -> None:
    """Synapse k gets the first k spikes of an uneven train; differences are what single spikes transmit."""
    times = [3, 5, 25, 26, 60, 140, 141, 142, 300]
    protocol = Protocol(Fixed(), [times[:k] for k in range(len(times) + 1)], [[]] * (len(times) + 1), steps=310,
                        weight=2.0, short_term=MODELS[name])  # fmt: skip
    expected = 2 * np.array(released(MODELS[name], times))
    assert abs(np.diff(protocol.transmitted(engine)) - expected).max() < 1e-12
    assert expected[0] == 2 * MODELS[name].utilisation


@ENGINE
@pytest.mark.parametrize("name", MODELS)
def test_a_regular_train_comes_to_its_steady_state(engine: str, name: str) -> None:
    """u* = U / (1 - (1-U) e_f), x* = (1 - e_d) / (1 - (1-u*) e_d)."""
    model, times = MODELS[name], list(range(1, 3000, 12))
    protocol = Protocol(Fixed(), [times[:-1], times], [[], []], steps=times[-1] + 2, weight=1.0, short_term=model)
    forgets = np.exp(-12 / model.tau_facilitation_ms) if model.tau_facilitation_ms else 0.0
    recovers = np.exp(-12 / model.tau_depression_ms)
    used = model.utilisation / (1 - (1 - model.utilisation) * forgets)
    expected = used * (1 - recovers) / (1 - (1 - used) * recovers)
    assert np.diff(protocol.transmitted(engine))[0] == pytest.approx(expected, rel=1e-7)


@ENGINE
def test_it_goes_on_beside_learning_which_sees_the_whole_weight(engine: str) -> None:
    model = TsodyksMarkram()
    protocol = Protocol(STDP(a_plus=0.1, w_min=None), [[10, 30], [10]], [[20], [20]], steps=40, short_term=model)
    found = getattr(protocol, engine)()
    grown = 0.5 + 0.1 * np.exp(-10 / 20)
    first, second = released(model, [10, 30])
    assert found["w"][1] == pytest.approx(grown, abs=1e-14)
    # The second spike transmits before it depresses: with the weight that it meets.
    assert -np.diff(protocol.transmitted(engine))[0] == pytest.approx(grown * second, abs=1e-13)
    assert first == 0.5


def test_presets_are_the_published_means() -> None:
    assert TsodyksMarkram.inhibitory("F1") == TsodyksMarkram(
        utilisation=0.016, tau_depression_ms=45.0, tau_facilitation_ms=376.0
    )
    alone = TsodyksMarkram.depressing()
    assert TsodyksMarkram.from_dict(alone.to_dict()) == alone
    assert "u" not in alone.program().variables
