"""Statistics over training: lines with their chance level, and heatmaps of all projections against steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy

from neurosal.analysis.reporting.charts import Axis, Chart, Heatmap
from neurosal.analysis.reporting.gathering import Course, Recorded, gather, horizontal, over
from neurosal.analysis.reporting.markup import Markup, table, tag
from neurosal.analysis.reporting.results import curve_chart, rows_of
from neurosal.analysis.reporting.section import NUMBERS, Figures, Section, details
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.tables import listed
from neurosal.record import schema
from neurosal.stats import Statistic, catalogue, chance_band

PANELS = 4  # entries that lines are drawn of; a heatmap shows all
COLUMNS = 100  # of a heatmap
ROWS = 40  # of a heatmap; more are split by arm
EXACT = 0.01  # degrees; an update angle below it is rounding

AGREE = (
    "Do changes and errors agree with those of backpropagation on the same state and batch? "
    "Where samples take time, it is that through time."
)
TITLES = {
    schema.SYMMETRY: ("Symmetry", "Do feedback paths come to agree with forward weights? 0°: transposed up to scale."),
    schema.CREDIT: ("Credit", AGREE),
    "stats/plasticity": ("Weights over time", "What learning does to each projection's weights."),
    schema.FIRING_STATS: ("Firing", "How populations fired, from the beginning up to each moment."),
    "stats/population": ("Populations over time", "What each population's activity is like."),
}  # fmt: skip
NAMES = {
    schema.ANGLE: "Weight angle", schema.NORM_RATIO: "Norm ratio, feedback over forward",
    schema.UPDATE_ANGLE: "Update angle to BP", schema.ERROR_ANGLE: "Error angle to BP",
}  # fmt: skip
UNITS = {"degree": "°", "1": "", "": ""}
NINETY = frozenset({schema.ANGLE, schema.UPDATE_ANGLE, schema.ERROR_ANGLE, "centred_angle", "error_angle"})


def statistics(study: Study) -> Iterator[Section]:
    """A section for each topic that has statistics of one number an entry; routing has one of its own."""
    topics = dict.fromkeys(
        (*TITLES, *(topic for record in study.records for topic in record.topics(schema.STATISTICS)))
    )
    for topic in topics:
        if topic != schema.ROUTING and (section := _section(study, topic)) is not None:
            yield section


def _section(study: Study, topic: str) -> Section | None:
    variables = dict.fromkeys(
        str(name) for record in study.records for _, dataset in record.schedules(topic) for name in dataset
    )
    found = [one for name in variables if (one := gather(study, topic, name)) is not None]
    if not found:
        return None
    body: list[Markup | Figures] = []
    rows: list[tuple[str, ...]] = []
    for one in found:
        rows += rows_of(one, title_of(one))
        differing, remark = _differing(one)
        if remark:
            body.append(tag("p", remark, class_="note"))
        if any(len(course.mean) > 1 for course in differing.courses):  # one moment is in the table
            body.append(Figures([*_lines(study, differing), *_maps(differing)]))
    columns = ("what", "arm", "start", "end", "lowest", "highest")
    body.append(details(NUMBERS, table(columns, rows, numbers=(2, 3, 4, 5), label=topic)))
    if told := [known for one in found if (known := known_statistics().get(one.variable)) is not None]:
        body.append(details("What these are", _formulas(told)))
    title, lead = TITLES.get(topic, (topic.rpartition("/")[2].replace("_", " ").capitalize(), ""))
    return Section(name=topic.rpartition("/")[2], title=title, body=body, lead=lead)


def known_statistics() -> dict[str, Statistic]:
    """The registry of statistics, by name."""
    return catalogue()


def _formulas(known: Sequence[Statistic]) -> Markup:
    rows = [(one.title, one.formula, one.null, one.reference) for one in known]
    return table(("statistic", "formula", "chance or null", "reference"), rows, label="formulas")


def title_of(found: Recorded) -> str:
    """What a statistic is called above its chart."""
    known = known_statistics().get(found.variable)
    title = NAMES.get(found.variable) or (known.title if known is not None else "")
    title = title or str(found.attributes.get("long_name") or found.variable.replace("_", " "))
    return title[:1].upper() + title[1:]


def label_of(found: Recorded) -> str:
    """Of an axis, with its unit."""
    unit = str(found.attributes.get("units") or "")
    unit = UNITS.get(unit, unit)
    said = found.variable.removesuffix(f"_{unit.lower()}").replace("_", " ")  # rate_hz has it in its name
    return said + (f" ({unit})" if unit else "")


def _differing(found: Recorded) -> tuple[Recorded, str]:
    """Without the entries that are 0° in all arms, and what is left out: what changes exactly as backpropagation does
    needs no chart."""
    if found.variable not in (schema.UPDATE_ANGLE, schema.ERROR_ANGLE):
        return found, ""
    exact = [entry for entry in found.entries if all(float(numpy.nanmax(c.mean)) < EXACT for c in found.of(entry))]
    kept = tuple(course for course in found.courses if course.entry not in exact)
    return replace(
        found, courses=kept
    ), f"{title_of(found)} 0° in all arms, not drawn: {listed(exact)}." if exact else ""


def _lines(study: Study, found: Recorded) -> list[Chart]:
    """A chart an entry; of many entries some that lie evenly spaced."""
    entries = found.entries
    remark = ""
    if len(entries) > PANELS:
        chosen = numpy.linspace(0, len(entries) - 1, PANELS).round().astype(int)
        remark = f"{PANELS} of {len(entries)} {found.dimension}s are shown as lines."
        entries = [entries[place] for place in chosen]
    charts: list[Chart] = []
    for entry in entries:
        band = _chance(study, found, entry)
        charts.append(
            curve_chart(
                found,
                f"{title_of(found)} · {entry}" if entry else title_of(found),
                label_of(found),
                entry=entry,
                chance=band,
                levels=[(90.0, "chance")] if found.variable in NINETY and band is None else (),
                name=_name("line", found, entry),
                remark=" ".join(
                    ["Grey: chance, 90° ± 57.3°/√n for n weights."] * (band is not None) + [remark]
                ).strip(),
            )
        )
    return charts


def _name(kind: str, found: Recorded, *parts: object) -> str:
    words = "-".join(str(part) for part in (kind, found.topic.rpartition("/")[2], found.variable, *parts) if part != "")
    return words.replace("_", "-").replace(" ", "-")


def _chance(study: Study, found: Recorded, entry: str) -> tuple[float, float] | None:
    """Of random weights, for the fewest weights that an arm compares there: the widest band."""
    if found.variable != schema.ANGLE or found.topic != schema.SYMMETRY:
        return None
    counts = []
    for one in study.shown:
        array = one.arm.finest(schema.SYMMETRY, schema.ANGLE)
        if array is not None and schema.PAIR_WEIGHTS in array.coords:
            weights = zip(array[schema.PAIR].values.tolist(), array[schema.PAIR_WEIGHTS].values.tolist(), strict=True)
            counts += [count for pair, count in weights if pair == entry]
    if not counts:
        return None
    low, high = chance_band(min(counts))
    return float(low), float(high)


# Heatmaps ------------------------------------------------------------------------------------------------------------


def _maps(found: Recorded) -> Iterator[Chart]:
    """Arms and entries as rows, points of time as columns: one map, or one an arm where there are many rows."""
    if max(len(course.steps) for course in found.courses) < 3:
        return
    entries = [entry for entry in found.entries if entry]
    if len(found.courses) < 2:
        return
    if len(found.courses) <= ROWS:
        several = len({course.place for course in found.courses}) > 1
        yield _map(found, found.courses, "", both=several and len(entries) > 1, arms=several)
        return
    for place in dict.fromkeys(course.place for course in found.courses):
        mine = [course for course in found.courses if course.place == place]
        yield _map(found, mine, mine[0].arm, both=False, arms=False)


def _map(found: Recorded, courses: Sequence[Course], arm: str, *, both: bool, arms: bool) -> Heatmap:
    x = horizontal([found])
    along = [course.along(x) for course in courses]
    columns = numpy.unique(numpy.concatenate(along))
    if len(columns) > COLUMNS:
        columns = columns[numpy.linspace(0, len(columns) - 1, COLUMNS).round().astype(int)]
    rows = [f"{c.arm} · {c.entry}" if both else c.arm if arms else c.entry for c in courses]
    values = numpy.array([_sampled(own, course.mean, columns) for own, course in zip(along, courses, strict=True)])
    bounds = (0.0, 90.0) if found.variable in NINETY and numpy.nanmax(values) <= 90 else (None, None)
    known = values[numpy.isfinite(values)]
    said = f"from {known.min():.4g} to {known.max():.4g}" if known.size else "nothing finite"
    title = f"{title_of(found)}, {arm or ('all arms' if arms else f'all {found.dimension}s')}"
    return Heatmap(
        name=_name("map", found, courses[0].place if arm else ""),
        title=title,
        x=x,
        columns=columns,
        rows=rows,
        arms=[course.place for course in courses] if not arm else (),
        arm=courses[0].place if arm else None,
        values=values,
        colour=Axis(label=label_of(found), low=bounds[0], high=bounds[1]),
        alternative=f"{title}: {len(rows)} rows {over(x)}, values {said}.",
    )


def _sampled(along: numpy.ndarray, values: numpy.ndarray, columns: numpy.ndarray) -> numpy.ndarray:
    """The newest value at each column: what was recorded there, or last before it; NaN before the first and where a
    course has ended."""
    order = numpy.argsort(along, kind="stable")
    along, values = along[order], values[order]
    place = numpy.searchsorted(along, columns, side="right") - 1
    return numpy.where((place >= 0) & (columns <= along[-1]), values[numpy.maximum(place, 0)], numpy.nan)
