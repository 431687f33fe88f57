"""Memory is estimated by part, and refused above the limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurosal import circuits, plasticity, rules
from neurosal.checks import available_memory, estimate, estimate_run, machine_memory, refuse_oversized
from neurosal.checks.memory import KEPT_BYTES, memory_problem
from neurosal.errors import CircuitError
from neurosal.settings import SGD, Adam, Training

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


def test_state_of_plasticity_is_counted() -> None:
    circuit = MLP.with_projections(
        hidden1_to_output=MLP.projections["hidden1_to_output"].replace(plasticity=plasticity.BCM())
    )
    assert estimate(MLP)["plasticity"] == 0
    assert estimate(circuit, 3)["plasticity"] == 3 * 4 * (10 + 1)  # a threshold a unit and a count an area


def test_a_plain_step_makes_one_area_and_clipping_all_of_it() -> None:
    routed = rules.sal(MLP, areas=16)
    assert estimate(routed, optimizer=SGD())["changes"] == 4 * 784 * 256
    assert estimate(routed, optimizer=SGD(clip=1.0))["changes"] > 4 * 16 * WEIGHTS
    assert estimate(routed, optimizer=Adam())["changes"] >= 4 * 16 * 784 * 256


def test_a_run_counts_its_data_its_copies_and_what_it_judges() -> None:
    training = Training(batch_size=32)
    needs = estimate_run(MLP, 2, training, samples=100, features=784, evaluated=50)
    state = 2 * 4 * 203_530
    assert needs["data"] == 100 * 784 * 8
    assert needs["kept"] == state
    assert needs["records"] == 2**24 + state
    wide = circuits.mlp(784, 40_000, 4000, 10)
    large = estimate_run(wide, 1, training, samples=100, features=784, evaluated=50)
    assert large["weights"] > KEPT_BYTES
    assert large["kept"] == large["biases"]
    assert large["records"] == 2**24


def test_the_message_says_what_each_part_takes_and_what_makes_it_smaller() -> None:
    found = memory_problem({"weights": 3000, "signals": 6000, "biases": 1}, 5000, place="arms.bp", remedy="Wait.")
    assert found is not None
    assert (found.place, found.found) == ("arms.bp", "9.0 kB (signals 6.0 kB, weights 3.0 kB)")
    assert "Wait." in found.remedy
    assert "signals: smaller batches" in found.remedy
    assert memory_problem({"weights": 3000}, 3000, place="") is None


CASES: dict[str, dict[str, Any]] = {
    "areas, plain": {"sizes": [64, 2048, 2048, 10], "areas": 6, "optimizer": "plain", "samples": 64},
    "one area, adam": {"sizes": [64, 3072, 3072, 10], "areas": 1, "optimizer": "adam", "samples": 64},
}


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read where Linux tells them")
@pytest.mark.parametrize("case", CASES)
def test_what_is_estimated_is_what_is_measured_to_a_sixth(case: str) -> None:
    """Beside what torch's kernels keep for themselves, up to 64 MiB in these cases."""
    command = [sys.executable, "-m", "tests.checks.measured", json.dumps(CASES[case])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    found = json.loads(done.stdout)
    assert found["estimated"] * 5 / 6 < found["measured"] < found["estimated"] * 7 / 6 + 2**26, found
