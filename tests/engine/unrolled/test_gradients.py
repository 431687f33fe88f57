"""Changes of weights against autograd through the same surrogate derivative, float64."""

from __future__ import annotations

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import LIF, AdaptiveLIF, FixedInDegree, Sparse
from tests.engine.unrolled.making import SOFT, by_traces, circuit, gradients, spikes

MODELS = {
    "lif": LIF(**SOFT),
    "lif with a drive": LIF(**{**SOFT, "bias_mv": 0.9}),
    "alif": AdaptiveLIF(**SOFT, threshold_step_mv=0.4, tau_threshold_ms=30.0),
    "lif, refractory": LIF(**{**SOFT, "refractory_ms": 3.0, "clamped": False}),
    "alif, refractory": AdaptiveLIF(
        **{**SOFT, "refractory_ms": 4.0, "clamped": False}, threshold_step_mv=0.2, tau_threshold_ms=50.0
    ),
    "lif, clamped": LIF(**{**SOFT, "refractory_ms": 3.0, "clamped": True}),
    "alif, clamped": AdaptiveLIF(**{**SOFT, "refractory_ms": 2.0, "clamped": True}, threshold_step_mv=0.2),
    "lif, put back": LIF(**{**SOFT, "reset": "set"}),
    "lif, put back and clamped": LIF(
        **{**SOFT, "reset": "set", "refractory_ms": 2.0, "v_reset_mv": -0.2, "clamped": True}
    ),
    "lif in mV": LIF(e_leak_mv=-70.0, v_threshold_mv=-68.5, v_reset_mv=-71.0, refractory_ms=1.0),
}


def compared(described, rule, x, y, loss="cross_entropy", through_recurrence=True, seeds=(4, 7)):
    """Every change of every replica against autograd; returns the largest change."""
    network = ns.compile(rule(described), seeds=seeds, device="cpu", dtype="float64")
    changes = network.updates(x, y, loss)
    assert network.play(x)["hidden"].mean() > 0.01
    largest = 0.0
    for replica in range(len(seeds)):
        forward = [name for name, edge in described.projections.items() if edge.pathway != "feedback"]
        weights = {name: network.weights[name][replica, 0].clone() for name in forward}
        wanted = gradients(described, weights, x, y, loss, through_recurrence=through_recurrence)
        for name, gradient in wanted.items():
            mask = network.masks.get(name)
            gradient = gradient if mask is None else gradient * mask[replica, 0]
            torch.testing.assert_close(changes[name][replica, 0], gradient, rtol=1e-9, atol=1e-12)
            largest = max(largest, float(gradient.abs().max()))
    assert largest > 1e-4
    return changes


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_bptt_is_the_gradient(model):
    described = circuit(model)
    compared(described, rules.bptt, spikes(5, described), torch.tensor([0, 2, 1, 1, 0]))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_eprop_is_the_gradient_without_recurrence(model):
    described = circuit(model, recurrent=False, std=1.0)
    compared(described, rules.eprop, spikes(5, described), torch.tensor([0, 2, 1, 1, 0]))


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_eprop_is_the_gradient_that_passes_no_recurrent_spike(model):
    described = circuit(model)
    x, y = spikes(5, described), torch.tensor([0, 2, 1, 1, 0])
    compared(described, rules.eprop, x, y, through_recurrence=False)


@pytest.mark.parametrize("feedback", ["random", "adaptive", "symmetric"])
@pytest.mark.parametrize("kind", ["lif", "alif", "lif, refractory", "alif, refractory"])
def test_eprop_is_the_sum_over_running_traces_of_every_synapse(kind, feedback):
    described = circuit(MODELS[kind])
    network = ns.compile(rules.eprop(described, feedback=feedback), seeds=(4,), device="cpu", dtype="float64")
    x, y = spikes(3, described), torch.tensor([0, 2, 1])
    changes = network.updates(x, y)
    weights = {name: network.weights[name][0, 0].clone() for name in described.projections}
    wanted = by_traces(described, weights, network.weights["output_to_hidden"][0, 0], x, y)
    for name, change in wanted.items():
        assert change.abs().max() > 1e-4
        torch.testing.assert_close(changes[name][0, 0], change, rtol=1e-9, atol=1e-12)
    if feedback == "adaptive":
        torch.testing.assert_close(changes["output_to_hidden"][0, 0], wanted["hidden_to_output"].T)


def test_eprop_and_bptt_differ_where_there_is_recurrence():
    described = circuit(MODELS["lif"])
    x, y = spikes(5, described), torch.tensor([0, 2, 1, 1, 0])
    one, other = (
        ns.compile(rule(described), seeds=(4,), device="cpu", dtype="float64").updates(x, y)["input_to_hidden"]
        for rule in (rules.eprop, rules.bptt)
    )
    assert (one - other).abs().max() > 1e-3


@pytest.mark.parametrize("wiring", [Sparse(density=0.4), FixedInDegree(inputs=3)], ids=["sparse", "in-degree"])
def test_synapses_that_are_left_out_neither_act_nor_change(wiring):
    described = circuit(MODELS["alif"], wiring=wiring)
    changes = compared(described, rules.bptt, spikes(5, described), torch.tensor([0, 2, 1, 1, 0]))
    assert (changes["hidden_to_hidden"] == 0).float().mean() > 0.5


@pytest.mark.parametrize("targets", ["sample", "step"])
def test_values_are_aimed_at_in_a_window(targets):
    described = circuit(MODELS["lif"], window_ms=15.0, targets=targets)
    x = spikes(4, described)
    y = torch.randn(4, 3 * (15 if targets == "step" else 1), dtype=torch.float64)
    compared(described, rules.bptt, x, y, "mse")


def test_error_passes_two_populations():
    lower = circuit(MODELS["lif"], inputs=4, units=5, std=0.8)
    upper = circuit(MODELS["alif"], inputs=5, units=6)
    both = lower.with_populations(hidden2=upper.populations["hidden"], output=upper.populations["output"]).without(
        "hidden_to_output"
    )
    both = both.with_projections(
        hidden_to_hidden2=upper.projections["input_to_hidden"].replace(source="hidden", target="hidden2"),
        hidden2_to_hidden2=upper.projections["hidden_to_hidden"].replace(source="hidden2", target="hidden2"),
        hidden2_to_output=upper.projections["hidden_to_output"].replace(source="hidden2"),
    )
    network = ns.compile(rules.bptt(both), seeds=(1,), device="cpu", dtype="float64")
    x, y = spikes(3, both), torch.tensor([0, 1, 2])
    changes = network.updates(x, y)
    # The loss moves as the changes of the upper population say when spikes do not: only its read-out moves smoothly.
    name = "hidden2_to_output"
    nudge = 1e-6 * torch.randn_like(network.weights[name])
    before = network.score(network.forward(x), y)["loss"]
    network.weights[name].add_(nudge)
    after = network.score(network.forward(x), y)["loss"]
    torch.testing.assert_close(after - before, (changes[name] * nudge).sum((1, 2, 3)), rtol=1e-4, atol=0)
    assert changes["input_to_hidden"].abs().max() > 1e-4
