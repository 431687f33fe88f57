"""What synapses learn in continuous time without an error: rates by Hebb, Oja and BCM, and feedback by spike timing.

Each circuit is simulated by the command line, 10 seeds as one batch (`COMMANDS` has every line), then

    python -m neurosal.experiments.learning_in_time runs/hebbian runs/oja ... --out experiments/results

reads the stores and writes ``learning_in_time.md``, ``.json`` and ``.png``. A store that is not there is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.circuits.rate_dynamics import directions
from neurosal.experiments.stores import report

Array = np.ndarray[Any, Any]

RATES = "--seeds 0-9 --dt-ms 1 --duration-ms 10000 --record weights:input_to_output@500 --store runs"
COMMANDS = {
    "hebbian": f"neurosal simulate rate_dynamics --set rule=hebbian --set lateral=none {RATES}/hebbian",
    "oja": f"neurosal simulate rate_dynamics --set rule=oja --set lateral=none {RATES}/oja",
    "oja_lateral": f"neurosal simulate rate_dynamics --set rule=oja {RATES}/oja_lateral",
    "oja_gated": f"neurosal simulate rate_dynamics --set lateral=none --set gate_ms=[3000,6000] {RATES}/oja_gated",
    "bcm": f"neurosal simulate rate_dynamics --set rule=bcm --set lateral=none {RATES}/bcm",
    "spike_alignment": "neurosal simulate spike_alignment --seeds 0-9 --dt-ms 0.5 --duration-ms 100000 "
    "--mode compiled --record spikes:lower --record spikes:upper --record weights:lower_to_upper@2000 "
    "--record weights:upper_to_lower@2000 --store runs/spike_alignment",
}
# Measure → what it is, and what it is to come to.
MEASURES = {
    "first": ("cosine to the input's first direction, mean over outputs", "1"),
    "within": ("share of the weights within the first directions, as many as outputs", "1"),
    "length": ("length of the weights of an output", "1"),
    "apart": ("smallest singular value of the outputs' directions", "0 all alike, 1 orthogonal"),
    "opened": ("share of all movement while the gate is open or closing", "1"),
    "strong": ("answer to the better pattern", "2"),
    "weak": ("answer to the other pattern", "0"),
    "angle": ("angle of feedback to the transpose of forward weights (°)", "90 ± 7 by chance, 0 aligned"),
    "strength": ("length of feedback over that of forward weights", "1"),
}
SHOWN = {
    "hebbian": ("first",), "oja": ("first", "length", "apart"), "oja_lateral": ("within", "length", "apart"),
    "oja_gated": ("first", "opened"), "bcm": ("strong", "weak"), "spike_alignment": ("angle", "strength"),
}  # fmt: skip
CLOSING_MS = 500.0  # ten time constants of the gate's signal


def measured(store: str | Path) -> dict[str, Any]:
    """What one simulation says: times, and the course of each measure, [seed, time].

    Raises:
        StoreError, DataError: for a folder that holds no simulation.
    """
    from neurosal.record.simulated import Simulated

    run, name = Simulated.of(store), Path(store).name
    courses: dict[str, Array] = {}
    if "upper_to_lower" in run.weights:
        forward, back = matrices(run.weights["lower_to_upper"]), matrices(run.weights["upper_to_lower"])
        courses["angle"] = angles(forward, back)
        courses["strength"] = np.linalg.norm(back, axis=(-1, -2)) / np.linalg.norm(forward, axis=(-1, -2))
        time_ms = run.weights["upper_to_lower"]["time_ms"].values
    else:
        weights = matrices(run.weights["input_to_output"])
        time_ms = run.weights["input_to_output"]["time_ms"].values
        courses = of_rates(weights, time_ms, _gate(name))
    shown = {key: np.round(courses[key], 5).tolist() for key in SHOWN[name]}
    return {"run": name, "seeds": list(run.settings["seeds"]), "time_ms": time_ms.tolist(), "courses": shown,
            "remarks": run.remarks}  # fmt: skip


def _gate(name: str) -> tuple[float, float]:
    return (3000.0, 6000.0) if name == "oja_gated" else (-np.inf, np.inf)


def matrices(weights: Any) -> Array:
    """Weights of dense synapses as matrices, [replica, time, post, pre]."""
    values = weights.transpose("replica", "time_ms", "synapse").values
    pre, post = (weights[end].values for end in ("pre", "post"))
    found = np.zeros((*values.shape[:2], int(post.max()) + 1, int(pre.max()) + 1))
    for replica in range(len(values)):
        of = replica if pre.ndim == 2 else ...
        found[replica][:, post[of], pre[of]] = values[replica]
    return found


def angles(forward: Array, back: Array) -> Array:
    """Between forward weights and transposed feedback, in degrees, [replica, time].

    Example:
        >>> angles(np.eye(2)[None, None], np.array([[[[1.0, 0.0], [0.0, 0.0]]]])).round(6)
        array([[45.]])
    """
    turned = back.swapaxes(-1, -2)
    norms = np.linalg.norm(forward, axis=(-1, -2)) * np.linalg.norm(turned, axis=(-1, -2))
    return np.degrees(np.arccos((forward * turned).sum((-1, -2)) / norms))


def of_rates(weights: Array, time_ms: Array, gate_ms: tuple[float, float]) -> dict[str, Array]:
    """Measures of weights [replica, time, output, input], each [replica, time].

    Args:
        gate_ms: when the gate opened and closed.
    """
    inputs = weights.shape[-1]
    length = np.linalg.norm(weights, axis=-1)
    along = np.abs(weights @ directions(inputs)[0]) / length
    within = np.linalg.norm(weights @ directions(inputs)[: weights.shape[-2]].T, axis=-1) / length
    answers = np.sort(weights @ np.kron(np.eye(2), np.ones((inputs // 2, 1))), axis=-1).mean(-2)
    moved = np.linalg.norm(np.diff(weights, axis=1), axis=(-1, -2))
    # An interval counts as open where any of it is.
    opened = (time_ms[1:] > gate_ms[0]) & (time_ms[:-1] < gate_ms[1] + CLOSING_MS)
    share = np.cumsum(moved * opened, 1) / np.maximum(np.cumsum(moved, 1), 1e-300)
    return {
        "first": along.mean(-1),
        "within": within.mean(-1),
        "length": length.mean(-1),
        "apart": np.linalg.svd(weights / length[..., None], compute_uv=False)[..., -1],
        "weak": answers[..., 0],
        "strong": answers[..., 1],
        "opened": np.concatenate([np.zeros((len(weights), 1)), share], 1),
    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: one line a measure, at the start and at the end."""
    lines = ["| run | measure | at the start | at the end | to come to |", "|---|---|---|---|---|"]
    for run in found:
        for key, course in run["courses"].items():
            first, last = (_spread(np.array(course)[:, place]) for place in (0, -1))
            first = "–" if key == "opened" else first
            lines.append(f"| {run['run']} | {MEASURES[key][0]} | {first} | {last} | {MEASURES[key][1]} |")
    seconds = sorted({f"{run['time_ms'][-1] / 1e3:g}" for run in found})
    lines += ["", f"Mean ± standard deviation over seeds, after {' or '.join(seconds)} s."]
    lines += [f"{run['run']}: {remark}" for run in found for remark in run["remarks"]]
    return "\n".join([*lines, "", "Commands:", "", *(f"    {COMMANDS[run['run']]}" for run in found), ""])


def _spread(values: Array) -> str:
    digits = 1 if abs(values).max() > 10 else 3
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) if len(values) > 1 else 0.0:.{digits}f}"


def figure(found: Sequence[dict[str, Any]]) -> Any:
    """The course of every measure, a line a seed."""
    from matplotlib.figure import Figure

    colours = ("#4477AA", "#EE6677", "#228833")
    drawn = Figure(figsize=(3.6 * max(len(found), 1), 3.4), layout="constrained")
    for place, run in enumerate(found):
        axes = drawn.add_subplot(1, max(len(found), 1), place + 1)
        axes.set_title(run["run"])
        if run["run"] == "oja_gated":
            axes.axvspan(*(time / 1e3 for time in _gate(run["run"])), color="#DDDDDD")
        drawable = {key: course for key, course in run["courses"].items() if key != "strength"}  # angles are in degrees
        for colour, (key, course) in zip(colours, drawable.items(), strict=False):
            for number, seed in enumerate(course):
                axes.plot(np.array(run["time_ms"]) / 1e3, seed, color=colour, linewidth=0.8,
                          label=None if number else key)  # fmt: skip
        axes.set_xlabel("time (s)")
        if "angle" in run["courses"]:
            axes.set_ylim(0, 100)
            axes.set_ylabel("angle to the transpose (°)")
        axes.legend(frameon=False)
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Write table, numbers and figure of the stores that are there."""
    stores = [f"runs/{name}" for name in COMMANDS]
    report("learning_in_time", __doc__, stores, measured, table, figure, arguments)


if __name__ == "__main__":
    main()
