"""Statements at intervals: at which steps they run, and what a synapse knows of the others at its target."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from neurosal.engine.clock import Clock
from neurosal.graph import LIF, Circuit, EdgeList, Jump, Own, Plasticity, Population, Program, Projection, Uniform
from neurosal.lower.spiking import realise

EDGES = ((0, 0), (0, 1), (1, 1), (2, 1), (2, 2))


class Renewed(Plasticity):
    """Of the tests."""

    kind: ClassVar[str] = "renewed_of_tests"
    statement: str
    every_ms: float = 0.3

    def program(self) -> Program:
        return Program(variables={"seen": 0.0}, at_intervals=(self.statement,), every_ms=self.every_ms)


def clock_of(statement: str, **fields: float) -> Clock:
    edge = Projection(
        source="a", target="b", synapse=Jump(), wiring=EdgeList(edges=EDGES), weights=Own(init=Uniform(low=1, high=2)),
        plasticity=Renewed(statement=statement, **fields),
    )  # fmt: skip
    cells = Population(size=3, model=LIF())
    circuit = Circuit(populations={"a": cells, "b": cells}, projections={"a_to_b": edge})
    return Clock([realise(circuit, seed, 0.1) for seed in (3, 4)])


@pytest.mark.parametrize(("every_ms", "runs"), [(0.3, [0, 3, 6, 9]), (0.1, list(range(10))), (5.0, [0])])
def test_they_run_at_the_end_of_the_first_step_and_then_at_intervals(every_ms: float, runs: list[int]) -> None:
    clock = clock_of("seen += 1", every_ms=every_ms)
    values = [0.0]
    for _ in range(10):
        clock.step()
        values.append(clock.projections["a_to_b"].values["seen"][0].item())
    assert [step for step in range(10) if values[step + 1] > values[step]] == runs


def test_a_synapse_knows_the_sum_at_its_target_and_how_many_end_there() -> None:
    clock = clock_of("w = 6 * w / sum_in + count_in")
    before = [clock.projections["a_to_b"].of_replica("w", replica).clone() for replica in range(2)]
    clock.step()
    for replica in range(2):
        after = clock.projections["a_to_b"].of_replica("w", replica)
        for unit in range(3):
            mine = torch.tensor([post == unit for _, post in EDGES])
            expected = 6 * before[replica][mine] / before[replica][mine].sum() + mine.sum()
            assert (after[mine] - expected).abs().max() < 1e-14
