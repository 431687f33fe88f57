"""Memory is estimated by part, and refused above the limit."""

from __future__ import annotations

import pytest

from neurosal import circuits, rules
from neurosal.checks import available_memory, estimate, machine_memory, refuse_oversized
from neurosal.errors import CircuitError
from neurosal.settings import SGD, Adam

MLP = circuits.mlp(784, 256, 10)
WEIGHTS = 784 * 256 + 256 * 10


def test_weights_and_biases_are_counted_as_the_paper_counts_them() -> None:
    needs = estimate(MLP)
    assert needs["weights"] + needs["biases"] == 4 * 203_530
    routed = rules.sal(MLP, areas=16, feedback="bp")  # ties have no weights of their own
    needs = estimate(routed)
    assert needs["weights"] + needs["biases"] == 4 * 3_256_480


def test_needs_grow_with_replicas_type_and_batch() -> None:
    one, many = estimate(MLP, 1, 32), estimate(MLP, 8, 32, "float64")
    assert {part: many[part] for part in one} == {part: 16 * size for part, size in one.items()}
    assert estimate(MLP, 1, 64)["signals"] == 2 * one["signals"]


def test_optimisers_count_what_they_keep() -> None:
    each = 4 * (WEIGHTS + 266)
    kept = {
        optimizer: estimate(MLP, optimizer=optimizer)["optimizer"] for optimizer in (SGD(), SGD(momentum=0.9), Adam())
    }
    assert list(kept.values()) == [0, each, 2 * each]


def test_fixed_projections_have_no_state() -> None:
    plain, aligned = (estimate(circuit, optimizer=Adam()) for circuit in (MLP, rules.fa(MLP)))
    assert aligned["weights"] == plain["weights"]
    assert (plain["feedback"], aligned["feedback"]) == (0, 4 * 2560)
    assert aligned["optimizer"] == plain["optimizer"]


def test_what_does_not_fit_is_refused_with_its_largest_parts() -> None:
    total = sum(estimate(MLP, 4).values())
    refuse_oversized(MLP, 4, limit=total)
    with pytest.raises(CircuitError, match=r"of memory, found .*weights 3\.3 MB"):
        refuse_oversized(MLP, 4, limit=total - 1)


def test_the_machine_says_how_much_it_has() -> None:
    whole, free = machine_memory(), available_memory()
    assert whole is None or free is None or 0 < free <= whole
