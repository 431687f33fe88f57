"""Pictures: everything is inside, nothing lies on anything else, and pathways keep their colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from neurosal import circuits, library, rules
from neurosal.drawing import COLOURS, draw
from neurosal.folding import placed
from neurosal.graph import LIF, Circuit, PoissonSource, Population, Projection, Source
from neurosal.placing import Box

CIRCUITS = {
    "bp": rules.bp(circuits.mlp(4, 3, 2)),
    "dfa": rules.dfa(circuits.mlp(*[4] * 6)),
    "pfa": rules.pfa(circuits.mlp(*[4] * 5)),
    "sal": rules.sal(circuits.mlp(4, 3, 3, 2), areas=16),
    "sal_pfa": rules.sal(circuits.mlp(4, 3, 2), areas=2, feedback="pfa"),
    "deep": rules.kp(circuits.mlp(*[4] * 20)),
    "lateral": rules.bp(circuits.mlp(4, 3, 2)).with_projections(
        **{
            name: Projection(source="hidden1", target="hidden1", pathway="lateral")
            for name in ("hidden1_to_hidden1", "again")
        }
    ),
    "file": library.load_circuit(Path(__file__).parent / "cli" / "corpus" / "circuit.yaml"),
}
# Deep ones, in several rows.
FOLDED = {
    "resnet56": rules.fa(circuits.resnet56()),
    "resnet20_dfa": rules.dfa(circuits.resnet20(shortcut="B")),
    "pfa": rules.pfa(circuits.mlp(*[4] * 30)),
}


@pytest.mark.parametrize("circuit", [*CIRCUITS.values(), *FOLDED.values()], ids=[*CIRCUITS, *FOLDED])
def test_boxes_lie_inside_the_picture_and_apart(circuit: Circuit) -> None:
    axes = draw(circuit).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch) and patch.get_zorder() == 3]
    assert len(boxes) == len(circuit.populations)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    edges = [(b.get_x(), b.get_x() + b.get_width(), b.get_y(), b.get_y() + b.get_height()) for b in boxes]
    for index, (x0, x1, y0, y1) in enumerate(edges):
        assert left < x0 < x1 < right
        assert low < y0 < y1 < high
        for u0, u1, v0, v1 in edges[:index]:
            assert x1 <= u0 or u1 <= x0 or y1 <= v0 or v1 <= y0


def test_what_sends_and_hears_nothing_is_grey_in_time_too() -> None:
    models = {"data": Source(), "noise": PoissonSource(rate_hz=5.0), "cells": LIF()}
    circuit = Circuit(populations={name: Population(size=2, model=model) for name, model in models.items()})
    boxes = [patch for patch in draw(circuit).axes[0].patches if isinstance(patch, FancyBboxPatch)]
    fills = sorted(to_hex(box.get_facecolor()) for box in boxes if box.get_zorder() == 3)
    assert fills == ["#eeeeee", "#eeeeee", "#ffffff"]


@pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
def test_every_projection_has_one_line_and_one_head_in_the_colour_of_its_pathway(circuit: Circuit) -> None:
    arrows = [patch for patch in draw(circuit).axes[0].patches if isinstance(patch, FancyArrowPatch)]
    for pathway, colour in COLOURS.items():
        drawn = [arrow for arrow in arrows if to_hex(arrow.get_edgecolor()) == colour]
        assert len(drawn) == 2 * len(circuit.select(pathway=pathway))  # type: ignore[arg-type]


@pytest.mark.parametrize("circuit", FOLDED.values(), ids=FOLDED)
def test_deep_circuits_have_rows_of_a_size_that_can_be_read(circuit: Circuit) -> None:
    figure = draw(circuit)
    width, height = figure.get_size_inches()
    assert width < 28
    assert height < 24
    picture = placed(circuit)
    rows = len({round(box.x, 1) for box in picture.boxes.values()}) < len(picture.boxes)
    assert rows


@pytest.mark.parametrize("circuit", FOLDED.values(), ids=FOLDED)
def test_a_projection_to_another_row_says_where_it_comes_from_and_goes_to(circuit: Circuit) -> None:
    picture = placed(circuit)
    ends = {"from": 0, "to": 0}
    for name, edge in circuit.projections.items():
        drawn = [route for route in picture.routes if route.edge is edge]
        assert drawn, name
        reaches = [route for route in drawn if _touches(picture.boxes[edge.target], route.points[-1])]
        assert len(reaches) == 1, name
        if not _touches(picture.boxes[edge.source], reaches[0].points[0]):
            start = reaches[0].points[0]
            (label,) = [each for each in picture.labels if (each.x, each.y) == start]
            assert label.text == f"from {edge.source}"
            ends["from"] += 1
    ends["to"] = sum(label.text.startswith("to ") for label in picture.labels)
    assert len(picture.labels) == ends["from"] + ends["to"]
    assert 0 < ends["to"] <= ends["from"]


def _touches(box: Box, point: tuple[float, float]) -> bool:
    return abs(point[0] - box.x) <= box.width / 2 + 0.11 and abs(point[1] - box.y) <= box.height / 2 + 0.11


def test_many_lines_from_one_population_to_other_rows_are_one_with_their_number() -> None:
    said = [label.text for label in placed(FOLDED["resnet20_dfa"]).labels]
    (many,) = [text for text in said if text.endswith("populations")]
    assert many == f"to {said.count('from output')} populations"


@pytest.mark.parametrize("circuit", [*CIRCUITS.values(), *FOLDED.values()], ids=[*CIRCUITS, *FOLDED])
def test_names_and_sizes_fit_into_their_boxes(circuit: Circuit) -> None:
    figure = draw(circuit)
    axes = figure.axes[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    labels = {label.text for label in placed(circuit).labels}
    whole = axes.get_window_extent(renderer)
    for text in axes.texts:
        extent = text.get_window_extent(renderer)
        if text.get_text() in labels:
            assert whole.x0 <= extent.x0 < extent.x1 <= whole.x1, text.get_text()
            assert whole.y0 <= extent.y0 < extent.y1 <= whole.y1, text.get_text()
            continue
        fits = [
            box
            for box in boxes
            if box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
        ]
        assert fits, text.get_text()


def test_the_picture_says_channels_rows_and_columns() -> None:
    said = {text.get_text() for text in draw(circuits.lenet5()).axes[0].texts}
    assert {"1×28×28 units", "6×28×28 tanh", "6×14×14 linear", "400 linear"} <= said


def test_parallel_projections_stand_apart() -> None:
    arrows = [patch for patch in draw(CIRCUITS["file"]).axes[0].patches if isinstance(patch, FancyArrowPatch)]
    lines = [
        line for line in arrows if to_hex(line.get_edgecolor()) == COLOURS["feedforward"] and line.get_zorder() == 2
    ]
    ends = {tuple(line.get_path().vertices[-1].round(3)) for line in lines}
    assert len(ends) == len(lines) == 4


def test_the_picture_says_areas_ties_and_sizes() -> None:
    figure = draw(rules.sal(circuits.mlp(784, 1000, 10), areas=16, feedback="bp"))
    said = {text.get_text() for text in figure.axes[0].texts}
    assert {"1,000 relu × 16", "784 units", "hidden1"} <= said
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["feedforward", "feedback, tied", "router"]


def test_unsound_circuits_are_drawn_too_so_that_one_sees_what_is_wrong(tmp_path: Path) -> None:
    cycle = Circuit(
        populations={"a": Population(size=2, model=Source()), "b": Population(size=2), "c": Population(size=2)},
        projections={
            "one": Projection(source="b", target="c"),
            "two": Projection(source="c", target="b"),
            "lost": Projection(source="nowhere", target="b"),
        },
    )
    draw(cycle, tmp_path / "cycle.svg")
    draw(Circuit(), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0


def test_equal_circuits_give_equal_files(tmp_path: Path) -> None:
    for name in ("first.svg", "second.svg"):
        draw(CIRCUITS["pfa"], tmp_path / name)
    first, second = ((tmp_path / name).read_text(encoding="utf-8") for name in ("first.svg", "second.svg"))
    assert first == second
