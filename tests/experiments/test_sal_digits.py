"""The main experiment: the published row that it must reproduce, and committed figures that fit what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import neurosal as ns
from neurosal.checks import check_experiment
from neurosal.experiments import sal_digits, sal_digits_choices, sal_digits_rates
from neurosal.experiments.sal_digits import CONTENDERS, RATES, TUNED

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "experiments" / "results"
PUBLISHED_BP = 38.53  # SAL paper, arXiv 2601.21561, digits row, second-hand


def rows(path: Path) -> dict[str, list[str]]:
    """Cells of a markdown table by its first column; of several tables the first that has the row counts."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and not set(cells[0]) <= {":", "-"}:
            found.setdefault(cells[0], cells[1:])
    return found


def test_bp_under_the_stated_recipe_is_within_two_deviations_of_the_published_row(tmp_path: Path) -> None:
    experiment = sal_digits()
    arms = {"bp_stated": experiment.arms["bp_stated"]}
    run = ns.run(experiment.replace(arms=arms, training=experiment.training.replace(record=())), store=tmp_path / "run")
    accuracy = run.arms["bp_stated"].tree["metrics/eval"].test_accuracy.values[:, -1] * 100
    assert accuracy.shape == (5,)
    assert abs(accuracy.mean() - PUBLISHED_BP) < 2 * accuracy.std(ddof=1)
    # The committed figure, up to the few samples that another processor's rounding may tip.
    committed = float(rows(RESULTS / "sal_digits.md")["BP, stated"][0].split()[0])
    assert abs(accuracy.mean() - committed) < 0.5


def test_the_experiments_are_sound_and_ask_for_what_the_study_needs() -> None:
    for experiment in (sal_digits(), sal_digits_rates(), sal_digits_choices()):
        assert check_experiment(experiment) is experiment
    assert set(CONTENDERS) <= set(sal_digits().arms)
    assert set(sal_digits_rates().arms) == set(TUNED) == set(CONTENDERS)
    assert not set(sal_digits_rates().seeds) & set(sal_digits().seeds)


def test_tuned_rates_are_the_best_of_the_committed_search_and_off_its_edges() -> None:
    best = rows(RESULTS / "sal_digits_rates.md")
    for name, (label, *_) in CONTENDERS.items():
        heading = best["arm"].index("learning rate")
        assert float(best[label][heading]) == TUNED[name], name
        assert min(RATES) < TUNED[name] < max(RATES), name


def test_the_readme_shows_the_committed_figures() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text[: text.index("## Rules")]
    committed = [
        cells[0] for label, cells in rows(RESULTS / "sal_digits.md").items() if re.match(r"\d+\.\d ± ", cells[0])
    ]
    shown = re.findall(r"^\| [^|]+ \| (\d+\.\d ± \d+\.\d) \|", text, flags=re.MULTILINE)
    assert sorted(shown) == sorted(committed[: len(shown)])
    assert len(shown) == len(sal_digits().arms)


def test_the_readme_shows_the_committed_speeds() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = []
    for file in ("bench_two_cores.json", "bench_convolution_two_cores.json"):
        found += json.loads((RESULTS / file).read_text(encoding="utf-8"))["results"]
    timed = [row for row in found if row["comparison"] in ("rules", "replicas", "depth", "convolution")]
    shown_works = [row for row in timed if f"| {row['work']} |" in text]
    assert len(shown_works) >= 11
    for result in shown_works:
        line = next(line for line in text.splitlines() if line.startswith(f"| {result['work']} |"))
        shown = [float(cell) for cell in line.strip("| ").split("|")[1:] if cell.strip()]
        # The first contender of a rule is the plain one: "bp, bfloat16", "pfa, ρ = 10", "bp, 4 seeds at once".
        ratios: dict[str, float] = {}
        for name, entry in result["contenders"].items():
            ratios.setdefault(name.partition(",")[0], round(entry["ratio"], 2))
        assert shown == [ratios[name] for name in ("bp", "dfa", "fa", "kp", "pfa") if name in ratios]
