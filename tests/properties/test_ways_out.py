"""Any circuit that compiles says the same as a plain torch module and from a file of its weights."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit
from tests.properties.graphs import forward_circuits, tied_back
from tests.reference.batches import batch_for


@settings(max_examples=60, deadline=None, derandomize=True)
@given(circuit=forward_circuits(), data=st.data(), seed=st.integers(0, 1000))
def test_a_random_circuit_leaves_and_comes_back(circuit: Circuit, data: st.DataObject, seed: int) -> None:
    kind = data.draw(st.sampled_from(["by hand", "rule", "areas"]), label="kind")
    if kind == "areas":
        assume(any(edge.plasticity.plastic and edge.target != "output" for edge in circuit.projections.values()))
        assume(all(edge.tied_to is None for edge in circuit.projections.values()))
        choices = {
            "feedback": ["bp", "fa", "dfa"],
            "route": ["shared", "population"],
            "readout": ["areas", "shared"],
            "router": ["frozen", "attract"],
        }
        options: dict[str, Any] = {name: data.draw(st.sampled_from(some), label=name) for name, some in choices.items()}
        learns = rules.sal(circuit, areas=3, rank=2, **options)
    else:
        learns = rules.bp(circuit) if kind == "rule" else data.draw(tied_back(circuit), label="circuit")
    network = ns.compile(learns, seeds=[seed, seed + 1], device="cpu", dtype="float64")
    for name in learns.populations:
        if (units := learns.populations[name].units) and data.draw(st.booleans(), label=f"lesion of {name}"):
            network.silence(name, torch.arange(units) != data.draw(st.integers(0, units - 1), label="unit"))
    for name in network.weights:
        if data.draw(st.integers(0, 3), label=f"lesion of {name}") == 0:
            random = torch.Generator().manual_seed(seed)
            network.mask(name, torch.rand(network.weights[name].shape, generator=random) < 0.7)
    batch = batch_for(learns, seed)
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))

    expected = network.predict(batch.x)
    modules = [network.to_module(replica) for replica in range(2)]
    for replica, module in enumerate(modules):
        found = module(*(torch.from_numpy(values[replica]) for values in batch.arrays.values()))
        assert (found - expected[replica]).abs().max() < 1e-12
    with tempfile.TemporaryDirectory() as folder:
        loaded = ns.load(network.save_weights(Path(folder) / "weights"), device="cpu")
    for one, two in (
        (expected, loaded.predict(batch.x)),
        *((network.weights[n], loaded.weights[n]) for n in learns.select(pathway="feedback")),
    ):
        assert torch.equal(one, two)
    before = loaded.state_dict()
    for replica, module in enumerate(modules):
        loaded.load_module(module, replica)
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.state_dict().items())
