"""Circuits of convolutions: as large as published, and sound whatever their sizes."""

from __future__ import annotations

from typing import Any

import pytest

from neurosal import circuits, library, rules
from neurosal.checks import check, parameter_count
from neurosal.errors import CircuitError
from neurosal.graph import BatchNorm, Circuit, GroupNorm, Rate
from neurosal.settings import Recipe

BATCH = BatchNorm()
# Parameters, scale and shift of the norms counted: He et al. 2016 (ResNets: .27 M, .46 M, .85 M; 11.69 M), LeCun et
# al. 1998 with every map connected, Simonyan & Zisserman 2015 (133, 133, 138, 144 M), Springenberg et al. 2015 (1.4 M).
PUBLISHED: list[tuple[str, dict[str, Any], int]] = [
    ("resnet20", {}, 269_722),
    ("resnet20", {"shortcut": "B"}, 272_474),
    ("resnet32", {}, 464_154),
    ("resnet56", {}, 853_018),
    ("resnet18", {}, 11_689_512),
    ("lenet5", {}, 61_706),
    ("all_conv", {}, 1_369_738),
    ("all_conv", {"readout": "dense"}, 1_369_738),
    ("vgg", {"depth": 11}, 132_863_336),
    ("vgg", {"depth": 13}, 133_047_848),
    ("vgg", {"depth": 16}, 138_357_544),
    ("vgg", {"depth": 19}, 143_667_240),
    ("vgg", {"depth": 11, "norm": BATCH}, 132_868_840),
    ("vgg", {"depth": 13, "norm": BATCH}, 133_053_736),
    ("vgg", {"depth": 16, "norm": BATCH}, 138_365_992),
    ("vgg", {"depth": 19, "norm": BATCH}, 143_678_248),
]
NAMES = sorted({name for name, _, _ in PUBLISHED})


@pytest.mark.parametrize(("name", "arguments", "number"), PUBLISHED)
def test_circuits_have_as_many_parameters_as_published(name: str, arguments: dict[str, Any], number: int) -> None:
    circuit = library.find("circuits", name)(**arguments)
    assert parameter_count(circuit) == number
    check(circuit)


SIZES: list[tuple[str, dict[str, Any]]] = [
    ("resnet20", {"classes": 7, "shape": (1, 13, 9), "width": 4, "shortcut": "B", "norm": GroupNorm(groups=2)}),
    ("resnet20", {"classes": 7, "shape": (1, 13, 9), "width": 4, "norm": None, "activation": "tanh"}),
    ("resnet32", {"classes": 2, "shape": (5, 4, 4), "width": 3}),
    ("resnet56", {"classes": 2, "shape": (5, 1, 1), "width": 1}),
    ("resnet18", {"classes": 2, "shape": (3, 33, 40), "width": 4, "shortcut": "A"}),
    ("lenet5", {"classes": 3, "shape": (2, 48, 48), "padding": 0, "channels": (3, 4, 5), "hidden": ()}),
    ("lenet5", {"pooling": "max", "activation": "relu"}),
    ("all_conv", {"classes": 3, "shape": (1, 9, 12), "width": 4, "norm": BATCH}),
    ("vgg", {"depth": 11, "classes": 3, "shape": (1, 32, 35), "width": 2, "hidden": ()}),
    (
        "vgg",
        {"depth": 13, "classes": 3, "shape": (1, 64, 32), "width": 2, "hidden": (4,), "norm": BATCH, "bias": False},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), SIZES)
def test_circuits_of_other_sizes_are_sound(name: str, arguments: dict[str, Any]) -> None:
    circuit = check(library.find("circuits", name)(**arguments))
    classes = arguments.get("classes", 10)
    assert circuit.populations["output"].extent == (classes,)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit


@pytest.mark.parametrize("name", NAMES)
def test_circuits_go_through_every_door_and_back(name: str) -> None:
    circuit = library.load_circuit(name)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_dict(circuit.to_dict()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit


def test_a_residual_circuit_is_normed_before_the_sum_and_rectified_after_it() -> None:
    circuit = circuits.resnet20()
    models = {name: population.model for name, population in circuit.populations.items()}
    unit, linear = Rate(norm=BATCH, bias=False), Rate(activation="linear", norm=BATCH, bias=False)
    assert [models[name] for name in ("stem", "block1_hidden", "block1_branch", "block1")] == [
        unit, unit, linear, Rate(bias=False),
    ]  # fmt: skip
    into = {name: edge.wiring.kind for name, edge in circuit.select(target="block4").items()}
    assert into == {"block4_branch_to_block4": "one_to_one", "block3_to_block4": "shortcut"}
    with_projection = circuits.resnet20(shortcut="B")
    assert with_projection.projections["block3_to_block4_skip"].wiring.to_dict()["stride"] == 2
    assert with_projection.populations["block4_skip"].model == linear
    assert [name for name, edge in circuit.projections.items() if edge.plasticity.plastic] == [
        name for name, edge in circuit.projections.items() if edge.wiring.kind in ("conv2d", "dense")
    ]


def test_files_ask_for_them_with_plain_values() -> None:
    arguments = {"depth": 11, "shape": [3, 32, 32], "hidden": [], "norm": {"kind": "batch", "eps": 0.001}}
    circuit = library.build(Recipe(circuit="vgg", arguments=arguments, rule="shallow"))
    assert circuit == rules.shallow(circuits.vgg(11, shape=(3, 32, 32), hidden=(), norm=BatchNorm(eps=0.001)))


@pytest.mark.parametrize(("name", "arguments", "places"), [
    (
        "resnet20", {"classes": 0, "shape": (3, 32), "width": 1.5, "shortcut": "C"},
        ["classes", "width", "shape", "shortcut"],
    ),
    ("resnet18", {"shape": (3, 0, "x")}, ["shape.1", "shape.2"]),
    ("lenet5", {"channels": (6, 0), "pooling": "min", "padding": -1}, ["channels.1", "padding", "pooling"]),
    ("lenet5", {"shape": (1, 8, 8)}, ["shape"]),
    ("vgg", {"depth": 12, "hidden": (True,)}, ["depth", "hidden.0"]),
    ("vgg", {"shape": (3, 31, 32)}, ["shape"]),
    ("all_conv", {"readout": "pooled"}, ["readout"]),
    ("all_conv", {"shape": (3, 8, 8)}, ["shape"]),
])  # fmt: skip
def test_what_cannot_be_built_is_refused_all_at_once(name: str, arguments: dict[str, Any], places: list[str]) -> None:
    with pytest.raises(CircuitError) as refused:
        library.find("circuits", name)(**arguments)
    assert [problem.place for problem in refused.value.problems] == places


def test_too_small_an_image_is_said_with_what_is_left_of_it() -> None:
    with pytest.raises(
        CircuitError, match=r"'pooled5' has something left, found 3 × 31 × 32, .*'conv13' leaves 512 × 1 × 2"
    ):
        circuits.vgg(16, shape=(3, 31, 32))
