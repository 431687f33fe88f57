"""Programs of projections: signs after every change, short-term plasticity beside learning, problems said at once."""

from __future__ import annotations

from typing import ClassVar

import pytest

import neurosal as ns
from neurosal.graph import (
    LIF,
    Circuit,
    Jump,
    Plasticity,
    PoissonSource,
    Population,
    Program,
    Projection,
    TsodyksMarkram,
)
from neurosal.lower.spiking import program_of, realise
from neurosal.plasticity import Delta


class Drifting(Plasticity):
    """A plasticity of the tests: w falls by one at each arrival, and reads what it is told to."""

    kind: ClassVar[str] = "drifting_of_tests"
    reads: str = "1"

    def program(self) -> Program:
        return Program(on_pre=(f"w-= {self.reads}",), on_post=("w = w + 1",))


def circuit_of(**fields: object) -> Circuit:
    edge = Projection(source="a", target="b", synapse=Jump(), **fields)  # type: ignore[arg-type]
    populations = {"a": Population(size=2, model=PoissonSource()), "b": Population(size=2, model=LIF())}
    return Circuit(populations=populations, projections={"a_to_b": edge})


def test_the_sign_holds_after_each_change_whatever_its_form() -> None:
    edge = circuit_of(plasticity=Drifting(), sign="excitatory").projections["a_to_b"]
    program = program_of("a_to_b", edge)
    assert program.on_pre == ("w-= 1", "w = maximum(w, 0)")
    assert program.on_post == ("w = w + 1", "w = maximum(w, 0)")
    inhibitory = program_of("a_to_b", edge.replace(sign="inhibitory"))
    assert inhibitory.on_post == ("w = w + 1", "w = minimum(w, 0)")
    assert program_of("a_to_b", edge.replace(sign=None)).on_pre == ("w-= 1",)


def test_short_term_plasticity_says_what_is_transmitted_beside_learning() -> None:
    circuit = circuit_of(plasticity=Drifting(), short_term=TsodyksMarkram())
    program = program_of("a_to_b", circuit.projections["a_to_b"])
    assert program.transmits == "w * sent"
    assert program.before
    assert program.on_pre == ("w-= 1",)


def test_a_plasticity_of_trained_circuits_is_refused() -> None:
    with pytest.raises(ns.CircuitError, match="continuous time, found delta"):
        realise(circuit_of(plasticity=Delta()), seed=0, dt_ms=0.1)


def test_a_name_that_a_program_does_not_have_is_named_with_near_ones() -> None:
    with pytest.raises(ns.CircuitError, match=r"'dt_sm'.*dt_ms"):
        realise(circuit_of(plasticity=Drifting(reads="dt_sm")), seed=0, dt_ms=0.1)


def test_a_signal_that_the_target_does_not_have_is_named() -> None:
    with pytest.raises(ns.CircuitError, match=r"post\.reward, a state variable of 'b'"):
        realise(circuit_of(plasticity=Drifting(reads="post.reward")), seed=0, dt_ms=0.1)
    with pytest.raises(ns.CircuitError, match=r"pre\.v_mv, a state variable of 'a'"):
        realise(circuit_of(plasticity=Drifting(reads="pre.v_mv")), seed=0, dt_ms=0.1)
    realise(circuit_of(plasticity=Drifting(reads="post.v_mv")), seed=0, dt_ms=0.1)
