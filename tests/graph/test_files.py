"""YAML files: what is written reads back equal, scalars are those of YAML 1.2, and every field knows its line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal.errors import CircuitError, ExperimentError
from neurosal.graph import Circuit, Population, Projection, Source, XavierUniform
from neurosal.graph.files import MAX_BYTES, load_value, read_yaml, to_yaml
from neurosal.settings import SGD, Adam, Cosine, Experiment, Training, probe
from tests.properties.graphs import forward_circuits

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=()))
    | st.sampled_from(
        ["no", "yes", "null", "~", "true", "1e4", "0x1f", ".5", "", " ", "a: b", "- a", "#", "1_000", "=", "<<"]
    )
)
KEYS = st.text(alphabet=st.characters(exclude_categories=()), max_size=8)
DATA = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
    ),
)


def same(first: Any, second: Any) -> bool:
    """Equal, and of equal types: 1, 1.0 and True are three things."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, float):
        return first == second and math.copysign(1, first) == math.copysign(1, second)
    return bool(first == second)


@settings(max_examples=300, deadline=None)
@given(DATA)
def test_what_is_written_reads_back_equal_with_equal_types(data: dict[str, Any]) -> None:
    assert same(read_yaml(to_yaml(data)).data, data)


@settings(max_examples=60, deadline=None)
@given(forward_circuits())
def test_circuits_travel_through_dict_yaml_and_networkx_unchanged(circuit: Circuit) -> None:
    assert Circuit.from_dict(circuit.to_dict()) == circuit
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    again = Circuit.from_networkx(circuit.to_networkx())
    assert again.populations == circuit.populations
    assert again.projections == circuit.projections  # a graph groups edges by their ends, so their order may differ


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Training,
        epochs=st.integers(1, 10**6),
        optimizer=st.sampled_from([SGD(lr=0.1, momentum=0.9), SGD(lr=(0.1, 0.2)), Adam(schedule=Cosine(floor=0.1))]),
        checkpoint_every=st.none() | st.integers(1, 9),
        record=st.lists(st.sampled_from([probe("weight", "a", every=3), probe("angle", log=4)])).map(tuple),
        dtype=st.sampled_from(["float32", "float64"]),
    )
)
def test_training_travels_through_yaml_unchanged(training: Training) -> None:
    assert Training.from_yaml(training.to_yaml()) == training


def test_a_field_that_is_none_against_its_default_survives() -> None:
    assert Training.from_dict(Training(checkpoint_every=None).to_dict()).checkpoint_every is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("1e4", 1e4), ("+.5", 0.5), ("5.", 5.0), ("0o17", 15), ("0x1F", 31), ("010", 10), ("-3", -3),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("1_000", "1_000"), ("1:30", "1:30"), ("2001-01-01", "2001-01-01"),
        ("true", True), ("True", True), ("null", None), ("~", None), ("", None), ("'1'", "1"), ('"null"', "null"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert same(read_yaml(f"a: {text}\n").data["a"], value)


def test_every_field_knows_its_line() -> None:
    text = (
        "name: a\npopulations:\n  input:\n    size: 3\n    model: {kind: source,\n      x: 1}\nlist:\n  - 1\n  - b: 2\n"
    )
    marks = read_yaml(text).marks
    lines = {"name": 1, "populations": 2, "populations.input.size": 4, "populations.input.model.x": 6, "list.1.b": 9}
    assert {path: marks[path] for path in lines} == lines


def test_problems_of_a_file_stand_in_the_order_of_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "circuit.yaml"
    file.write_text("projections: {a: {source: 3}}\npopulations:\n  input: {size: 0}\n", encoding="utf-8")
    with pytest.raises(CircuitError) as caught:
        load_value(Circuit, file)
    places = [problem.place for problem in caught.value.problems]
    assert places == [
        f"{file}:1: projections.a.source",
        f"{file}:1: projections.a.target",
        f"{file}:3: populations.input.size",
    ]


def test_the_error_is_of_the_family_of_the_value() -> None:
    with pytest.raises(ExperimentError):
        Experiment.from_yaml("name: [\n")


@pytest.mark.parametrize(
    ("field", "value"), [("size: '4'", "a number"), ("size: true", "a number"), ("size: 4, areas: '1'", "a number")]
)
def test_text_and_truth_values_are_not_taken_for_numbers(field: str, value: str) -> None:
    with pytest.raises(CircuitError, match=f"expected {value}"):
        Circuit.from_yaml(f"populations: {{input: {{{field}}}}}\n")


def test_numbers_that_are_not_finite_are_refused_when_written() -> None:
    with pytest.raises(CircuitError, match=r"a\.b"):
        to_yaml({"a": {"b": math.nan}})


def test_a_missing_file_is_reported_with_near_names(tmp_path: Path) -> None:
    (tmp_path / "circuit.yaml").write_text("name: a\n", encoding="utf-8")
    with pytest.raises(CircuitError, match=r"Did you mean 'circuit\.yaml'"):
        read_yaml(tmp_path / "circiut.yaml")
    with pytest.raises(CircuitError, match="directory"):
        read_yaml(tmp_path)


def test_a_file_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    line = "#" * 1023 + "\n"
    file.write_text(line * (MAX_BYTES // 1024 - 1) + "a: 1" + " " * 1019 + "\n", encoding="utf-8")
    assert file.stat().st_size == MAX_BYTES
    assert read_yaml(file).data == {"a": 1}
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(CircuitError, match="1 MiB"):
        read_yaml(file)


def test_a_circuit_is_written_one_population_a_line() -> None:
    circuit = Circuit(
        populations={"input": Population(size=2, model=Source()), "output": Population(size=1)},
        projections={"input_to_output": Projection(source="input", target="output")},
    )
    assert "  input: {size: 2, model: {kind: source}, areas: 1}" in circuit.to_yaml().splitlines()
    assert repr(XavierUniform().gain) in circuit.to_yaml()


def test_alternatives_of_a_field_are_one_problem() -> None:
    with pytest.raises(ExperimentError) as caught:
        Training.from_dict({"optimizer": {"kind": "sgd", "lr": "fast", "momentum": [0.1, "slow"]}})
    problems = {problem.place: problem.expected for problem in caught.value.problems}
    assert problems == {"optimizer.lr": "a number or a list", "optimizer.momentum.1": "a number"}


def test_a_population_may_be_called_like_a_type() -> None:
    with pytest.raises(CircuitError) as caught:
        Circuit.from_dict({"populations": {"float": {"size": 0}, "list": {"size": 0}}})
    assert [problem.place for problem in caught.value.problems] == ["populations.float.size", "populations.list.size"]
