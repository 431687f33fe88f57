"""Populations that are updated together and synapses that are one list, against loops over units and synapses that
share no code with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import pytest

from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    EdgeList,
    ExponentialDrive,
    Jump,
    OneToOne,
    Own,
    Plasticity,
    PoissonSource,
    Population,
    Program,
    Projection,
    Sparse,
    SpikeTrain,
    Synapse,
    Uniform,
)
from neurosal.graph.short_term import TsodyksMarkram
from neurosal.lower.spiking import Realised, realise

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch

DT, STEPS = 0.1, 400
Spiked = dict[str, set[tuple[int, int]]]


def network(sizes: Mapping[str, int], **fields: float) -> Circuit:
    """Two populations of one model with numbers of their own, each reaching both; the second by jumps of v."""
    models = {
        "a": LIF(tau_m_ms=10.0, bias_mv=27.0, refractory_ms=2.0, start_mv=Uniform(low=-70, high=-50), **fields),
        "b": LIF(tau_m_ms=8.0, bias_mv=26.0, refractory_ms=2.0, start_mv=Uniform(low=-70, high=-50), **fields),
    }
    delays = {"aa": 0.0, "ab": Uniform(low=0.0, high=3.0), "ba": 0.7, "bb": Uniform(low=0.1, high=0.3)}
    synapses: dict[str, Synapse] = {
        "aa": ExponentialDrive(tau_ms=5.0, receptor="e"), "ab": ExponentialDrive(tau_ms=5.0, receptor="e"),
        "ba": Jump(), "bb": Jump(),
    }  # fmt: skip
    return Circuit(
        populations={name: Population(size=sizes[name], model=model) for name, model in models.items()},
        projections={
            name: Projection(
                source=name[0], target=name[1], pathway="lateral", wiring=Sparse(density=0.3), synapse=synapses[name],
                weights=Own(init=Uniform(low=-1, high=2)), delay_ms=delays[name],
            )
            for name in delays
        },
    )  # fmt: skip


def by_loops(realised: Realised, steps: int) -> Spiked:
    """The same network, spike by spike."""
    last: dict[tuple[str, int], int] = {}
    v = {name: list(realised.state[name]["v_mv"]) for name in "ab"}
    d = {name: [0.0] * len(v[name]) for name in "ab"}
    coming: dict[int, list[tuple[str, str, int, float]]] = {}
    spiked: Spiked = {"a": set(), "b": set()}
    for step in range(steps):
        for name, tau_m, rest in (("a", 10.0, -70.0 + 27.0), ("b", 8.0, -70.0 + 26.0)):
            decay_v, decay_d = np.exp(-DT / tau_m), np.exp(-DT / 5.0)
            for unit in range(len(v[name])):
                held = step - last.get((name, unit), -(10**9)) < 20
                if not held:
                    v[name][unit] = (
                        rest + (v[name][unit] - rest) * decay_v
                        + d[name][unit] * 5.0 / (5.0 - tau_m) * (decay_d - decay_v)
                    )  # fmt: skip
                d[name][unit] *= decay_d
                if not held and v[name][unit] > -50.0:
                    last[name, unit] = step
                    spiked[name].add((step, unit))
        for projection, edges in realised.edges.items():
            delay = np.broadcast_to(edges.delay, len(edges))
            for pre, post, weight, wait in zip(edges.pre, edges.post, edges.weight, delay, strict=True):
                if (step, int(pre)) in spiked[projection[0]]:
                    coming.setdefault(step + int(wait), []).append((projection, projection[1], int(post), weight))
        for projection, name, unit, weight in coming.pop(step, []):
            if projection[0] == "a":
                d[name][unit] += weight
            elif step - last.get((name, unit), -(10**9)) >= 20:
                v[name][unit] += weight
        for name in "ab":
            for at, unit in spiked[name]:
                if at == step:
                    v[name][unit] = -60.0
    return spiked


def sets(found: Mapping[str, tuple[torch.Tensor, ...]], replica: int) -> Spiked:
    return {
        name: {(int(s), int(u)) for s, r, u in zip(*parts, strict=True) if int(r) == replica}
        for name, parts in found.items()
    }


def test_populations_of_one_model_are_one_block_and_spike_as_units_by_themselves() -> None:
    realised = [realise(network({"a": 13, "b": 9}), seed, DT) for seed in (1, 2)]
    clock = Clock(realised)
    assert len(clock._blocks) == 1
    found = clock.run(STEPS)
    for replica, one in enumerate(realised):
        expected = by_loops(one, STEPS)
        assert min(len(spikes) for spikes in expected.values()) > 30
        assert sets(found, replica) == expected


def test_as_compiled_for_a_gpu_it_spikes_the_same_and_a_replica_equals_its_seed_alone_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Clock, "_on_processor", False)
    realised = [realise(network({"a": 13, "b": 19}), seed, DT) for seed in (1, 2, 3)]
    eager = Clock(realised).run(STEPS)
    together, alone = Clock(realised, compiled=True), Clock(realised[2:], compiled=True)
    found, single = together.run(STEPS), alone.run(STEPS)
    for name, parts in eager.items():
        assert all(torch.equal(one, other) for one, other in zip(parts, found[name], strict=True))
        assert sets(found, 2)[name] == sets(single, 0)[name]
        for variable, value in alone.state[name].items():
            assert torch.equal(together.state[name][variable][2], value[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_replica_equals_its_seed_alone_bit_for_bit(dtype: torch.dtype) -> None:
    circuit = network({"a": 13, "b": 19})
    source = Population(size=7, model=PoissonSource(rate_hz=300.0, merged=3))
    edge = Projection(source="input", target="a", wiring=Sparse(density=0.5), short_term=TsodyksMarkram(),
                      synapse=ExponentialDrive(tau_ms=5.0, receptor="e"), weights=Own(init=Uniform(low=0, high=5)),
                      delay_ms=Uniform(low=0, high=2))  # fmt: skip
    circuit = circuit.replace(populations={**circuit.populations, "input": source},
                              projections={**circuit.projections, "input_to_a": edge})  # fmt: skip
    realised = [realise(circuit, seed, DT) for seed in (4, 5, 6)]
    together = Clock(realised, dtype=dtype)
    found = together.run(STEPS)
    for replica, one in enumerate(realised):
        alone = Clock([one], dtype=dtype)
        assert sets(found, replica) == sets(alone.run(STEPS), 0)
        for name, state in alone.state.items():
            assert all(torch.equal(together.state[name][key][replica], value[0]) for key, value in state.items())
        for name, projecting in alone.projections.items():
            for key in projecting.values:
                assert torch.equal(together.projections[name].of_replica(key, replica), projecting.of_replica(key, 0))


def pair(
    model: object, *, times_ms: tuple[float, ...], plasticity: Plasticity | None = None, **fields: object
) -> Circuit:
    """A train of spikes onto one cell that hears only that."""
    more = {} if plasticity is None else {"plasticity": plasticity}
    return Circuit(
        populations={"input": Population(size=1, model=SpikeTrain(times_ms=times_ms, units=(0,) * len(times_ms))),
                     "cell": Population(size=1, model=model)},
        projections={"input_to_cell": Projection(source="input", target="cell", wiring=OneToOne(),
                                                 weights=Own(init=Constant(value=2.0)), **fields, **more)},
    )  # fmt: skip


def test_two_spikes_of_a_unit_in_one_step_act_one_after_the_other() -> None:
    circuit = pair(LIF(), times_ms=(1.0, 1.0), synapse=ExponentialDrive(), short_term=TsodyksMarkram())
    clock = Clock([realise(circuit, seed, DT) for seed in (0, 1)])
    clock.run(11)
    u, x, sent = 0.0, 1.0, 0.0
    for _ in range(2):
        u += 0.5 * (1 - u)
        sent += 2.0 * u * x
        x -= u * x
    assert clock.state["cell"]["d_input_to_cell_mv"][:, 0].tolist() == [sent, sent]
    assert clock.projections["input_to_cell"].of_replica("x", 1).item() == x


class Marked(Plasticity):
    """Of the tests: the weight doubles when the target spikes, and a synapse sees v where its spike arrives."""

    kind: ClassVar[str] = "marked_of_tests"

    def program(self) -> Program:
        return Program(variables={"seen": 0.0}, on_pre=("seen = post.v_mv",), on_post=("w = 2 * w",))


@pytest.mark.parametrize("delay", [1.0, Uniform(low=1.0, high=1.0)])
def test_a_spike_brings_the_weight_of_the_moment_at_which_it_arrives(delay: object) -> None:
    cell = LIF(start_mv=-50.5, bias_mv=30.0, refractory_ms=0.5)
    clock = Clock([realise(pair(cell, times_ms=(0.1,), plasticity=Marked(), synapse=ExponentialDrive(), delay_ms=delay),
                           0, DT)])  # fmt: skip
    step, _, _ = clock.run(12)["cell"]
    assert 1 < step[0] < 11
    assert len(step) == 1
    assert clock.state["cell"]["d_input_to_cell_mv"].item() == 4.0


def test_a_program_sees_what_projections_before_it_did_and_not_those_behind() -> None:
    jump = Projection(source="input", target="cell", wiring=OneToOne(), synapse=Jump(),
                      weights=Own(init=Constant(value=3.0)))  # fmt: skip
    sees = jump.replace(plasticity=Marked(), weights=Own(init=Constant(value=0.0)))
    circuit = pair(LIF(), times_ms=(0.0,), synapse=Jump()).replace(
        projections={"first": jump, "sees": sees, "second": jump, "sees_too": sees}
    )
    clock = Clock([realise(circuit, 0, DT)])
    clock.run(1)
    assert clock.projections["sees"].values["seen"].item() == pytest.approx(-67.0, rel=1e-15)
    assert clock.projections["sees_too"].values["seen"].item() == pytest.approx(-64.0, rel=1e-15)


def test_weights_that_never_change_by_themselves_can_be_changed() -> None:
    edges = EdgeList(edges=((0, 1), (0, 0), (1, 1)))
    source = Population(size=2, model=SpikeTrain(times_ms=(0.0, 0.0), units=(0, 1)))
    edge = Projection(
        source="input", target="cells", wiring=edges, synapse=Jump(), weights=Own(init=Constant(value=1.0))
    )
    circuit = Circuit(populations={"input": source, "cells": Population(size=2, model=LIF())}, projections={"in": edge})
    clock = Clock([realise(circuit, seed, DT) for seed in (0, 1)])
    clock.projections["in"].of_replica("w", 1).copy_(torch.tensor([5.0, 6.0, 7.0]))
    clock.run(1)
    assert (clock.state["cells"]["v_mv"] + 70).tolist() == [pytest.approx([1, 2]), pytest.approx([5, 13])]
