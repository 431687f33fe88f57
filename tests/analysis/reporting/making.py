"""Runs for reports, made up, and what a page carries read back out of its HTML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from neurosal import circuits, rules
from neurosal.record import schema
from tests.analysis import synthetic

STEPS = list(range(0, 60, 10))
SEEDS = 3
WEIGHTS = {"hidden1_to_hidden2": 100, "hidden2_to_output": 50}
EVIL = "<script>alert('label')</script> & \"quoted\" </script><img src=x onerror=alert(1)>"
RULES = {"bp": rules.bp, "kp": rules.kp, "sal": rules.sal}


def circuit(rule: str) -> dict[str, Any]:
    """64-8-6-10 under a rule, as a run stores it."""
    return RULES[rule](circuits.mlp(64, 8, 6, 10)).to_dict()


def groups(rule: str, *, seed: int = 0) -> list[Any]:
    """What an arm records."""
    found: list[Any] = [synthetic.evaluation(STEPS, SEEDS, final=0.9 + 0.02 * seed, seed=seed)]
    found.append(synthetic.symmetry(STEPS, SEEDS, WEIGHTS, seed=seed))
    found.append(synthetic.credit(STEPS, SEEDS, ["input_to_hidden1", *WEIGHTS], seed=seed))
    if rule == "sal":
        found.append(synthetic.routing(STEPS, SEEDS, {"hidden1": 4, "hidden2": 2}, seed=seed))
    return found


def experiment(folder: Path, labels: Mapping[str, str] | None = None, **fields: Any) -> Path:
    """Three arms; `labels` are what users call them."""
    labels = labels or {"bp": "BP", "kp": "KP", "sal": "SAL"}
    described = {name: {"label": label, "recipe": {"circuit": "mlp", "rule": name}} for name, label in labels.items()}
    arms = {
        name: {"groups": groups(name, seed=seed), "replicas": {"seed": range(SEEDS)}, "circuit": circuit(name)}
        for seed, name in enumerate(labels)
    }
    return synthetic.stored_experiment(folder, {"name": "study", **fields, "arms": described}, arms)


def one_run(folder: Path) -> Path:
    """A single network, not an experiment."""
    return synthetic.stored(folder, *groups("kp"), replicas={"seed": range(SEEDS)}, circuit=circuit("kp"),
                            settings={"training": {"epochs": 6, "batch_size": 16}})  # fmt: skip


def killed(folder: Path) -> Path:
    """Make a run look as if its process had been killed."""
    path = folder / schema.STATUS_FILE
    path.write_text(path.read_text().replace('"done"', '"running"'))
    return folder


class Read(HTMLParser):
    """What a browser would see: elements, their attributes, text by element, and the numbers."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._script = ""
        self._open: dict[str, str | None] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = dict(attrs) if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is None:
            self.text += data
        elif self._open.get("id") == "numbers":
            self._script += data

    @property
    def numbers(self) -> dict[str, Any]:
        """The JSON that the page carries."""
        return dict(json.loads(self._script))

    def chart(self, name: str) -> dict[str, Any]:
        """The chart of that name."""
        found: dict[str, Any] = next(chart for chart in self.numbers["charts"] if chart["name"] == name)
        for line in found.get("lines", ()):
            line.setdefault("x", found.get("along"))
        return found

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
