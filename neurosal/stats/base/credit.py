"""What a change is worth, and whether the changes for different classes get in each other's way, of plain arrays; see
`neurosal.stats.credit`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.activity import over, rows, scaled
from neurosal.stats.base.arrays import Axis, namespace, wide
from neurosal.stats.base.groups import members
from neurosal.stats.base.symmetry import angle

RELATIONS = ("whole", "within", "across")


def update_angle(update: Any, reference: Any, *, axis: Axis) -> Any:
    """The angle between a change and that of backpropagation; see `neurosal.stats.update_angle`."""
    return angle(update, reference, axis=axis)


def realised_decrease(gradient: Any, step: Any, before: Any, after: Any, *, axis: Axis) -> Any:
    """``before − after``; see `neurosal.stats.realised_decrease`."""
    return wide(before) - wide(after)


def predicted_decrease(gradient: Any, step: Any, before: Any, after: Any, *, axis: Axis) -> Any:
    """``−⟨g, step⟩`` over `axis`; see `neurosal.stats.predicted_decrease`."""
    return -(wide(gradient) * wide(step)).sum(axis)


def decrease_ratio(gradient: Any, step: Any, before: Any, after: Any, *, axis: Axis) -> Any:
    """``(before − after) / −⟨g, step⟩``; see `neurosal.stats.decrease_ratio`."""
    predicted = predicted_decrease(gradient, step, before, after, axis=axis)
    return over(realised_decrease(gradient, step, before, after, axis=axis), predicted)


def gradient_products(error: Any, activity: Any) -> Any:
    """Inner products of the changes of single samples, [..., sample, sample]; see
    `neurosal.stats.gradient_products`."""
    error, activity = wide(error), wide(activity)
    return (error @ error.mT) * (activity @ activity.mT)


def interference(error: Any, activity: Any, label: Any, area: Any) -> Any:
    """Mean cosine of the changes of different classes; see `neurosal.stats.interference`."""
    return class_cosine(_products(error, activity), label, area)


def absolute_interference(error: Any, activity: Any, label: Any, area: Any) -> Any:
    """Mean size of that cosine; see `neurosal.stats.absolute_interference`."""
    return class_cosine(_products(error, activity), label, area, absolute=True)


def interference_within(error: Any, activity: Any, label: Any, area: Any) -> Any:
    """Mean cosine between classes in the same area; see `neurosal.stats.interference_within`."""
    return class_cosine(_products(error, activity), label, area, relation="within")


def interference_across(error: Any, activity: Any, label: Any, area: Any) -> Any:
    """Mean cosine between classes in different areas; see `neurosal.stats.interference_across`."""
    return class_cosine(_products(error, activity), label, area, relation="across")


def _products(error: Any, activity: Any) -> Any:
    return gradient_products(*(scaled(rows(one)[0]) for one in (error, activity)))


def class_cosine(
    products: Any, label: Any, area: Any = None, *, relation: str = "whole", absolute: bool = False
) -> Any:
    """Mean cosine between the sums over classes of vectors whose inner products are given; see
    `neurosal.stats.class_cosine`."""
    if relation not in RELATIONS or (relation != "whole" and area is None):
        raise ValueError(f"relation is one of {', '.join(RELATIONS)}, all but the first with area; not {relation!r}")
    products = wide(products)
    functions = namespace(products)
    classes = members(label, products)
    areas = classes[..., :1] * 0 + 1 if area is None else members(area, products)
    count = areas.shape[-1]
    cells = (classes[..., :, None] * areas[..., None, :]).reshape((*_shape(classes, areas), -1))
    sums = cells.mT @ products @ cells
    cell = functions.arange(cells.shape[-1], device=products.device)
    cell_class, cell_area = cell // count, cell % count
    same = cell_area[:, None] == cell_area
    if relation == "whole":
        # What two areas ask for lies in different weights, and has no product.
        sums = sums * wide(same)
        together = wide(cell_class[:, None] == functions.arange(classes.shape[-1], device=products.device))
        sums = together.mT @ sums @ together
        cell_class = functions.arange(classes.shape[-1], device=products.device)
    pairs = cell_class[:, None] != cell_class
    if relation != "whole":
        pairs = pairs & (same if relation == "within" else ~same)
    return _mean_cosine(sums, pairs, absolute)


def _shape(classes: Any, areas: Any) -> tuple[int, ...]:
    """Shape of both before the groups."""
    return tuple((classes[..., :1] * areas[..., :1]).shape[:-1])


def _mean_cosine(sums: Any, pairs: Any, absolute: bool) -> Any:
    """Mean over `pairs` of the cosines that inner products give, without vectors that are zero."""
    functions = namespace(sums)
    square = functions.diagonal(sums, 0, -2, -1)
    # Of a vector that cancels, rounding leaves something; nothing is asked for there either.
    size = functions.amax(functions.abs(square), -1)[..., None]
    length = (
        functions.where(square > 1e-24 * size, square, functions.where(functions.isnan(square), square, 0.0)) ** 0.5
    )
    some = length != 0
    counted = pairs & some[..., :, None] & some[..., None, :]
    below = functions.where(counted, length[..., :, None] * length[..., None, :], 1.0)
    cosine = functions.where(counted, sums / below, 0.0)
    cosine = functions.abs(cosine) if absolute else cosine
    return over(cosine.sum((-2, -1)), wide(counted).sum((-2, -1)))
