"""Statistics of labelled arrays: dimensions are matched by name, and what does not fit is told in one message."""

from __future__ import annotations

import math

import numpy
import pytest
import xarray

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base


def labelled(*dims: str, seed: int = 0, **sizes: int) -> xarray.DataArray:
    lengths = {"replica": 2, "area": 3, "hidden1": 5, "output": 4, "relay": 6, "hidden1_pre": 5} | sizes
    values = numpy.random.default_rng(seed).standard_normal([lengths[dim] for dim in dims])
    return xarray.DataArray(values, dims=dims)


def test_forward_and_feedback_weights_are_matched_by_name_and_other_dimensions_are_kept() -> None:
    w, b = labelled("replica", "area", "output", "hidden1"), labelled("replica", "area", "hidden1", "output", seed=1)
    for function in (stats.angle, stats.norm_ratio, stats.sign_concordance):
        found = function(w, b, dim=("hidden1", "output"))
        assert found.dims == ("replica", "area")
        expected = getattr(base, function.__name__)(w.values, b.values.swapaxes(-2, -1), axis=(-2, -1))
        numpy.testing.assert_allclose(found, expected)
        assert found.name == function.__name__
        assert "units" in found.attrs


def test_a_square_pair_cannot_be_compared_the_wrong_way_round() -> None:
    w = labelled("output", "hidden1", output=5)
    b = xarray.DataArray(w.values.T, dims=("hidden1", "output"))
    assert stats.angle(w, b, dim=("hidden1", "output")) == 0
    assert stats.angle(w, b, dim=("output", "hidden1")) == 0
    assert stats.angle(w, b.transpose("output", "hidden1"), dim=("hidden1", "output")) == 0


def test_one_dimension_gives_one_angle_for_each_unit_of_the_other() -> None:
    w, b = labelled("output", "hidden1"), labelled("hidden1", "output", seed=1)
    assert stats.angle(w, b, dim="hidden1").dims == ("output",)


def test_snapshots_broadcast_against_a_single_array() -> None:
    w, b = labelled("snapshot", "output", "hidden1", snapshot=7), labelled("hidden1", "output", seed=1)
    assert stats.angle(w, b, dim=("hidden1", "output")).sizes == {"snapshot": 7}


def test_every_missing_dimension_is_told_at_once_with_near_names() -> None:
    w, b = labelled("output", "hidden1"), labelled("hidden1", "output").rename(hidden1="hiden1", output="outptu")
    with pytest.raises(NeurosalError) as caught:
        stats.angle(w, b, dim=("hidden1", "output"))
    assert len(caught.value.problems) == 2
    assert all("argument 2" in problem.place for problem in caught.value.problems)
    assert "Did you mean 'hiden1'?" in str(caught.value)
    assert "Did you mean 'outptu'?" in str(caught.value)


def test_plain_arrays_are_sent_to_the_functions_that_take_them() -> None:
    with pytest.raises(
        NeurosalError, match=r"expected an xarray.DataArray, found ndarray.*neurosal.stats.base.angle"
    ) as caught:
        stats.angle(numpy.ones(3), numpy.ones(3), dim="hidden1")
    assert len(caught.value.problems) == 2


def test_lengths_and_labels_that_disagree_are_refused() -> None:
    w, b = labelled("output", "hidden1"), labelled("hidden1", "output", hidden1=4)
    with pytest.raises(NeurosalError, match="same lengths and labels"):
        stats.angle(w, b, dim=("hidden1", "output"))
    one = labelled("replica", "hidden1").assign_coords(replica=[0, 1])
    other = labelled("replica", "hidden1").assign_coords(replica=[1, 2])
    with pytest.raises(NeurosalError, match="same lengths and labels"):
        stats.angle(one, other, dim="hidden1")


def test_no_dimension_at_all_is_refused() -> None:
    with pytest.raises(NeurosalError, match="at least one dimension"):
        stats.angle(labelled("hidden1"), labelled("hidden1"), dim=())


def test_path_follows_the_names_and_keeps_replicas_and_areas() -> None:
    to_relay, from_relay = (
        labelled("replica", "relay", "output"),
        labelled("replica", "area", "hidden1", "relay", seed=1),
    )
    route = stats.path(to_relay, from_relay)
    assert route.sizes == {"replica": 2, "area": 3, "hidden1": 5, "output": 4}
    expected = numpy.einsum("rkhm,rmo->rkho", from_relay.values, to_relay.values)
    numpy.testing.assert_allclose(route.transpose("replica", "area", "hidden1", "output"), expected)
    assert stats.angle(labelled("output", "hidden1"), route, dim=("hidden1", "output")).sizes == {
        "replica": 2,
        "area": 3,
    }


def test_path_of_one_projection_is_its_weights() -> None:
    w = labelled("replica", "output", "hidden1")
    numpy.testing.assert_array_equal(stats.path(w), w)


def test_a_route_that_comes_back_keeps_both_ends_apart() -> None:
    out, back = labelled("relay", "hidden1"), labelled("hidden1", "relay", seed=1)
    loop = stats.path(out, back)
    assert loop.dims == ("hidden1", "hidden1_pre")
    numpy.testing.assert_allclose(loop, back.values @ out.values)


def test_a_route_goes_through_a_recurrent_projection() -> None:
    recurrent, out = labelled("hidden1", "hidden1_pre"), labelled("output", "hidden1", seed=1)
    numpy.testing.assert_allclose(stats.path(recurrent, out), out.values @ recurrent.values)
    numpy.testing.assert_allclose(stats.path(recurrent, recurrent), recurrent.values @ recurrent.values)


def test_path_refuses_projections_that_do_not_follow_one_another_even_when_their_shapes_fit() -> None:
    first, second = labelled("relay", "output", relay=4), labelled("relay", "output", relay=4)
    with pytest.raises(NeurosalError, match="starts at 'relay'"):
        stats.path(first, second)
    with pytest.raises(NeurosalError, match="at least one"):
        stats.path()
    with pytest.raises(NeurosalError, match="post, pre"):
        stats.path(labelled("relay"))
    with pytest.raises(NeurosalError, match="same lengths and labels"):
        stats.path(labelled("relay", "output"), labelled("hidden1", "relay", relay=7))


def test_usage_of_populations_with_fewer_areas_is_padded_with_nan() -> None:
    usage = xarray.DataArray([[0.5, 0.5, math.nan], [0.98, 0.01, 0.01]], dims=("population", "area"))
    numpy.testing.assert_allclose(stats.usage_entropy(usage)[0], 1)
    assert stats.usage_entropy(usage, relative=False).attrs["units"] == "bit"
    numpy.testing.assert_array_equal(stats.dead_areas(usage), [0, 2])
    with pytest.raises(NeurosalError, match="Did you mean 'area'"):
        stats.dead_areas(usage, dim="aera")


def test_mean_and_deviation_over_replicas_keep_units_and_count_what_was_there() -> None:
    values = xarray.DataArray([[1.0, 2.0], [3.0, math.nan]], dims=("replica", "step"), attrs={"units": "degree"})
    summary = stats.mean_and_deviation(values)
    numpy.testing.assert_allclose(summary["mean"], [2, 2])
    numpy.testing.assert_allclose(summary["deviation"], [math.sqrt(2), math.nan])
    numpy.testing.assert_array_equal(summary["count"], [2, 1])
    assert summary["mean"].attrs["units"] == "degree"
    assert stats.mean_and_deviation(values, dim=("replica", "step"))["count"] == 3


def test_chance_band_narrows_with_the_root_of_the_count_and_takes_labelled_counts() -> None:
    low, high = stats.chance_band(xarray.DataArray([1, 4, 400], dims="pair"))
    numpy.testing.assert_allclose(high, [147.29578, 118.64789, 92.864789])
    numpy.testing.assert_allclose(90 - low, high - 90)
    assert stats.chance_band(100, deviations=2)[1] == pytest.approx(90 + 2 * 5.7295780)
    assert stats.chance_band(1, deviations=10)[0] == 0
