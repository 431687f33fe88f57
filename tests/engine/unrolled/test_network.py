"""What networks whose samples take time promise like all others: replicas, learning, records, resuming, refusals."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine.network import Network
from neurosal.engine.unrolled import events, sweep
from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    Jump,
    Population,
    Rate,
    TimedReadout,
    TimedSource,
    Uniform,
)
from tests.engine.unrolled.making import SOFT, circuit, spikes

KINDS = {kind: functools.partial(rules.eprop, feedback=kind) for kind in ("symmetric", "random", "adaptive")}
RULES = {**KINDS, "bptt": rules.bptt, "shallow": rules.shallow}
ALIF = AdaptiveLIF(**SOFT, threshold_step_mv=Uniform(low=0.0, high=0.4))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_replica_among_others_is_its_seed_alone(rule):
    described = rule(circuit(ALIF))
    x, y = spikes(12, described), torch.randint(0, 3, (12,), generator=torch.Generator().manual_seed(1))
    optimizer = ns.AdamW(lr=0.01, weight_decay=0.1)
    whole = ns.compile(described, seeds=(3, 8, 5), device="cpu", dtype="float64")
    alone = ns.compile(described, seeds=(8,), device="cpu", dtype="float64")
    for step in range(3):
        rows = slice(4 * step, 4 * step + 4)
        whole.step(x[rows], y[rows], optimizer=optimizer)
        alone.step(x[rows], y[rows], optimizer=optimizer)
    for name in described.projections:
        torch.testing.assert_close(whole.weights[name][1], alone.weights[name][0], rtol=1e-9, atol=1e-12)


def test_events_bring_what_the_matrix_brings(monkeypatch):
    described = rules.bptt(circuit(ALIF))
    x, y = spikes(3, described), torch.tensor([0, 1, 2])
    network = ns.compile(described, seeds=(0, 1), device="cpu", dtype="float64")
    by_matrix = network.updates(x, y)
    used = []
    add = events.Events.add
    monkeypatch.setattr(events.Events, "add", lambda *given: (used.append(1), add(*given)))
    monkeypatch.setattr(sweep, "by_events", lambda like: True)
    by_events = network.updates(x, y)
    assert used
    for name, change in by_matrix.items():
        torch.testing.assert_close(by_events[name], change, rtol=1e-9, atol=1e-12)


def test_whether_spikes_travel_as_events_does_not_depend_on_other_replicas():
    one, many = torch.empty(1, 5, 4, 100), torch.empty(16, 5, 4, 100)
    assert events.by_events(one) == events.by_events(many) is True
    assert events.by_events(torch.empty(16, 5, 1, 20)) is False


def learns(rule, *, steps=150, seeds=(0, 1)):
    """Loss of each seed before and after learning which of three inputs spikes."""
    described = rule(circuit(LIF(**SOFT), inputs=6, units=20, steps=30, window_ms=15.0, std=0.6))
    network = ns.compile(described, seeds=seeds, device="cpu")
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(3).repeat(4)
    share = torch.full((12, 30, 6), 0.05)
    for sample, label in enumerate(y.tolist()):
        share[sample, :, 2 * label : 2 * label + 2] = 0.4
    x = (torch.rand(share.shape, generator=generator) < share).float().flatten(1)
    before = network.score(network.forward(x), y)
    for _ in range(steps):
        network.step(x, y, optimizer=ns.AdamW(lr=0.01, weight_decay=0.5))
    assert isinstance(network, Network)
    return network, before, network.score(network.forward(x), y)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_feedback_learns(kind):
    network, before, after = learns(KINDS[kind])
    assert (after["loss"] < 0.35 * before["loss"]).all()
    assert (after["accuracy"] == 1).all()
    apart, first_apart = (
        each.weights["hidden_to_output"] - each.weights["output_to_hidden"].mT
        for each in (network, ns.compile(network.circuit, seeds=network.seeds, device="cpu"))
    )
    if kind == "symmetric":
        assert torch.equal(apart, torch.zeros_like(apart))
    elif kind == "adaptive":  # the same changes, and decay brings both together
        torch.testing.assert_close(apart, first_apart * (1 - 0.01 * 0.5) ** 150, rtol=1e-3, atol=1e-5)
    else:
        assert (apart.abs().mean((1, 2, 3)) > 0.1).all()


def test_feedback_that_is_random_stays_as_it_was_drawn_and_shallow_leaves_hidden_weights():
    network, *_ = learns(KINDS["random"], steps=3)
    fresh = ns.compile(network.circuit, seeds=network.seeds, device="cpu")
    assert torch.equal(network.weights["output_to_hidden"], fresh.weights["output_to_hidden"])
    network, *_ = learns(rules.shallow, steps=3)
    fresh = ns.compile(network.circuit, seeds=network.seeds, device="cpu")
    for name in ("input_to_hidden", "hidden_to_hidden"):
        assert torch.equal(network.weights[name], fresh.weights[name])
    assert not torch.equal(network.weights["hidden_to_output"], fresh.weights["hidden_to_output"])


# Inputs -------------------------------------------------------------------------------------------------------------


def test_a_frame_plays_regular_spikes_at_its_value():
    model = TimedSource(frames=2, frame_ms=10.0, rate_hz=500.0, silent_ms=3.0)
    described = circuit(LIF(**SOFT)).with_populations(input=Population(size=6, model=model))
    network = ns.compile(described, device="cpu")
    sample = torch.tensor([[0.0, 1.0, 0.5, 0.2, 1.0, 0.0, 1.0, 0.0, 0.5, 1.0, 0.0, 0.0]])
    played = network.play(sample)["input"][0, :, 0]
    assert played.shape == (23, 6)
    assert played[:10].sum(0).tolist() == [0, 5, 3, 1, 5, 0]  # 2.5 spikes: the third at half of its interval
    assert played[:20].sum(0).tolist() == [5, 5, 5, 6, 5, 0]
    assert played[:10, 1].nonzero()[:, 0].diff().tolist() == [2, 2, 2, 2]
    assert played[20:].sum() == 0


def test_spikes_are_played_as_they_are():
    described = circuit(LIF(**SOFT))
    x = spikes(2, described)
    network = ns.compile(described, device="cpu", dtype="float64")
    assert torch.equal(network.play(x)["input"][0], x.view(2, 40, 6).movedim(0, 1))


# The runner ---------------------------------------------------------------------------------------------------------


def experiment(**changes):
    tiny = {"units": 12, "row_ms": 2.0, "silent_ms": 2.0}
    arms = {
        name: ns.settings.Arm(
            recipe=ns.settings.Recipe(circuit="row_reader", arguments=tiny, rule=rule, options=options)
        )
        for name, rule, options in (
            ("bptt", "bptt", {"through_reset": True}),
            ("cut", "bptt", {}),
            ("adaptive", "eprop", {"feedback": "adaptive"}),
        )
    }
    training = {
        "epochs": 2, "batch_size": 16, "checkpoint_every": 1, "log_every": 1, "optimizer": ns.Adam(lr=0.01),
        "record": (ns.probe("angle", epochs=1), ns.probe("norm_ratio", epochs=1), ns.probe("update_angle", epochs=1)),
    }  # fmt: skip
    return ns.Experiment(
        name="tiny", arms=arms, seeds=(0, 1), training=ns.Training(**{**training, **changes}),
        data=ns.data.DataSpec(name="digits", split={"train": 0.8, "test": 0.2}, subset={"train": 64, "test": 32}),
        analyses=("learning_curves", "symmetry", "compare"),
    )  # fmt: skip


def test_alignment_is_recorded(tmp_path):
    run = ns.run(experiment(), store=tmp_path / "run", device="cpu")
    assert run.status.state == "done"
    for name, arm in run.arms.items():
        symmetry, credit = (arm.tree[f"stats/{part}/epochs_1"].to_dataset() for part in ("symmetry", "credit"))
        assert [str(pair) for pair in symmetry.pair.values] == ["hidden_to_output"]
        projections = [str(projection) for projection in credit.projection.values]
        angle, update = symmetry.angle.values, dict(zip(projections, credit.update_angle.values.T, strict=True))
        assert set(update) == {"input_to_hidden", "hidden_to_hidden", "hidden_to_output"}
        if name == "bptt":
            assert angle.max() < 1e-3
            assert max(each.max() for each in update.values()) < 1e-3
        else:
            assert angle.max() < 1e-3 if name == "cut" else angle.min() > 20
            assert update["hidden_to_hidden"].min() > 1.0  # the gradient passes recurrent synapses and resets
            assert update["hidden_to_output"].max() < 0.1


def test_a_run_that_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = ns.run(experiment(), store=tmp_path / "whole", device="cpu")

    class Stop(Exception):
        pass

    def stop(done, total, what):
        if done == 6:  # of the first arm's 8
            raise Stop

    with pytest.raises(Stop):
        ns.run(experiment(), store=tmp_path / "cut", device="cpu", progress=stop)
    resumed = ns.run(experiment(), store=tmp_path / "cut", device="cpu", resume=True)
    for name, arm in whole.arms.items():
        other = resumed.arms[name]
        for step in (arm, other):
            assert step.status.finished
        one, two = (each.tree["metrics/train"].loss.values for each in (arm, other))
        np.testing.assert_array_equal(one, two)


# Refusals -----------------------------------------------------------------------------------------------------------

WRONG = {
    "delay": ("delay_ms", {"edges": {"hidden_to_output": {"delay_ms": 2.0}}}),
    "no synapse": ("synapse", {"edges": {"hidden_to_output": {"synapse": None}}}),
    "another variable": ("synapse", {"edges": {"hidden_to_output": {"synapse": Jump(variable="w")}}}),
    "sign": ("no sign", {"edges": {"hidden_to_output": {"sign": "excitatory"}}}),
    "rates among spikes": ("populations.hidden.model", {"hidden": Rate()}),
    "two lengths": ("steps of", {"more": TimedSource(frames=7)}),
    "time constants of each unit": ("tau_m_ms", {"hidden": LIF(**SOFT, tau_m_ms=Uniform(low=10, high=20))}),
    "adapting currents": ("current_step_pa", {"hidden": AdaptiveLIF(**SOFT, current_step_pa=1.0)}),
    "a read-out with a drive": ("bias_mv", {"output": TimedReadout(bias_mv=1.0)}),
    "threshold below rest": ("v_threshold_mv", {"hidden": LIF(**{**SOFT, "v_threshold_mv": -1.0})}),
}


@pytest.mark.parametrize(("said", "changes"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_unrolled_is_refused_with_its_place(said, changes):
    described = circuit(LIF(**SOFT))
    for name, fields in changes.get("edges", {}).items():
        edge = described.projections[name]
        described = described.with_projections(**{name: edge.replace(**fields)})
    for name in ("hidden", "output"):
        if name in changes:
            population = described.populations[name]
            described = described.with_populations(**{name: population.replace(model=changes[name])})
    if "more" in changes:
        edge = described.projections["input_to_hidden"].replace(source="more")
        described = described.with_populations(more=Population(size=6, model=changes["more"]))
        described = described.with_projections(more_to_hidden=edge)
    with pytest.raises(ns.CircuitError, match=said):
        ns.check(described)


def test_ways_that_there_are_not_are_refused():
    with pytest.raises(ns.ExperimentError, match=r"recompute.*\n.*compute|recompute"):
        ns.compile(circuit(LIF(**SOFT)), device="cpu", recompute=2)


def test_the_memory_of_signals_counts_steps():
    from neurosal.checks import estimate

    short, long = (estimate(circuit(LIF(**SOFT), steps=steps), 1, 8)["signals"] for steps in (10, 40))
    assert long == 4 * short


def test_the_pattern_has_the_numbers_of_the_task():
    data = ns.data.load("sum_of_sines")
    assert data.train.x.shape == (1, 20_000)
    target = data.train.y.reshape(1000, 3)
    assert np.abs(target).max(0) == pytest.approx([1, 1, 1])
    power = np.abs(np.fft.rfft(target, axis=0)) ** 2
    assert power[[1, 2, 3, 5]].sum() / power.sum() > 0.999
    described = circuits.pattern_generator()
    assert described.populations["hidden"].units == 600
    assert described.populations["input"].features == 20_000
