"""The contract of every statistic in the registry; a new one is tested by being there."""

from __future__ import annotations

import inspect
from typing import Any

import numpy
import pytest
import xarray

from neurosal import stats
from neurosal.errors import ExperimentError
from neurosal.stats.catalogue import COSTS, SOURCES, Statistic, statistic
from tests.cli.invoking import invoke
from tests.stats.making import CASES, labelled, plain

ALL = [pytest.param(entry, id=name) for name, entry in stats.catalogue().items()]


def parts(found: Any) -> list[numpy.ndarray[Any, Any]]:
    """Results of an array form, or the values of a labelled one."""
    if isinstance(found, xarray.Dataset):
        return [found[name].values for name in found.data_vars]
    found = found if isinstance(found, tuple) else (found,)
    return [numpy.asarray(part.values if isinstance(part, xarray.DataArray) else part, float) for part in found]


@pytest.mark.parametrize("entry", ALL)
def test_a_statistic_says_what_it_is(entry: Statistic) -> None:
    assert entry.title
    assert not entry.title.endswith(".")
    assert entry.formula
    assert entry.null
    assert entry.units
    assert entry.reference
    assert entry.of in SOURCES
    assert entry.cost in COSTS
    assert entry.range[0] < entry.range[1]
    assert entry.labelled is getattr(stats, entry.name)
    assert entry.name in stats.__all__
    text = " ".join((inspect.getdoc(entry.labelled) or "").split())
    assert "``" in text, "no formula"
    for word in ("Range", "Cost:", "Reference:"):
        assert word in text, word
    assert any(word in text.lower() for word in ("chance", "null", "seeds")), "no null or chance level"
    assert "see `neurosal.stats" in (inspect.getdoc(entry.array) or "").replace("\n", " ")


@pytest.mark.parametrize("sizes", CASES, ids=("areas", "wide"))
@pytest.mark.parametrize("entry", ALL)
def test_array_and_labelled_form_agree(entry: Statistic, sizes: dict[str, int]) -> None:
    arrays = entry.measure(*plain(entry.of, sizes))
    given = labelled(entry.of, sizes)
    if entry.labels is None:  # dimensions are found by name
        given = [array.transpose(*array.dims[::-1]) for array in given]
    lifted = entry.lifted(*given)
    if entry.per:
        lifted = lifted.transpose("replica", *entry.per)
    for one, other in zip(parts(arrays), parts(lifted), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    if entry.results:
        assert list(lifted) == list(entry.results)
    else:
        assert lifted.dims == (() if entry.of == "replicas" else ("replica",)) + entry.per
        assert lifted.name == entry.name
        assert lifted.attrs.get("units", "1") == entry.units


@pytest.mark.parametrize("sizes", CASES, ids=("areas", "wide"))
@pytest.mark.parametrize("entry", ALL)
def test_numpy_and_torch_agree_and_compute_in_float64(entry: Statistic, sizes: dict[str, int]) -> None:
    torch = pytest.importorskip("torch")
    arrays = [array.astype(numpy.float32) if array.dtype == float else array for array in plain(entry.of, sizes)]
    with torch.no_grad():
        tensors = entry.measure(*(torch.from_numpy(array) for array in arrays))
    for one, other in zip(parts(entry.measure(*arrays)), parts(tensors), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
    wide = entry.measure(*(array.astype(float) if array.dtype == numpy.float32 else array for array in arrays))
    for one, other in zip(parts(entry.measure(*arrays)), parts(wide), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("entry", ALL)
def test_values_lie_in_the_range(entry: Statistic, seed: int) -> None:
    for found in parts(entry.measure(*plain(entry.of, CASES[0], seed))):
        low, high = entry.range
        assert ((found >= low - 1e-12) & (found <= high + 1e-12) | numpy.isnan(found)).all()
        assert numpy.isfinite(found).any()


@pytest.mark.parametrize("entry", ALL)
def test_each_replica_is_computed_as_if_it_were_alone(entry: Statistic) -> None:
    if entry.of == "replicas":
        return
    arrays = plain(entry.of, CASES[0])
    together = parts(entry.measure(*arrays))
    for replica in range(CASES[0]["replica"]):
        alone = parts(entry.measure(*(array[replica : replica + 1] for array in arrays)))
        for one, other in zip(together, alone, strict=True):
            numpy.testing.assert_allclose(one[replica : replica + 1], other, rtol=1e-12, atol=1e-12)


def test_names_are_found_and_near_ones_told() -> None:
    assert stats.find("angle").labelled is stats.angle
    with pytest.raises(ExperimentError, match="Did you mean 'norm_ratio'"):
        stats.find("norm_ratoi")
    with pytest.raises(ExperimentError, match="Did you mean 'symmetry'"):
        stats.catalogue("symetry")
    assert set(stats.catalogue("symmetry")) < set(stats.catalogue())


def test_the_command_line_lists_every_family_and_name() -> None:
    output = invoke("list", "statistics")[0]
    for entry in stats.catalogue().values():
        assert f"statistics: {entry.family} " in output
        assert f"\n{entry.name} " in output
    assert "Σ_j a[j, j]" in output


def test_a_statistic_cannot_be_registered_twice() -> None:
    def angle() -> None:
        """..."""

    again = statistic(of="pair", array=stats.base.angle, title="t", formula="f", range=(0, 1), null="n")
    with pytest.raises(AssertionError, match="second statistic"):
        again(angle)
