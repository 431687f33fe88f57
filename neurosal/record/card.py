"""A run as a small card for notebooks, and how it stands in words. Whatever is damaged is said, never raised."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from neurosal.record import schema

if TYPE_CHECKING:
    from neurosal.record.run import Run
    from neurosal.record.status import Status

STYLE = (
    "border:1px solid rgba(127,127,127,.45);border-radius:8px;padding:.6em .9em;margin:.3em 0;max-width:52em;"
    "font-size:.92em;line-height:1.45;overflow-x:auto"
)
COLOURS = {"done": "#0a7d55", "running": "#0072b2"}
ALARM = "#c14a00"
LONGEST = 24  # arms of an experiment that a card lists
POPULATIONS = 6  # of a simulation whose rates it says


def standing(status: Status) -> str:
    """How a run stands, in words: a run that says "running" but that no process writes was stopped."""
    return "stopped without saying why" if status.state == "running" and not status.alive else status.state


def card(run: Run) -> str:
    """The run as HTML: what it is, how it stands, its last figures; an experiment lists its arms.

    It takes the colours of the page that it is shown on, needs no script, and never raises.
    """
    try:
        return _card(run)
    except Exception as wrong:  # a notebook would show a traceback in place of a run that is damaged
        said = _text(f"{run.folder}: {type(wrong).__name__}: {wrong}")
        return f'<div style="{STYLE}"><b>Run</b> {said}</div>'


def _card(run: Run) -> str:
    title = run.settings.get("title") or run.settings.get("name") or run.folder.name
    lines = [f"<div><b>{_text(title)}</b> {_badge(run.status)}</div>"]
    if run.status.message:
        lines.append(f"<div>{_text(run.status.message)}</div>")
    if run.of_experiment:
        rows = [_row(name, arm, run) for name, arm in list(run.arms.items())[:LONGEST]]
        if len(run.arms) > LONGEST:
            rows.append(f"<tr><td colspan=3>and {len(run.arms) - LONGEST} more</td></tr>")
        lines.append(f'<table style="margin:.3em 0;text-align:left">{"".join(rows)}</table>')
    else:
        lines.append(f"<div>{_text(_circuit(run))}</div>")
        far = f"step {run.status.step:,}"
        if "simulation" not in run.settings:  # which has no epochs
            far += f", epoch {run.status.epoch:.4g}"
        lines.append(f"<div>{far}{_listed(_last(run))}</div>")
    lines.append(f'<div style="opacity:.7">{_text(run.folder)}</div>')
    return f'<div style="{STYLE}">{"".join(lines)}</div>'


def _row(name: str, arm: Run, run: Run) -> str:
    described = (run.settings.get("arms") or {}).get(name) or {}
    label = (described.get("label") if isinstance(described, dict) else "") or name
    try:
        figures = ", ".join(_last(arm))
    except Exception as wrong:  # one damaged arm must not hide the others
        figures = f"{type(wrong).__name__}: {wrong}"
    return (
        f'<tr><td style="text-align:left">{_text(label)}</td><td style="text-align:left">{_badge(arm.status)}</td>'
        f'<td style="text-align:left">{_text(figures)}</td></tr>'
    )


def _badge(status: Status) -> str:
    words = standing(status)
    return f'<span style="color:{COLOURS.get(words, ALARM)};font-weight:600">{_text(words)}</span>'


def _circuit(run: Run) -> str:
    circuit = run.circuit
    if circuit is None:
        return "no circuit"
    sizes = "-".join(str(population.units) for population in circuit.populations.values())
    count = f"{len(circuit.populations)} populations ({sizes}), {len(circuit.projections)} projections"
    return f"circuit {circuit.name}: {count}"


def _last(run: Run) -> Iterator[str]:
    """The last evaluation, mean ± sd over replicas; training's loss where there is none; rates of a simulation."""
    import numpy

    tree: Any = run.tree
    if "simulation" in run.settings:
        yield from _rates(run)
        return
    for path in (schema.EVALUATION, schema.TRAIN):
        node = tree
        for part in path.split("/"):
            node = node.children.get(part) if node is not None else None
        if node is None or not node.sizes.get(schema.STEP):
            continue
        found = False
        for name, array in node.data_vars.items():
            values = numpy.asarray(array.isel({schema.STEP: -1}).values, dtype=float)
            values = values[numpy.isfinite(values)]
            if not values.size or (path == schema.EVALUATION and "accuracy" not in str(name) and _accurate(node)):
                continue
            found = True
            percent = "accuracy" in str(name)
            scale, digits, unit = (100, 1, " %") if percent else (1, 4, "")
            spread = f" ± {scale * values.std(ddof=1):.{digits}f}" if values.size > 1 else ""
            yield f"{str(name).replace('_', ' ')} {scale * values.mean():.{digits}f}{spread}{unit}"
        if found:
            return


def _rates(run: Run) -> Iterator[str]:
    """How fast the first populations fire, mean ± sd over replicas."""
    from neurosal.record.simulated import Simulated

    rates = Simulated.of(run).rates()
    for place, name in enumerate(rates[schema.POPULATION].values.tolist()[:POPULATIONS]):
        values = rates.values[:, place]
        spread = f" ± {values.std(ddof=1):.2f}" if values.size > 1 else ""
        yield f"{name} {values.mean():.2f}{spread} Hz"


def _accurate(node: Any) -> bool:
    """Whether some part has an accuracy that is known: then losses are not shown."""
    return any("accuracy" in str(name) and not math.isnan(float(array.isel({schema.STEP: -1}).max()))
               for name, array in node.data_vars.items())  # fmt: skip


def _listed(figures: Iterator[str]) -> str:
    return "".join(f"; {_text(figure)}" for figure in figures)


def _text(value: Any) -> str:
    return html.escape(str(value))
