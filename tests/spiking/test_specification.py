"""docs/spiking.md, line by line, on both engines, and on torch as it is compiled."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.spiking.specimens import DT_MS, STEPS, Traced, traced

pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses
PAGE = Path(__file__).parents[2] / "docs" / "spiking.md"
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.fixture(params=["torch", "compiled", "brian2"])
def on(request: pytest.FixtureRequest) -> Traced:
    if request.param == "compiled" and shutil.which("g++") is None:
        pytest.skip("no compiler")
    return traced(request.param)


def steps_of_change(values: np.ndarray) -> list[int]:
    """Steps at whose start a value is another than at the start of the step before."""
    return [int(step) for step in np.flatnonzero(np.abs(np.diff(values)) > 1e-6) + 1]


def test_every_line_of_the_page_names_a_test_that_is_here() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")} - {
        "test_every_line_of_the_page_names_a_test_that_is_here"
    }
    assert named >= here
    others = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name in sorted(named - here) if f"def {name}(" not in others] == []


# Time and records ----------------------------------------------------------------------------------------------------


def test_a_record_shows_the_state_at_the_start_of_its_step(on: Traced) -> None:
    time_ms = np.arange(STEPS) * DT_MS
    np.testing.assert_allclose(on.v("leaky"), 8 - 7 * np.exp(-time_ms / 5), **CLOSE)


def test_a_unit_spikes_in_the_step_whose_update_takes_it_above_the_threshold(on: Traced) -> None:
    crossing_ms = 10 * np.log(40 / 30)  # from -60 towards -20 mV, above -50 mV
    first = int(np.ceil(crossing_ms / DT_MS)) - 1  # the update of step n leads to time n + 1
    assert on.spikes["spiking"][0] == first
    assert on.v("spiking")[first] < -50
    assert on.v("spiking")[first + 1] == -60  # reset within the step


def test_times_of_given_spikes_are_rounded_to_the_nearest_step(on: Traced) -> None:
    assert on.spikes["between"] == [10, 21]
    assert steps_of_change(on.v("nearest")) == [11, 22]


def test_a_constant_that_changes_with_time_has_its_value_at_the_start_of_the_step(on: Traced) -> None:
    fade = np.exp(-DT_MS / 2)
    value, expected = 0.0, []
    for step in range(STEPS):
        expected.append(value)
        drive = 1.0 if step < 10 else 3.0
        value = drive + (value - drive) * fade
    np.testing.assert_allclose(on.v("injected"), expected, **CLOSE)


def test_what_is_heard_all_the_time_is_summed_from_the_state_at_the_start_of_the_step(on: Traced) -> None:
    source, target, expected = 1.0, 0.0, []
    for _ in range(STEPS):
        expected.append(target)
        drive = 2 * source
        source, target = source * np.exp(-DT_MS), drive + (target - drive) * np.exp(-DT_MS / 4)
    np.testing.assert_allclose(on.state["following", "r"][:, 0], expected, **CLOSE)


# Arrivals ------------------------------------------------------------------------------------------------------------


def test_a_spike_without_delay_arrives_in_its_own_step_after_the_threshold(on: Traced) -> None:
    assert steps_of_change(on.v("at_once")) == [11]  # seen at the start of the next
    assert on.v("at_once")[11] == pytest.approx(-67)


def test_a_spike_of_step_n_with_a_delay_of_d_steps_arrives_in_step_n_plus_d(on: Traced) -> None:
    assert steps_of_change(on.v("later")) == [16]


def test_delays_are_rounded_to_steps_and_halves_to_even(on: Traced) -> None:
    assert steps_of_change(on.v("rounded")) == [14]
    assert steps_of_change(on.v("half")) == [13]


def test_each_synapse_may_have_its_own_delay(on: Traced) -> None:
    assert steps_of_change(on.v("spread", 0)) == [12]
    assert steps_of_change(on.v("spread", 1)) == [18]


def test_spikes_that_arrive_together_add_up_and_a_unit_may_send_several(on: Traced) -> None:
    assert on.v("summing")[11] == pytest.approx(-67)
    assert steps_of_change(on.v("summing")) == [11]


def test_what_arrives_decays_and_acts_from_the_next_step_on(on: Traced) -> None:
    current = on.state["charged", "i_ten_to_charged_pa"][:, 0]
    time_ms = (np.arange(STEPS) - 11) * DT_MS
    later = np.arange(STEPS) >= 11
    np.testing.assert_allclose(current, np.where(later, 50 * np.exp(-time_ms / 2), 0), **CLOSE)
    # v after a jump of the current: difference of two exponentials, from the start of step 11 on
    response = 50 / 200 / (1 / 2 - 1 / 20) * (np.exp(-time_ms / 20) - np.exp(-time_ms / 2))
    np.testing.assert_allclose(on.v("charged") + 70, np.where(later, response, 0), rtol=1e-11, atol=1e-11)


def test_a_unit_that_arrivals_lift_above_its_threshold_spikes_in_the_next_step(on: Traced) -> None:
    assert on.v("held")[11] > -50
    assert on.spikes["held"] == [11]


def test_a_first_spike_transmits_what_it_has_just_facilitated(on: Traced) -> None:
    assert on.v("facilitated")[11] == pytest.approx(-70 + 4 * 0.25)


# Refractory time -----------------------------------------------------------------------------------------------------


def test_a_held_variable_stands_still_until_as_many_steps_have_passed(on: Traced) -> None:
    # Spike in step 11, 0.46 ms are 5 steps: free again in step 16, whose update is seen at the start of step 17.
    assert (on.v("held")[12:17] == -60).all()
    assert on.v("held")[17] < -60


def test_other_variables_go_on_in_refractory_time(on: Traced) -> None:
    current = on.state["held", "i_after_to_held_pa"][:, 0]
    np.testing.assert_allclose(current[12:14], 30 * np.exp(-np.array([0, 1]) * DT_MS), **CLOSE)


def test_a_unit_that_is_not_clamped_moves_in_refractory_time(on: Traced) -> None:
    time_ms = np.arange(12, 20) * DT_MS
    np.testing.assert_allclose(on.v("moving")[12:20], -70 + 10 * np.exp(-(time_ms - 1.2) / 5), **CLOSE)
    assert on.spikes["moving"] == [11]


def test_a_unit_spikes_again_in_the_first_step_in_which_it_is_free(on: Traced) -> None:
    updates = int(np.ceil(5 / DT_MS * np.log(490 / 480)))  # from -60 to -50 mV on the way to 430 mV
    assert (np.diff(on.spikes["driven"]) == 5 - 1 + updates).all()


def test_arrivals_at_a_held_variable_in_refractory_time_or_in_the_step_of_the_spike_are_lost(on: Traced) -> None:
    # Arrivals in steps 11 (the spike's own), 13, 15 are lost; that of step 16, the first free one, is taken.
    assert steps_of_change(on.v("losing")[12:]) == [5]
    assert on.v("losing")[17] == pytest.approx(-59, abs=1e-6)


def test_without_refractory_time_arrivals_in_the_step_of_the_spike_are_lost_all_the_same(on: Traced) -> None:
    # Kicked to 30 mV, it spikes in step 11 and falls by 10 mV a spike, in every step while it is above -50 mV.
    assert on.spikes["without"] == list(range(11, 19))
    assert on.v("without")[20] == pytest.approx(30 - 8 * 10, abs=1e-6)


def test_arrivals_at_a_variable_that_is_not_held_are_never_lost(on: Traced) -> None:
    # That of step 11 arrives before the reset, which then puts v to its value; the others count.
    assert on.v("taking")[12] == pytest.approx(-60, abs=1e-6)
    assert on.v("taking")[17] == pytest.approx(-57, abs=1e-6)


# Synapses that change ------------------------------------------------------------------------------------------------


def test_a_trace_decays_exactly_between_two_events(on: Traced) -> None:
    assert on.spikes["causal"] == [30]
    assert on.w("causal_pre_to_causal") == pytest.approx(0.3 * np.exp(-2.0 / 2), rel=1e-12)
    assert on.w("reversed_pre_to_reversed") == pytest.approx(-0.2 * np.exp(-2.0 / 4), rel=1e-12)


def test_a_trace_decays_from_the_beginning_towards_its_rest(on: Traced) -> None:
    read = on.synapses["ten_to_fading"]["read"][0]
    assert read == pytest.approx(0.25 + 0.75 * np.exp(-1.0 / 2), rel=1e-12)


def test_an_arrival_in_the_step_of_a_post_spike_is_handled_before_it(on: Traced) -> None:
    assert on.spikes["together"] == [10]
    assert on.w("together_pre_to_together") == pytest.approx(0.3, rel=1e-12)


def test_plasticity_sees_a_pre_spike_when_it_arrives(on: Traced) -> None:
    assert on.w("delayed_pre_to_delayed") == pytest.approx(-0.2 * np.exp(-0.5 / 4), rel=1e-12)


def test_projections_are_handled_in_the_order_of_the_circuit(on: Traced) -> None:
    # The target spiked in step 5; the reward arrives in step 10 with the pre spikes of both.
    assert on.w("before_reward") == 0
    assert on.w("after_reward") == pytest.approx(-np.exp(-0.5 / 20), rel=1e-9)


def test_post_spikes_are_handled_after_the_arrivals_of_all_projections(on: Traced) -> None:
    assert on.spikes["answering"] == [10]
    assert on.w("waiting") == pytest.approx(np.exp(-0.5 / 20), rel=1e-9)


def test_synapses_of_a_spiking_unit_see_it_before_its_reset(on: Traced) -> None:
    seen = on.synapses["watched_kick_to_watched"]
    assert on.spikes["watched"] == [20]
    assert seen["seen_at_spike"][0] == pytest.approx(-70 + 100 * np.exp(-DT_MS / 10), rel=1e-12)


def test_what_happens_in_every_step_happens_at_its_end_after_the_reset(on: Traced) -> None:
    seen = on.synapses["watched_kick_to_watched"]
    assert seen["steps"][0] == STEPS
    # At the end of step 19 it is kicked to 30 mV, at that of step 20 it is reset to -60 mV, whence it falls to -70 mV.
    ends = [-70.0] * 19 + [30.0] + [-70 + 10 * np.exp(-step * DT_MS / 10) for step in range(STEPS - 20)]
    assert seen["ends"][0] == pytest.approx(sum(ends), rel=1e-12)


def test_what_happens_at_intervals_begins_in_the_first_step_after_what_happens_in_every_step(on: Traced) -> None:
    seen = on.synapses["watched_kick_to_watched"]
    assert seen["intervals"][0] == STEPS / 5
    assert seen["steps_then"][0] == STEPS - 5 + 1
