"""Works: the same net and batch for all, areas chosen by the router itself, and costs counted by hand."""

from __future__ import annotations

import pytest
import torch

from neurosal.bench.contenders import torch_model
from neurosal.bench.works import Cost, Work, cost
from neurosal.engine.network import compile
from neurosal.rules import sal
from tests.bench.making import SEEDS, TINY

FORWARD = 6 * 5 + 5 * 4 + 4 * 3  # of TINY
ABOVE_FIRST = 5 * 4 + 4 * 3
SIGNALS = 8 * (2 * 6 + 6 * (5 + 4) + 3 * 3)


def test_all_get_the_same_batch_and_the_same_net() -> None:
    x, y = SEEDS.data()
    assert (x.shape, y.shape) == ((3, 8, 6), (3, 8))
    assert torch.equal(x, SEEDS.data()[0])
    sizes = [tuple(p.shape) for p in torch_model(TINY).parameters()]
    assert sizes == [(5, 6), (5,), (4, 5), (4,), (3, 4), (3,)]
    populations = TINY.circuit().populations.values()
    assert [population.units for population in populations] == [6, 5, 4, 3]
    kinds = [getattr(population.model, "activation", None) for population in populations]
    assert kinds == [None, "relu", "relu", "linear"]


@pytest.mark.parametrize(("usage", "least"), [("even", 1.0), ("skewed", 3.0)])
def test_the_real_router_sends_the_samples_to_the_areas_that_were_meant(usage: str, least: float) -> None:
    work = Work((128, 32, 4), 512, areas=16, usage=usage)  # type: ignore[arg-type]
    network = compile(sal(work.circuit(), areas=16), device="cpu")
    x, y = work.data()
    for _ in range(3):  # the mean, the usage and the prototypes of the router move
        counts = torch.bincount(network.signals(x)["hidden1"]["area"][0], minlength=16)
        assert sorted(counts.tolist()) == sorted(work.counts())
        network.step(x, y, optimizer=_sgd())
    assert float(counts.max() / counts.double().mean()) >= least


def _sgd() -> object:
    from neurosal.settings.optimizers import SGD

    return SGD(lr=1e-3)


def test_shares_of_the_batch_add_up() -> None:
    assert Work((4, 4, 2), 12, areas=3, usage="skewed").counts() == [7, 3, 2]  # 6.5, 3.3, 2.2: by their ends
    assert Work((4, 4, 2), 12, areas=3).counts() == [4, 4, 4]
    assert sum(Work((4, 4, 2), 513, areas=16, usage="skewed").counts()) == 513


# Costs, counted by hand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feedback", "products", "weights"),
    [
        ("tied", 2 * FORWARD + ABOVE_FIRST, 3 * FORWARD + ABOVE_FIRST),
        ("signs", 2 * FORWARD + ABOVE_FIRST, 3 * FORWARD + ABOVE_FIRST),
        ("fixed", 2 * FORWARD + ABOVE_FIRST, 3 * FORWARD + ABOVE_FIRST),
        ("learned", 2 * FORWARD + ABOVE_FIRST, 3 * FORWARD + 3 * ABOVE_FIRST),
        ("direct", 2 * FORWARD + 9 * 3, 3 * FORWARD + 9 * 3),
        ("direct learned", 2 * FORWARD + 2 * 9 * 3, 3 * FORWARD + 3 * 9 * 3),
        # Over relays of 40 and 30 units: 4 × 40 and 3 × 30 up to them, 40 × 5 and 30 × 4 from them, which learn.
        ("relay", 2 * FORWARD + 250 + 2 * 320, 3 * FORWARD + 250 + 3 * 320),
    ],
)
def test_costs_are_products_and_bytes_counted_by_hand(feedback: str, products: int, weights: int) -> None:
    found = cost(TINY, feedback)  # type: ignore[arg-type]
    assert found.operations == 2 * 8 * products
    assert found.weight_bytes == 4 * weights
    assert found.signal_bytes == 4 * SIGNALS


def test_velocities_replicas_and_areas_move_more() -> None:
    plain, learned = cost(TINY), cost(TINY, "learned", momentum=True)
    assert cost(TINY, momentum=True).weight_bytes == plain.weight_bytes + 4 * 2 * FORWARD
    assert learned.weight_bytes == 4 * (3 * FORWARD + 3 * ABOVE_FIRST + 2 * (FORWARD + ABOVE_FIRST))
    seeds = cost(Work(TINY.sizes, 8, replicas=4))
    assert (seeds.operations, seeds.bytes) == (4 * plain.operations, 4 * plain.bytes)
    areas = cost(Work(TINY.sizes, 8, areas=4))
    assert (areas.operations, areas.weight_bytes) == (plain.operations, 4 * plain.weight_bytes)
    # Of 30 areas two are chosen by nobody's two samples: they are not touched.
    assert cost(Work(TINY.sizes, 2, areas=30)).weight_bytes == 2 * plain.weight_bytes


def test_direct_feedback_in_four_layers_has_eight_elevenths_of_the_products() -> None:
    work = Work((1024, 1024, 1024, 1024, 1024, 10), 4096, areas=16)
    assert cost(work, "direct").operations / cost(work).operations == pytest.approx(8 / 11, rel=0.01)


def test_the_floor_is_the_larger_of_two_times() -> None:
    found = Cost(operations=200.0, weight_bytes=30.0, signal_bytes=30.0)
    assert found.floor(100.0, 10.0) == 6.0
    assert found.floor(10.0, 10.0) == 20.0
