"""Reference rates of spiking circuits: 10 networks each beside what is published, as one table and figure.

Each circuit is simulated by the command line, 10 seeds as one batch (`COMMANDS` has every line; the microcircuit at its
full size is two trials of one network, which takes 14 GB), then

    python -m neurosal.experiments.spiking_rates runs/cuba runs/coba ... --out experiments/results

reads the stores and writes ``spiking_rates.md``, ``.json`` and ``.png``. A store that is not there is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.circuits.microcircuit import POPULATIONS, RATES_HZ
from neurosal.experiments.stores import report
from neurosal.graph import Emitter
from neurosal.stats import diffusion_rates

LAYERS = " ".join(f"--record spikes:{population}" for population in POPULATIONS)
BOTH = "--record spikes:excitatory --record spikes:inhibitory"
COMMANDS = {
    "cuba": "neurosal simulate cuba --seeds 0-9 --duration-ms 1500 --settle-ms 500",
    "coba": f"neurosal simulate coba --seeds 0-9 --duration-ms 1200 --settle-ms 300 {BOTH}",
    "brunel_small": f"neurosal simulate brunel_small --seeds 0-9 --duration-ms 700 --settle-ms 200 {BOTH}",
    "microcircuit": f"neurosal simulate microcircuit --seeds 0-9 --duration-ms 1500 --settle-ms 500 {LAYERS}",
    "microcircuit_full": "neurosal simulate microcircuit --set scale=1 --set name=microcircuit_full --seeds 0-1 "
    "--graph-seed 0 --duration-ms 1200 --settle-ms 200 --mode compiled",
    "song_stdp": "neurosal simulate song_stdp --seeds 0-9 --duration-ms 100000 --record spikes:neuron "
    "--record weights:input_to_neuron@10000 --option window_ms=1000",
}
# Lowest and highest rate, in Hz, that the references have (Brette et al. 2007 as others simulate it; Brunel's theory).
REFERENCES = {
    "cuba": dict.fromkeys(("excitatory", "inhibitory"), (5.5, 5.5)),
    "coba": dict.fromkeys(("excitatory", "inhibitory"), (18.5, 19.7)),
    "brunel_small": dict.fromkeys(("excitatory", "inhibitory"), (44.7, 46.7)),
    "microcircuit": {population: (rate, rate) for population, rate in zip(POPULATIONS, RATES_HZ, strict=True)},
}
REFERENCES["microcircuit_full"] = REFERENCES["microcircuit"]
MEAN_WEIGHT = 0.47  # of Song's synapses after 100 s, over the largest


def theory() -> float:
    """Rate of the small Brunel network in the diffusion approximation, in Hz.

    Example:
        >>> round(theory(), 2)
        45.67
    """
    force = 0.1 * 5**0.5
    rates = diffusion_rates(
        [[200, 50], [200, 50]],
        np.array([[force, -5 * force], [force, -5 * force]]),
        tau_m_ms=20.0,
        threshold_mv=20.0,
        reset_mv=0.0,
        refractory_ms=2.0,
        external_rate_hz=2 * 20 / (force * 20) * 1e3,
        external_weight_mv=force,
    )
    return float(rates[0])


def measured(store: str | Path) -> dict[str, Any]:
    """What one simulation says: rates and CVs of its neurons, each [seed], and of Song's neuron its weights.

    Raises:
        StoreError, DataError: for a folder that holds no simulation.
    """
    from neurosal.record.simulated import Simulated

    run = Simulated.of(store)
    summary = run.summary
    found: dict[str, Any] = {
        "circuit": run.circuit.name,
        "duration_ms": run.settings["duration_ms"],
        "settle_ms": run.settings.get("settle_ms", 0.0),
        "seeds": list(run.settings["seeds"]),
        "remarks": run.remarks,
        "populations": {},
    }
    for place, population in enumerate(summary["population"].values.tolist()):
        if isinstance(run.circuit.populations[population].model, Emitter):
            continue  # its rate was asked for
        rows = {name: summary[name].values[:, place].tolist() for name in ("rate_hz", "interval_cv")}
        found["populations"][population] = rows
    if "input_to_neuron" in run.weights:
        weights = run.weights["input_to_neuron"]
        largest = run.circuit.projections["input_to_neuron"].plasticity.w_max  # type: ignore[attr-defined]
        share = weights.transpose("replica", "time_ms", "synapse").values / largest
        found["weights"] = {
            "time_ms": weights["time_ms"].values.tolist(),
            "mean": np.nanmean(share, axis=-1).tolist(),
            "below_tenth": np.nanmean(share[:, -1] < 0.1, axis=-1).tolist(),
            "above_nine_tenths": np.nanmean(share[:, -1] > 0.9, axis=-1).tolist(),
            "histogram": np.histogram(share[:, -1], 20, (0, 1))[0].tolist(),
        }
    return found


def ordered(populations: dict[str, Any]) -> float:
    """Spearman's correlation of the microcircuit's rates with the published ones, over its eight populations."""
    from scipy.stats import spearmanr

    mean = [float(np.mean(populations[name]["rate_hz"])) for name in POPULATIONS]
    return float(spearmanr(mean, RATES_HZ).statistic)


def furthest(populations: dict[str, Any]) -> float:
    """How far the rates of the microcircuit are from the published ones, in % of these, where that is most."""
    mean = np.array([np.mean(populations[name]["rate_hz"]) for name in POPULATIONS])
    return float(100 * np.abs(mean / RATES_HZ - 1).max())


def table(found: Sequence[dict[str, Any]]) -> str:
    """Markdown: one line a population, and what Song's weights came to."""
    lines = ["| circuit | population | rate (Hz) | reference (Hz) | CV of intervals |", "|---|---|---|---|---|"]
    for run in found:
        for population, rows in run["populations"].items():
            low, high = REFERENCES.get(run["circuit"], {}).get(population, (None, None))
            reference = "–" if low is None else f"{low:g}" if low == high else f"{low:g}–{high:g}"
            spread = [_spread(rows[name], digits) for name, digits in (("rate_hz", 2), ("interval_cv", 2))]
            lines.append(f"| {run['circuit']} | {population} | {spread[0]} | {reference} | {spread[1]} |")
    lines += ["", f"Mean ± standard deviation over seeds. Small Brunel network in theory: {theory():.1f} Hz."]
    for run in found:
        if run["circuit"] == "microcircuit":
            lines.append(
                f"Microcircuit at a tenth of its size: rank correlation with the published rates "
                f"{ordered(run['populations']):.2f}."
            )
        if run["circuit"] == "microcircuit_full":
            most = furthest(run["populations"])
            lines.append(f"Microcircuit at its full size: {most:.1f} % from the published rates at most.")
        if "weights" in run:
            last = [row[-1] for row in run["weights"]["mean"]]
            below, above = (np.mean(run["weights"][name]) for name in ("below_tenth", "above_nine_tenths"))
            lines.append(
                f"Song's weights after {run['weights']['time_ms'][-1] / 1e3:g} s: mean {_spread(last, 3)} of the "
                f"largest (reference {MEAN_WEIGHT}); {below:.2f} of them below a tenth, {above:.2f} above nine tenths."
            )
        lines += [f"{run['circuit']}: {remark}" for remark in run["remarks"]]
    return "\n".join([*lines, "", "Commands:", "", *(f"    {COMMANDS[run['circuit']]}" for run in found), ""])


def _spread(values: Sequence[float], digits: int) -> str:
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    if not len(known):
        return "–"
    deviation = f" ± {known.std(ddof=1):.{digits}f}" if len(known) > 1 else ""
    return f"{known.mean():.{digits}f}{deviation}"


def figure(found: Sequence[dict[str, Any]]) -> Any:
    """Rates of every seed beside the reference, and the histogram of Song's weights."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(3.6 * max(len(found), 1), 3.4), layout="constrained")
    for place, run in enumerate(found):
        axes = drawn.add_subplot(1, len(found), place + 1)
        axes.set_title(run["circuit"])
        if "weights" in run:
            counts = np.array(run["weights"]["histogram"]) / len(run["seeds"])
            axes.bar((np.arange(20) + 0.5) / 20, counts, width=0.045, color="#4477AA")
            axes.set_xlabel("weight / largest, at the end")
            axes.set_ylabel("synapses")
            continue
        for column, (population, rows) in enumerate(run["populations"].items()):
            low, high = REFERENCES[run["circuit"]].get(population, (np.nan, np.nan))
            axes.fill_between([column - 0.35, column + 0.35], low - 0.05, high + 0.05, color="#BBBBBB")
            jitter = np.linspace(-0.15, 0.15, len(rows["rate_hz"]))
            axes.plot(column + jitter, rows["rate_hz"], "o", color="#4477AA", markersize=3)
        axes.set_xticks(range(len(run["populations"])), list(run["populations"]), rotation=45, ha="right")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("rate (Hz), grey: reference")
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    """Write table, numbers and figure of the stores that are there."""
    stores = [f"runs/{name}" for name in COMMANDS]
    report("spiking_rates", __doc__, stores, measured, table, figure, arguments, indent=1)


if __name__ == "__main__":
    main()
