"""How well each arm does: the final table, results with their seeds, and learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy

from neurosal.analysis.learning_curves import MEASURES, PARTS, learning_curves
from neurosal.analysis.reporting.charts import Axis, Chart, Lines, Point, Points
from neurosal.analysis.reporting.gathering import Course, Recorded, gather, horizontal, line
from neurosal.analysis.reporting.markup import Markup, table, tag
from neurosal.analysis.reporting.section import Figures, Section
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.tables import number
from neurosal.errors import ExperimentError
from neurosal.record import schema

TRAINING_POINTS = 120  # losses of single batches jump: their means over stretches are what can be read
WIDE = 30  # largest over smallest value from which an axis is logarithmic


def results(study: Study) -> Section | None:
    """The final table, and each result with its seeds."""
    try:
        final = learning_curves.table(learning_curves.compute(study.records)) if study.records else None
    except ExperimentError:  # evaluated nowhere: what learns without an error has no such results
        return None
    if final is None:
        return None
    body: list[Markup | Figures] = [
        table(
            final.columns,
            final.rows,
            numbers=[place for place, column in enumerate(final.columns) if column in final.numbers],
            caption=final.title,
            label="final results",
        )
    ]
    body += [tag("p", remark, class_="note") for remark in final.remarks]
    charts = list(_final(study))
    if charts:
        body.append(Figures(charts))
    return Section(name="results", title="Results", body=body)


def _final(study: Study) -> Iterator[Chart]:
    for part in ("test", "validation"):
        found = gather(study.shown, schema.EVALUATION, f"{part}_accuracy", scale=100)
        if found is None:
            continue
        points = [point for course in found.courses if (point := _point(course)) is not None]
        seeds = max(len(point.seeds) for point in points)
        best = max(points, key=lambda point: point.mean)
        yield Points(
            name=f"final-{part}-accuracy",
            title=f"{part.capitalize()} accuracy at the end",
            x=Axis(label=f"{part} accuracy (%)"),
            points=points,
            alternative=f"{part} accuracy of {len(points)} arms; the highest is {best.name} with {best.mean:.1f} %.",
            note=f"Dots: seeds ({seeds}). Bar: mean ± 1 sd." if seeds > 1 else "One seed.",
        )


def _point(course: Course) -> Point | None:
    last = course.last
    if last is None:
        return None
    mean, deviation = float(course.mean[last]), float(numpy.nan_to_num(course.deviation[last]))
    return Point(
        arm=course.place, name=course.arm, mean=mean, low=mean - deviation, high=mean + deviation, seeds=course.seeds,
        values=course.each[:, last],
    )  # fmt: skip


def curves(study: Study) -> Section | None:
    """Accuracy and loss on each part of the data, and the loss of training's batches."""
    charts = []
    rows: list[tuple[str, ...]] = []
    for measure in MEASURES:
        for part in PARTS:
            scale = 100 if measure == "accuracy" else 1
            found = gather(study.shown, schema.EVALUATION, f"{part}_{measure}", scale=scale)
            if found is not None:
                unit = " (%)" if measure == "accuracy" else ""
                charts.append(curve_chart(found, f"{part.capitalize()} {measure}", f"{measure}{unit}", levels=()))
                rows += _rows(found, f"{part} {measure}{unit}")
    found = gather(study.shown, schema.TRAIN, schema.LOSS, most=TRAINING_POINTS)
    if found is not None:
        charts.append(curve_chart(found, "Training loss of the batch", "loss"))
        rows += _rows(found, "training loss of the batch")
    if not charts:
        return None
    beside = table(
        ("what", "arm", "start", "end", "lowest", "highest"), rows, numbers=(2, 3, 4, 5), label="learning curves"
    )
    return Section(
        name="curves", title="Learning curves", body=[Figures(charts, ("The same in numbers", beside))],
        lead="Mean over seeds; the band is ± 1 standard deviation.",
    )  # fmt: skip


def _rows(found: Recorded, what: str) -> Iterator[tuple[str, ...]]:
    for course in found.courses:
        known = course.mean[numpy.isfinite(course.mean)]
        if known.size:
            label = f"{what}, {course.entry}" if course.entry else what
            values = (known[0], known[-1], known.min(), known.max())
            yield (label, course.arm, *(number(float(value)) for value in values))


def rows_of(found: Recorded, what: str) -> list[tuple[str, ...]]:
    """What of each course a table beside a chart says: start, end, lowest and highest."""
    return list(_rows(found, what))


def curve_chart(
    found: Recorded,
    title: str,
    label: str,
    *,
    entry: str | None = None,
    levels: Sequence[tuple[float, str]] = (),
    chance: tuple[float, float] | None = None,
    name: str = "",
) -> Lines:
    """Courses as lines.

    Args:
        found: what was recorded.
        title, label: of the chart and of its vertical axis.
        entry: show this one only.
        levels, chance: drawn across.
        name: of the chart; made of the variable's by default.
    """
    courses = list(found.courses) if entry is None else found.of(entry)
    x = horizontal([found])
    values = numpy.concatenate([course.mean[numpy.isfinite(course.mean)] for course in courses])
    wide = bool(values.size and values.min() > 0 and values.max() > WIDE * values.min())
    ends = [(course.arm, float(course.mean[last])) for course in courses if (last := course.last) is not None]
    said = "; ".join(f"{arm} ends at {number(end)}" for arm, end in ends[:6])
    return Lines(
        name=name or f"curve-{found.variable}".replace("_", "-"),
        title=title,
        x=x,
        y=Axis(label=label, logarithmic=wide),
        lines=[line(course, x) for course in courses],
        levels=levels,
        chance=chance,
        alternative=f"{title} over {x.label}s for {len(courses)} arms: {said}{' and others' if len(ends) > 6 else ''}.",
        note=decimation(found),
    )


def decimation(found: Recorded) -> str:
    """Says where a point stands for several records."""
    return f"Decimated: a point is the mean of up to {found.shared:,} records." if found.shared > 1 else ""
