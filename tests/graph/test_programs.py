"""Programs as values: what writes the weight, bounds after each change, gates, and several programs as one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurosal.graph import Decay, Program, TsodyksMarkram
from neurosal.graph.programs import bounded, gated, together, unknown_names, written


@pytest.mark.parametrize("text", ["w = w + 1", "w=w+1", "w += 1", "w-=1", "w *= 2", " w = clip(w, 0, 1)"])
def test_every_form_of_a_change_of_the_weight_is_seen(text: str) -> None:
    assert written(text) == "w"
    assert bounded(Program(on_post=(text, "x = w")), "w = maximum(w, 0)").on_post == (
        text,
        "w = maximum(w, 0)",
        "x = w",
    )


@pytest.mark.parametrize("text", ["w_max = 3", "x = w", "slow += w", "width = 1"])
def test_what_leaves_the_weight_alone_gets_no_bound(text: str) -> None:
    assert bounded(Program(each_step=(text,)), "w = maximum(w, 0)").each_step == (text,)


@pytest.mark.parametrize("slot", ["before", "on_pre", "on_post", "each_step", "at_intervals"])
def test_bounds_and_gates_reach_every_slot(slot: str) -> None:
    program = Program(**{slot: ("w += x",)})  # type: ignore[arg-type]
    assert getattr(bounded(program, "w = minimum(w, 0)"), slot) == ("w += x", "w = minimum(w, 0)")
    assert getattr(gated(program, "post.gate"), slot) == ("w += post.gate * (x)",)


@pytest.mark.parametrize("text", ["w += 2 * x - 1", "w -= 2 * x - 1", "w *= x", "w /= x", "w = clip(w + x, 0, 5)"])
@pytest.mark.parametrize("gate", [0.0, 0.25, 1.0])
def test_a_gate_lets_through_that_share_of_a_change(text: str, gate: float) -> None:
    def after(statement: str) -> float:
        names = {"w": 3.0, "x": 1.7, "gate": gate, "clip": lambda v, low, high: min(max(v, low), high)}
        exec(statement, names)
        return float(names["w"])  # type: ignore[arg-type]

    (text_gated,) = gated(Program(on_pre=(text,)), "gate").on_pre
    assert after(text_gated) == pytest.approx(3.0 + gate * (after(text) - 3.0), abs=1e-14)


def test_names_of_two_programs_stay_apart_and_equal_constants_are_shared() -> None:
    trace = Program(
        variables={"x": 0.0}, decays={"x": Decay("tau")}, constants={"tau": 5.0}, on_pre=("x += 1", "w += x")
    )
    slower = Program(variables={"x": 0.0}, decays={"x": Decay("tau", "rest")}, constants={"tau": 50.0, "rest": 1.0},
                     on_post=("w -= x",))  # fmt: skip
    both = together(trace, slower)
    assert both.variables == {"x": 0.0, "x_2": 0.0}
    assert both.constants == {"tau": 5.0, "tau_2": 50.0, "rest": 1.0}
    assert both.decays == {"x": Decay("tau"), "x_2": Decay("tau_2", "rest")}
    assert both.on_pre == ("x += 1", "w += x")
    assert both.on_post == ("w -= x_2",)
    assert together(trace, trace).constants == {"tau": 5.0}
    assert not unknown_names(both)


def test_names_that_are_numbered_keep_their_unit_and_are_new() -> None:
    fading = Program(variables={"x": 0.0}, decays={"x": Decay("tau_ms")}, constants={"tau_ms": 5.0}, on_pre=("w += x",))
    slower = replace(fading, constants={"tau_ms": 50.0})
    thrice = together(together(fading, slower), replace(fading, constants={"tau_ms": 9.0}))
    assert thrice.constants == {"tau_ms": 5.0, "tau_2_ms": 50.0, "tau_3_ms": 9.0}
    assert {name: decay.tau for name, decay in thrice.decays.items()} == {
        "x": "tau_ms", "x_2": "tau_2_ms", "x_3": "tau_3_ms",
    }  # fmt: skip
    assert thrice.on_pre == ("w += x", "w += x_2", "w += x_3")


def test_short_term_plasticity_beside_learning_with_the_same_names() -> None:
    learning = Program(variables={"u": 0.0}, on_pre=("u += 1", "w += u"))
    both = together(learning, TsodyksMarkram().program())
    assert both.transmits == "w * sent"
    assert "u_2 += utilisation * (1 - u_2)" in both.before
    assert both.on_pre == learning.on_pre
    assert not unknown_names(both)


def test_programs_that_cannot_share_a_synapse_say_why() -> None:
    with pytest.raises(ValueError, match="transmits"):
        together(Program(transmits="2 * w"), TsodyksMarkram().program())
    with pytest.raises(ValueError, match=r"10\.0 and of 20\.0 ms"):
        together(Program(at_intervals=("w = 0",), every_ms=10.0), Program(at_intervals=("w = 1",), every_ms=20.0))


def test_unknown_names_of_statements_decays_and_transmission_are_found() -> None:
    decays = {"x": Decay("tau"), "y": Decay("t", "r")}
    program = Program(variables={"x": 0.0}, decays=decays, on_pre=("w += a * post.v",), transmits="w * z")
    assert unknown_names(program) == {"tau", "a", "y", "t", "r", "z"}


def test_intervals_are_whole_steps() -> None:
    assert [Program(every_ms=every).steps_apart(0.1) for every in (0.0, 0.1, 0.3, 500.0)] == [1, 1, 3, 5000]
