"""The check of circuits in continuous time: sound ones pass, and everything that is wrong is said at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

import neurosal as ns
from neurosal import circuits
from neurosal.checks import check, check_circuit_data
from neurosal.checks.programs import program_problems
from neurosal.checks.spiking import in_time, refuse_no_time
from neurosal.checks.synapses import estimate_in_time, synapse_count
from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    LIF,
    AlphaConductance,
    Circuit,
    Constant,
    Continuous,
    Copy,
    Decay,
    Dynamical,
    Dynamics,
    EdgeList,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    FixedInDegree,
    Jump,
    Modulation,
    Orthogonal,
    Own,
    Plasticity,
    PoissonSource,
    Population,
    Program,
    Projection,
    Rate,
    SameRoute,
    SignOf,
    Sparse,
    SpikeTrain,
    Transpose,
    TsodyksMarkram,
    Uniform,
)
from neurosal.graph.dynamics import Method
from neurosal.lower.spiking import assemble, realise
from neurosal.plasticity import Delta


class Stepwise(LIF):
    """A LIF whose method can be chosen."""

    kind: ClassVar[str] = "stepwise_in_tests"
    method: Method = "exponential_euler"

    def dynamics(self) -> Dynamics:
        return replace(super().dynamics(), method=self.method)


PAIR = Circuit(
    name="pair",
    populations={
        "input": Population(size=4, model=PoissonSource()),
        "cells": Population(size=6, model=Stepwise()),
        "others": Population(size=3, model=Stepwise()),
    },
    projections={
        "input_to_cells": Projection(source="input", target="cells", synapse=ExponentialDrive()),
        "cells_to_cells": Projection(source="cells", target="cells", wiring=Sparse(density=0.5), synapse=Jump()),
        "cells_to_others": Projection(source="cells", target="others", synapse=AlphaConductance(), sign="excitatory"),
        "others_to-cells": Projection(
            source="others",
            target="cells",
            synapse=ExponentialConductance(reversal_mv=-80),
            short_term=TsodyksMarkram(),
        ),
        "reward": Projection(source="others", target="cells", pathway="modulatory", synapse=Modulation(), delay_ms=2),
    },
)


def edge(**changes: Any) -> Projection:
    return Projection(**{"source": "cells", "target": "others", "synapse": Jump(), **changes})


def problems(circuit: Circuit) -> list[Problem]:
    with pytest.raises(CircuitError) as caught:
        check(circuit)
    return list(caught.value.problems)


def test_a_sound_circuit_passes_unchanged_and_can_be_assembled() -> None:
    before = PAIR.to_dict()
    assert check(PAIR) is PAIR
    assert PAIR.to_dict() == before
    assert check_circuit_data(before) == (PAIR, [])
    assert assemble(PAIR)["cells"].lands["others_to-cells"] == "g_others_to_cells_ns"


FAULTS: dict[str, tuple[Projection, str, str]] = {
    "no synapse": (edge(synapse=None), "synapse", "nothing"),
    "a port the model lacks": (edge(synapse=Continuous(variable="v_mv")), "synapse", "adds to drive"),
    "a variable the target lacks": (edge(synapse=Jump(variable="u")), "synapse", "'u'"),
    "a variable the source lacks": (
        edge(synapse=Continuous(variable="rate", port="drive_mv")), "synapse.variable", "'rate'"
    ),
    "a delay of what is heard all the time": (
        edge(synapse=Continuous(variable="v_mv", port="drive_mv"), delay_ms=1), "delay_ms", "1.0"
    ),
    "short-term plasticity without spikes": (
        edge(synapse=Continuous(variable="v_mv", port="drive_mv"), short_term=TsodyksMarkram()),
        "short_term", "tsodyks_markram",
    ),
    "a source as target": (edge(target="input"), "target", "'input', a source of spikes"),
    "an end that is not there": (edge(target="othes"), "target", "'othes'"),
    "wiring of other sizes": (edge(wiring=FixedInDegree(inputs=7)), "wiring", "6"),
    "a unit that is not there": (edge(wiring=EdgeList(edges=((5, 3),))), "wiring", "6 and 3"),
    "wiring of samples": (edge(wiring=SameRoute(of="reward")), "wiring", "same_route"),
    "listed autapses": (edge(target="cells", wiring=EdgeList(edges=((1, 1),))), "wiring.edges", "(1, 1)"),
    "weights of matrices": (edge(weights=Own(init=Orthogonal())), "weights.init", "orthogonal"),
    "delays of matrices": (edge(delay_ms=Orthogonal()), "delay_ms", "orthogonal"),
    "delays before the spike": (edge(delay_ms=Uniform(low=-1, high=1)), "delay_ms", "-1"),
    "weights of the other sign": (
        edge(weights=Own(init=Constant(value=2)), sign="inhibitory"), "weights.init", "Constant(value=2.0)"
    ),
    "weights of another sign again": (
        edge(weights=Own(init=Uniform(low=-2, high=-1)), sign="excitatory"), "weights.init", "Uniform"
    ),
    "a copy of nothing": (edge(weights=Copy(of="cells_to_othrs")), "weights.of", "'cells_to_othrs'"),
    "a copy of itself": (edge(weights=Copy(of="fault")), "weights.of", "itself"),
    "a copy the same way round": (edge(weights=Copy(of="cells_to_others")), "weights", "6 units to 3"),
    "a copy with another wiring": (
        edge(source="others", target="cells", weights=Copy(of="cells_to_others"), wiring=Sparse(density=0.5)),
        "wiring", "Sparse",
    ),
    "a copy with another sign": (
        edge(source="others", target="cells", weights=Copy(of="cells_to_others"), sign="inhibitory"), "sign",
        "inhibitory",
    ),
    "signs of another": (
        edge(source="others", target="cells", weights=SignOf(of="cells_to_others")), "weights", "sign_of"
    ),
    "plasticity of training": (edge(plasticity=Delta()), "plasticity", "delta"),
    "targets, which only rates have": (edge(carries="target"), "carries", "'target'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_projection_is_named_with_its_place_and_nothing_else_is(fault: str) -> None:
    projection, place, found = FAULTS[fault]
    said = problems(PAIR.with_projections(fault=projection))
    assert [problem.place for problem in said] == [f"projections.fault.{place}"], said
    assert found in said[0].found


def test_all_faults_are_said_at_once() -> None:
    both = ("no synapse", "weights of matrices", "a copy of nothing", "plasticity of training", "wiring of other sizes")
    circuit = PAIR.with_projections(**{fault.replace(" ", "_"): FAULTS[fault][0] for fault in both})
    assert len(problems(circuit)) == len(both)


def test_near_names_are_offered() -> None:
    said = problems(PAIR.with_projections(fault=edge(target="othes")))[0]
    assert said.remedy == "Did you mean 'others'?"
    said = problems(PAIR.with_projections(fault=edge(weights=Copy(of="cells_to_othrs"))))[0]
    assert "'cells_to_others'" in said.remedy


def test_rates_and_time_do_not_mix_and_the_message_says_what_to_do() -> None:
    said = problems(PAIR.with_populations(rates=Population(size=3, model=Rate())))
    assert [problem.place for problem in said] == ["populations.rates.model"]
    assert "runs in time or is trained without it" in said[0].remedy


def test_rates_have_no_synapses_of_spikes() -> None:
    mlp = circuits.mlp(4, 3, 2)
    forward = mlp.projections["input_to_hidden1"]
    changed = forward.replace(synapse=Jump(), delay_ms=1.0, sign="excitatory", short_term=TsodyksMarkram())
    said = problems(mlp.with_projections(input_to_hidden1=changed))
    assert {problem.place.rpartition(".")[2] for problem in said} == {"synapse", "delay_ms", "sign", "short_term"}


def test_receptors_of_the_same_name_and_other_constants_clash() -> None:
    fast, slow = ExponentialCurrent(tau_ms=2, receptor="ampa"), ExponentialCurrent(tau_ms=50, receptor="ampa")
    clash = PAIR.with_projections(fast=edge(synapse=fast), slow=edge(synapse=slow))
    said = problems(clash)
    assert [problem.place for problem in said] == ["projections.slow.synapse.receptor"]
    assert "i_ampa_pa" in said[0].found
    check(PAIR.with_projections(fast=edge(synapse=fast), again=edge(synapse=fast)))


def test_a_receptor_is_called_by_a_name() -> None:
    said = problems(PAIR.with_projections(fault=edge(synapse=ExponentialCurrent(receptor="a b"))))
    assert [problem.place for problem in said] == ["projections.fault.synapse.receptor"]


def test_a_train_names_units_that_are_there() -> None:
    model = SpikeTrain(times_ms=(1.0, 2.0), units=(0, 4))
    said = problems(PAIR.with_populations(input=Population(size=4, model=model)))
    assert [problem.place for problem in said] == ["populations.input.model.units"]


def test_areas_are_of_rates() -> None:
    said = problems(PAIR.with_populations(cells=Population(size=6, areas=2, model=Stepwise())))
    assert [problem.place for problem in said] == ["populations.cells.areas"]


def test_exact_is_for_linear_equations() -> None:
    conductance = edge(synapse=ExponentialConductance())
    said = problems(PAIR.with_populations(others=Population(size=3, model=Stepwise(method="exact"))))
    assert [problem.place for problem in said] == ["populations.others.model.method"]
    assert "exponential_euler" in said[0].remedy
    check(PAIR.with_projections(more=conductance))


@pytest.mark.parametrize("field", ["tau_m_ms", "capacitance_pf"])
def test_time_constants_of_single_units_are_not_for_exact(field: str) -> None:
    drawn = LIF(bias_pa=100.0, **{field: Uniform(low=100.0, high=200.0)})
    (said,) = problems(PAIR.with_populations(cells=Population(size=6, model=drawn)))
    assert said.place == "populations.cells.model.method"
    assert "dv_mv/dt" in said.found
    check(PAIR.with_populations(cells=Population(size=6, model=drawn.replace(method="exponential_euler"))))


def test_of_a_constant_with_which_nothing_can_be_computed_it_is_not_said_that_equations_are_not_linear() -> None:
    (said,) = problems(PAIR.with_populations(cells=Population(size=6, model=LIF(tau_m_ms=1e-308))))
    assert said.place == "populations.cells.model"
    assert said.expected == "constants with which its equations can be computed"
    assert said.found.endswith("which is not finite")
    assert "A time constant is far too short" in said.remedy


def test_recurrent_wiring_is_sound_whatever_its_pathway() -> None:
    for pathway in ("feedforward", "feedback", "lateral"):
        check(PAIR.with_projections(back=edge(source="others", target="cells", pathway=pathway)))


def test_a_transpose_stays_only_where_nothing_learns() -> None:
    tie = edge(source="others", target="cells", weights=Transpose(of="cells_to_others"))
    check(PAIR.with_projections(tie=tie))


class Odd(Dynamical):
    """Equations with every kind of slip."""

    kind: ClassVar[str] = "odd_in_tests"

    def dynamics(self) -> Dynamics:
        return Dynamics(
            equations={"v_mv": "(e_leak - v_mv) / tau_ms", "u": "foo(u"},
            constants={"e_leak_mv": -70.0, "tau_ms": 10.0},
            threshold="sin(v_mv) > 0",
            reset=("tau_ms = 3", "v_mv"),
            held=frozenset({"w"}),
            start={"x": 0.0},
        )


def test_equations_read_only_names_that_exist() -> None:
    said = problems(Circuit(populations={"cells": Population(size=2, model=Odd())}))
    found = [problem.found for problem in said]
    assert [text for text in found if "e_leak" in text and "e_leak_mv" not in text]
    assert "Did you mean 'e_leak_mv'" in str(said[0])
    for slip in ("'foo(u'", "sin() in", "'tau_ms' in 'tau_ms = 3'", "'v_mv'", "'w'", "'x'"):
        assert any(slip in text for text in found), slip


@pytest.mark.parametrize(
    "part", ["u % 2", "u // 2", "1 if u > 0 else 2", "u[0]", "0 < u < 2", "u @ u", "~u", "True", "exp(x=u)"]
)
def test_equations_are_of_what_all_engines_know(part: str) -> None:
    class Cells(Dynamical):
        kind: ClassVar[str] = "cells_in_tests"
        text: str

        def dynamics(self) -> Dynamics:
            return Dynamics(equations={"u": f"-u + ({self.text})"}, method="euler")

    check(Circuit(populations={"cells": Population(size=2, model=Cells(text="(u > 0 and not u >= 2) * -u ** 2"))}))
    (problem,) = problems(Circuit(populations={"cells": Population(size=2, model=Cells(text=part))}))
    assert problem.found.startswith(repr(part))
    assert "+ - * / **" in problem.expected


@pytest.mark.parametrize(
    ("part", "said"),
    [("u + 1 / 0", "'1 / 0'"), ("u / (2 - 2.0)", "'u / (2 - 2.0)'"), ("u / nothing", "'u / nothing' (nothing = 0)"),
     ("exp(log(nothing))", "'log(nothing)' (nothing = 0)"), ("u * exp(1000)", "'exp(1000)'"),
     ("(-2) ** 0.5", "'(-2) ** 0.5'"), ("sqrt(0 - 1.5)", "'sqrt(0 - 1.5)'"), ("0.0 ** -1", "'0.0 ** (-1)'"),
     ("9 ** 9 ** 9 ** 9", "'9 ** 9 ** 9'")],
)  # fmt: skip
def test_numbers_in_equations_can_be_worked_out(part: str, said: str) -> None:
    class Numbers(Dynamical):
        kind: ClassVar[str] = "numbers_in_tests"
        text: str

        def dynamics(self) -> Dynamics:
            equations = {"u": f"-u + ({self.text})"}
            return Dynamics(equations=equations, constants={"nothing": 0.0, "some": 2.0}, method="euler")

    check(Circuit(populations={"cells": Population(size=2, model=Numbers(text="0 / some + exp(u / some) * sqrt(0)"))}))
    (problem,) = problems(Circuit(populations={"cells": Population(size=2, model=Numbers(text=part))}))
    assert problem.found.startswith(said)
    assert problem.expected == "numbers that can be worked out, and divisors other than 0"


def test_numbers_in_programs_can_be_worked_out() -> None:
    program = Program(constants={"none": 0.0}, on_pre=("w /= none", "w += 1 / 3"), transmits="w * log(none)")
    said = list(program_problems("here", program, None, None, None))
    assert [problem.place for problem in said] == ["here.plasticity (on_pre)", "here.plasticity (transmits)"]
    assert [problem.found.split(" (none")[0] for problem in said] == ["'w /= none'", "'log(none)'"]


def test_programs_read_only_names_that_exist() -> None:
    program = Program(
        variables={"trace": 0.0},
        decays={"trace": Decay("tau_ms"), "other": Decay("tau", "floor")},
        constants={"tau_ms": 20.0},
        on_pre=("trace += 1", "w += rate * post.reward + pre.v_mv"),
        on_post=("tau_ms = 2",),
        transmits="w * u",
    )
    said = list(program_problems("here", program, None, frozenset({"v_mv"}), frozenset({"v_mv"})))
    text = "\n".join(map(str, said))
    for slip in ("'rate' in", "'post.reward' in", "'tau_ms' in 'tau_ms = 2'", "'u' in", "'other'", "'tau'", "'floor'"):
        assert slip in text, slip
    assert "pre.v_mv' in" not in text
    assert len(said) == 7


class Reading(Plasticity):
    """Reads the potential at an arrival."""

    kind: ClassVar[str] = "reading_in_tests"

    def program(self) -> Program:
        return Program(on_pre=("w += post.v_mv",))


def test_a_synapse_does_not_read_what_its_own_spikes_change_at_once() -> None:
    said = problems(PAIR.with_projections(fault=edge(plasticity=Reading())))
    assert [problem.place for problem in said] == ["projections.fault.plasticity"]
    check(PAIR.with_projections(fine=edge(plasticity=Reading(), synapse=ExponentialDrive())))


def test_two_programs_that_both_say_what_is_transmitted_are_refused() -> None:
    short = TsodyksMarkram().program()
    said = list(program_problems("here", Program(transmits="2 * w"), short, None, None))
    assert [problem.place for problem in said] == ["here.short_term"]
    assert list(program_problems("here", Program(variables={"u": 0.0}), short, None, None)) == []


def test_the_count_of_synapses_is_that_of_the_edges() -> None:
    realised = realise(PAIR, seed=0, dt_ms=0.1)
    for name in ("input_to_cells", "cells_to_others", "others_to-cells"):
        assert synapse_count(PAIR, name) == len(realised.edges[name])
    large = PAIR.with_populations(cells=Population(size=500, model=Stepwise()))
    expected, found = synapse_count(large, "cells_to_cells"), len(realise(large, 0, 0.1).edges["cells_to_cells"])
    assert abs(found - expected) < 6 * (expected / 2) ** 0.5


def test_what_needs_too_much_memory_is_refused_before_anything_is_drawn() -> None:
    huge = PAIR.with_populations(cells=Population(size=3_000_000, model=Stepwise()))
    said = problems(huge)
    assert [problem.place for problem in said] == ["populations"]
    assert "synapses" in said[0].found
    assert estimate_in_time(huge)["synapses"] > 1e13


def test_compile_says_simulate_and_simulate_says_train() -> None:
    with pytest.raises(CircuitError, match=r"ns\.simulate"):
        ns.compile(PAIR)
    with pytest.raises(CircuitError, match=r"ns\.train"):
        refuse_no_time(circuits.mlp(4, 3, 2))
    assert in_time(PAIR)


def test_an_empty_table_of_projections_is_sound() -> None:
    check(Circuit(populations={"cells": Population(size=2, model=LIF(bias_mv=25.0))}))
