"""Lists of what there is: members of the library and data sets."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from neurosal import library
from neurosal.data import Dataset, listing, load, names
from neurosal.errors import ExperimentError, Problem, near
from neurosal.graph import Initialiser, Model, Plasticity, ShortTerm, Synapse, Waveform, Weights, Wiring
from neurosal.graph.value import shown

WIDTH = 140  # of tables that go into files and pipes


class _Output(Console):
    """A console that leaves a closed pipe to us: rich would end with exit code 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Standard output; as wide as a table needs when it is no terminal."""
    plain = _Output(highlight=False)
    return plain if plain.is_terminal else _Output(highlight=False, width=WIDTH)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in our style."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        right = column.endswith(">")
        made.add_column(column.removesuffix(">"), justify="right" if right else "left", overflow="fold")
    return made


PARTS = (Model, Synapse, ShortTerm, Wiring, Weights, Initialiser, Waveform, Plasticity)
LONGEST_TEXT = 160  # letters of what a part is
LONGEST_FIELDS = 60  # letters of a value in a table; edge lists are long


def in_words(value: Any) -> str:
    """A value of a family by its kind, and the fields that are not its defaults."""
    fields = repr(value).partition("(")[2].removesuffix(")")
    fields = fields if len(fields) <= LONGEST_FIELDS else f"{fields[:LONGEST_FIELDS]}..."
    return f"{value.kind} ({fields})" if fields else str(value.kind)


def print_members(what: str | None) -> None:
    """Members of one kind, or of all, with the first line of their documentation.

    Raises:
        ExperimentError: for an unknown kind.
    """
    kinds = (*library.KINDS, "parts", "statistics", "data")
    if what is not None and what not in kinds:
        raise ExperimentError(
            Problem(place="list", expected=f"one of {', '.join(kinds)}", found=shown(what), remedy=near(what, kinds))
        )
    output = console()
    for kind in [what] if what else kinds:
        if kind == "data":
            print_data()
            continue
        if kind in ("parts", "statistics"):
            print_parts() if kind == "parts" else print_statistics()
            continue
        rows = table(kind, "")
        for name in library.names(kind):
            rows.add_row(name, library.summary(library.find(kind, name)))
        output.print(rows)
        output.print()
    for problem in (entry for kind in library.KINDS if what in (None, kind) for entry in library.broken(kind)):
        typer.echo(f"Left out: {problem}", err=True)


def print_parts() -> None:
    """What circuits are built from, by family: class, kind in files, where it is imported from, what it is."""
    library.load_plasticity()
    output = console()
    for family in PARTS:
        rows = table(f"parts: {family.family}", "in files", "from", "")
        for column in (0, 1, 2):
            rows.columns[column].no_wrap = True
        for kind, member in sorted(family.members.items(), key=lambda entry: entry[1].__name__.lower()):
            door = ".".join(member.__module__.split(".")[:2])
            text = " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())
            text = text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3].rpartition(' ')[0]} ..."
            rows.add_row(member.__name__, kind, door, escape(text))
        output.print(rows)
        output.print()


def print_statistics() -> None:
    """All statistics by family, with formula, range, null or chance level and cost."""
    from neurosal import stats  # here, for it brings xarray along: other commands start without

    output = console()
    families: dict[str, list[stats.Statistic]] = {}
    for entry in stats.catalogue().values():
        families.setdefault(entry.family, []).append(entry)
    for family, entries in families.items():
        rows = table(f"statistics: {family}", "", "formula", "range", "null or chance", "of", "cost")
        for column in (0, 5, 6):
            rows.columns[column].no_wrap = True
        for entry in entries:
            low, high = (f"{bound:g}".replace("inf", "∞") for bound in entry.range)
            scale = f"{low} to {high}" + ("" if entry.units == "1" else f" {entry.units}")
            facts = (entry.title, entry.formula, scale, entry.null, entry.of, entry.cost)
            rows.add_row(entry.name, *(escape(fact) for fact in facts))  # a[T, j] is no markup
        output.print(rows)
        output.print()


def print_data() -> None:
    """All data sets that are known by name, whose they are, and where they would be read from."""
    rows = table("data", "", "samples>", "features>", "classes>", "licence", "read from")
    for entry in listing():
        place = entry["found"] or ("not here: --download" if entry["download"] else "not here")
        # What stands in brackets, whom to cite for example, is said with the set itself.
        licence = entry["licence"].partition(" (")[0]
        facts = (str(entry[fact]) for fact in ("samples", "features", "classes"))
        rows.add_row(entry["name"], entry["title"], *facts, licence, place)
    output = console()
    output.print(rows)
    output.print(
        "\nneurosal data NAME: what a set holds, or every way to get it. An npz or a folder of images: ./PATH."
    )


def print_data_set(name: str, *, download: bool) -> None:
    """What one data set holds.

    Raises:
        DataError: when it is unknown or not to be had, with every way to get it.
    """
    data = load(name, download=download)
    sizes = data.provenance()["samples"]
    facts = {
        "name": data.name,
        **{part: f"{size} samples" for part, size in sizes.items()},
        "features": "×".join(map(str, data.natural().features)),
        "classes": ", ".join(data.classes) or f"none: {data.outputs} targets",
        "labels": _counts(data),
        "scaling": data.scaling,
        "source": data.source,
        "licence": data.licence,
        "note": data.content.note,
        "sha256": data.sha256,
        "published": _known(data),
    }
    rows = table("", "")
    rows.show_header = False
    for label, fact in facts.items():
        if not fact:
            continue
        rows.add_row(label, fact)
    console().print(rows)


def _counts(data: Dataset) -> str:
    """How many samples the classes have."""
    if not data.classes:
        return ""
    counts = np.bincount(data.y, minlength=len(data.classes))
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} samples a class" if low != high else f"{low} samples a class"


def _known(data: Dataset) -> str:
    """Whether the fingerprint is that of the published set."""
    if data.content.published:
        return "yes, by its sha256"
    return "not the published set, or one whose sha256 is not known here" if data.name in names() else ""
