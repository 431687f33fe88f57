"""Local plasticity of kernels: each place is one more pair of activities for the synapses that serve there."""

from __future__ import annotations

import numpy as np
import pytest

import neurosal as ns
from neurosal import rules
from neurosal.graph import Broadcast, Circuit, Conv1d, Conv2d, Plasticity, Population, Projection, Rate, Source
from neurosal.plasticity import BCM, AntiHebbian, Hebbian, Oja
from tests.reference.batches import batch_for
from tests.reference.copying import array
from tests.reference.numerics import Array
from tests.rules.convolutional import to

MEMBERS = (Hebbian(decay=0.1), Hebbian(reduction="sum"), Oja(), AntiHebbian(target=0.3))


def circuit_with(plasticity: Plasticity, groups: int = 1) -> Circuit:
    """input, hidden with space, and an output; the plasticity is that of the convolution between them."""
    wiring = Conv2d(kernel=(2, 3), stride=(1, 2), padding=(0, 1), groups=groups)
    populations = {
        "input": Population(shape=(4, 3, 5), model=Source()),
        "hidden": Population(shape=wiring.output((4, 3, 5), 6), model=Rate(activation="tanh")),
        "output": Population(size=3, model=Rate(activation="linear")),
    }
    edge = Projection(source="input", target="hidden", wiring=wiring, plasticity=plasticity)
    out = Projection(source="hidden", target="output")
    return Circuit(populations=populations, projections={"input_to_hidden": edge, "hidden_to_output": out})


@pytest.mark.parametrize("plasticity", MEMBERS, ids=repr)
@pytest.mark.parametrize("groups", [1, 2])
def test_the_change_of_a_kernel_sums_over_places_by_hand(plasticity: Plasticity, groups: int) -> None:
    network = ns.compile(rules.shallow(circuit_with(plasticity, groups)), seeds=(0, 1), device="cpu", dtype="float64")
    batch = batch_for(network.circuit, samples=4)
    found = array(network.updates(batch.x, batch.y)["input_to_hidden"])
    activity = array(network.signals(batch.x)["hidden"]["activity"])
    weights = array(network.weights["input_to_hidden"])
    for r in range(2):
        weight = weights[r, 0].reshape(6, 4 // groups, 2, 3)
        x = np.pad(array(batch.x)[r].reshape(-1, 4, 3, 5), ((0, 0), (0, 0), (0, 0), (1, 1)))
        change = by_hand(plasticity, weight, activity[r], x, groups)
        assert abs(found[r, 0].reshape(weight.shape) - change).max() < 1e-12


def by_hand(plasticity: Plasticity, weight: Array, y: Array, x: Array, groups: int) -> Array:
    fields = plasticity.to_dict()
    change = np.zeros_like(weight)
    for n in range(len(y)):
        for unit in range(6):
            first = unit // (6 // groups) * (4 // groups)
            for row in range(2):
                for column in range(3):
                    patch = x[n, first : first + 4 // groups, row : row + 2, 2 * column : 2 * column + 3]
                    here = y[n, unit, row, column]
                    if plasticity.kind == "anti_hebbian":
                        change[unit] += here * patch - fields["target"] ** 2
                    else:
                        change[unit] -= here * patch
                    if plasticity.kind == "oja":
                        change[unit] += here**2 * weight[unit]
    if fields["reduction"] == "batch":
        change /= len(y)
    return change + fields.get("decay", 0) * weight


def test_what_remembers_a_number_for_each_unit_is_refused_where_places_share_their_weights() -> None:
    for wiring in (Conv1d(kernel=3, padding=1), Conv1d(kernel=3, padding=1).reversed()):
        circuit = Circuit(
            populations={"input": Population(shape=(2, 5), model=Source()), "output": Population(shape=(3, 5))},
            projections={"input_to_output": to("input", "output", wiring)["input_to_output"].replace(plasticity=BCM())},
        )
        with pytest.raises(ns.CircuitError, match="bcm, which remembers a number for each unit"):
            ns.check(circuit)
    broadcast = Projection(source="input", target="hidden", wiring=Broadcast(), plasticity=BCM())
    with pytest.raises(ns.CircuitError, match="bcm, which remembers a number for each unit"):
        ns.check(circuit_with(Oja()).with_projections(input_to_hidden=broadcast))
