"""Changes of weights against autograd through the same surrogate derivative, float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import LIF, AdaptiveLIF, Constant, FixedInDegree, Normal, Own, Sparse
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


def compared(described, rule, x, y, loss="cross_entropy", seeds=(4, 7), **passes):
    """Every change of every replica against autograd; returns the largest change."""
    network = ns.compile(rule(described), seeds=seeds, device="cpu", dtype="float64")
    changes = network.updates(x, y, loss)
    assert network.play(x)["hidden"].mean() > 0.01
    largest = 0.0
    for replica in range(len(seeds)):
        forward = [name for name, edge in described.projections.items() if edge.pathway != "feedback"]
        weights = {name: network.weights[name][replica, 0].clone() for name in forward}
        wanted = gradients(described, weights, x, y, loss, **passes)
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


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_bptt_is_the_whole_gradient_where_error_passes_the_reset(model):
    described = circuit(model)
    x, y = spikes(5, described), torch.tensor([0, 2, 1, 1, 0])
    changes = compared(described, partial(rules.bptt, through_reset=True), x, y, through_reset=True)
    cut = ns.compile(rules.bptt(described), seeds=(4, 7), device="cpu", dtype="float64").updates(x, y)
    assert (changes["hidden_to_hidden"] - cut["hidden_to_hidden"]).abs().max() > 1e-4


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_eprop_is_the_whole_gradient_without_recurrence_where_error_passes_the_reset(model):
    described = circuit(model, recurrent=False, std=1.0)
    x, y = spikes(5, described), torch.tensor([0, 2, 1, 1, 0])
    compared(described, partial(rules.eprop, through_reset=True), x, y, through_reset=True)


@pytest.mark.parametrize("through_reset", [False, True], ids=["cut at resets", "through resets"])
def test_eprop_and_bptt_are_one_without_recurrence(through_reset):
    described = circuit(MODELS["alif, refractory"], recurrent=False, std=1.0)
    x, y = spikes(5, described), torch.tensor([0, 2, 1, 1, 0])
    one, other = (
        ns.compile(rule(described, through_reset=through_reset), seeds=(4,), device="cpu").updates(x, y)
        for rule in (rules.eprop, rules.bptt)
    )
    for name, change in one.items():
        assert torch.equal(change, other[name])


def test_error_passes_resets_of_units_with_constants_of_their_own():
    described = circuit(MODELS["lif"])
    drawn = circuit(LIF(**{**SOFT, "v_threshold_mv": Constant(value=1.0)}))
    x, y = spikes(3, described), torch.tensor([0, 2, 1])
    one, other = (
        ns.compile(rules.bptt(each, through_reset=True), seeds=(4, 5), device="cpu", dtype="float64").updates(x, y)
        for each in (described, drawn)
    )
    torch.testing.assert_close(one, other)


def test_an_error_that_reaches_far_back_grows_only_where_it_does_not_pass_the_reset():
    # 400 steps of units that drive each other, as trained ones do: the cut gradient is larger by orders of magnitude.
    described = circuit(MODELS["lif"], units=30, steps=400, window_ms=20.0)
    edge = described.projections["hidden_to_hidden"]
    described = described.with_projections(hidden_to_hidden=edge.replace(weights=Own(init=Normal(std=0.6))))
    x, y = spikes(2, described), torch.tensor([0, 1])
    sizes = []
    for through_reset in (False, True):
        network = ns.compile(rules.bptt(described, through_reset=through_reset), seeds=(0,), device="cpu")
        sizes.append(network.updates(x, y)["hidden_to_hidden"].norm())
    assert sizes[0] > 100 * sizes[1]


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
