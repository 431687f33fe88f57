"""Names of what is stored: the same for writers and readers, and never two meanings for one."""

from __future__ import annotations

from itertools import pairwise

import pytest

from neurosal.graph import Circuit, Population, Projection, Source
from neurosal.record import schema
from neurosal.settings import probe


@pytest.mark.parametrize(
    ("timing", "name"), [({"every": 10}, "every_10"), ({"epochs": 1}, "epochs_1"), ({"log": 8}, "log_8")]
)
def test_schedules_have_names(timing: dict[str, int], name: str) -> None:
    assert schema.schedule_name(probe("angle", **timing)) == name


def test_weights_carry_the_names_of_their_populations() -> None:
    forward = schema.projection("a_to_b", "every_1", post=("b", 3), pre=("a", 4), areas=2)
    back = schema.projection("b_to_a", "every_1", post=("a", 4), pre=("b", 3), areas=2)
    assert forward.variables["weight"].dims == ("replica", "snapshot", "area", "b", "a")
    assert back.variables["weight"].dims == ("replica", "snapshot", "area", "a", "b")
    assert dict(forward.sizes) == dict(back.sizes) == {"area": 2, "a": 4, "b": 3}


def test_a_recurrent_projection_tells_its_two_ends_apart() -> None:
    group = schema.projection("a_to_a", "every_1", post=("a", 4), pre=("a", 4))
    assert group.variables["weight"].dims[-2:] == ("a", "a_pre")


def test_one_to_one_weights_have_one_entry_a_unit() -> None:
    assert schema.projection("a_to_b", "every_1", post=("b", 3), pre=None).variables["weight"].dims[2:] == ("area", "b")


@pytest.mark.parametrize("name", sorted(schema.RESERVED))
def test_a_population_called_like_something_else_keeps_its_own_dimension(name: str) -> None:
    group = schema.population(name, "every_1", units=5, trials=3, what=("activity", "error", "area"))
    assert group.variables["activity"].dims == ("replica", "sample", "trial", f"{name}_units")
    weights = schema.projection("x", "every_1", post=(name, 5), pre=(name, 5))
    assert len(set(weights.variables["weight"].dims)) == 5


def test_every_name_of_a_dimension_or_coordinate_is_reserved() -> None:
    groups = [
        schema.training_metrics(), schema.symmetry("s", {"p": 1}), schema.credit("s", ["p"]),
        schema.routing("s", {"h": 2}),
        schema.population("h", "s", units=1, trials=1, what=("activity", "error", "area")),
        schema.projection("p", "s", post=("h", 1), pre=("g", 1), what=("weight", "update")),
        schema.spikes("h", 3), schema.spike_windows("h"), schema.traces("h", "s", units=(0,), variables={}),
        schema.synapses("p", "s", post=("h", 1), pre=("g", 1), pairs=([0], [0])),
    ]  # fmt: skip
    used = {name for group in groups for name in (*group.arrays, *group.coords, *group.sizes)} - {"h", "g"}
    assert used <= schema.RESERVED


def test_groups_of_different_things_never_share_a_path() -> None:
    paths = [
        schema.TRAIN, schema.EVALUATION, schema.symmetry("s", {"p": 1}).path, schema.credit("s", ["p"]).path,
        schema.routing("s", {"h": 2}).path, schema.population("h", "s", units=1, trials=1).path,
        schema.projection("h", "s", post=("h", 1), pre=None).path,
        schema.spikes("h", 1).path, schema.spike_windows("h").path,
        schema.traces("h", "s", units=(0,), variables={}).path,
    ]  # fmt: skip
    assert len(set(paths)) == len(paths)
    assert not any(other.startswith(f"{path}/") for path, other in pairwise(sorted(paths)))


def test_the_graph_lists_what_the_circuit_is() -> None:
    circuit = Circuit(
        populations={
            "a": Population(shape=(2, 3), model=Source()),
            "b": Population(size=4, areas=5),
            "c": Population(size=2),
        },
        projections={
            "a_to_b": Projection(source="a", target="b"),
            "b_to_c": Projection(source="b", target="c"),
            "c_to_b": Projection(source="c", target="b", pathway="feedback"),
        },
    )
    columns = schema.graph(circuit.to_dict())
    assert columns["population"] == ["a", "b", "c"]
    assert columns["size"] == [6, 4, 2]
    assert columns["areas"] == [1, 5, 1]
    assert columns["projection"] == ["a_to_b", "b_to_c", "c_to_b"]
    assert columns["source"] == ["a", "b", "c"]
    assert columns["pathway"] == ["feedforward", "feedforward", "feedback"]
    assert columns["pair"] == ["", "c_to_b", "b_to_c"]


def test_events_have_no_replicas_and_carry_no_progress_of_training() -> None:
    events = schema.spikes("cells", 5)
    assert not events.has_replicas
    assert set(events.arrays) == {"time_ms", "unit", "replica_index"}
    assert set(schema.training_metrics().arrays) == {"loss", "step", "epoch"}
    traces = schema.traces("cells", "every_10", units=(1, 4), variables={"v_mv": "potential"})
    assert set(traces.arrays) == {"v_mv", "step", "time_ms"}
    assert traces.coords["cells"].values == (1, 4)


def test_statistics_lie_along_what_they_are_of() -> None:
    attrs = {"drift": {"long_name": "drift", "units": "1"}}
    one = schema.plasticity("every_1", ["a_to_b"], attrs)
    other = schema.population_statistics("every_1", ["a", "b"], attrs)
    assert (one.path, other.path) == ("stats/plasticity/every_1", "stats/population/every_1")
    assert one.variables["drift"].dims == ("replica", "sample", "projection")
    assert other.variables["drift"].dims == ("replica", "sample", "population")
    assert dict(one.variables["drift"].attrs) == attrs["drift"]
    assert other.coords["population"].values == ("a", "b")
    assert list(schema.symmetry("every_1", {"a_to_b": 12}, attrs).variables) == ["drift"]
    assert list(schema.credit("every_1", ["a_to_b"], angles=False, statistics=attrs).variables) == ["drift"]


def test_units_of_a_population_called_like_a_statistic_keep_a_dimension_of_their_own() -> None:
    attrs = {name: {"long_name": name, "units": "1"} for name in ("unit_angle", "principal_angles")}
    dims = {"unit_angle": ("unit_angle", 5), "principal_angles": ("direction", 3)}
    group = schema.unit_statistics("a_to_b", "every_1", attrs, dims)
    assert group.path == "stats/units/a_to_b/every_1"
    assert group.variables["unit_angle"].dims == ("replica", "sample", "unit_angle_units")
    assert dict(group.sizes) == {"unit_angle_units": 5, "direction": 3}
    assert schema.units_dimension("direction") == "direction_units"
