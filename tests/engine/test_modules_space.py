"""Circuits with space as plain torch modules: torch's own layers, the same outputs, and back again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import (
    AvgPool2d,
    BatchNorm,
    Circuit,
    Conv1d,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    MaxPool2d,
    Normal,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    RMSNorm,
    Shortcut,
    Source,
)
from neurosal.plasticity import Fixed

EXACT = 1e-12


def picture(norm: Any = None, wiring: Any = None, bias: bool = True) -> Circuit:
    """A picture of 2 channels, a convolution, a residual sum, pooling and a dense read-out."""
    first = wiring or Conv2d(kernel=3, padding=1)
    extent = first.output((2, 7, 6), 4)
    halved = Shortcut(stride=2).output(extent, 6)
    pooled = AvgPool2d(kernel=2).output(halved)
    return Circuit(
        name="picture",
        populations={
            "input": Population(shape=(2, 7, 6), model=Source()),
            "stem": Population(shape=extent, model=Rate(norm=norm, bias=bias)),
            "branch": Population(shape=halved, model=Rate(activation="tanh", norm=norm, bias=bias)),
            "sum": Population(shape=halved),
            "pooled": Population(shape=pooled, model=Rate(activation="linear", bias=False)),
            "row": Population(size=6 * pooled[1] * pooled[2], model=Rate(norm=norm, bias=bias)),
            "output": Population(size=3, model=Rate(activation="linear")),
        },
        projections={
            "input_to_stem": Projection(source="input", target="stem", wiring=first),
            "stem_to_branch": Projection(
                source="stem", target="branch", wiring=Conv2d(kernel=3, stride=2, padding=1, groups=2)
            ),
            "branch_to_sum": Projection(
                source="branch", target="sum", wiring=OneToOne(), weights=Own(init=Normal(mean=1, std=0.1))
            ),
            "stem_to_sum": Projection(source="stem", target="sum", wiring=Shortcut(stride=2), plasticity=Fixed()),
            "sum_to_pooled": Projection(source="sum", target="pooled", wiring=AvgPool2d(kernel=2), plasticity=Fixed()),
            "pooled_to_row": Projection(source="pooled", target="row", wiring=Flatten(), plasticity=Fixed()),
            "row_to_output": Projection(source="row", target="output"),
        },
    )


def trained(circuit: Circuit, seeds: tuple[int, ...] = (3, 8)) -> tuple[Any, torch.Tensor]:
    network = ns.compile(rules.bp(circuit), seeds=seeds, device="cpu", dtype="float64")
    random = torch.Generator().manual_seed(5)
    extent = circuit.populations["input"].extent
    for _ in range(2):
        x = torch.randn(8, *extent, generator=random, dtype=torch.float64)
        network.step(x, torch.randint(0, 3, (8,), generator=random), optimizer=ns.SGD(lr=0.1))
    return network, torch.randn(5, *extent, generator=random, dtype=torch.float64)


def must_say_the_same(circuit: Circuit) -> nn.Module:
    network, x = trained(circuit)
    for replica in range(2):
        module = network.to_module(replica)
        assert (module(x) - network.predict(x)[replica]).abs().max() < EXACT
    if network.masks:
        return module  # another seed has other synapses
    other, _ = trained(circuit, (11, 12))
    assert (other.predict(x) - network.predict(x)).abs().max() > 1e-3
    for replica in range(2):
        other.load_module(network.to_module(replica), replica)
    assert (other.predict(x) - network.predict(x)).abs().max() < EXACT
    return module


@pytest.mark.parametrize(
    ("norm", "layer"),
    [
        (BatchNorm(), nn.BatchNorm2d),
        (BatchNorm(affine=False, momentum=0.3), nn.BatchNorm2d),
        (GroupNorm(groups=2), nn.GroupNorm),
        (LayerNorm(), nn.GroupNorm),
        (LayerNorm(affine=False), nn.GroupNorm),
        (RMSNorm(), nn.Module),
        (RMSNorm(affine=True), nn.Module),
    ],
    ids=str,
)
def test_every_norm_says_the_same_and_comes_back(norm: Any, layer: type) -> None:
    module = must_say_the_same(picture(norm, bias=False))
    assert isinstance(module.stem_norm, layer)


@pytest.mark.parametrize(
    "wiring",
    [
        Conv2d(kernel=3),
        Conv2d(kernel=(3, 2), stride=(2, 1), padding=(1, 0)),
        Conv2d(kernel=3, padding="same", dilation=2),
        Conv2d(kernel=3, padding=1, padding_mode="reflect"),
        Conv2d(kernel=3, padding=2, padding_mode="circular", groups=2),
        Conv2d(kernel=3, padding=1, density=0.5),
    ],
    ids=str,
)
def test_every_convolution_says_the_same_and_comes_back(wiring: Conv2d) -> None:
    module = must_say_the_same(picture(wiring=wiring))
    assert wiring.density < 1 or type(module.input_to_stem) is nn.Conv2d


def test_absent_synapses_of_a_kernel_stay_absent_when_the_module_learns() -> None:
    network, x = trained(picture(wiring=Conv2d(kernel=3, padding=1, density=0.5)))
    module = network.to_module().train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, weight_decay=0.1)
    module(x).square().sum().backward()
    optimizer.step()
    network.load_module(module)
    mask = network.masks["input_to_stem"][0]
    assert 0 < mask.double().mean() < 1
    assert (network.weights["input_to_stem"][0][mask == 0] == 0).all()


def test_statistics_of_a_module_that_learned_on_come_back() -> None:
    network, x = trained(picture(BatchNorm(), bias=False))
    module = network.to_module(1).train()
    module(x)
    before = network.predict(x)
    network.load_module(module, 1)
    assert torch.equal(network.predict(x)[0], before[0])
    assert (network.predict(x)[1] - module.eval()(x)).abs().max() < EXACT
    assert (network.predict(x)[1] - before[1]).abs().max() > 1e-6


def test_a_length_and_max_pooling_and_the_mean_over_places() -> None:
    must_say_the_same(
        Circuit(
            name="line",
            populations={
                "input": Population(shape=(2, 9), model=Source()),
                "wide": Population(shape=(4, 9), model=Rate(norm=BatchNorm(), bias=False)),
                "output": Population(size=3, model=Rate(activation="linear")),
            },
            projections={
                "input_to_wide": Projection(source="input", target="wide", wiring=Conv1d(kernel=3, padding="same")),
                "wide_to_output": Projection(source="wide", target="output"),
            },
        )
    )
    picture_of = {"source": "wide", "target": "pooled", "plasticity": Fixed()}
    must_say_the_same(
        Circuit(
            name="max",
            populations={
                "input": Population(shape=(2, 8, 8), model=Source()),
                "wide": Population(shape=(3, 8, 8)),
                "pooled": Population(shape=(3, 4, 4), model=Rate(activation="linear")),
                "output": Population(size=3, model=Rate(activation="linear")),
            },
            projections={
                "input_to_wide": Projection(source="input", target="wide", wiring=Conv2d(kernel=3, padding=1)),
                "wide_to_pooled": Projection(wiring=MaxPool2d(kernel=3, stride=2, padding=1), **picture_of),
                "pooled_to_output": Projection(
                    source="pooled", target="output", wiring=GlobalAvgPool(), plasticity=Fixed()
                ),
            },
        )
    )


def test_dense_synapses_between_populations_with_space_and_silenced_units_come_along() -> None:
    circuit = picture()
    dense = Projection(source="sum", target="pooled")
    network, x = trained(circuit.with_projections(sum_to_pooled=dense))
    network.silence("stem", torch.arange(4 * 7 * 6) % 3 != 0)
    module = network.to_module(1)
    assert (module(x) - network.predict(x)[1]).abs().max() < EXACT


def test_what_has_no_layer_is_named() -> None:
    back = Projection(source="input", target="stem", wiring=Conv2d(kernel=3, padding=1).reversed())
    network = ns.compile(rules.bp(picture().with_projections(input_to_stem=back)), device="cpu")
    with pytest.raises(CircuitError, match=r"projections\.input_to_stem\.wiring: expected wiring that is dense"):
        network.to_module()


def test_dropout_acts_where_the_module_trains() -> None:
    circuit = picture()
    network, x = trained(circuit.with_populations(row=circuit.populations["row"].replace(model=Rate(dropout=0.5))))
    module = network.to_module(1)
    assert (module(x) - network.predict(x)[1]).abs().max() < EXACT
    assert isinstance(module.row_dropout, nn.Dropout)
    assert module.row_dropout.p == 0.5
    assert not torch.equal(module.train()(x), module(x))
