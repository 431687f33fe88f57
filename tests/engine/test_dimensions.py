"""What the axes of weights are called where they are stored: the same names for both ways between two populations."""

from __future__ import annotations

import pytest

from neurosal.engine.dimensions import weight_sizes
from neurosal.graph import Broadcast, Circuit, Conv1d, Conv2d, Dense, OneToOne, Population, Projection, Wiring

PICTURE, LENGTH, UNITS = Population(shape=(4, 6, 6)), Population(shape=(4, 9)), Population(size=5)


@pytest.mark.parametrize(
    ("target", "wiring", "expected"),
    [
        (PICTURE, Conv2d(kernel=(3, 2)), {"b_channel": 4, "a_channel": 4, "kernel_row": 3, "kernel_column": 2}),
        (
            PICTURE,
            Conv2d(kernel=1, groups=2),
            {"group": 2, "b_channel_in_group": 2, "a_channel_in_group": 2, "kernel_row": 1, "kernel_column": 1},
        ),
        (LENGTH, Conv1d(kernel=3), {"b_channel": 4, "a_channel": 4, "kernel_place": 3}),
        (UNITS, Dense(), {"b": 5, "a": 144}),
        (PICTURE, OneToOne(), {"b": 144}),
    ],
)
def test_dimensions_of_weights_carry_the_names_of_populations(
    target: Population, wiring: Wiring, expected: dict[str, int]
) -> None:
    source = target if target is LENGTH else PICTURE
    circuit = Circuit(
        name="two",
        populations={"a": source, "b": target},
        projections={
            "there": Projection(source="a", target="b", wiring=wiring),
            "back": Projection(source="b", target="a", pathway="feedback", wiring=wiring.reversed()),
        },
    )
    assert list(weight_sizes(circuit, "there").items()) == list(expected.items())
    if len(expected) > 1:  # the same dimensions, the post-synaptic one first
        assert weight_sizes(circuit, "back") == expected
        names = [name for name in weight_sizes(circuit, "back") if name != "group"]
        assert names[0].startswith("a")


def test_broadcasts_join_channels_to_units_in_both_directions() -> None:
    circuit = Circuit(
        name="two",
        populations={"a": UNITS, "b": PICTURE},
        projections={
            "there": Projection(source="a", target="b", wiring=Broadcast()),
            "back": Projection(source="b", target="a", pathway="feedback", wiring=Broadcast().reversed()),
        },
    )
    assert list(weight_sizes(circuit, "there").items()) == [("b_channel", 4), ("a", 5)]
    assert list(weight_sizes(circuit, "back").items()) == [("a", 5), ("b_channel", 4)]
