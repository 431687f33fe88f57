"""The check of phases says all that is wrong with them at once, each with its place and near names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosal.checks.experiment import check_experiment_data
from neurosal.errors import ExperimentError, NeurosalError
from neurosal.settings import Experiment, Lesion, Noise, Phase, Reset, Rewire

ARGUMENTS = {"sizes": [64, 6, 10]}


def experiment(*phases: Any, rule: str = "kp", **more: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "data": {"name": "digits", "split": {"train": 0.8, "test": 0.2}},
        "arms": {"arm": {"recipe": {"circuit": "mlp", "arguments": ARGUMENTS, "rule": rule}}},
        "phases": list(phases),
        **more,
    }


def problems(data: dict[str, Any]) -> dict[str, str]:
    return {problem.place: f"{problem.expected} | {problem.found} | {problem.remedy}" for problem in check_of(data)}


def check_of(data: dict[str, Any]) -> list[Any]:
    return check_experiment_data(data)[1]


LEARN = {"name": "learn", "epochs": 1}
SOUND = [
    experiment(LEARN, {"name": "held", "steps": 3, "frozen": ["hidden*", "feedback"], "classes": [1, 2]}, cycles=2),
    experiment({"name": "mirror", "steps": 1, "drive": {}}, LEARN, rule="wm", tasks={"low": [0, 1], "high": [7]}),
    experiment(LEARN, {"name": "cut", "steps": 0, "lesion": [{"population": "hidden1", "indices": [0, 5]}]}),
    experiment({"name": "wait", "epochs": 1, "plastic": []}, {**LEARN, "reset": [{"population": "output"}]}),
]


@pytest.mark.parametrize("data", SOUND)
def test_sound_phases_pass_and_come_back_from_yaml(data: dict[str, Any]) -> None:
    found, wrong = check_experiment_data(data)
    assert wrong == []
    assert found is not None
    assert Experiment.from_yaml(found.to_yaml()) == found == Experiment.from_dict(found.to_dict())


def test_all_that_is_wrong_is_said_at_once() -> None:
    data = experiment(
        {"name": "one", "epochs": 1, "frozen": ["hiden1"], "classes": [3, 3, 10], "training": {"epochs": 2}},
        {"name": "one", "steps": 1, "drive": {"populations": ["hidden", "output", "hidden1"]}},
        {
            "name": "two",
            "steps": 1,
            "lesion": [{"population": "hidden1", "indices": [6]}, {"projection": "x", "share": 0.5}],
            "reset": [{"projection": "output_to_hidden1"}, {"population": "nobody"}],
            "rewire": [{"projection": "input_to_hiden1"}],
            "plasticity": {"output_to_hidden1": {"kind": "k_means"}},
        },
        tasks={"low": [0, 1], "high": [1, 12]},
    )
    found = problems(data)
    for place, words in {
        "phases.0.frozen.0": "Did you mean 'hidden1'",
        "phases.0.classes.1": "each label once",
        "phases.0.classes.2": "from 0 to 9",
        "phases.0.training.epochs": "one of batch_size, loss, optimizer",
        "phases.1.name": "set cycles",
        "phases.1.drive.populations.0": "Did you mean 'hidden1'",
        "phases.1.drive.populations.1": "another one hears from",
        "phases.1.drive.populations.2": "plasticity that needs no error",
        "phases.2.lesion.0.indices.0": "from 0 to 5",
        "phases.2.lesion.1.projection": "which 'arm' does not have",
        "phases.2.reset.1.population": "nobody",
        "phases.2.rewire.0.projection": "Did you mean 'input_to_hidden1'",
        "tasks.high.0": "each class in one task",
        "tasks.high.1": "from 0 to 9",
    }.items():
        assert words in found.get(place, "nothing"), (place, found)
    assert any(place.startswith("phases.2.plasticity") for place in found)


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (experiment(LEARN, {"name": "end", "steps": 1, "restore": ["hidden1"]}), "phases.1.restore", "taken out"),
        (experiment({"name": "no", "steps": 0}), "phases", "at least one step"),
        (experiment(cycles=3), "cycles", "phases to go through"),
        (experiment({"name": "noise", "steps": 1, "drive": {}}), "phases.0.drive.populations", "rule wm"),
        (
            experiment({**LEARN, "reset": [{"projection": "output_to_hidden1"}]}, rule="bp"),
            "phases.0.reset.0.projection",
            "synapses of its own",
        ),
        (experiment({**LEARN, "data": {"name": "letter"}}), "phases.0.data", "data for 10 outputs"),
        (experiment({**LEARN, "data": {"name": "dig"}}), "phases.0.data: ", "Did you mean 'digits'"),
    ],
)
def test_each_mistake_has_its_words(data: dict[str, Any], place: str, words: str) -> None:
    found = problems(data)
    assert any(name.startswith(place) and words in text for name, text in found.items()), found


def test_what_some_arms_have_others_may_lack_but_not_what_is_cut_or_drawn_anew() -> None:
    data = experiment({**LEARN, "frozen": ["output_to_hidden1"]})
    data["arms"]["shallow"] = {"recipe": {"circuit": "mlp", "arguments": ARGUMENTS, "rule": "shallow"}}
    assert problems(data) == {}
    data["phases"][0]["reset"] = [{"projection": "output_to_hidden1"}]
    assert "which 'shallow' does not have" in problems(data)["phases.0.reset.0.projection"]


def test_an_unreadable_phase_hides_none_of_the_others() -> None:
    data = experiment({"name": "both", "epochs": 1, "steps": 1}, {"name": "late", "epochs": 1, "frozen": ["hiden1"]})
    found = problems(data | {"cycles": 2})
    assert "either epochs or steps" in found["phases.0"]
    assert "Did you mean" in found["phases.1.frozen.0"]
    assert len(found) == 2


def test_the_phases_of_an_arm_are_checked_against_that_arm() -> None:
    data = experiment()
    data["arms"]["arm"]["phases"] = [{**LEARN, "frozen": ["nobody"]}]
    assert list(problems(data)) == ["arms.arm.phases.0.frozen.0"]


WRONG: list[Callable[[], Any]] = [
    lambda: Phase(name="a"),
    lambda: Phase(name="a", epochs=1, steps=1),
    lambda: Phase(name="A b", steps=1),
    lambda: Phase(name="a", steps=-1),
    lambda: Phase(name="a", epochs=1, drive=Noise()),
    lambda: Phase(name="a", steps=1, drive=Noise(), classes=(1,)),
    lambda: Phase(name="a", steps=1, plasticity={"x": {"kind": "nothing"}}),
    lambda: Lesion(population="a", projection="b", share=0.5),
    lambda: Lesion(population="a"),
    lambda: Lesion(population="a", share=0),
    lambda: Lesion(population="a", edges=((0, 1),)),
    lambda: Lesion(projection="a", indices=(1,)),
    lambda: Reset(),
    lambda: Rewire(projection="a", how="somehow"),
    lambda: Noise(std=0),
    lambda: Noise(populations=()),
]


@pytest.mark.parametrize("make", WRONG)
def test_values_that_mean_nothing_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ExperimentError):
        make()


JUNK = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5) | st.floats(allow_nan=False)
FIELDS = st.sampled_from([*Phase.model_fields, "extra"])
ANYTHING = st.recursive(JUNK, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(FIELDS, ANYTHING, max_size=5) | ANYTHING, max_size=3) | ANYTHING)
def test_malformed_phases_end_in_problems_never_in_a_traceback(phases: Any) -> None:
    found, wrong = check_experiment_data({**experiment(), "phases": phases})
    assert (found is None) == bool(wrong)
    for entry in phases if isinstance(phases, list) else []:
        if isinstance(entry, dict):
            with contextlib.suppress(NeurosalError):
                phase = Phase.from_dict(entry)
                assert Phase.from_dict(phase.to_dict()) == phase
